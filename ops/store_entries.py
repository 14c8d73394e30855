"""The entries of the secret store that a stack's apps need, and making those that need no person.

Objects come in, from a render or from the cluster; entries with their readers go out, and new ones into the store:
directly into one of kind kubernetes, through External Secrets itself (a PushSecret) into any other. No value is printed
or stored anywhere else. `ops.secrets` is the verb, `ops.settling` makes entries while `up` waits.
"""

from __future__ import annotations

import json
import secrets
import string
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from config.model import Settings
from config.secret_stores import KubernetesStore
from errors import Declined, ProgramFailed
from manifests.fields import mappings
from manifests.objects import Object
from manifests.secret_entries import STORE, StoreEntry, declared, read_by
from ops.argocd.client import Cluster

KIND, PUSH = "externalsecrets.external-secrets.io", "pushsecrets.external-secrets.io"
NAMESPACE, PUSHED = "security", "homelab-entries"
NONE, REHEARSED = "none", "rehearsed"
KEYS = '{{range .items}}{{.metadata.name}}{{range $key, $value := .data}} {{$key}}{{end}}{{"\\n"}}{{end}}'
PAUSE, TIMEOUT = 2.0, 120.0
# Each push is a handful of requests to the provider, and Bitwarden accepts about five a second.
AT_ONCE = 5


@dataclass
class Needed:
    """One entry, the parts of it that are read, and its readers."""

    entry: StoreEntry
    parts: set[str] = field(default_factory=set)
    readers: list[str] = field(default_factory=list)

    @property
    def is_made(self) -> bool:
        """Whether it can be made without a person."""
        return self.entry.origin != "given"


def needed(objects: Iterable[tuple[str, Object]]) -> list[Needed]:
    """Return every entry that these objects read and declare, each object with the name of its app."""
    found: dict[str, Needed] = {}
    for app, item in objects:
        if item.get("kind") != "ExternalSecret":
            continue
        entries = declared(item)
        for reading in read_by(item):
            if reading.name in entries:
                one = found.setdefault(reading.name, Needed(entries[reading.name]))
                one.parts.add(reading.part or "value")
                one.readers += [app] if app not in one.readers else []
    return [found[name] for name in sorted(found)]


def value(entry: StoreEntry) -> str:
    """Return a value for an entry that can be made: at random, or the one that its declaration fixes."""
    if entry.origin == "text":
        return entry.detail
    alphabet = string.hexdigits.lower()[:16] if entry.hexadecimal else string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(entry.length))


def external_secrets(cluster: Cluster) -> list[Object]:
    """Return all ExternalSecrets of a cluster; none where it does not know the kind yet."""
    try:
        listed = cluster.kubectl("get", KIND, "--all-namespaces", "--output", "json")
    except ProgramFailed as failure:
        if "the server doesn't have a resource type" in failure.output:
            return []
        raise
    items: list[Object] = json.loads(listed)["items"]
    return items


def is_ready(item: Object) -> bool | None:
    """Return whether the controller got every entry of an ExternalSecret; nothing while it has not tried."""
    ready = next((one for one in mappings(item, "status", "conditions") if one.get("type") == "Ready"), None)
    return None if ready is None else ready.get("status") == "True"


def states(cluster: Cluster, settings: Settings, wanted: Sequence[Needed]) -> dict[str, str]:
    """Return of each entry whether the store has it: `there`, `missing`, or what else is known."""
    store = settings.platform.secret_store
    if isinstance(store, KubernetesStore):
        held = _held(cluster, store.namespace)
        return {
            one.entry.name: "there" if one.parts <= held.get(one.entry.name, set()) else "missing" for one in wanted
        }
    found: dict[str, str] = {}
    for item in external_secrets(cluster):
        ready, name = is_ready(item), f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for reading in read_by(item):
            if ready:
                found[reading.name] = "there"
            elif ready is False and found.get(reading.name) != "there":
                found[reading.name] = f"missing, or another entry of ExternalSecret {name} is"
    return {one.entry.name: found.get(one.entry.name, "not read yet") for one in wanted}


def _held(cluster: Cluster, namespace: str) -> dict[str, set[str]]:
    """Return the names and keys of a namespace's Secrets, and no value."""
    listed = cluster.kubectl("--namespace", namespace, "get", "secrets", "--output", f"go-template={KEYS}")
    return {name: set(keys) for name, *keys in (line.split() for line in listed.splitlines() if line.strip())}


def make(
    cluster: Cluster, settings: Settings, wanted: Sequence[Needed], given: Mapping[str, str] | None = None
) -> list[str]:
    """Make these entries where the store has none of the name; return the names of those that were sent to it."""
    values = {one.entry.name: (given or {}).get(one.entry.name) or value(one.entry) for one in wanted}
    store = settings.platform.secret_store
    if isinstance(store, KubernetesStore):
        held = _held(cluster, store.namespace)
        fresh = [one for one in wanted if one.entry.name not in held]
        for one in fresh:
            data = dict.fromkeys(sorted(one.parts), values[one.entry.name])
            cluster.kubectl("create", "--filename", "-", stdin=_secret(one.entry.name, store.namespace, data))
    else:
        fresh = list(wanted)
        for at in range(0, len(fresh), AT_ONCE):
            _push(cluster, fresh[at : at + AT_ONCE], values)
    if fresh:
        _refresh(cluster)
    return [one.entry.name for one in fresh]


def _secret(name: str, namespace: str, data: dict[str, str]) -> str:
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "homelab-secrets"}}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})


def _push(cluster: Cluster, wanted: Sequence[Needed], values: dict[str, str]) -> None:
    """Have External Secrets write entries into its store, where it has none of the name."""
    matches = [
        {"match": {"secretKey": one.entry.name, "remoteRef": {"remoteKey": one.entry.name, "property": part}}}
        for one in wanted
        for part in sorted(one.parts)
    ]
    push: dict[str, Any] = {
        "apiVersion": "external-secrets.io/v1alpha1",
        "kind": "PushSecret",
        "metadata": {"name": PUSHED, "namespace": NAMESPACE},
        "spec": {
            "updatePolicy": "IfNotExists",
            "deletionPolicy": "None",
            "secretStoreRefs": [{"kind": "ClusterSecretStore", "name": STORE}],
            "selector": {"secret": {"name": PUSHED}},
            "data": matches,
        },
    }
    with _passing(cluster):
        cluster.kubectl(
            "create",
            "--filename",
            "-",
            stdin=_secret(PUSHED, NAMESPACE, {one.entry.name: values[one.entry.name] for one in wanted}),
        )
        cluster.kubectl("create", "--filename", "-", stdin=json.dumps(push))
        deadline = time.monotonic() + TIMEOUT
        while not (ready := _pushed(cluster)):
            if time.monotonic() > deadline:
                raise Declined(f"External Secrets has not pushed {', '.join(values)} after {TIMEOUT:.0f} s")
            time.sleep(PAUSE)
        if ready["status"] != "True":
            raise Declined(
                f"the store does not take new entries: {ready.get('message', '')}; give the credential that "
                "External Secrets uses the right to write, or make them by hand: ./homelab secrets lists them"
            )


def _pushed(cluster: Cluster) -> dict[str, str] | None:
    found = json.loads(cluster.kubectl("--namespace", NAMESPACE, "get", PUSH, PUSHED, "--output", "json"))
    return next((one for one in mappings(found, "status", "conditions") if one.get("type") == "Ready"), None)


@contextmanager
def _passing(cluster: Cluster) -> Iterator[None]:
    """Leave nothing of a push behind, however it ends."""
    try:
        _forget(cluster)
        yield
    finally:
        with suppress(ProgramFailed):
            _forget(cluster)


def _forget(cluster: Cluster) -> None:
    cluster.kubectl("--namespace", NAMESPACE, "delete", f"{PUSH}/{PUSHED}", f"secret/{PUSHED}", "--ignore-not-found")


def _refresh(cluster: Cluster) -> None:
    """Have External Secrets ask again for what it did not get: by itself it would with growing pauses."""
    for item in external_secrets(cluster):
        if is_ready(item) is False:
            metadata = item["metadata"]
            wish = f"force-sync={int(time.time())}"
            cluster.kubectl(
                "--namespace", metadata["namespace"], "annotate", "--overwrite", f"{KIND}/{metadata['name']}", wish
            )


@dataclass
class Filled:
    """The entries that were made while a stack came up."""

    made: list[str] = field(default_factory=list)
    none: list[str] = field(default_factory=list)
    """Those that only a person has and that readers start without."""
    stood_in: list[str] = field(default_factory=list)
    """Those that only a person has and that a rehearsal stood in for."""


def fill(cluster: Cluster, settings: Settings, filled: Filled) -> None:
    """Make the entries that are missing in a store of kind kubernetes: no person could before the cluster was there."""
    if not isinstance(settings.platform.secret_store, KubernetesStore):
        return
    failing = [("", item) for item in external_secrets(cluster) if is_ready(item) is False]
    wanted = needed(failing)
    made = [one for one in wanted if one.is_made]
    none = [one for one in wanted if one.entry.optional]
    stood_in = [one for one in wanted if not one.is_made and not one.entry.optional and cluster.lab is not None]
    if made or none or stood_in:
        given = {one.entry.name: NONE for one in none} | {one.entry.name: REHEARSED for one in stood_in}
        sent = set(make(cluster, settings, [*made, *none, *stood_in], given))
        for names, one in ((filled.made, made), (filled.none, none), (filled.stood_in, stood_in)):
            names += [each.entry.name for each in one if each.entry.name in sent]

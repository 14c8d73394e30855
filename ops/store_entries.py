"""The entries of the secret store that a stack's apps need; random and fixed ones are made here.

Objects come in, from a render or from the cluster; entries with their readers go out, and new ones into the store:
directly into a store of kind kubernetes, through External Secrets (a PushSecret) into any other. No value is printed or
stored anywhere else. `ops.secrets` is the verb, `ops.settling` makes entries while `up` waits.
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
from ops.argocd.client import ArgoCDClient

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
        """Return whether it can be made here: its value is random or fixed."""
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
    """Return a value for an entry that can be made: the fixed one of its declaration, or a random one."""
    if entry.origin == "text":
        return entry.detail
    alphabet = string.hexdigits.lower()[:16] if entry.hexadecimal else string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(entry.length))


def external_secrets(client: ArgoCDClient) -> list[Object]:
    """Return all ExternalSecrets of a cluster; none where it does not know the kind yet."""
    try:
        listed = client.kubectl("get", KIND, "--all-namespaces", "--output", "json")
    except ProgramFailed as failure:
        if "the server doesn't have a resource type" in failure.output:
            return []
        raise
    items: list[Object] = json.loads(listed)["items"]
    return items


def is_ready(item: Object) -> bool | None:
    """Return whether the controller read every entry of an ExternalSecret; nothing before its first attempt."""
    ready = _ready(item)
    return None if ready is None else ready.get("status") == "True"


def _ready(item: Object) -> Mapping[str, Any] | None:
    return next((one for one in mappings(item, "status", "conditions") if one.get("type") == "Ready"), None)


def states(client: ArgoCDClient, settings: Settings, wanted: Sequence[Needed]) -> dict[str, str]:
    """Return the state of each entry: `there`, `missing`, or a longer text where it is not certain."""
    store = settings.platform.secret_store
    if isinstance(store, KubernetesStore):
        held = _held(client, store.namespace)
        return {
            one.entry.name: "there" if one.parts <= held.get(one.entry.name, set()) else "missing" for one in wanted
        }
    found: dict[str, str] = {}
    for item in external_secrets(client):
        ready, name = is_ready(item), f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for reading in read_by(item):
            if ready:
                found[reading.name] = "there"
            elif ready is False and found.get(reading.name) != "there":
                found[reading.name] = f"missing, or another entry of ExternalSecret {name} is"
    return {one.entry.name: found.get(one.entry.name, "not read yet") for one in wanted}


def _held(client: ArgoCDClient, namespace: str) -> dict[str, set[str]]:
    """Return the names and keys of a namespace's Secrets, and no value."""
    listed = client.kubectl("--namespace", namespace, "get", "secrets", "--output", f"go-template={KEYS}")
    return {name: set(keys) for name, *keys in (line.split() for line in listed.splitlines() if line.strip())}


def make(
    client: ArgoCDClient, settings: Settings, wanted: Sequence[Needed], fixed: Mapping[str, str] | None = None
) -> list[str]:
    """Make these entries where the store has no entry of the name; return the names of those that were sent to it."""
    values = {one.entry.name: (fixed or {}).get(one.entry.name) or value(one.entry) for one in wanted}
    store = settings.platform.secret_store
    if isinstance(store, KubernetesStore):
        held = _held(client, store.namespace)
        fresh = [one for one in wanted if one.entry.name not in held]
        for one in fresh:
            data = dict.fromkeys(sorted(one.parts), values[one.entry.name])
            client.kubectl("create", "--filename", "-", stdin=_secret(one.entry.name, store.namespace, data))
    else:
        fresh = list(wanted)
        for at in range(0, len(fresh), AT_ONCE):
            _push(client, fresh[at : at + AT_ONCE], values)
    if fresh:
        _refresh(client)
    return [one.entry.name for one in fresh]


def _secret(name: str, namespace: str, data: dict[str, str]) -> str:
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "homelab-secrets"}}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})


def _push(client: ArgoCDClient, wanted: Sequence[Needed], values: dict[str, str]) -> None:
    """Make External Secrets write entries into its store, where it has no entry of the name."""
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
    with _temporary(client):
        client.kubectl(
            "create",
            "--filename",
            "-",
            stdin=_secret(PUSHED, NAMESPACE, {one.entry.name: values[one.entry.name] for one in wanted}),
        )
        client.kubectl("create", "--filename", "-", stdin=json.dumps(push))
        deadline = time.monotonic() + TIMEOUT
        while not (ready := _pushed(client)):
            if time.monotonic() > deadline:
                raise Declined(f"External Secrets has not pushed {', '.join(values)} after {TIMEOUT:.0f} s")
            time.sleep(PAUSE)
        if ready["status"] != "True":
            raise Declined(
                f"the store does not take new entries: {ready.get('message', '')}; grant the credential of "
                "External Secrets write access, or make them by hand: ./homelab secrets lists them"
            )


def _pushed(client: ArgoCDClient) -> Mapping[str, Any] | None:
    return _ready(json.loads(client.kubectl("--namespace", NAMESPACE, "get", PUSH, PUSHED, "--output", "json")))


@contextmanager
def _temporary(client: ArgoCDClient) -> Iterator[None]:
    """Remove the objects of a push before and after it, also when it fails."""
    try:
        _remove(client)
        yield
    finally:
        with suppress(ProgramFailed):
            _remove(client)


def _remove(client: ArgoCDClient) -> None:
    client.kubectl("--namespace", NAMESPACE, "delete", f"{PUSH}/{PUSHED}", f"secret/{PUSHED}", "--ignore-not-found")


def _refresh(client: ArgoCDClient) -> None:
    """Make External Secrets read failed entries again at once: by itself it backs off."""
    for item in external_secrets(client):
        if is_ready(item) is False:
            metadata = item["metadata"]
            annotation = f"force-sync={int(time.time())}"
            client.kubectl(
                "--namespace",
                metadata["namespace"],
                "annotate",
                "--overwrite",
                f"{KIND}/{metadata['name']}",
                annotation,
            )


@dataclass
class Filled:
    """The entries that were made while a stack started."""

    made: list[str] = field(default_factory=list)
    none: list[str] = field(default_factory=list)
    """Entries that the operator must give and that readers can start without."""
    stood_in: list[str] = field(default_factory=list)
    """Entries that the operator must give; a rehearsal made values up."""


def fill(client: ArgoCDClient, settings: Settings, filled: Filled) -> None:
    """Make the missing entries of a store of kind kubernetes, which did not exist before the cluster did."""
    if not isinstance(settings.platform.secret_store, KubernetesStore):
        return
    failing = [("", item) for item in external_secrets(client) if is_ready(item) is False]
    wanted = needed(failing)
    made = [one for one in wanted if one.is_made]
    none = [one for one in wanted if one.entry.optional]
    stood_in = [one for one in wanted if not one.is_made and not one.entry.optional and client.is_rehearsed]
    if made or none or stood_in:
        fixed = {one.entry.name: NONE for one in none} | {one.entry.name: REHEARSED for one in stood_in}
        sent = set(make(client, settings, [*made, *none, *stood_in], fixed))
        for names, one in ((filled.made, made), (filled.none, none), (filled.stood_in, stood_in)):
            names += [each.entry.name for each in one if each.entry.name in sent]

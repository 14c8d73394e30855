"""The entries in the secret store of a rehearsal, and the failure of an ExternalSecret that requires another one.

kwok simulates External Secrets (`lab/operators/external-secrets.yaml`) without a lookup: it creates the Secret of each
marked ExternalSecret. All others get the status and the event of the real controller, so that Argo CD reports them as
Degraded.

A store of kind kubernetes has the Secrets of its namespace, which are real. Any other store is external and simulated:
it has every entry that an ExternalSecret declares (`manifests.secret_entries`), as if a user had followed `./homelab
secrets`, without those of `withhold`. The real controller retries with growing intervals; here an entry is found within
seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from errors import ApiFailed
from lab.api import Api
from lab.layout import Lab
from local.files import write_private
from manifests.fields import mapping, mappings, text, texts
from manifests.objects import Object, notes
from manifests.rules.stack_objects import selects
from manifests.secret_entries import STORE, Reading, declared, read_by

VERSION, PUSHED = "external-secrets.io/v1", "external-secrets.io/v1alpha1"
MARK, FOUND = "rehearsal.homelab.dev/entries", "found"
# The words of External Secrets 2.9.
REASON, MESSAGE, NO_SECRET = "SecretSyncedError", "could not get secret data from provider", "Secret does not exist"

REFUSED = 'using cluster store "{store}" is not allowed from namespace "{namespace}": denied by spec.condition'


def withhold(lab: Lab, names: Iterable[str]) -> None:
    """Write the entries that an external store does not have."""
    write_private(_file(lab), json.dumps(sorted(names)))


def withheld(lab: Lab) -> set[str]:
    """Read the entries that an external store does not have."""
    file = _file(lab)
    return set(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else set()


def reconcile(lab: Lab, api: Api, before: str) -> str:
    """Mark items that find their entries, fail the others; return the state, to compare the next one with."""
    try:
        items = api.metadata(VERSION, "ExternalSecret")
        store = api.get(VERSION, "ClusterSecretStore", STORE)
    except ApiFailed as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return ""
        raise
    inside = text(store, "spec", "provider", "kubernetes", "remoteNamespace")
    _push(lab, api)
    absent = withheld(lab)
    held = [(one["name"], one["resourceVersion"]) for one in api.metadata("v1", "Secret", inside)] if inside else []
    state = repr((store is None, sorted(held), sorted(absent), [(one["uid"], one["resourceVersion"]) for one in items]))
    if state != before:
        secrets = api.list("v1", "Secret", inside) if inside else []
        parts = {one["metadata"]["name"]: set(one.get("data") or {}) for one in secrets}
        open_to = _open_to(api, store)
        for item in api.list(VERSION, "ExternalSecret"):
            has = parts if inside else dict.fromkeys(declared(item).keys() - absent, None)
            _report(api, item, "the store is missing" if store is None else _missing(item, has, open_to))
    return state


def _open_to(api: Api, store: Object | None) -> set[str] | None:
    """Return the namespaces that the conditions of a store admit, None if all may use it."""
    conditions = mappings(store, "spec", "conditions")
    if not conditions:
        return None
    found = {one["name"]: one.get("labels") or {} for one in api.metadata("v1", "Namespace")}
    return {name for name, labels in found.items() if any(_admits(one, name, labels) for one in conditions)}


def _admits(condition: Object, name: str, labels: dict[str, str]) -> bool:
    patterns = texts(condition, "namespaceRegexes")
    named = name in texts(condition, "namespaces") or any(re.search(one, name) for one in patterns)
    return named or selects(condition.get("namespaceSelector"), labels)


def _missing(item: Object, has: dict[str, set[str]] | dict[str, None], open_to: set[str] | None) -> str:
    """Return the controller's error for the first missing entry, or nothing."""
    namespace = item["metadata"]["namespace"]
    for reading in read_by(item):
        if open_to is not None and namespace not in open_to:
            return REFUSED.format(store=STORE, namespace=namespace)
        parts = has.get(reading.name, set())
        if parts is not None and (not parts or (reading.part and reading.part not in parts)):
            return _error(
                reading, NO_SECRET if not parts else f"property {reading.part} does not exist in data of secret"
            )
    return ""


def _error(reading: Reading, why: str) -> str:
    _, field, index, *_ = reading.path
    return f"error processing spec.{field}[{index}] (key: {reading.name}), err: {why}"


def _report(api: Api, item: Object, error: str) -> None:
    metadata, status = item["metadata"], mapping(item, "status")
    name, namespace = metadata["name"], metadata["namespace"]
    ready = next((one for one in mappings(status, "conditions") if one.get("type") == "Ready"), {})
    is_marked = notes(item).get(MARK) == (error or FOUND)
    if not is_marked:
        api.annotate(VERSION, "ExternalSecret", name, {MARK: error or FOUND}, namespace)
    if error and (not is_marked or ready.get("status") != "False"):
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        failed = {"type": "Ready", "status": "False", "reason": REASON, "message": MESSAGE, "lastTransitionTime": now}
        api.patch_status(
            VERSION, "ExternalSecret", name, {"conditions": [failed], "syncedResourceVersion": ""}, namespace
        )
        api.create(_event(item, error, now))


def _event(item: Object, message: str, now: str) -> Object:
    """Return the event in which the real controller names the entry: the status does not."""
    metadata = item["metadata"]
    owner = {"apiVersion": VERSION, "kind": "ExternalSecret", "uid": metadata["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {**owner, "name": metadata["name"], "namespace": metadata["namespace"]},
        "type": "Warning",
        "reason": "UpdateFailed",
        "message": message,
        "source": {"component": "external-secrets"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _push(lab: Lab, api: Api) -> None:
    """Add the entries of a PushSecret to an external store."""
    before = withheld(lab)
    if before:
        pushes = [one for item in api.list(PUSHED, "PushSecret") for one in mappings(item, "spec", "data")]
        withhold(lab, before - {text(one, "match", "remoteRef", "remoteKey") for one in pushes})


def _file(lab: Lab) -> Path:
    return lab.root / "store.json"

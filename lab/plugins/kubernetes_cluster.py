"""One cluster as the stand-in for the Kubernetes plugin works on it: create, apply, delete, preview.

A kubeconfig comes in, then objects, field managers and whether it is a preview. The objects that the API server
returned go out, nothing if a preview cannot know them, or the server's refusal in the official plugin's words.
`lab.plugins.kubernetes_waits` decides when an object is ready, `lab.plugins.kubernetes` continues from here.
"""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from errors import ApiFailed, HomelabError, TookTooLong
from lab.api import APPLY, Api, ApiAnswer
from lab.plugins.kubernetes_objects import (
    MANAGER,
    Object,
    annotation,
    full_kind,
    metadata,
    spelled_for_python,
    spelled_for_server,
)
from lab.plugins.properties import has_unknown

JSON_PATCH = "application/json-patch+json"
DEFINITION = "apiextensions.k8s.io/v1/CustomResourceDefinition"
# The official plugin waits as long in all, half a minute, but begins with a whole second.
RETRIES = (0.25, 0.5, 1, 2, 4, 8, 16)
POLL = 0.1
TRIES = 5
# Field managers that applied an object before the server did it: the plugin's own creations, kubectl, and those without
# a name.
TAKEN_OVER = {
    *((name, "Update") for name in (MANAGER, f"{MANAGER}.exe", "pulumi-resource-kubernetes")),
    *(("kubectl", operation) for operation in ("Apply", "Update")),
    ("before-first-apply", "Update"),
}
PROPAGATION = {"orphan": "Orphan", "background": "Background"}
# pulumi.com/skipAwait skips the wait for the deletion of these kinds; all others are waited for nevertheless.
LEAVES_UNWATCHED = {
    *("apps/v1/DaemonSet", "apps/v1/Deployment", "apps/v1/StatefulSet", "batch/v1/Job"),
    *("v1/Namespace", "v1/Pod", "v1/ReplicationController"),
}


def connect(kubeconfig: str, context: str = "", cluster: str = "") -> tuple[Api, str]:
    """Return a client of a cluster and its namespace; refuse an unusable kubeconfig."""
    text = Path(kubeconfig).expanduser().read_text(encoding="utf-8") if _is_file(kubeconfig) else kubeconfig
    try:
        config = yaml.safe_load(text)
        chosen = context or config["current-context"]
        entry = next(item for item in config["contexts"] if item["name"] == chosen)["context"]
        entry["cluster"] = cluster or entry["cluster"]
        api = Api(yaml.safe_dump({**config, "current-context": chosen}))
    except (yaml.YAMLError, KeyError, TypeError, StopIteration, ValueError, OSError) as error:
        reason = f"{type(error).__name__} {error}".rstrip()
        raise HomelabError(
            f"failed to parse kubeconfig data in `kubernetes:config:kubeconfig`- {reason}; this stand-in needs a "
            "context, and the authority, the certificate and the key inside"
        ) from None
    if not _is_loopback(api.server):
        raise HomelabError(f"{api.server} is not on loopback, and this stand-in connects to rehearsed API servers only")
    return api, str(entry.get("namespace") or "default")


def _is_file(kubeconfig: str) -> bool:
    return "\n" not in kubeconfig and not kubeconfig.startswith("{") and Path(kubeconfig).expanduser().is_file()


def _is_loopback(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Applier:
    """An API server, and how the provider's settings want it to be treated."""

    def __init__(self, api: Api, namespace: str, *, upsert: bool, force: bool, cancelled: threading.Event) -> None:
        """Store the connection and the options."""
        self.api, self.namespace = api, namespace
        self._upsert, self._force, self._cancelled = upsert, force, cancelled

    def get(self, thing: Mapping[str, Any], name: str) -> Object | None:
        """Return a live object of the same kind and namespace."""
        found = self.api.get(thing["apiVersion"], thing["kind"], name, metadata(thing).get("namespace", ""))
        return None if found is None else _read(found)

    def knows(self, thing: Mapping[str, Any]) -> bool:
        """Report whether the server serves this kind."""
        return self.api.namespaced(thing["apiVersion"], thing["kind"]) is not None

    def create(
        self, thing: Object, manager: str, urn: str, say: Callable[[str], None], *, preview: bool, patch: bool
    ) -> Object | None:
        """Create an object; return nothing if a preview cannot know the result."""
        if preview and (patch or has_unknown(thing) or not self.knows(thing)):
            return None
        answer = self._persistently(lambda: self._create(thing, manager, preview=preview, patch=patch), preview, say)
        if answer.ok:
            return _read(answer.body)
        if preview and _is_for_later(answer):
            return None
        if not self.knows(thing):
            raise ApiFailed(
                f'creation of resource "{urn}" with kind {full_kind(thing)} failed because the Kubernetes API server '
                "reported that the apiVersion for this resource does not exist. Verify that any required CRDs have "
                f'been created: no matches for kind "{thing["kind"]}" in version "{thing["apiVersion"]}"',
                code=answer.code,
            )
        raise ApiFailed(
            f'resource "{urn}" was not successfully created by the Kubernetes API server: {_why(answer, manager)}',
            code=answer.code,
        )

    def _create(self, thing: Object, manager: str, *, preview: bool, patch: bool) -> ApiAnswer:
        if not self.knows(thing):
            return ApiAnswer(HTTPStatus.NOT_FOUND, {"message": f"no matches for kind {thing['kind']}"})
        if self._upsert or patch:
            return self._apply(thing, manager, force=preview or self._forced(thing), preview=preview)
        # Created by POST, so that an existing object is refused; from the first change on it is applied.
        return self._send("POST", thing, MANAGER, preview=preview, named=False)

    def _persistently(self, attempt: Callable[[], ApiAnswer], preview: bool, say: Callable[[str], None]) -> ApiAnswer:
        """Retry while a kind or a namespace does not exist yet."""
        for number, pause in enumerate(RETRIES):
            answer = attempt()
            if preview or answer.code != HTTPStatus.NOT_FOUND:
                return answer
            say(f"Retry #{number}; creation failed: {answer.message}")
            if self._cancelled.wait(pause):
                return answer
        return attempt()

    def update(
        self, thing: Object, name: str, manager: str, ignored: Iterable[str], *, preview: bool, patch: bool
    ) -> Object | None:
        """Change an object; return nothing if a preview cannot know the result."""
        if preview and (has_unknown(thing) or not self.knows(thing)):
            return None
        live = self.get(thing, name)
        if live is None:
            raise ApiFailed(f'{thing["kind"]} "{name}" not found', code=HTTPStatus.NOT_FOUND)
        if full_kind(thing) == DEFINITION:
            whole = {**thing["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
            answer = self._send("PUT", {**thing, "metadata": whole}, manager, preview=preview)
        else:
            if not preview and not patch:
                live = self._take_over(live, manager)
            answer = self._change(_without_ignored(thing, live, manager, ignored), live, manager, preview=preview)
        if answer.ok:
            return _read(answer.body)
        if preview and answer.code == HTTPStatus.FORBIDDEN:
            return None
        raise ApiFailed(_why(answer, manager), code=answer.code)

    def _change(self, thing: Object, live: Object, manager: str, *, preview: bool) -> ApiAnswer:
        force = self._forced(thing) or not live["metadata"].get("managedFields")
        answer = self._apply(thing, manager, force=force, preview=preview)
        # Fields that will be taken over before the real change are no conflict.
        if preview and answer.reason == "Conflict" and _in_conflict(answer) <= {name for name, _ in TAKEN_OVER}:
            return self._apply(thing, manager, force=True, preview=True)
        return answer

    def relinquish(self, thing: Object, manager: str) -> Object:
        """Release all fields of a manager, and return the rest; fields without an owner are removed."""
        known = {key: thing["metadata"][key] for key in ("name", "namespace") if key in thing["metadata"]}
        least = {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "metadata": known}
        answer = self._apply(least, manager, force=False, preview=False)
        if not answer.ok:
            raise ApiFailed(_why(answer, manager), code=answer.code)
        return _read(answer.body)

    def delete(self, thing: Object, say: Callable[[str], None], seconds: float) -> None:
        """Delete an object and wait until it is gone."""
        if not self.knows(thing):
            return
        policy = PROPAGATION.get(annotation(thing, "pulumi.com/deletionPropagationPolicy").lower(), "Foreground")
        answer = self.api.request("DELETE", self._path(thing), body={"propagationPolicy": policy})
        if answer.code == HTTPStatus.NOT_FOUND:
            return
        if not answer.ok:
            raise ApiFailed(answer.message, code=answer.code)
        if annotation(thing, "pulumi.com/skipAwait") == "true" and full_kind(thing) in LEAVES_UNWATCHED:
            return
        deadline = time.monotonic() + seconds
        first = live = self.get(thing, thing["metadata"]["name"])
        while live is not None and first is not None and live["metadata"]["uid"] == first["metadata"]["uid"]:
            if time.monotonic() > deadline or self._cancelled.is_set():
                raise TookTooLong(_still_there(live, seconds))
            say(_obstacles(live))
            time.sleep(POLL)
            live = self.get(thing, thing["metadata"]["name"])

    def _take_over(self, live: Object, manager: str) -> Object:
        """Take ownership of fields that were applied on a client's side, as if the server had applied them."""
        for _ in range(TRIES):
            taken = [entry for entry in live["metadata"].get("managedFields", []) if _is_taken_over(entry)]
            if not taken:
                return live
            known = live["metadata"]
            changes = [
                {"op": "replace", "path": "/metadata/managedFields", "value": _handed_over(known, taken, manager)},
                {"op": "replace", "path": "/metadata/resourceVersion", "value": known["resourceVersion"]},
            ]
            answer = self.api.request("PATCH", self._path(live), content=JSON_PATCH, body=changes)
            if answer.ok:
                return answer.body
            if answer.code != HTTPStatus.CONFLICT:
                break
            live = self.get(live, known["name"]) or live  # a controller was faster
        raise ApiFailed(answer.message, code=answer.code)

    def _forced(self, thing: Object) -> bool:
        return annotation(thing, "pulumi.com/patchForce") == "true" or self._force

    def _apply(self, thing: Object, manager: str, *, force: bool, preview: bool) -> ApiAnswer:
        query = {"force": str(force).lower()}
        return self._send("PATCH", thing, manager, preview=preview, content=APPLY, query=query)

    def _send(
        self,
        method: str,
        thing: Object,
        manager: str,
        *,
        preview: bool,
        named: bool = True,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> ApiAnswer:
        whole = {"fieldManager": manager, **(query or {}), **({"dryRun": "All"} if preview else {})}
        return self.api.request(
            method, self._path(thing, named=named), query=whole, content=content, body=self._placed(thing)
        )

    def _placed(self, thing: Object) -> Object:
        """Return an object as it is sent; a cluster-scoped kind loses the namespace that was assumed for it."""
        sent: Object = spelled_for_server(thing) if full_kind(thing) == DEFINITION else thing
        if "namespace" in sent["metadata"] and not self.api.namespaced(sent["apiVersion"], sent["kind"]):
            return {**sent, "metadata": {key: value for key, value in sent["metadata"].items() if key != "namespace"}}
        return sent

    def _path(self, thing: Mapping[str, Any], *, named: bool = True) -> str:
        known = thing["metadata"]
        return self.api.path(
            thing["apiVersion"], thing["kind"], known.get("namespace", ""), known["name"] if named else ""
        )


def _read(thing: Object) -> Object:
    found: Object = spelled_for_python(thing) if full_kind(thing) == DEFINITION else thing
    return found


def _is_for_later(answer: ApiAnswer) -> bool:
    """Report whether the refusal of a preview does not apply to the real creation.

    An object that exists may be deleted before its successor is created, a namespace may be created first, and a
    request whose dry run is forbidden may still be allowed.
    """
    if answer.code == HTTPStatus.NOT_FOUND:
        return True
    is_immutable = answer.reason == "Invalid" and "field is immutable" in answer.message
    return answer.code == HTTPStatus.FORBIDDEN or answer.reason == "AlreadyExists" or is_immutable


def _why(answer: ApiAnswer, manager: str) -> str:
    """Return the reason of the server's refusal; that of a conflict with the names of both managers."""
    if answer.reason != "Conflict" or not _in_conflict(answer):
        return answer.message
    return (
        "Server-Side Apply field conflict detected. Give the field up, or set the annotation pulumi.com/patchForce to "
        f'take it.\nThe resource managed by field manager "{manager}" had an apply conflict: {answer.message}'
    )


def _in_conflict(answer: ApiAnswer) -> set[str]:
    causes = (answer.body.get("details") or {}).get("causes", [])
    return {name for cause in causes for name in re.findall(r'conflict with "([^"]+)"', cause.get("message", ""))}


def _is_taken_over(entry: Mapping[str, Any]) -> bool:
    return (entry["manager"], entry["operation"]) in TAKEN_OVER and not entry.get("subresource")


def _handed_over(known: Object, taken: list[Object], manager: str) -> list[Object]:
    """Return the managed fields in which the entries that were taken belong to a manager that applies."""
    ours = [entry for entry in known["managedFields"] if (entry["manager"], entry["operation"]) == (manager, "Apply")]
    fields: Object = {}
    for entry in (*taken, *ours):
        fields = _merged(fields, entry["fieldsV1"])
    others = [entry for entry in known["managedFields"] if entry not in (*taken, *ours)]
    return [*others, {**taken[0], "manager": manager, "operation": "Apply", "fieldsV1": fields}]


def _merged(one: Object, other: Object) -> Object:
    shared = {key: _merged(one[key], other[key]) for key in one.keys() & other.keys()}
    return {**one, **other, **shared}


def _without_ignored(thing: Object, live: Object, manager: str, ignored: Iterable[str]) -> Object:
    """Leave ignored fields to their owners, and retain our own as they are."""
    changed = thing
    for path in ignored:
        steps = re.findall(r'\["((?:[^"\\]|\\.)+)"\]|([^.\[\]"]+)', path)
        keys = [quoted or plain for quoted, plain in steps]
        owners = {entry["manager"] for entry in live["metadata"].get("managedFields", []) if _owns(entry, keys)}
        if owners and manager not in owners:
            changed = _with(changed, keys, None)
        elif (value := _at(live, keys)) is not None:
            changed = _with(changed, keys, value)
    return changed


def _owns(entry: Mapping[str, Any], keys: list[str]) -> bool:
    return _at(entry.get("fieldsV1", {}), [f"f:{key}" for key in keys]) is not None


def _at(thing: Any, keys: list[str]) -> Any:
    for key in keys:
        thing = thing.get(key) if isinstance(thing, Mapping) else None
    return thing


def _with(thing: Object, keys: list[str], value: Any) -> Object:
    """Return an object with one field set, or without it."""
    key, *rest = keys
    inner = thing.get(key)
    if rest:
        if not isinstance(inner, Mapping):
            return thing
        return {**thing, key: _with(dict(inner), rest, value)}
    if value is None:
        return {name: item for name, item in thing.items() if name != key}
    return {**thing, key: value}


def _still_there(live: Object, seconds: float) -> str:
    message = f'{live["kind"]} "{metadata(live)["name"]}" is still there after {seconds:.0f} s'
    return f"timed out waiting for the condition: {message}; {_obstacles(live)}"


def _obstacles(live: Object) -> str:
    """Return the finalizers that block a deletion, and those that a namespace still waits for."""
    finalizers = metadata(live).get("finalizers", [])
    conditions = live.get("status", {}).get("conditions") or []
    reasons = [
        condition["message"]
        for condition in conditions
        if full_kind(live) == "v1/Namespace" and condition["status"] == "True" and condition.get("message")
    ]
    if finalizers:
        reasons.insert(0, f"finalizers might be preventing deletion ({', '.join(finalizers)})")
    return "; ".join(reasons) or "waiting for deletion"

"""Readiness of Kubernetes objects, and how the stand-in for the Kubernetes plugin waits for it.

A live object comes in; one line with what it still lacks goes out, or nothing. The annotation pulumi.com/waitFor lists
conditions or JSONPaths of the user's own. Without it, kinds that the official plugin awaits are judged in the same way,
simplified, and all others are ready at once. `lab.plugins.kubernetes` continues from here.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from errors import ApiFailed, TookTooLong
from lab.plugins.kubernetes_objects import Object, annotation, full_kind, metadata

TIMEOUT = 600.0
POLL = 0.1
STEP = re.compile(
    r"""\.(?P<name>[\w-]+)
    |\[(?P<index>\d+)\]
    |\[(?P<quote>['"])(?P<quoted>.+?)(?P=quote)\]
    |\[\?\(@\.(?P<key>[\w.-]+)\s*==\s*(?P<mark>['"])(?P<value>.*?)(?P=mark)\)\]""",
    re.VERBOSE,
)
FORMS = """.name, [0], ["name"] and [?(@.name=="value")]"""


def timeout_of(thing: Mapping[str, Any], timeout: float) -> float:
    """Return the timeout in seconds: that of the resource, then that of its annotation, then the default."""
    value = annotation(thing, "pulumi.com/timeoutSeconds")
    return timeout or (float(value) if value.isdigit() else TIMEOUT)


def refused(thing: Mapping[str, Any]) -> Iterator[str]:
    """Return the errors in the annotation about waiting."""
    for wanted in _wanted(thing):
        prefix, _, path = wanted.partition("=")
        if prefix not in ("condition", "jsonpath"):
            yield f'expected a "jsonpath=" or "condition=" prefix, got "{wanted}"'
        elif prefix == "jsonpath" and _steps(_split(path)[0]) is None:
            yield f"this stand-in reads {{...}} with {FORMS} in a JSONPath, got {path}"


def until_ready(
    live: Object,
    inputs: Mapping[str, Any],
    look: Callable[[], Object | None],
    say: Callable[[str], None],
    *,
    seconds: float,
    cancelled: threading.Event,
) -> Object:
    """Poll an object until it is ready, and return it."""
    if annotation(inputs, "pulumi.com/skipAwait") == "true":
        return live
    deadline, last = time.monotonic() + seconds, ""
    while lacking := missing(live, inputs):
        if why := failed(live):
            raise ApiFailed(f"'{metadata(live)['name']}' failed: {why}", code=0)
        if time.monotonic() > deadline or cancelled.is_set():
            raise TookTooLong(f"'{metadata(live)['name']}' timed out waiting to be Ready: {lacking}")
        if lacking != last:
            say(lacking)
            last = lacking
        time.sleep(POLL)
        found = look()
        if found is None:
            raise ApiFailed(f"'{metadata(live)['name']}' was deleted by another client", code=0)
        live = found
    if last:
        say("")
    return live


def missing(live: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    """Return the reason why an object is not ready, or nothing."""
    wanted = _wanted(inputs)
    if wanted:
        return "; ".join(filter(None, (_unmet(live, one) for one in wanted)))
    judge = JUDGES.get(full_kind(live))
    return judge(live) if judge else ""


def failed(live: Mapping[str, Any]) -> str:
    """Return the reason why an object will never be ready, or nothing."""
    found = _condition(live, "Failed") if full_kind(live) == "batch/v1/Job" else {}
    return _reason(found) if found.get("status") == "True" else ""


def _wanted(thing: Mapping[str, Any]) -> list[str]:
    value = annotation(thing, "pulumi.com/waitFor")
    if not value:
        return []
    try:
        several = json.loads(value)
    except ValueError:
        return [value]
    return [str(one) for one in several] if isinstance(several, list) else [value]


def _unmet(live: Mapping[str, Any], wanted: str) -> str:
    prefix, _, rest = wanted.partition("=")
    if prefix == "condition":
        kind, _, status = rest.partition("=")
        found = _condition(live, kind)
        met = str(found.get("status", "")).lower() == (status or "True").lower()
        return "" if met else f"Waiting for {wanted}{_found(_reason(found))}"
    path, value = _split(rest)
    found = _select(live, _steps(path) or [])
    if value:
        return "" if found is not None and _text(found) == value else f"Waiting for {rest}{_found(_text(found))}"
    return "" if found is not None else f"{path} selected nothing"


def _found(text: str) -> str:
    return f' (found "{text}")' if text else ""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _split(expression: str) -> tuple[str, str]:
    """Split a JSONPath in braces from its required value."""
    path, brace, value = expression.rpartition("}")
    return f"{path}{brace}", value.removeprefix("=")


def _steps(path: str) -> list[re.Match[str]] | None:
    inside = re.fullmatch(r"\{\s*\$?(.+?)\s*\}", path)
    if inside is None:
        return None
    steps, offset = [], 0
    while offset < len(inside[1]):
        step = STEP.match(inside[1], offset)
        if step is None:
            return None
        steps.append(step)
        offset = step.end()
    return steps


def _select(value: Any, steps: list[re.Match[str]]) -> Any:
    for step in steps:
        name = step["name"] or step["quoted"]
        if name:
            value = value.get(name) if isinstance(value, Mapping) else None
        elif step["index"]:
            value = value[int(step["index"])] if isinstance(value, list) and int(step["index"]) < len(value) else None
        else:
            items = value if isinstance(value, list) else []
            value = next((item for item in items if _text(item.get(step["key"])) == step["value"]), None)
    return value


def _condition(live: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = live.get("status", {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def _reason(condition: Mapping[str, Any]) -> str:
    reason, message = condition.get("reason", ""), condition.get("message", "")
    return f"[{reason}] {message}" if reason and message else reason or message


def _true(kind: str) -> Callable[[Mapping[str, Any]], str]:
    def judge(live: Mapping[str, Any]) -> str:
        found = _condition(live, kind)
        return "" if found.get("status") == "True" else _reason(found) or f"condition {kind} is not true yet"

    return judge


def _replicas(*counts: str) -> Callable[[Mapping[str, Any]], str]:
    def judge(live: Mapping[str, Any]) -> str:
        status, wanted = live.get("status", {}), live["spec"].get("replicas", 1)
        if status.get("observedGeneration", 0) < metadata(live).get("generation", 0):
            return "the controller has not seen it yet"
        behind = [name for name in counts if status.get(name, 0) < wanted]
        why = _reason(_condition(live, "Available"))
        return "".join(f"{status.get(name, 0)}/{wanted} {name}; " for name in behind).rstrip("; ") + (
            f": {why}" if behind and why else ""
        )

    return judge


def _daemons(live: Mapping[str, Any]) -> str:
    status = live.get("status", {})
    wanted = status.get("desiredNumberScheduled", 0)
    if status.get("observedGeneration", 0) < metadata(live).get("generation", 0):
        return "the controller has not seen it yet"
    ready = min(status.get("numberReady", 0), status.get("updatedNumberScheduled", 0))
    return "" if ready >= wanted else f"{ready}/{wanted} pods ready"


def _phase(*phases: str) -> Callable[[Mapping[str, Any]], str]:
    def judge(live: Mapping[str, Any]) -> str:
        phase = live.get("status", {}).get("phase", "")
        return "" if phase in phases else f"phase is {phase or 'unknown'}"

    return judge


def _pod(live: Mapping[str, Any]) -> str:
    return _phase("Succeeded")(live) and _true("Ready")(live)


def _service(live: Mapping[str, Any]) -> str:
    return _balanced(live) if live["spec"].get("type") == "LoadBalancer" else ""


def _balanced(live: Mapping[str, Any]) -> str:
    ingress = live.get("status", {}).get("loadBalancer", {}).get("ingress")
    return "" if ingress else "the load balancer has no address yet"


def _token(live: Mapping[str, Any]) -> str:
    waits = live.get("type") == "kubernetes.io/service-account-token" and "token" not in live.get("data", {})
    return "the token is not there yet" if waits else ""


JUDGES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "apps/v1/DaemonSet": _daemons,
    "apps/v1/Deployment": _replicas("updatedReplicas", "availableReplicas"),
    "apps/v1/StatefulSet": _replicas("updatedReplicas", "readyReplicas"),
    "batch/v1/Job": _true("Complete"),
    "networking.k8s.io/v1/Ingress": _balanced,
    "v1/PersistentVolume": _phase("Available", "Bound"),
    "v1/Pod": _pod,
    "v1/Secret": _token,
    "v1/Service": _service,
}

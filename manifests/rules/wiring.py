"""The parts of an app that must fit: quantities, volumes and mounts, ports and probes, selectors and pods.

The objects of a stack come in, findings go out. The API server refuses half of these mistakes in the middle of a sync,
and accepts the others without a message: a Service without pods is Healthy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from config.rules import rule
from config.source import KeyPath
from manifests.fields import at, mapping, mappings, text
from manifests.rules.stack_objects import AppObject, ObjectFinding, Pods, StackObjects, selects

UNIT = r"(?P<unit>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,9})?"
QUANTITY = re.compile(rf"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)){UNIT}\Z", re.ASCII)
UNITS = {
    **{
        unit: Decimal(1000) ** power for power, unit in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}
BYTES = ("memory", "storage", "ephemeral-storage")
LEAST = 1 << 20
MOST = Decimal((1 << 63) - 1)  # larger numbers count as this one, as in Kubernetes
SHARE = re.compile(r"\d+%\Z", re.ASCII)
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
WITH_DATA = ("PersistentVolumeClaim", "StatefulSet")
# Quantities for which the schemas accept any text: by group and kind, * for any key.
WRITTEN: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "LimitRange"): tuple(
        f"limits.*.{one}.*" for one in ("default", "defaultRequest", "max", "maxLimitRequestRatio", "min")
    ),
    ("", "PersistentVolume"): ("capacity.*",),
    ("", "ResourceQuota"): ("hard.*",),
    ("autoscaling", "HorizontalPodAutoscaler"): ("metrics.*.*.target.averageValue", "metrics.*.*.target.value"),
    ("postgresql.cnpg.io", "Cluster"): ("storage.size", "walStorage.size", "tablespaces.*.storage.size"),
}
ROOM = "volumes.*.emptyDir.sizeLimit"


@rule("quantity-malformed", scope="app", why="The API server rejects 4gb, and reads 512m as half a byte.")
@rule(
    "limit-below-request",
    scope="app",
    why="The API server rejects the pods, and only events of the ReplicaSet report it.",
)
def quantities(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require quantities that Kubernetes can read, and limits that are not below their requests."""
    for pods in objects.pods:
        for path, container in pods.containers():
            yield from _resources(pods.obj, (*path, "resources"), container.get("resources"))
        yield from _written(pods.obj, (*pods.path, "spec"), pods.spec, ROOM)
    for (group, kind), places in WRITTEN.items():
        for obj in (one for one in objects.of(kind) if one.group == group):
            for place in places:
                yield from _written(obj, ("spec",), obj.spec, place)
    for obj in objects.of(*WITH_DATA):
        for path, spec in _claims(obj):
            yield from _resources(obj, (*path, "resources"), spec.get("resources"))
    yield from _shares(objects)


def _shares(objects: StackObjects) -> Iterator[ObjectFinding]:
    for obj in objects.of("PodDisruptionBudget"):
        for key in ("minAvailable", "maxUnavailable"):
            value = obj.spec.get(key)
            if isinstance(value, str) and not SHARE.match(value):
                rule, fix = "is neither a number nor a share, and the API server refuses it", "write 1, or 50%"
                yield ObjectFinding("quantity-malformed", obj, ("spec", key), value, rule, fix)


def _claims(obj: AppObject) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    if obj.kind == "PersistentVolumeClaim":
        yield ("spec",), obj.spec
    for index, one in enumerate(mappings(obj.spec, "volumeClaimTemplates")):
        yield ("spec", "volumeClaimTemplates", index, "spec"), mapping(one, "spec")


def _written(obj: AppObject, path: KeyPath, value: Any, place: str) -> Iterator[ObjectFinding]:
    """Report values that are not quantities, below keys that are joined by dots."""
    key, _, rest = place.partition(".")
    if not place:
        if value is not None and amount(str(value)) is None:
            rule = "is no quantity, and the API server refuses it"
            yield ObjectFinding("quantity-malformed", obj, path, value, rule, _meant(str(value)))
    elif isinstance(value, dict):
        for name in value if key == "*" else value.keys() & {key}:
            yield from _written(obj, (*path, name), value[name], rest)
    elif isinstance(value, list) and key == "*":
        for index, one in enumerate(value):
            yield from _written(obj, (*path, index), one, rest)


def _resources(obj: AppObject, path: KeyPath, resources: Any) -> Iterator[ObjectFinding]:
    known: dict[tuple[str, str], Decimal] = {}
    for part in ("requests", "limits"):
        for name, size in mapping(resources, part).items():
            value = amount(str(size))
            if value is None:
                rule, fix = "is no quantity, and the API server refuses it", _meant(str(size))
            elif name in BYTES and value < LEAST:
                rule, fix = f"is {_bytes(value)}", _meant(str(size))
            else:
                known[part, name] = value
                continue
            yield ObjectFinding("quantity-malformed", obj, (*path, part, name), size, rule, fix)
    for (part, name), least in known.items():
        most = known.get(("limits", name))
        if part == "requests" and most is not None and most < least:
            size = resources["limits"][name]
            rule = f"is below its request of {resources['requests'][name]}, and the API server refuses the pods"
            yield ObjectFinding(
                "limit-below-request", obj, (*path, "limits", name), size, rule, "raise it, or request less"
            )


def amount(text: str) -> Decimal | None:
    """Read a quantity of Kubernetes; nothing where it is none."""
    found = QUANTITY.match(text)
    if not found:
        return None
    unit = found["unit"] or ""
    read = Decimal(found["number"]) * UNITS[unit] if unit in UNITS else Decimal(found[0])
    return min(read, MOST)


def _meant(text: str) -> str:
    if amount(text.replace(",", ".")) is not None and "," in text:
        return f"did you mean {text.replace(',', '.')}?"
    found = re.match(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT])i?[bB]?\Z", text)
    return f"did you mean {found[1]}{found[2].upper()}i?" if found else "write it as 512Mi"


def _bytes(value: Decimal) -> str:
    return "less than one byte" if value < 1 else f"{value:f} bytes"


@rule("reference-unknown", scope="stack")
def mounts(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a volume of the pod for each mount of a container."""
    for pods in objects.pods:
        made = [text(one, "metadata", "name") for one in mappings(pods.obj.spec, "volumeClaimTemplates")]
        known = {*made, *(text(volume, "name") for _, volume in pods.volumes)}
        for path, container in pods.containers():
            for key in ("volumeMounts", "volumeDevices"):
                for index, one in enumerate(mappings(container, key)):
                    if (named := text(one, "name")) not in known:
                        rule, fix = "is no volume of these pods", _known(known, "add the volume")
                        yield ObjectFinding("reference-unknown", pods.obj, (*path, key, index), named, rule, fix)


@rule("reference-unknown", scope="stack")
def ports(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require the port that a probe or a Service names."""
    for pods in objects.pods:
        for path, container in pods.containers():
            known = _ports(container)
            for probe in PROBES:
                for way in ("httpGet", "tcpSocket"):
                    named = at(container, probe, way, "port")
                    if isinstance(named, str) and named not in known:
                        rule, fix = "is no port of this container", _known(known, "name the port there")
                        yield ObjectFinding(
                            "reference-unknown", pods.obj, (*path, probe, way, "port"), named, rule, fix
                        )
    for service, ours in _selected(objects, "Service"):
        known = {name for pods in ours for _, container in pods.containers() for name in _ports(container)}
        for index, one in enumerate(mappings(service.spec, "ports")):
            named = one.get("targetPort")
            if ours and isinstance(named, str) and named not in known:
                rule, fix = f"is no port of {ours[0].obj}", _known(known, "name the port there")
                path = ("spec", "ports", index, "targetPort")
                yield ObjectFinding("reference-unknown", service, path, named, rule, fix)


@rule(
    "selects-nothing", scope="stack", why="It is Healthy without an effect: requests get no answer, and no drain waits."
)
def selectors(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require pods for each selector; labels with an operator's domain may select pods of the operator."""
    for obj, ours in (*_selected(objects, "Service"), *_selected(objects, "PodDisruptionBudget")):
        if not ours and objects.whole and obj.namespace not in objects.unread:
            rule, fix = "selects no pod of its namespace", "let it select the labels that the pods have"
            yield ObjectFinding("selects-nothing", obj, ("spec", "selector"), str(obj), rule, fix)


def _selected(objects: StackObjects, kind: str) -> Iterator[tuple[AppObject, list[Pods]]]:
    """Yield each object that selects pods, with the pods, without those of operators."""
    for obj in objects.of(kind):
        labels = mapping(obj.spec, "selector")
        selector = {"matchLabels": labels} if kind == "Service" else labels
        if not labels or obj.by_chart or obj.chart == "unknown" or obj.astray:
            continue
        found = [one for one in objects.pods_in.get(obj.namespace, ()) if selects(selector, one.labels)]
        if found or not any(_foreign(key) for key in _keys(selector)):
            yield obj, found


def _keys(selector: Mapping[str, Any]) -> set[str]:
    return {*mapping(selector, "matchLabels"), *(text(one, "key") for one in mappings(selector, "matchExpressions"))}


def _foreign(label: str) -> bool:
    domain, slash, _ = label.partition("/")
    return bool(slash) and not domain.endswith("kubernetes.io")


def _ports(container: Mapping[str, Any]) -> set[str]:
    return {name for one in mappings(container, "ports") if (name := text(one, "name"))}


def _known(known: set[str], otherwise: str) -> str:
    names = sorted(filter(None, known))
    return f"there are {', '.join(names)}" if names else otherwise

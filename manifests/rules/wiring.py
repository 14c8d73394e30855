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
def quantities(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Require quantities that Kubernetes can read, and limits that are not below their requests."""
    for pods in scene.pods:
        for path, container in pods.containers():
            yield from _resources(pods.piece, (*path, "resources"), container.get("resources"))
        yield from _written(pods.piece, (*pods.path, "spec"), pods.spec, ROOM)
    for (group, kind), places in WRITTEN.items():
        for piece in (one for one in scene.of(kind) if one.group == group):
            for place in places:
                yield from _written(piece, ("spec",), piece.spec, place)
    for piece in scene.of(*WITH_DATA):
        for path, spec in _claims(piece):
            yield from _resources(piece, (*path, "resources"), spec.get("resources"))
    yield from _shares(scene)


def _shares(scene: StackObjects) -> Iterator[ObjectFinding]:
    for piece in scene.of("PodDisruptionBudget"):
        for key in ("minAvailable", "maxUnavailable"):
            value = piece.spec.get(key)
            if isinstance(value, str) and not SHARE.match(value):
                rule, fix = "is neither a number nor a share, and the API server refuses it", "write 1, or 50%"
                yield ObjectFinding("quantity-malformed", piece, ("spec", key), value, rule, fix)


def _claims(piece: AppObject) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    if piece.kind == "PersistentVolumeClaim":
        yield ("spec",), piece.spec
    for index, one in enumerate(mappings(piece.spec, "volumeClaimTemplates")):
        yield ("spec", "volumeClaimTemplates", index, "spec"), mapping(one, "spec")


def _written(piece: AppObject, path: KeyPath, value: Any, place: str) -> Iterator[ObjectFinding]:
    """Report values that are not quantities, below keys that are joined by dots."""
    key, _, rest = place.partition(".")
    if not place:
        if value is not None and amount(str(value)) is None:
            rule = "is no quantity, and the API server refuses it"
            yield ObjectFinding("quantity-malformed", piece, path, value, rule, _meant(str(value)))
    elif isinstance(value, dict):
        for name in value if key == "*" else value.keys() & {key}:
            yield from _written(piece, (*path, name), value[name], rest)
    elif isinstance(value, list) and key == "*":
        for index, one in enumerate(value):
            yield from _written(piece, (*path, index), one, rest)


def _resources(piece: AppObject, path: KeyPath, resources: Any) -> Iterator[ObjectFinding]:
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
            yield ObjectFinding("quantity-malformed", piece, (*path, part, name), size, rule, fix)
    for (part, name), least in known.items():
        most = known.get(("limits", name))
        if part == "requests" and most is not None and most < least:
            size = resources["limits"][name]
            rule = f"is below its request of {resources['requests'][name]}, and the API server refuses the pods"
            yield ObjectFinding(
                "limit-below-request", piece, (*path, "limits", name), size, rule, "raise it, or request less"
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
def mounts(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Require a volume of the pod for each mount of a container."""
    for pods in scene.pods:
        made = [text(one, "metadata", "name") for one in mappings(pods.piece.spec, "volumeClaimTemplates")]
        known = {*made, *(text(volume, "name") for _, volume in pods.volumes)}
        for path, container in pods.containers():
            for key in ("volumeMounts", "volumeDevices"):
                for index, one in enumerate(mappings(container, key)):
                    if (named := text(one, "name")) not in known:
                        rule, fix = "is no volume of these pods", _known(known, "add the volume")
                        yield ObjectFinding("reference-unknown", pods.piece, (*path, key, index), named, rule, fix)


@rule("reference-unknown", scope="stack")
def ports(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Require the port that a probe or a Service names."""
    for pods in scene.pods:
        for path, container in pods.containers():
            known = _ports(container)
            for probe in PROBES:
                for way in ("httpGet", "tcpSocket"):
                    named = at(container, probe, way, "port")
                    if isinstance(named, str) and named not in known:
                        rule, fix = "is no port of this container", _known(known, "name the port there")
                        yield ObjectFinding(
                            "reference-unknown", pods.piece, (*path, probe, way, "port"), named, rule, fix
                        )
    for service, ours in _selected(scene, "Service"):
        known = {name for pods in ours for _, container in pods.containers() for name in _ports(container)}
        for index, one in enumerate(mappings(service.spec, "ports")):
            named = one.get("targetPort")
            if ours and isinstance(named, str) and named not in known:
                rule, fix = f"is no port of {ours[0].piece}", _known(known, "name the port there")
                path = ("spec", "ports", index, "targetPort")
                yield ObjectFinding("reference-unknown", service, path, named, rule, fix)


@rule(
    "selects-nothing", scope="stack", why="It is Healthy without an effect: requests get no answer, and no drain waits."
)
def selectors(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Require pods for each selector; labels with an operator's domain may select pods of the operator."""
    for piece, ours in (*_selected(scene, "Service"), *_selected(scene, "PodDisruptionBudget")):
        if not ours and scene.whole and piece.namespace not in scene.unread:
            rule, fix = "selects no pod of its namespace", "let it select the labels that the pods have"
            yield ObjectFinding("selects-nothing", piece, ("spec", "selector"), str(piece), rule, fix)


def _selected(scene: StackObjects, kind: str) -> Iterator[tuple[AppObject, list[Pods]]]:
    """Yield each object that selects pods, with the pods, without those of operators."""
    for piece in scene.of(kind):
        labels = mapping(piece.spec, "selector")
        selector = {"matchLabels": labels} if kind == "Service" else labels
        if not labels or piece.by_chart or piece.chart == "unknown" or piece.astray:
            continue
        found = [one for one in scene.pods if one.piece.namespace == piece.namespace and selects(selector, one.labels)]
        if found or not any(_foreign(key) for key in _keys(selector)):
            yield piece, found


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

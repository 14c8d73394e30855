"""Dangers of fields that the API server never changes, and of volumes that would shrink.

The tables repeat the validation of Kubernetes. Only an API server knows all of it, so that these dangers are guesses
until `ops.review.dry_run` has a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from manifests.fields import at, mapping, mappings, text
from manifests.objects import Object, identity
from manifests.rules.wiring import amount
from ops.review.dangers.context import ObjectPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger

RBAC = "rbac.authorization.k8s.io"
MUTABLE_OF_STATEFULSET = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
MUTABLE_OF_CLAIM = ("resources", "volumeAttributesClassName")
JOB = ("completionMode", "completions", "managedBy", "podFailurePolicy", "selector", "successPolicy", "template")
# Without `spec`, the keys of the object itself.
FIELDS: Mapping[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("", "PersistentVolume"): tuple(
        ("spec", key) for key in ("csi", "hostPath", "iscsi", "local", "nfs", "volumeMode", "claimRef")
    ),
    ("", "Secret"): (("type",),),
    ("", "Service"): (("spec", "clusterIP"), ("spec", "clusterIPs")),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (("spec", "group"), ("spec", "scope"), ("spec", "names")),
    ("apps", "DaemonSet"): (("spec", "selector"),),
    ("apps", "Deployment"): (("spec", "selector"),),
    ("apps", "ReplicaSet"): (("spec", "selector"),),
    ("batch", "Job"): tuple(("spec", key) for key in JOB),
    ("networking.k8s.io", "IngressClass"): (("spec", "controller"),),
    ("node.k8s.io", "RuntimeClass"): (("handler",),),
    (RBAC, "ClusterRoleBinding"): (("roleRef",),),
    (RBAC, "RoleBinding"): (("roleRef",),),
    ("scheduling.k8s.io", "PriorityClass"): (("value",), ("preemptionPolicy",)),
    ("storage.k8s.io", "CSIDriver"): (("spec", "attachRequired"), ("spec", "volumeLifecycleModes")),
    ("storage.k8s.io", "StorageClass"): (
        ("parameters",),
        ("provisioner",),
        ("reclaimPolicy",),
        ("volumeBindingMode",),
    ),
}
ALL_BUT: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "PersistentVolumeClaim"): MUTABLE_OF_CLAIM,
    ("apps", "StatefulSet"): MUTABLE_OF_STATEFULSET,
}
# Fields whose absence leaves the value of the live object.
CHOSEN = ("clusterIP", "clusterIPs", "volumeName", "claimRef", "storageClassName")
DEFAULTS = {
    "completionMode": "NonIndexed",
    "podManagementPolicy": "OrderedReady",
    "preemptionPolicy": "PreemptLowerPriority",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
    "volumeMode": "Filesystem",
}
SIZES: Mapping[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("", "PersistentVolumeClaim"): (("spec", "resources", "requests", "storage"),),
    ("postgresql.cnpg.io", "Cluster"): (("spec", "storage", "size"), ("spec", "walStorage", "size")),
}


@rule("immutable-field", reads="object", why="The API server refuses the object, and no sync of the app succeeds.")
def immutable(subject: ObjectPair) -> Iterator[Danger]:
    """Yield changes of fields that cannot change after the object was created."""
    before, after = subject.before, subject.after
    if subject.pair.operation != "changed" or identity(before).name != identity(after).name:
        return  # a generated name changes with its content: Argo CD makes a new object
    changed = [path for path in _fields(subject) if _differ(path, at(before, *path), at(after, *path))]
    if before.get("immutable") is True and subject.kind in (("", "ConfigMap"), ("", "Secret")):
        changed += [(key,) for key in ("data", "binaryData", "stringData") if before.get(key) != after.get(key)]
    if changed:
        names = ", ".join(".".join(path) for path in changed)
        reason = f"{names} cannot change: delete the object first, or give the new one another name"
        yield Danger(rule="immutable-field", where=subject.where, reason=reason, certainty="guessed")


def _fields(subject: ObjectPair) -> Iterator[tuple[str, ...]]:
    yield from FIELDS.get(subject.kind, ())
    if subject.kind in ALL_BUT:
        keys = {**mapping(subject.before, "spec"), **mapping(subject.after, "spec")}
        yield from (("spec", key) for key in sorted(map(str, keys)) if key not in ALL_BUT[subject.kind])


def _differ(path: tuple[str, ...], before: Any, after: Any) -> bool:
    if path[-1] in CHOSEN and (before is None or after is None):
        return False
    if path[-1] == "volumeClaimTemplates":
        before, after = _templates(before), _templates(after)
    elif path == ("spec", "names"):
        before, after = at(before, "kind"), at(after, "kind")
    default = DEFAULTS.get(path[-1])
    return bool((default if before is None else before) != (default if after is None else after))


def _templates(claims: Any) -> list[Any]:
    """Return the names and the specs of claims: the labels of a chart would hide the change that matters."""
    return [(text(one, "metadata", "name"), one.get("spec")) for one in mappings({"claims": claims}, "claims")]


@rule("pvc-shrink", reads="object", why="No volume can shrink: the API server or the operator refuses the change.")
def shrunk(subject: ObjectPair) -> Iterator[Danger]:
    """Yield volumes that are smaller than before."""
    for before, after in _sizes(subject):
        old, new = amount(before), amount(after)
        if old is not None and new is not None and new < old:
            yield Danger(rule="pvc-shrink", where=subject.where, reason=f"{before} before, {after} after")


def _sizes(subject: ObjectPair) -> Iterator[tuple[str, str]]:
    """Yield the sizes of the volumes of an object on both sides."""
    for path in SIZES.get(subject.kind, ()):
        yield text(subject.before, *path), text(subject.after, *path)
    if subject.kind == ("apps", "StatefulSet"):
        before, after = _claims(subject.before), _claims(subject.after)
        yield from ((before[name], after[name]) for name in sorted(before.keys() & after.keys()))


def _claims(item: Object) -> dict[str, str]:
    templates = mappings(item, "spec", "volumeClaimTemplates")
    return {text(one, "metadata", "name"): text(one, "spec", "resources", "requests", "storage") for one in templates}

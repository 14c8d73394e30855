"""References to objects that exist: Secrets with their keys, claims, accounts, ports, classes, issuers.

The objects of a stack come in, findings go out. An object that is not in Git has a creator that is: an ExternalSecret,
a Certificate, a database; `StackObjects.secrets` has the few that Pulumi creates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeAlias

from config.rules import rule
from config.source import KeyPath
from manifests.fields import entries, mapping, mappings, text
from manifests.objects import CRD, notes
from manifests.rules.stack_objects import AppObject, ObjectFinding, Pods, StackObjects

# The keys of a Secret or ConfigMap, the ports of a Service; nothing where they are not known here.
Parts: TypeAlias = "frozenset[str] | None"
PARTS = {"Secret": "key", "ConfigMap": "key", "Service": "port"}
EVERYWHERE = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
FIXES = {
    "Secret": "add an ExternalSecret that makes it",
    "ConfigMap": "add it, or generate it in the kustomization",
    "PersistentVolumeClaim": "add the claim",
    "ServiceAccount": "add it, or leave the name out",
    "Service": "add the Service, or correct the name",
    "Gateway": "name one of apps/networking",
    "Issuer": "add it, or name a ClusterIssuer",
    "ClusterIssuer": "name one of apps/cert-manager",
    "SecretStore": "add it, or name a ClusterSecretStore",
    "ClusterSecretStore": "name one of apps/security",
    "StorageClass": "add the app that makes it, or leave the name out for the default",
    "VolumeSnapshotClass": "add the app that makes it, or leave the name out for the default",
    **dict.fromkeys(("Deployment", "Rollout", "StatefulSet"), "correct the name, or remove it with its workload"),
}
# References to these are checked even in a chart: values choose them. Each is cluster-wide.
SHARED = ("ClusterIssuer", "ClusterSecretStore", "StorageClass", "VolumeSnapshotClass")
MISSPELT = 0.8
CLASS = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z")  # of policies some hold patterns there
CHOSEN = {  # by key: the group of the object that refers, and the kind that it refers to
    **dict.fromkeys(("storageClassName", "cacheStorageClassName"), ("", "StorageClass")),
    "volumeSnapshotClassName": ("", "VolumeSnapshotClass"),
    "storageClass": ("postgresql.cnpg.io", "StorageClass"),
    **dict.fromkeys(("className", "walClassName"), ("postgresql.cnpg.io", "VolumeSnapshotClass")),
    "issuerRef": ("cert-manager.io", "Issuer"),
    **dict.fromkeys(("secretStoreRef", "secretStoreRefs", "storeRef"), ("external-secrets.io", "SecretStore")),
}
ANNOTATED = {"cert-manager.io/issuer": "Issuer", "cert-manager.io/cluster-issuer": "ClusterIssuer"}


class Target(NamedTuple):
    """An object that references can name; the namespace `*` stands for all."""

    namespace: str
    kind: str
    name: str


class Reference(NamedTuple):
    """One reference of an object: its place, kind and name, one key or port, and whether the target may be missing."""

    path: KeyPath
    kind: str
    name: str
    part: str = ""
    optional: bool = False


@rule(
    "reference-unknown",
    scope="stack",
    why="Pods and volumes would wait for ever for an object that does not exist, and routes would fail.",
)
def existing(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require the target of each reference; the objects of a chart find their targets in the chart."""
    made: dict[Target, Parts] = {Target(space, "Secret", name): None for space, name in objects.secrets}
    for obj in objects.all:
        for one in (*makes(obj), *_brings(obj)):
            own, other = holds(obj, one.kind), made.get(one, frozenset())
            made[one] = None if own is None or other is None else own | other
    spread = {(one.kind, one.name) for one in made if one.namespace == "*"} | EVERYWHERE
    for obj in objects.all:
        if obj.astray:
            continue
        of_chart = obj.by_chart or obj.chart == "unknown"
        references = list(_chosen(obj)) if of_chart else [*_chosen(obj), *_references(objects, obj)]
        for reference in references:
            namespace, _, name = reference.name.rpartition("/")
            target = Target(namespace or obj.namespace, reference.kind, name)
            if reference.optional or (of_chart and target.kind not in SHARED):
                continue
            if target in made:
                yield from _within(obj, reference, name, made[target])
            elif (target.kind, name) not in spread and objects.whole:
                yield from _missing(objects, obj, reference.path, target, made)


@rule("reference-unknown", scope="stack")
def bound(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require the ServiceAccounts of bindings, also of those in charts."""
    if not objects.whole:
        return
    made = {one for obj in objects.all for one in makes(obj) if one.kind == "ServiceAccount"}
    for obj in objects.of("RoleBinding", "ClusterRoleBinding"):
        if obj.chart == "unknown" or obj.astray:
            continue
        for index, one in enumerate(mappings(obj.item, "subjects")):
            target = Target(text(one, "namespace") or obj.namespace, text(one, "kind"), text(one, "name"))
            if target.kind != "ServiceAccount" or (target.kind, target.name) in EVERYWHERE or target in made:
                continue
            if target.namespace in objects.security and target.namespace not in objects.unread:
                yield from _missing(objects, obj, ("subjects", index), target, made)


def _missing(
    objects: StackObjects, obj: AppObject, path: KeyPath, target: Target, made: Iterable[Target]
) -> Iterator[ObjectFinding]:
    """Report a target that nothing creates; of a class that an unread chart may bring, a misspelt one only."""
    space, kind, name = target
    guessed = objects.guessed and kind in SHARED
    there = [one.name for one in made if one.kind == kind and one.namespace in (space, "*")]
    near = get_close_matches(name, there, n=1, cutoff=MISSPELT if guessed else 0.6)
    if near or not guessed:
        where = f"environment {objects.environment}" if kind in SHARED else f"namespace {space}"
        broken = f"is no {kind} of {where}, and nothing makes it"
        fix = f"did you mean {near[0]}?" if near else FIXES[kind]
        if Target("*", f"Cluster{kind}", name) in made:
            fix = f"write kind: Cluster{kind}"
        yield ObjectFinding("reference-unknown", obj, path, name, broken, fix)


def _within(obj: AppObject, reference: Reference, name: str, parts: Parts) -> Iterator[ObjectFinding]:
    """Report a key or a port that the target does not have."""
    if reference.part and parts is not None and reference.part not in parts:
        noun = PARTS[reference.kind]
        rule = f"is no {noun} of {reference.kind} {name}, which has {', '.join(sorted(parts)) or 'none'}"
        near = get_close_matches(reference.part, parts, n=1)
        fix = f"did you mean {near[0]}?" if near else f"name one of these, or add the {noun} there"
        yield ObjectFinding("reference-unknown", obj, reference.path, reference.part, rule, fix)


def holds(obj: AppObject, kind: str) -> Parts:
    """Return the keys or ports of an object or of its target, None if they are unknown."""
    spec, keys = obj.spec, set[str]()
    if obj.kind == "Service" and entries(spec, "ports"):
        keys = {text(one, "port") for one in mappings(spec, "ports")}
    elif obj.kind == "Cluster" and kind == "Service":
        keys = {"5432"}
    elif obj.kind in ("ConfigMap", "Secret"):
        keys = {key for part in ("data", "binaryData", "stringData") for key in mapping(obj.item, part)}
    elif obj.kind == "ExternalSecret":
        template = mapping(spec, "target", "template")
        if template.get("templateFrom"):
            return None
        keys = set(mapping(template, "data"))
        if not keys or template.get("mergePolicy") == "Merge":
            if spec.get("dataFrom"):
                return None
            keys |= {text(one, "secretKey") for one in mappings(spec, "data")}
    return frozenset(keys) or None  # another program fills an empty object


def makes(obj: AppObject) -> Iterator[Target]:
    """Yield the object itself, and the objects that its operator creates from it."""
    space, name, spec = obj.namespace, obj.name, obj.spec
    if obj.kind in FIXES:
        yield Target("*" if obj.kind in SHARED else space, obj.kind, name)
    elif obj.kind == "ExternalSecret":
        yield Target(space, "Secret", text(spec, "target", "name") or name)
    elif obj.kind == "SealedSecret":
        yield Target(space, "Secret", text(spec, "template", "metadata", "name") or name)
    elif obj.kind == "Certificate":
        yield Target(space, "Secret", text(spec, "secretName"))
    elif obj.kind == "Cluster" and obj.group == "postgresql.cnpg.io":
        yield from (
            Target(space, "Secret", f"{name}-{part}") for part in ("app", "ca", "replication", "server", "superuser")
        )
        yield from (Target(space, "Service", f"{name}-{part}") for part in ("r", "ro", "rw"))
        yield Target(space, "ServiceAccount", name)
    elif obj.kind == "Bundle" and obj.group == "trust.cert-manager.io":
        kinds = (("configMap", "ConfigMap"), ("secret", "Secret"))
        yield from (Target("*", kind, name) for key, kind in kinds if mapping(spec, "target", key))
    elif obj.kind == "ObjectBucketClaim":
        yield from (Target(space, kind, name) for kind in ("ConfigMap", "Secret"))
    elif obj.kind == "StatefulSet":
        claims = [text(one, "metadata", "name") for one in mappings(spec, "volumeClaimTemplates")]
        yield from (Target(space, "PersistentVolumeClaim", f"{claim}-{name}-0") for claim in claims)


def _chosen(obj: AppObject) -> Iterator[Reference]:
    """Yield the classes, stores and issuers that an object names, at any depth."""
    annotations = notes(obj.item)
    if "cert-manager.io/issuer-kind" not in annotations:
        for key in ANNOTATED.keys() & annotations.keys():
            yield Reference(("metadata", "annotations", key), ANNOTATED[key], annotations[key])
    if obj.kind == CRD:
        return
    for key, path, value in _values("spec", ("spec",), obj.spec):
        group, kind = CHOSEN.get(key, ("", ""))
        if not kind or group not in ("", obj.group):
            continue
        if isinstance(value, str) and CLASS.match(value):
            yield Reference(path, kind, value)
        elif isinstance(value, dict) and value.get("name") and (value.get("group") or group) == group:
            kind = str(value.get("kind") or kind)
            # An object that creates others in many namespaces names the store of each.
            if kind in SHARED or (kind in FIXES and not obj.kind.startswith("Cluster")):
                yield Reference((*path, "name"), kind, str(value["name"]))


def _values(key: str, path: KeyPath, value: Any) -> Iterator[tuple[str, KeyPath, Any]]:
    """Yield a value and all values in it, each with the nearest key above it."""
    yield key, path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _values(str(name), (*path, name), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _values(key, (*path, index), inner)


def _brings(obj: AppObject) -> Iterator[Target]:
    """Yield the classes without an object: one that a volume has for its claims, and those of an operator."""
    if obj.kind == "PersistentVolume":
        yield Target("*", "StorageClass", str(obj.spec.get("storageClassName")))
    elif (obj.kind, obj.name) == ("ConfigMap", "longhorn-storageclass"):
        yield from (Target("*", "StorageClass", name) for name in ("longhorn", "longhorn-static"))


def _references(objects: StackObjects, obj: AppObject) -> Iterator[Reference]:
    pods = objects.pods_of.get(id(obj))
    if pods:
        yield from refers(pods)
    elif obj.kind == "ReplicationSource" and obj.group == "volsync.backube":
        yield from _backed_up(obj)
    elif obj.kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        yield from _scaled(obj)
    elif obj.kind == "Gateway" and obj.group == "gateway.networking.k8s.io":
        for index, listener in enumerate(mappings(obj.spec, "listeners")):
            for one in mappings(listener, "tls", "certificateRefs"):
                yield Reference(("spec", "listeners", index, "tls"), "Secret", _named(one))
    elif obj.kind.endswith("Route") and obj.group == "gateway.networking.k8s.io":
        yield from _route(obj)


def _backed_up(obj: AppObject) -> Iterator[Reference]:
    if claim := text(obj.spec, "sourcePVC"):
        yield Reference(("spec", "sourcePVC"), "PersistentVolumeClaim", claim)
    for mover in ("restic", "rclone", "rsyncTLS"):
        named = (text(obj.spec, mover, key) for key in ("repository", "rcloneConfig", "keySecret"))
        if secret := next(filter(None, named), ""):
            yield Reference(("spec", mover, "repository"), "Secret", secret)


def _scaled(obj: AppObject) -> Iterator[Reference]:
    target = mapping(obj.spec, "scaleTargetRef")
    if (kind := text(target, "kind") or "Deployment") in FIXES:
        yield Reference(("spec", "scaleTargetRef", "name"), kind, text(target, "name"))


def _route(obj: AppObject) -> Iterator[Reference]:
    for index, one in enumerate(mappings(obj.spec, "parentRefs")):
        if (text(one, "kind") or "Gateway") == "Gateway":
            yield Reference(("spec", "parentRefs", index), "Gateway", _named(one))
    for index, routed in enumerate(mappings(obj.spec, "rules")):
        for place, one in enumerate(mappings(routed, "backendRefs")):
            if (text(one, "kind") or "Service") == "Service":
                path: KeyPath = ("spec", "rules", index, "backendRefs", place)
                yield Reference(path, "Service", _named(one), text(one, "port"))


def _named(one: dict[str, Any]) -> str:
    return "/".join(filter(None, (text(one, "namespace"), text(one, "name"))))


def refers(pods: Pods) -> Iterator[Reference]:
    """Yield the references of pods: what they read and mount, and their account."""
    above = (*pods.path, "spec")
    if account := text(pods.spec, "serviceAccountName"):
        yield Reference((*above, "serviceAccountName"), "ServiceAccount", account)
    for index, one in enumerate(mappings(pods.spec, "imagePullSecrets")):
        yield Reference((*above, "imagePullSecrets", index), "Secret", text(one, "name"))
    for path, volume in pods.volumes:
        if claim := text(volume, "persistentVolumeClaim", "claimName"):
            yield Reference(path, "PersistentVolumeClaim", claim)
        for one in (volume, *mappings(volume, "projected", "sources")):
            yield from _read(path, one, "")
    for path, container in pods.containers():
        for index, one in enumerate(mappings(container, "envFrom")):
            yield from _read((*path, "envFrom", index), one, "Ref")
        for index, one in enumerate(mappings(container, "env")):
            yield from _read((*path, "env", index), mapping(one, "valueFrom"), "KeyRef")


def _read(path: KeyPath, source: dict[str, Any], suffix: str) -> Iterator[Reference]:
    """Yield a Secret or ConfigMap, once for each key that is read."""
    for key, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        one = mapping(source, f"{key}{suffix}")
        if name := text(one, "secretName") or text(one, "name"):
            parts = [text(item, "key") for item in mappings(one, "items")] or [text(one, "key")]
            yield from (Reference(path, kind, name, part, bool(one.get("optional"))) for part in parts)

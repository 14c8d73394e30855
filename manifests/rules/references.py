"""What an object names exists: Secrets, ConfigMaps, claims and service accounts of its namespace, backends of routes.

A scene comes in, findings go out. What is not in Git itself is made by something that is: an ExternalSecret, a
Certificate, a database; the few that Pulumi makes stand in `Scene.secrets`.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, TypeAlias

from config.source import KeyPath
from manifests.rules.scene import Finding, Piece, Pods, Scene

Reference: TypeAlias = "tuple[KeyPath, str, str]"
EVERYWHERE = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
FIXES = {
    "Secret": "add an ExternalSecret that makes it",
    "ConfigMap": "add it, or generate it in the kustomization",
    "PersistentVolumeClaim": "add the claim",
    "ServiceAccount": "add it, or leave the name out",
    "Service": "add the Service, or correct the name",
    "Gateway": "name one of apps/networking",
}


def existing(scene: Scene) -> Iterator[Finding]:
    """Whatever an object of a namespace refers to is there, or is made there; charts bring what theirs need."""
    made = {one for piece in scene.pieces for one in makes(piece)}
    made |= {(namespace, "Secret", name) for namespace, name in scene.secrets}
    spread = {(kind, name) for namespace, kind, name in made if namespace == "*"} | EVERYWHERE
    for piece in scene.pieces:
        if piece.by_chart or piece.chart == "unknown":
            continue
        for path, kind, name in _asked(scene, piece):
            namespace, _, bare = name.rpartition("/")
            wanted = (namespace or piece.namespace, kind, bare)
            if wanted in made or (kind, bare) in spread or not (scene.whole or wanted[0] == piece.namespace):
                continue
            there = [other for space, other_kind, other in made if (space, other_kind) == wanted[:2]]
            near = get_close_matches(bare, there, n=1)
            rule = f"is no {kind} of namespace {wanted[0]}, and nothing makes it"
            fix = f"did you mean {near[0]}?" if near else FIXES[kind]
            yield Finding("reference-unknown", piece, path, bare, rule, fix)


def makes(piece: Piece) -> Iterator[tuple[str, str, str]]:
    """Name what an object is or leads to: namespace, kind and name."""
    space, name, spec = piece.namespace, piece.name, piece.spec
    if piece.kind in FIXES:
        yield space, piece.kind, name
    elif piece.kind == "ExternalSecret":
        yield space, "Secret", (spec.get("target") or {}).get("name") or name
    elif piece.kind == "SealedSecret":
        template = ((spec.get("template") or {}).get("metadata") or {}).get("name")
        yield space, "Secret", template or name
    elif piece.kind == "Certificate":
        yield space, "Secret", str(spec.get("secretName", ""))
    elif piece.kind == "Cluster" and piece.group == "postgresql.cnpg.io":
        yield from ((space, "Secret", f"{name}-{part}") for part in ("app", "ca", "replication", "server", "superuser"))
        yield from ((space, "Service", f"{name}-{part}") for part in ("r", "ro", "rw"))
        yield space, "ServiceAccount", name
    elif piece.kind == "Bundle" and piece.group == "trust.cert-manager.io":
        target = spec.get("target") or {}
        yield from (
            ("*", kind, name) for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")) if key in target
        )
    elif piece.kind == "ObjectBucketClaim":
        yield from ((space, kind, name) for kind in ("ConfigMap", "Secret"))
    elif piece.kind == "StatefulSet":
        claims = [(one.get("metadata") or {}).get("name") for one in spec.get("volumeClaimTemplates") or ()]
        yield from ((space, "PersistentVolumeClaim", f"{claim}-{name}-0") for claim in claims)


def _asked(scene: Scene, piece: Piece) -> Iterator[Reference]:
    pods = scene.pods_of.get(id(piece))
    if pods:
        yield from refers(pods)
    elif piece.kind == "ReplicationSource" and piece.group == "volsync.backube":
        if claim := piece.spec.get("sourcePVC"):
            yield ("spec", "sourcePVC"), "PersistentVolumeClaim", claim
        for mover in ("restic", "rclone", "rsyncTLS"):
            said = piece.spec.get(mover) or {}
            if secret := said.get("repository") or said.get("rcloneConfig") or said.get("keySecret"):
                yield ("spec", mover, "repository"), "Secret", secret
    elif piece.kind == "Gateway" and piece.group == "gateway.networking.k8s.io":
        for index, listener in enumerate(piece.spec.get("listeners") or ()):
            for one in (listener.get("tls") or {}).get("certificateRefs") or ():
                yield ("spec", "listeners", index, "tls"), "Secret", _named(one)
    elif piece.kind.endswith("Route") and piece.group == "gateway.networking.k8s.io":
        yield from _route(piece)


def _route(piece: Piece) -> Iterator[Reference]:
    for index, one in enumerate(piece.spec.get("parentRefs") or ()):
        if one.get("kind", "Gateway") == "Gateway":
            yield ("spec", "parentRefs", index), "Gateway", _named(one)
    for index, rule in enumerate(piece.spec.get("rules") or ()):
        for place, one in enumerate(rule.get("backendRefs") or ()):
            if one.get("kind", "Service") == "Service":
                yield ("spec", "rules", index, "backendRefs", place), "Service", _named(one)


def _named(one: dict[str, Any]) -> str:
    return "/".join(filter(None, (one.get("namespace"), one["name"])))


def refers(pods: Pods) -> Iterator[Reference]:
    """Name what pods read, mount and act as; what is optional may be missing."""
    above = (*pods.path, "spec")
    account = pods.spec.get("serviceAccountName")
    if account:
        yield (*above, "serviceAccountName"), "ServiceAccount", account
    for index, one in enumerate(pods.spec.get("imagePullSecrets") or ()):
        yield (*above, "imagePullSecrets", index), "Secret", one["name"]
    for path, volume in pods.volumes:
        yield from _volume(path, volume)
        for one in (volume.get("projected") or {}).get("sources") or ():
            yield from _volume(path, one)
    for path, container in pods.containers():
        for index, one in enumerate(container.get("envFrom") or ()):
            yield from _environment((*path, "envFrom", index), one, "Ref")
        for index, one in enumerate(container.get("env") or ()):
            yield from _environment((*path, "env", index), one.get("valueFrom") or {}, "KeyRef")


def _volume(path: KeyPath, volume: dict[str, Any]) -> Iterator[Reference]:
    kinds = (
        ("secret", "secretName", "Secret"),
        ("secret", "name", "Secret"),
        ("configMap", "name", "ConfigMap"),
        ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
    )
    for key, name, kind in kinds:
        said = volume.get(key) or {}
        if said.get(name) and not said.get("optional"):
            yield path, kind, said[name]


def _environment(path: KeyPath, said: dict[str, Any], suffix: str) -> Iterator[Reference]:
    for key, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):
        one = said.get(f"{key}{suffix}") or {}
        if one.get("name") and not one.get("optional"):
            yield path, kind, one["name"]

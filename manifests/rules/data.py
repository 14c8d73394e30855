"""What cannot be made again: volumes and databases that no sync may delete, and databases that can be kept twice.

A scene comes in, findings go out. Argo CD keeps such an object when it leaves Git and when its Application goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from manifests.objects import notes
from manifests.rules.scene import Finding, Piece, Scene, selects

OPTIONS = "argocd.argoproj.io/sync-options"
NEEDED = ("Prune=false", "Delete=false")
DATA: Mapping[str, tuple[str, ...]] = {
    "": ("PersistentVolume", "PersistentVolumeClaim"),
    "ceph.rook.io": ("CephBlockPool", "CephCluster", "CephFilesystem", "CephObjectStore"),
    "objectbucket.io": ("ObjectBucketClaim",),
    "postgresql.cnpg.io": ("Cluster", "Database"),
}


def kept(scene: Scene) -> Iterator[Finding]:
    """Volumes and databases are marked so that no sync deletes them."""
    for group, kinds in DATA.items():
        for piece in scene.of(*kinds):
            said = [one.strip() for one in (notes(piece.item).get(OPTIONS) or "").split(",")]
            missing = [option for option in NEEDED if option not in said]
            if piece.group == group and missing:
                rule = f"holds data, and a sync may delete it: {' and '.join(missing)} missing"
                fix = f"annotate it with {OPTIONS}: {','.join(NEEDED)}"
                yield Finding("data-unprotected", piece, ("metadata", "annotations"), str(piece), rule, fix)


def joined(scene: Scene) -> Iterator[Finding]:
    """A database's instances reach one another: policies that stand before them let them in, however many there are."""
    for piece in scene.of("Cluster"):
        labels = {"cnpg.io/cluster": piece.name}
        policies = [one for one in scene.of("NetworkPolicy") if one.namespace == piece.namespace]
        ours = [one for one in policies if selects(one.spec.get("podSelector"), labels) and _inward(one)]
        if piece.group == "postgresql.cnpg.io" and ours and not any(_admits(one, labels) for one in ours):
            rule = f"keeps the instances of {piece} from one another: a second one could never join"
            fix = f"add to from: podSelector: {{matchLabels: {{cnpg.io/cluster: {piece.name}}}}}"
            yield Finding("database-alone", ours[0], ("spec", "ingress"), "", rule, fix)


def _inward(policy: Piece) -> bool:
    return "Ingress" in policy.spec.get("policyTypes", ["Ingress"])


def _admits(policy: Piece, labels: Mapping[str, str]) -> bool:
    """Whether pods of the policy's own namespace that have these labels may come in."""
    return any(
        not rule.get("from")
        or any(selects(one.get("podSelector"), labels) and "namespaceSelector" not in one for one in rule["from"])
        for rule in policy.spec.get("ingress") or ()
    )

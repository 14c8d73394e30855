"""What cannot be made again: volumes and databases that no sync may delete.

A scene comes in, findings go out. Argo CD keeps such an object when it leaves Git and when its Application goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from manifests.objects import notes
from manifests.rules.scene import Finding, Scene

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

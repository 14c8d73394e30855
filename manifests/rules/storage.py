"""Data that cannot be recreated: volumes that no sync may delete, their room and backups, replicated databases.

The objects of a stack come in, findings go out. Argo CD keeps such an object when it leaves Git, and when its
Application is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config.rules import rule
from config.secret_stores import KINDS
from manifests.fields import at, entries, mapping, mappings, number, text
from manifests.objects import notes
from manifests.rules.stack_objects import AppObject, ObjectFinding, StackObjects, selects
from manifests.rules.wiring import amount

BACKUP = "homelab.dev/backup"
ONE_LOGIN_PER_ENTRY = [kind.provider for kind in KINDS.values() if kind.logs_in_for_each_entry]
OPTIONS = "argocd.argoproj.io/sync-options"
NEEDED = ("Prune=false", "Delete=false")
DATA: Mapping[str, tuple[str, ...]] = {
    "": ("PersistentVolume", "PersistentVolumeClaim"),
    "ceph.rook.io": ("CephBlockPool", "CephCluster", "CephFilesystem", "CephObjectStore"),
    "objectbucket.io": ("ObjectBucketClaim",),
    "postgresql.cnpg.io": ("Cluster", "Database"),
}
CEPH = (".rbd.csi.ceph.com", ".cephfs.csi.ceph.com")
NEARLY_FULL = 0.85  # of its disks: here Ceph begins to warn, and a little later every write stops
DEFAULT = "storageclass.kubernetes.io/is-default-class"


@rule(
    "entry-twice",
    scope="stack",
    why="Bitwarden answers a burst of requests with 429, and the ExternalSecrets fail together.",
)
def read_once(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require one read for each entry of a store that logs in for each request; other readers use the Secret."""
    stores = {
        one.name
        for one in objects.of("ClusterSecretStore")
        if any(at(one.spec, "provider", provider) for provider in ONE_LOGIN_PER_ENTRY)
    }
    first: dict[str, AppObject] = {}
    for obj in objects.of("ExternalSecret"):
        if text(obj.spec, "secretStoreRef", "name") in stores:
            for index, one in enumerate(mappings(obj.spec, "data")):
                entry = text(one, "remoteRef", "key")
                if owner := first.get(entry):
                    rule = f"is read by {owner} of {owner.app.folder} already"
                    fix = "read it once, and copy the Secret as apps/security/secret-stores/base/backup does"
                    yield ObjectFinding("entry-twice", obj, ("spec", "data", index), entry, rule, fix)
                first.setdefault(entry, obj)


@rule("data-unprotected", scope="app", why="A renamed folder must not delete user data.")
def kept(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require the annotation of volumes and databases that keeps a sync from deleting them."""
    for group, kinds in DATA.items():
        for obj in objects.of(*kinds):
            options = [one.strip() for one in notes(obj.item).get(OPTIONS, "").split(",")]
            missing = [option for option in NEEDED if option not in options]
            if obj.group == group and missing:
                rule = f"holds data, and a sync may delete it: {' and '.join(missing)} missing"
                fix = f"annotate it with {OPTIONS}: {','.join(NEEDED)}"
                yield ObjectFinding("data-unprotected", obj, ("metadata", "annotations"), str(obj), rule, fix)


@rule(
    "backup-together",
    scope="stack",
    why="Each copy reads a whole volume: all in the same minute would slow every disk.",
)
def spread(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report backups of volumes that begin in the same minute."""
    first: dict[str, AppObject] = {}
    for obj in objects.of("ReplicationSource"):
        time = text(obj.spec, "trigger", "schedule")
        owner = first.setdefault(time, obj)
        if time and owner is not obj:
            rule = f"is the time of {owner} of {owner.app.folder} too"
            fix = f"give the volume a time of its own: the annotation {BACKUP} where apps/_shared/backup reads it"
            yield ObjectFinding("backup-together", obj, ("spec", "trigger", "schedule"), time, rule, fix)


@rule(
    "database-alone",
    scope="stack",
    why="The replica would wait for ever, and the first failed node would take the database with it.",
)
def joined(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require policies that allow traffic between the instances of a database."""
    for obj in objects.of("Cluster"):
        labels = {"cnpg.io/cluster": obj.name}
        policies = [one for one in objects.of("NetworkPolicy") if one.namespace == obj.namespace]
        ours = [one for one in policies if selects(one.spec.get("podSelector"), labels) and inward(one)]
        if obj.group == "postgresql.cnpg.io" and ours and not any(_admits(one, labels) for one in ours):
            rule = f"keeps the instances of {obj} from one another: a second one could never join"
            fix = f"add to from: podSelector: {{matchLabels: {{cnpg.io/cluster: {obj.name}}}}}"
            yield ObjectFinding("database-alone", ours[0], ("spec", "ingress"), "", rule, fix)


def inward(policy: AppObject) -> bool:
    """Report whether a NetworkPolicy is about ingress; one without policyTypes is."""
    return "Ingress" in (entries(policy.spec, "policyTypes") or ["Ingress"])


def _admits(policy: AppObject, labels: Mapping[str, str]) -> bool:
    """Report whether the policy allows ingress from pods of its namespace with these labels."""
    return any(
        not rule.get("from")
        or any(
            selects(one.get("podSelector"), labels) and one.get("namespaceSelector") is None
            for one in mappings(rule, "from")
        )
        for rule in mappings(policy.spec, "ingress")
    )


@rule(
    "ceph-full",
    scope="stack",
    why="Volumes bind regardless of the disks' size; on a full disk all writes of all apps stop.",
)
def room(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require room on Ceph's disks for the sizes of all claims; Ceph itself promises more than it has."""
    classes = [one for one in objects.of("StorageClass") if str(one.item.get("provisioner")).endswith(CEPH)]
    default = {one.name for one in classes if notes(one.item).get(DEFAULT) == "true"}
    names = {one.name for one in classes} | ({None} if default else set())
    requested = sum(size for name, size in _claims(objects) if name in names)
    pools = [one.spec for one in objects.of("CephBlockPool")]
    pools += [pool for one in objects.of("CephFilesystem") for pool in mappings(one.spec, "dataPools")]
    copies = max((number(pool, "replicated", "size", otherwise=1) for pool in pools), default=1)
    if not (objects.whole and objects.disks):
        return
    for obj in objects.of("CephCluster"):
        if requested * copies > objects.disks * NEARLY_FULL:
            whole = f"{requested >> 30}Gi, {copies} times" if copies > 1 else f"{requested >> 30}Gi"
            rule = (
                f"is the size that volumes may grow to, and {objects.stack} has dataDisks of {objects.disks >> 30}GiB"
            )
            fix = f"make claims smaller or disks larger: at {NEARLY_FULL:.0%} Ceph begins to warn"
            yield ObjectFinding("ceph-full", obj, ("spec", "storage"), whole, rule, fix)


def _claims(objects: StackObjects) -> Iterator[tuple[str | None, int]]:
    """Yield the class and the size of every claim, also of those that operators create."""
    for obj in objects.of("PersistentVolumeClaim"):
        yield _claim(obj.spec)
    for obj in objects.of("StatefulSet", "Prometheus", "Alertmanager"):
        alone = mapping(obj.spec, "storage", "volumeClaimTemplate")
        for one in (*mappings(obj.spec, "volumeClaimTemplates"), alone):
            yield _claim(mapping(one, "spec"), number(obj.spec, "replicas", otherwise=1))
    for obj in objects.of("Cluster"):
        for one in (mapping(obj.spec, "storage"), mapping(obj.spec, "walStorage")):
            size = _bytes(one.get("size")) * number(obj.spec, "instances", otherwise=1)
            yield _class(one.get("storageClass")), size


def _claim(spec: Mapping[str, Any], count: int = 1) -> tuple[str | None, int]:
    size = _bytes(at(spec, "resources", "requests", "storage"))
    return _class(spec.get("storageClassName")), size * count


def _class(name: object) -> str | None:
    return name if isinstance(name, str) else None


def _bytes(quantity: object) -> int:
    return int(amount(str(quantity)) or 0)

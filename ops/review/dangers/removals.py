"""Dangers of removed objects: lost data, lost limits, objects that stay without an owner.

`ops.review.applications` decides what Argo CD does with each of them; only a loss is reported here, and what stays once
for each app.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from manifests.fields import mapping, text
from manifests.objects import CRD
from manifests.rules.storage import DATA, NEEDED
from ops.review.applications import options_of
from ops.review.dangers.context import Context, ObjectPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger, RemovedObject

SHOWN = 3
POLICIES = {
    "networking.k8s.io": ("NetworkPolicy",),
    "cilium.io": ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"),
    "policy.networking.k8s.io": ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy"),
}
LOST: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "removed-statefulset": {"apps": ("StatefulSet",)},
    "removed-pvc": {"": ("PersistentVolume", "PersistentVolumeClaim")},
    "removed-data": {group: kinds for group, kinds in DATA.items() if group},
    "removed-namespace": {"": ("Namespace",)},
    "removed-crd": {"apiextensions.k8s.io": (CRD,)},
    "removed-networkpolicy": POLICIES,
    "removed-guard": {
        "admissionregistration.k8s.io": (
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ),
        "kyverno.io": ("ClusterPolicy", "Policy"),
    },
    "removed-backup": {
        "barmancloud.cnpg.io": ("ObjectStore",),
        "postgresql.cnpg.io": ("ScheduledBackup",),
        "volsync.backube": ("ReplicationSource",),
    },
}
RETENTIONS: Mapping[tuple[str, str], tuple[tuple[str, ...], ...]] = {
    ("", "PersistentVolume"): (("spec", "persistentVolumeReclaimPolicy"),),
    ("apps", "StatefulSet"): (
        ("spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"),
        ("spec", "persistentVolumeClaimRetentionPolicy", "whenScaled"),
    ),
    ("snapshot.storage.k8s.io", "VolumeSnapshotClass"): (("deletionPolicy",),),
}
LARGE_APPS, LARGE_OBJECTS = 10, 60


@rule("removed-statefulset", reads="object", why="Its pods stop, and nothing mounts their volumes.")
@rule(
    "removed-pvc", reads="object", why="The provisioner deletes the volume with its data, unless its class retains it."
)
@rule("removed-data", reads="object", why="An operator deletes the database or the disks behind it, with their data.")
@rule("removed-namespace", reads="object", why="Kubernetes deletes all objects in it, also those that no Git has.")
@rule("removed-crd", reads="object", why="Kubernetes deletes every object of the kind, in all namespaces.")
@rule("removed-networkpolicy", reads="object", why="The traffic that it refused is open.")
@rule("removed-guard", reads="object", why="The API server accepts what it refused.")
@rule("removed-backup", reads="object", why="No further copy of the data is made.")
def lost(subject: ObjectPair) -> Iterator[Danger]:
    """Yield removed objects that others cannot replace."""
    group, kind = subject.kind
    if subject.removal and subject.is_lost and not _is_of_its_app(subject):
        names = (name for name, kinds in LOST.items() if kind in kinds.get(group, ()))
        yield from (Danger(rule=name, where=subject.where, reason=_reason(subject.removal)) for name in names)


def _is_of_its_app(subject: ObjectPair) -> bool:
    """Return whether a policy leaves with the pods of its app, and selects no others."""
    selectors = (mapping(subject.before, "spec", key, "matchLabels") for key in ("podSelector", "endpointSelector"))
    is_policy = subject.identity.kind in POLICIES.get(subject.identity.group, ())
    return is_policy and subject.app.after is None and bool(subject.identity.namespace) and any(selectors)


def _reason(removal: RemovedObject) -> str:
    return f"{removal.fate}: {removal.why}"


@rule("protection-removed", reads="object", why="The next mistake in Git, such as a renamed folder, deletes the data.")
def unprotected(subject: ObjectPair) -> Iterator[Danger]:
    """Yield data that an annotation or a policy of its volumes kept, and keeps no longer."""
    group, kind = subject.kind
    if kind in DATA.get(group, ()) and subject.pair.operation == "changed":
        before, after = options_of(subject.before), options_of(subject.after)
        options = [option.partition("=")[::2] for option in NEEDED]
        gone = [f"{key}={value}" for key, value in options if before.get(key) == value != after.get(key)]
        if gone:
            reason = f"it loses {' and '.join(gone)}, which keeps it when it leaves Git"
            yield Danger(rule="protection-removed", where=subject.where, reason=reason)
    for path in RETENTIONS.get((group, kind), ()):
        old, new = text(subject.before, *path) or "Retain", text(subject.after, *path)
        if subject.pair.operation == "changed" and old != new == "Delete":
            reason = f"{'.'.join(path)} is Delete, instead of {old}"
            yield Danger(rule="protection-removed", where=subject.where, reason=reason)


@rule("not-pruned", reads="change", why="It runs on without an owner in Git, until a user deletes it.")
@rule("moved-object", reads="change", why="Argo CD does not sync an app while another one owns an object of it.")
def staying(context: Context) -> Iterator[Danger]:
    """Yield objects that leave Git and stay in the cluster, once for each app and reason."""
    for app in context.pairs:
        groups: dict[tuple[str, str], list[RemovedObject]] = {}
        for identity, one in context.removals.fates(app).items():
            if one.fate.startswith("kept"):
                moved = (app.stack, identity) in context.removals.added
                groups.setdefault(("moved-object" if moved else "not-pruned", f"{one.fate}: {one.why}"), []).append(one)
        for (name, reason), found in groups.items():
            listed = ", ".join(one.object for one in found[:SHOWN])
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            yield Danger(rule=name, where=f"{app.label}: {listed}{more}", reason=reason, stacks=(app.stack,))


@rule("large-change", reads="change", why="A mistake hides among many differences.")
def large(context: Context) -> Iterator[Danger]:
    """Yield a change of many apps or objects; the same one of several stacks counts once."""
    apps = {app.label for app in context.pairs}
    objects = {(app.label, one.identity) for app in context.pairs for one in app.pairs}
    if len(apps) >= LARGE_APPS or len(objects) >= LARGE_OBJECTS:
        stacks = tuple(sorted({app.stack for app in context.pairs}))
        reason = f"{len(apps)} apps with {len(objects)} objects differ"
        yield Danger(rule="large-change", where="the whole change", reason=reason, stacks=stacks)

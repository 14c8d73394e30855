"""Dangers of workloads: pods that gain access to the node, and work that stops or starts.

Pods are compared by the texts of `manifests.rules.security`, so that a container which moved in its list is no change.
"""

from __future__ import annotations

from collections.abc import Iterator

from manifests.comparison.versions import replaced
from manifests.fields import at, number, text
from manifests.objects import notes
from manifests.rules.security import baseline, rooted
from manifests.rules.stack_objects import Pods
from ops.review.dangers.context import ObjectPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger

SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "Rollout")
SUSPENDED = {
    ("apps", "Deployment"): ("spec", "paused"),
    ("argoproj.io", "Rollout"): ("spec", "paused"),
    ("batch", "CronJob"): ("spec", "suspend"),
    ("batch", "Job"): ("spec", "suspend"),
    ("postgresql.cnpg.io", "ScheduledBackup"): ("spec", "suspend"),
    ("volsync.backube", "ReplicationDestination"): ("spec", "paused"),
    ("volsync.backube", "ReplicationSource"): ("spec", "paused"),
}
HIBERNATION = "cnpg.io/hibernation"


@rule("image-replaced", reads="object", why="Another publisher's program runs with the same rights and the same data.")
def other_images(subject: ObjectPair) -> Iterator[Danger]:
    """Yield images that another image takes the place of."""
    if subject.pair.before and subject.pair.after:
        for old, new in replaced(subject.before, subject.after):
            yield Danger(rule="image-replaced", where=subject.where, reason=f"{old} → {new}")


@rule("privileged", reads="object", why="A program that leaves its container controls the node and every pod on it.")
def privileged(subject: ObjectPair) -> Iterator[Danger]:
    """Yield access to the node, and root, that the pods of an object did not have."""
    after = subject.pods("after")
    if after is None:
        return
    before = subject.pods("before")
    known = set(_access(before)) if before else set()
    for one in dict.fromkeys(_access(after)):
        # Most new programs leave their user to the image; only a workload that loses its own user is worse than before.
        if one not in known and (before or "may run as root" not in one):
            yield Danger(rule="privileged", where=subject.where, reason=f"new: {one}")


def _access(pods: Pods) -> Iterator[str]:
    yield from (broken for _, broken in baseline(pods))
    yield from (broken for _, broken in rooted(pods))
    for _, container in pods.containers():
        if at(container, "securityContext", "allowPrivilegeEscalation") is True:
            yield f"{text(container, 'name')} sets allowPrivilegeEscalation"


@rule(
    "volume-left", reads="object", why="The program starts without its data, which stays in a volume without a reader."
)
def detached(subject: ObjectPair) -> Iterator[Danger]:
    """Yield claims that the pods of an object mounted, and mount no longer."""
    before, after = subject.pods("before"), subject.pods("after")
    if before and after:
        for claim in sorted(_claims(before) - _claims(after)):
            yield Danger(rule="volume-left", where=subject.where, reason=f"the volume {claim} is not mounted any more")


def _claims(pods: Pods) -> set[str]:
    return {text(one, "persistentVolumeClaim", "claimName") for _, one in pods.volumes} - {""}


@rule("replicas-zero", reads="object", why="Every pod stops, and the app does not answer.")
def stopped(subject: ObjectPair) -> Iterator[Danger]:
    """Yield workloads that are scaled to zero, and databases that are hibernated."""
    if subject.pair.operation != "changed":
        return
    if subject.identity.kind in SCALED:
        before, after = (number(one, "spec", "replicas", otherwise=1) for one in (subject.before, subject.after))
        if before and not after:
            yield Danger(rule="replicas-zero", where=subject.where, reason=f"replicas: {before} before, 0 after")
    elif subject.kind == ("postgresql.cnpg.io", "Cluster"):
        states = [notes(one).get(HIBERNATION) == "on" for one in (subject.before, subject.after)]
        if states == [False, True]:
            yield Danger(rule="replicas-zero", where=subject.where, reason="the database is hibernated")


@rule("suspended", reads="object", why="Its work stops without a report: backups, for example.")
@rule("resumed", reads="object", why="It runs again, perhaps at once, from a state that may be old.")
def suspended(subject: ObjectPair) -> Iterator[Danger]:
    """Yield work that is suspended or resumed."""
    path = SUSPENDED.get(subject.kind)
    if path and subject.pair.operation == "changed":
        states = [at(one, *path) is True for one in (subject.before, subject.after)]
        if states == [False, True]:
            yield Danger(rule="suspended", where=subject.where, reason=f"{'.'.join(path)} turns true")
        elif states == [True, False]:
            yield Danger(rule="resumed", where=subject.where, reason=f"{'.'.join(path)} is true no longer")

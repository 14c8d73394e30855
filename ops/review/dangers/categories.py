"""Dangers of categories: what their apps may do, how they sync, and what happens when they leave Git."""

from __future__ import annotations

from collections.abc import Iterator

from config.category import REACHING, CategoryNamespace
from config.tree import CategoryFolder
from ops.review.dangers.context import CategoryPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger

LEVELS = ("privileged", "baseline", "restricted")


def _danger(name: str, subject: CategoryPair, reason: str) -> Danger:
    return Danger(rule=name, where=f"category {subject.name}", reason=reason, file=subject.file)


@rule("project-widened", reads="category", why="Every app of the category may do it, also one that is merged later.")
def widened(subject: CategoryPair) -> Iterator[Danger]:
    """Yield permissions of the project that it did not have; of a new category, those that are special."""
    if subject.after is None:
        return
    before, after = _permissions(subject.before), _permissions(subject.after)
    if subject.before is None:
        after = {key: after[key] for key in ("clusterKinds", "kinds that reach beyond a namespace")}
    for key, values in after.items():
        if new := sorted(values - before.get(key, set())):
            yield _danger("project-widened", subject, f"{key}: {', '.join(new)}")


def _permissions(category: CategoryFolder | None) -> dict[str, set[str]]:
    if category is None:
        return {}
    settings = category.settings
    opened = set(REACHING) - set(settings.closed_kinds) if settings.layer == "applications" else set()
    return {
        "clusterKinds": set(settings.cluster_kinds),
        "kinds that reach beyond a namespace": opened,
        "namespaces": set(category.namespaces),
        "owners": set(settings.owners),
        "layer": {"before the applications"} if settings.layer != "applications" else set(),
    }


@rule("removal-delete", reads="category", why="A renamed folder, or an empty branch, deletes the app with its objects.")
@rule("sync-automatic", reads="category", why="A merge takes effect at once, without a further decision.")
@rule("sync-suspended", reads="category", why="Merges take no effect by themselves, security updates included.")
def policies(subject: CategoryPair) -> Iterator[Danger]:
    """Yield policies that delete or change more than before, and syncs that stop."""
    if subject.before is None or subject.after is None:
        return
    if subject.before.settings.removal != "delete" == subject.after.settings.removal:
        yield _danger("removal-delete", subject, "removal: delete, instead of keep")
    old = subject.before.settings.sync_in(subject.environment)
    new = subject.after.settings.sync_in(subject.environment)
    turned = [
        f"{key}: {now}"
        for key, was, now, more in (
            ("mode", old.mode, new.mode, "automatic"),
            ("prune", old.prune, new.prune, "enabled"),
            ("drift", old.drift, new.drift, "healed"),
        )
        if was != now == more
    ]
    if turned:
        yield _danger("sync-automatic", subject, f"{', '.join(turned)} in {subject.environment}")
    if old.mode != new.mode == "manual":
        yield _danger("sync-suspended", subject, f"mode: manual in {subject.environment}")


@rule("pod-security-lowered", reads="category", why="Pods may take privileges that their namespace refused.")
def security(subject: CategoryPair) -> Iterator[Danger]:
    """Yield namespaces with a lower Pod Security level; a new namespace has the default before."""
    if subject.after is None:
        return
    declared = subject.before.settings.namespaces if subject.before else {}
    for namespace in subject.after.namespaces:
        old = declared.get(namespace, CategoryNamespace()).pod_security
        new = subject.after.settings.namespaces.get(namespace, CategoryNamespace()).pod_security
        if LEVELS.index(new) < LEVELS.index(old):
            yield _danger("pod-security-lowered", subject, f"namespace {namespace}: {old} → {new}")


@rule("category-removed", reads="category", why="Its ApplicationSet and its project go, and no app of it is managed.")
def removed(subject: CategoryPair) -> Iterator[Danger]:
    """Yield categories that no app of the environment belongs to any more."""
    if subject.before and subject.after is None:
        reason = f"nothing of it is left in {subject.environment}: `up` deletes its ApplicationSet and AppProject, "
        reason += "which the guard refuses until both have the annotation homelab.dev/allow-deletion"
        yield _danger("category-removed", subject, reason)

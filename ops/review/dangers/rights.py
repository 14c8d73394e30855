"""Dangers of permissions: roles that allow more, and new bearers of rights.

A changed role is compared grant by grant: a group, a resource and a verb. A new role is a danger only if it leads to
more rights (`manifests.rules.access`), since every new app with an operator brings one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from typing import Any, TypeAlias

from manifests.fields import mapping, mappings, text, texts
from manifests.objects import Object
from manifests.rules.access import AGGREGATES, HARMLESS, RBAC, further
from ops.review.dangers.context import ObjectPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger

Grant: TypeAlias = "tuple[str, str, str, str]"  # group, resource or path, verb, name; an empty name is every name
URL = "a URL"
MOST = 100_000
SHOWN = 3
POWERFUL = ("admin", "cluster-admin", "edit")
ARGOCD_RIGHTS = "argocd-rbac-cm"
EVERYBODY = ("system:anonymous", "system:authenticated", "system:serviceaccounts", "system:unauthenticated")


@rule(
    "rbac-widened", reads="object", why="A program with these rights can get further ones, or read what it never could."
)
def widened(subject: ObjectPair) -> Iterator[Danger]:
    """Yield roles with new grants, and bindings with new bearers of great rights."""
    group, kind = subject.kind
    if (kind, subject.identity.name, subject.pair.operation) == ("ConfigMap", ARGOCD_RIGHTS, "changed"):
        old, new = (mapping(one, "data") for one in (subject.before, subject.after))
        changed = sorted(str(key) for key in {*old, *new} if old.get(key) != new.get(key))
        if changed:
            reason = f"{', '.join(changed)} changes: it decides what the users of Argo CD may do"
            yield Danger(rule="rbac-widened", where=subject.where, reason=reason)
    if group != RBAC or subject.pair.after is None:
        return
    if kind in ("Role", "ClusterRole"):
        reasons = [*_rules(subject.before, subject.after), *_labels(subject.before, subject.after)]
    else:
        reasons = list(_bearers(subject))
    yield from (Danger(rule="rbac-widened", where=subject.where, reason=reason) for reason in reasons)


def _rules(before: Object, after: Object) -> Iterator[str]:
    if not before:
        found = next((reason for granted in mappings(after, "rules") if (reason := further(granted))), None)
        if found:
            yield f"new, with `{found[0]}`, which {found[1]}"
        return
    known = set(_grants(before))
    new = [grant for grant in dict.fromkeys(_grants(after)) if known.isdisjoint(_wider(grant))]
    if new:
        more = f" and {len(new) - SHOWN} more" if len(new) > SHOWN else ""
        yield f"new: {', '.join(map(_described, new[:SHOWN]))}{more}"


def _labels(before: Object, after: Object) -> Iterator[str]:
    if after.get("aggregationRule") and before.get("aggregationRule") != after["aggregationRule"]:
        yield "collects the rules of other ClusterRoles by their labels"
    old, new = (mapping(one, "metadata", "labels") for one in (before, after))
    for label in sorted(map(str, new.keys() - old.keys())):
        if label.startswith(AGGREGATES):
            yield f"adds its rules to the ClusterRole {label.removeprefix(AGGREGATES)}"


def _grants(role: Object) -> Iterator[Grant]:
    """Yield the grants of a role, up to a number that no role of a program reaches."""
    return islice((grant for granted in mappings(role, "rules") for grant in _of_one(granted)), MOST)


def _of_one(granted: dict[str, Any]) -> Iterator[Grant]:
    verbs, names = texts(granted, "verbs"), texts(granted, "resourceNames") or [""]
    yield from product(texts(granted, "apiGroups"), texts(granted, "resources"), verbs, names)
    yield from product((URL,), texts(granted, "nonResourceURLs"), verbs, ("",))


def _wider(grant: Grant) -> Iterator[Grant]:
    """Yield the grants that cover a grant: itself, and those with a wildcard or for every name."""
    group, resource, verb, name = grant
    return product((group,) if group == URL else (group, "*"), (resource, "*"), (verb, "*"), (name, ""))


def _described(grant: Grant) -> str:
    group, resource, verb, name = grant
    of = resource if group in ("", URL) else f"{resource}.{group}"
    return f"{verb} {of}" + (f" {name}" if name else "")


def _bearers(subject: ObjectPair) -> Iterator[str]:
    role = text(subject.after, "roleRef", "name")
    pairs = (one for one in subject.app.pairs if one.before is None)
    brought = {one.identity.name for one in pairs if one.identity.kind == text(subject.after, "roleRef", "kind")}
    added = [one for one in _subjects(subject.after) if one not in set(_subjects(subject.before))]
    if subject.before and text(subject.before, "roleRef", "name") != role:
        added = list(_subjects(subject.after))
    for bearer in added:
        if role in POWERFUL or role.startswith("system:"):
            yield f"{bearer} gets {role}"
        elif any(bearer.startswith(f"Group {name}") or bearer == f"User {name}" for name in EVERYBODY):
            yield f"{bearer} gets {role}: it stands for programs and users of no app"
        elif subject.before:
            yield f"{bearer} gets {role} too"
        elif role != HARMLESS and role not in brought:
            yield f"{bearer} gets {role}, which this change does not bring"


def _subjects(item: Object) -> list[str]:
    found = mappings(item, "subjects")
    return [" ".join(filter(None, (text(one, "kind"), text(one, "namespace"), text(one, "name")))) for one in found]

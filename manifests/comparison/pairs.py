"""The objects of an app before and after a change, in pairs by their identity.

Two renders come in, the pairs that differ go out. `manifests.comparison.difference` shows one pair to a reader,
`ops.review.dangers` judges it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal, TypeAlias

from manifests.comparison.alignment import aligned
from manifests.objects import CRD, Identity, Object, identity
from manifests.rules.stack_objects import scope_of, scopes_of

Operation = Literal["added", "removed", "changed"]
Scopes: TypeAlias = "Mapping[tuple[str, str], str]"
# kustomize writes ten characters of a digest, in an alphabet that makes no words.
GENERATED = re.compile(r"(?P<stem>.+)-[2456789bcdfghkmt]{10}\Z")


@dataclass(frozen=True)
class Pair:
    """One object on both sides of a change; a side is None where the object does not exist.

    `renamed` are the names, old and new, of the ConfigMaps and Secrets of the same app whose name ends in a digest of
    their content: a reference that follows such a name is no change of its own.
    """

    identity: Identity
    before: Object | None
    after: Object | None
    renamed: frozenset[tuple[str, str]] = frozenset()

    @property
    def operation(self) -> Operation:
        """Return what happened to the object."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


def differing(
    before: Iterable[Object], after: Iterable[Object], namespace: str, scopes: Scopes | None = None
) -> tuple[Pair, ...]:
    """Return each object that is not equal on both sides.

    `namespace` is that of namespaced objects without one of their own, `scopes` has the kinds of CRDs of other apps.
    """
    old, new = [*before], [*after]
    known = {**(scopes or {}), **scopes_of(item for item in (*old, *new) if item.get("kind") == CRD)}
    one, other = _by_identity(old, namespace, known), _by_identity(new, namespace, known)
    found = [pair for name in sorted({*one, *other}) for pair in _pairs(name, one.get(name, []), other.get(name, []))]
    return _generated(found)


def _by_identity(objects: Iterable[Object], namespace: str, scopes: Scopes) -> Mapping[Identity, list[Object]]:
    """Return the objects of each identity; in a valid render there is one."""
    found: defaultdict[Identity, list[Object]] = defaultdict(list)
    for item in objects:
        name = identity(item)
        found[replace(name, namespace=_namespace(name, namespace, scopes))].append(item)
    return found


def _namespace(name: Identity, namespace: str, scopes: Scopes) -> str:
    """Return the namespace in which an object lands; for an unknown kind that is not sure, and it counts as absent."""
    scope = scope_of(name.group, name.kind, scopes)
    if scope == "Cluster":
        return ""
    if scope == "Namespaced":
        return name.namespace or namespace
    return "" if name.namespace == namespace else name.namespace


def _pairs(name: Identity, before: list[Object], after: list[Object]) -> Iterator[Pair]:
    """Yield the differing objects of one identity; of several, equal ones belong together, then those in order."""
    if len(before) > 1 or len(after) > 1:
        before, after = _without_equals(before, after), _without_equals(after, before)
    for old, new in zip_longest(before, after):
        if old is None or new is None or not _is_same(old, new):
            yield Pair(name, old, new)


def _without_equals(objects: list[Object], others: list[Object]) -> list[Object]:
    """Return the objects without those that the other side has too, each as often as it has them."""
    known = Counter(map(repr, others))
    left = []
    for item in objects:
        text = repr(item)
        known[text] -= 1
        if known[text] < 0:
            left.append(item)
    return left


def _is_same(before: Object, after: Object) -> bool:
    # The texts of most objects are equal, which is ten times faster to find than a walk.
    return before is after or repr(before) == repr(after) or aligned(before, after).is_equal


def _generated(pairs: list[Pair]) -> tuple[Pair, ...]:
    """Join a removed and an added object whose names differ in the digest alone, and note these names in all pairs."""
    removed: defaultdict[tuple[str, str, str], deque[Pair]] = defaultdict(deque)
    for pair in pairs:
        if pair.operation == "removed" and (stem := _stem(pair.identity)):
            removed[stem].append(pair)
    joined: list[Pair] = []
    partners: set[int] = set()
    renamed: set[tuple[str, str]] = set()
    for pair in pairs:
        stem = _stem(pair.identity) if pair.operation == "added" else None
        if stem and removed[stem]:
            old = removed[stem].popleft()
            partners.add(id(old))
            renamed.add((old.identity.name, pair.identity.name))
            joined.append(replace(pair, before=old.before))
        else:
            joined.append(pair)
    return tuple(replace(pair, renamed=frozenset(renamed)) for pair in joined if id(pair) not in partners)


def _stem(name: Identity) -> tuple[str, str, str] | None:
    """Return kind, namespace and name of a generated object without the digest in its name."""
    found = GENERATED.match(name.name) if name.kind in ("ConfigMap", "Secret") and not name.group else None
    return (name.kind, name.namespace, found["stem"]) if found else None

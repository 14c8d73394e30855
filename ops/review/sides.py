"""Both sides of a change: the checkout before it and after it, every app rendered on both, and those that differ.

Two folders come in, `AppPair`s go out; `ops.review.assemble` makes the parts of the report from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from config.load import Stack, read_stack, stack_files
from config.tree import Tree, read_tree
from errors import Problem
from manifests.comparison.pairs import Pair, Scopes, differing
from manifests.objects import CRD, Object, identity
from manifests.pinned import PinnedTrees
from manifests.rules.stack_objects import scope_of, scopes_of
from ops.checking.pins import check_pins
from ops.checking.settings import problems_of
from ops.checking.validation import StackApp, Validation, kubernetes_of, places_of, validate


@dataclass(frozen=True)
class Side:
    """One revision of the checkout, in a folder, with every problem that `check` finds in it."""

    root: Path
    stacks: Sequence[Stack]
    tree: Tree
    validation: Validation
    problems: Sequence[Problem] = ()
    absent: str = ""
    """The reason why charts and bases are not in the cache, where some are not."""

    def stack(self, name: str) -> Stack | None:
        """Return a stack of this side."""
        return next((one for one in self.stacks if one.name == name), None)

    def require(self, name: str) -> Stack:
        """Return a stack that this side has."""
        return next(one for one in self.stacks if one.name == name)

    def places(self, stack: str) -> dict[str, StackApp]:
        """Return the apps that a stack runs, by their labels."""
        known = self.stack(stack)
        return {place.app.label: place for place in places_of(known, self.tree)} if known else {}


def side_of(
    root: Path, names: Sequence[str], before: Side | None = None, offline: str = "", pinned: PinnedTrees | None = None
) -> Side:
    """Read, render and check a checkout; stacks that it does not have are left out, and pinned apps as they run.

    Charts and bases that the cache lacks are fetched, unless `offline` gives a reason against it.
    """
    files = stack_files(root)
    stacks = [read_stack(files[name]) for name in names if name in files]
    tree = read_tree(root)
    known = {stack.name: stack for stack in before.stacks} if before else {}
    problems = problems_of(root, stacks, tree, known) if stacks else [*tree.problems]
    beside = before.validation if before else None
    validation = Validation(root, [stack for stack in stacks if stack.settings], tree, pinned=pinned, beside=beside)
    absent = validation.fetch(offline)
    of_pins = check_pins(root, tree, pinned.repository)[0] if pinned else []
    known_pins = {(one.file, one.check) for one in of_pins}  # a render of an unknown pin has the same problem
    rendered = (one for one in validate(validation) if (one.file, one.check) not in known_pins)
    return Side(root, stacks, tree, validation, sorted({*problems, *of_pins, *rendered}), absent)


def both(before: Side, after: Side) -> Iterator[tuple[Stack, Stack]]:
    """Yield each stack that both sides can read."""
    for stack in after.stacks:
        known = before.stack(stack.name)
        if known and known.settings and stack.settings:
            yield known, stack


@dataclass(frozen=True)
class AppPair:
    """One app of one stack on both sides of a change, with the objects that differ.

    Where a side does not render, there are its problems, no pairs, and the number of objects of the other side.
    """

    stack: str
    label: str
    before: StackApp | None
    after: StackApp | None
    pairs: tuple[Pair, ...] = ()
    problems: tuple[Problem, ...] = ()
    not_compared: int = 0


@dataclass
class Pairs:
    """Every app that differs, and notes about those that could not be compared."""

    apps: list[AppPair] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pairs_of(before: Side, after: Side, names: Sequence[str]) -> Pairs:
    """Return the apps that differ between two sides."""
    found = Pairs()
    scopes = scopes_of([*_crds(before), *_crds(after)])
    for name in names:
        if after.stack(name) is None:
            rest = "its cluster and its apps stay until ./homelab destroy, run from an older commit"
            found.notes.append(f"Pulumi.{name}.yaml: is removed; {rest}")
            continue
        unread = [side for side in (before, after) if (one := side.stack(name)) and one.settings is None]
        if unread:
            when = "before" if unread == [before] else "after"
            found.notes.append(f"Pulumi.{name}.yaml: cannot be read {when} the change, and no app of it is compared")
            continue
        found.apps += _apps(before, after, name, scopes, found.notes)
    found.notes = list(dict.fromkeys(found.notes))
    return found


def _crds(side: Side) -> Iterator[Object]:
    """Yield the CRDs of a side: an object without a namespace is read by the scope of its kind."""
    rendered = side.validation.rendered.values()
    yield from (item for objects in rendered for item in objects if item.get("kind") == CRD)


def _apps(before: Side, after: Side, stack: str, scopes: Scopes, notes: list[str]) -> Iterator[AppPair]:
    one, other = before.places(stack), after.places(stack)
    refused = {*before.tree.refused, *after.tree.refused}
    notes += (f"apps/{name}: category.yaml cannot be read, and no app of it is compared" for name in sorted(refused))
    for label in sorted({*one, *other}):
        if label.partition("/")[0] in refused:
            continue
        pair = _compared(AppPair(stack, label, one.get(label), other.get(label)), before, after, scopes)
        if pair.pairs or pair.problems or (pair.before is None) != (pair.after is None):
            yield pair
            continue
        if reason := _unseen(pair, before, after):
            notes.append(f"{label}: {reason}")
        moved = _sources(before, pair.before) != _sources(after, pair.after)
        if moved and _objects(after, stack, pair.after) is not None:
            yield pair  # a stand-in may render the same objects of two versions, which are reported nevertheless


def _compared(pair: AppPair, before: Side, after: Side, scopes: Scopes) -> AppPair:
    """Return an app with the objects that differ; a side that does not render is no removal of all objects."""
    old = _objects(before, pair.stack, pair.before)
    new = _objects(after, pair.stack, pair.after)
    if old is None and new is None:
        return pair  # it was broken before, too: the problems are among the checks
    if old is None or new is None:
        side, place = (before, pair.before) if old is None else (after, pair.after)
        problems = tuple(_problems(side, place)) if place else ()
        return replace(pair, problems=problems, not_compared=len(old or new or ()))
    return replace(pair, pairs=tuple(object_pairs(old, new, _namespace(pair.before), _namespace(pair.after), scopes)))


def _sources(side: Side, place: StackApp | None) -> object:
    """Return the charts and bases that an app takes from elsewhere."""
    if place is None:
        return None
    contents = side.validation.contents[place.app.path]
    return {one.chart for one in contents.charts}, {one.url for one in contents.bases}


def _unseen(pair: AppPair, before: Side, after: Side) -> str:
    """Return the reason why the changed files of an app without a difference may have an effect nevertheless."""
    if pair.before is None or pair.after is None:
        return ""
    one, other = pair.before.app.path, pair.after.app.path
    if before.validation.contents[one].files == after.validation.contents[other].files:
        return ""
    if _objects(after, pair.stack, pair.after) is None:
        return "its files change, but it does not render before and after the change, and is not compared"
    absent = after.validation.stand_ins_of(other)
    return f"its files change, but not what stand-ins render of them: {', '.join(absent)}" if absent else ""


def object_pairs(
    old: Sequence[Object], new: Sequence[Object], before: str, after: str, scopes: Scopes
) -> Iterator[Pair]:
    """Yield the objects that differ; where the app's namespace has changed, those without one of their own move."""
    if not before or not after or before == after:
        yield from differing(old, new, after or before, scopes)
        return
    yield from differing(
        [one for one in old if not _moves(one, scopes)], [one for one in new if not _moves(one, scopes)], after, scopes
    )
    yield from differing([one for one in old if _moves(one, scopes)], (), before, scopes)
    yield from differing((), [one for one in new if _moves(one, scopes)], after, scopes)


def _moves(item: Object, scopes: Scopes) -> bool:
    """Report whether an object lands in the namespace of its app."""
    name = identity(item)
    return not name.namespace and scope_of(name.group, name.kind, scopes) != "Cluster"


def _objects(side: Side, stack: str, place: StackApp | None) -> Sequence[Object] | None:
    """Return the objects of an app, none where a side does not have it, and None where it does not render."""
    if place is None:
        return ()
    return side.validation.rendered.get((kubernetes_of(side.require(stack)), place.app.path))


def _problems(side: Side, place: StackApp) -> Iterator[Problem]:
    """Yield the problems of an app's files for which it does not render."""
    path = place.app.path
    files = {path, *side.validation.contents[path].files}
    yield from (problem for problem in sorted({*side.validation.problems}) if problem.file in files)


def _namespace(place: StackApp | None) -> str:
    return place.namespace if place else ""

"""The parts of the report that come from renders and checks: manifests, versions, problems.

`AppPair`s and two sides come in, parts of `ops.review.report` go out; equal changes of several stacks are one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from config.model import Settings
from config.pins import reference
from errors import Problem, printable
from manifests.comparison.difference import difference
from manifests.comparison.pairs import Pair
from manifests.comparison.references import jump, release_notes
from manifests.comparison.versions import moved
from ops.checking.validation import StackApp
from ops.review.report import CheckChange, Checks, ManifestChange, ObjectChange, VersionChange, joined
from ops.review.sides import AppPair, Side, both
from ops.terminal import count

PLATFORM = (("talos", "Talos", "talos_version"), ("kubernetes", "Kubernetes", "kubernetes_version"))


def manifests(apps: Sequence[AppPair]) -> tuple[ManifestChange, ...]:
    """Return the changed objects of each app, once for all stacks in which the changed lines are the same.

    The lines around them are those of the first of these stacks: a host in them may be another one.
    """
    shown: dict[tuple[object, ...], ManifestChange] = {}
    for app in apps:
        objects = tuple(_object(pair) for pair in app.pairs)
        error = "\n".join(map(str, app.problems))
        if objects or error:
            key = (app.label, error, app.not_compared, tuple(map(_changed_lines, objects)))
            first = ManifestChange(
                app=app.label, stacks=(), objects=objects, error=error, not_compared=app.not_compared
            )
            known = shown.get(key, first)
            shown[key] = known.model_copy(update={"stacks": (*known.stacks, app.stack)})
    return tuple(shown.values())


def _changed_lines(change: ObjectChange) -> tuple[object, ...]:
    lines = tuple(line for line in change.difference if line.startswith(("+", "-")))
    return change.object, change.operation, lines, change.folded


def _object(pair: Pair) -> ObjectChange:
    shown = difference(pair)
    return ObjectChange(
        object=str(pair.identity), operation=pair.operation, difference=shown.lines, folded=shown.folded
    )


def versions(apps: Sequence[AppPair], before: Side, after: Side) -> tuple[VersionChange, ...]:
    """Return the images, charts, bases and parts of the platform that moved, once for all stacks."""
    stacks = ((other.name, _platform(one.require(), other.require())) for one, other in both(before, after))
    kept = (app for app in apps if app.before and app.after and not app.problems)
    of_apps = ((app.stack, (*_images(app), *_sources(app, before, after))) for app in kept)
    return tuple(joined((change, (stack,)) for stack, found in (*stacks, *of_apps) for change in found))


def _images(app: AppPair) -> Iterator[VersionChange]:
    pairs = [(pair.before, pair.after) for pair in app.pairs if pair.before and pair.after]
    for one in moved([old for old, _ in pairs], [new for _, new in pairs]):
        yield VersionChange(
            app=app.label,
            stacks=(),
            kind="image",
            name=one.name,
            before=one.before,
            after=one.after,
            digest_before=one.digest_before,
            digest_after=one.digest_after,
            jump=one.jump,
            release_notes=release_notes("image", one.name, one.after),
        )


def _sources(app: AppPair, before: Side, after: Side) -> Iterator[VersionChange]:
    """Yield the charts and remote bases of an app that moved."""
    old, new = (_pinned(side, place) for side, place in ((before, app.before), (after, app.after)))
    for (kind, name), (version, stand_in) in sorted(new.items()):
        was, stood_in = old.get((kind, name), (version, stand_in))
        if was != version:
            yield VersionChange(
                app=app.label,
                stacks=(),
                kind=kind,
                name=name.rpartition("/")[2] if kind == "chart" else name,
                before=was,
                after=version,
                stand_in=bool(stand_in or stood_in),
                jump=jump(was, version),
                release_notes=release_notes(kind, name, version),
            )


def _pinned(side: Side, place: StackApp | None) -> Mapping[tuple[Literal["chart", "base"], str], tuple[str, str]]:
    """Return the versions of an app's charts by repository and name, and of its remote bases by URL.

    Beside each version is the stand-in that replaces it, if one does.
    """
    contents = side.validation.contents[place.app.path] if place else None
    if contents is None:
        return {}
    found: dict[tuple[Literal["chart", "base"], str], tuple[str, str]] = {}
    for one in contents.charts:
        name = f"{one.chart.repository.rstrip('/')}/{one.chart.name}"
        found["chart", name] = one.chart.version, side.validation.stand_in(one)
    for base in contents.bases:
        version = base.version or reference(base.url)
        found["base", base.url.partition("?")[0]] = version, side.validation.stand_in(base)
    return found


def _platform(before: Settings, after: Settings) -> Iterator[VersionChange]:
    for name, title, key in PLATFORM:
        old, new = str(getattr(before.cluster, key)), str(getattr(after.cluster, key))
        if old != new:
            notes = release_notes("platform", name, new)
            yield VersionChange(
                app=f"cluster.{name}Version",
                stacks=(),
                kind="platform",
                name=title,
                before=old,
                after=new,
                jump=jump(old, new),
                release_notes=notes,
            )


def checks(before: Side, after: Side) -> Checks:
    """Return the problems that only one side has, independent of their lines."""
    old, new = Counter(map(_key, before.problems)), Counter(map(_key, after.problems))
    notes = [count(len(before.problems), "problem") + " before the change"] if before.problems else []
    return Checks(
        broken=tuple(_only(after.problems, old)), mended=tuple(_only(before.problems, new)), note=", ".join(notes)
    )


def _only(problems: Iterable[Problem], others: Counter[tuple[str, ...]]) -> Iterator[CheckChange]:
    left = others.copy()
    for problem in problems:
        if left[_key(problem)] > 0:
            left[_key(problem)] -= 1
            continue
        where = printable(": ".join(filter(None, (problem.place, problem.subject))))
        yield CheckChange(where=where, rule=printable(problem.rule), fix=printable(problem.fix), check=problem.check)


def _key(problem: Problem) -> tuple[str, ...]:
    return problem.file, problem.key, problem.value, problem.rule, problem.check

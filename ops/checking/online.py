"""`./homelab check --online`: whether each image, chart version and tag of a base in the tree exists.

A rendered validation comes in; one row for each image, chart and base goes out, and a problem for each missing one.
Images of stand-in charts are left out: the real chart may have others. `ops.checking.digest_writer` writes the digests
of the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from config.rules import rule
from config.source import dotted
from errors import Problem
from manifests.contents import WantedBase, WantedChart
from manifests.rules.locate import Locator
from manifests.rules.stack_objects import ObjectFinding, StackObjects
from ops.checking.validation import Validation
from ops.terminal import table
from ops.upstream import git_tags
from ops.upstream.originals import private_of
from ops.upstream.registries import Answer, Registries, State

AT_ONCE = 8
CHECKS = {
    State.MISSING: "version-missing",
    State.REFUSED: "version-missing",
    State.DIFFERENT: "digest-differs",
    State.SILENT: "registry-silent",
}
FIXES = {
    State.SILENT: "run it again later",
    State.DIFFERENT: "ask its publisher why, and name the commit that you have read",
}
RULES = {
    State.MISSING: "does not exist",
    State.REFUSED: "is refused",
    State.DIFFERENT: "is another commit than its version",
    State.SILENT: "could not be looked up",
}


@dataclass(frozen=True)
class ReachabilityRow:
    """One image, chart or base, the answer about it, and the number of places that need it."""

    kind: str
    name: str
    answer: Answer
    asked_by: int

    def as_dict(self) -> dict[str, str | int]:
        """Return the row for JSON output."""
        state, said = self.answer.state.value, self.answer.said
        return {"kind": self.kind, "name": self.name, "state": state, "said": said, "askedBy": self.asked_by}


@dataclass(frozen=True)
class Online:
    """All answers of registries and Git hosts, and the problems among them."""

    rows: tuple[ReachabilityRow, ...]
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        """Return a table for people, missing versions first."""
        if not self.rows:
            return "no image, chart or base to look up"
        ordered = sorted(self.rows, key=lambda row: (row.answer.state is State.THERE, row.kind, row.name))
        lines = [(row.answer.state.value, row.kind, row.name, str(row.asked_by), row.answer.said) for row in ordered]
        return table(("state", "kind", "what", "places", ""), lines)

    @property
    def as_dicts(self) -> list[dict[str, str | int]]:
        """Return the rows for JSON output."""
        return [row.as_dict() for row in self.rows]


@rule(
    "digest-differs",
    scope="program",
    why="A commit or program that differs from its version was replaced, here or at its publisher.",
)
@rule("registry-silent", scope="program", why="Without an answer it is unknown whether the version exists.")
@rule("version-missing", scope="program", why="Nodes could not pull it when they need it.")
def ask(validation: Validation, registries: Registries | None = None) -> Online:
    """Request every image, chart and base, a few at a time."""
    asked = registries or Registries()
    images, charts, bases = wanted_images(list(_told(validation))), wanted_charts(validation), wanted_bases(validation)
    env = validation.tools.env()
    jobs: list[tuple[str, str, Callable[[], Answer]]] = [
        *(("image", name, lambda name=name: asked.image(name)) for name in sorted(images)),
        *(("chart", name, lambda one=found[0]: asked.chart(one.chart)) for name, found in sorted(charts.items())),
        *(("base", name, lambda one=found[0]: git_tags.ask(one, env)) for name, found in sorted(bases.items())),
    ]
    with asked.session, ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda job: job[2](), jobs))
    wanted: Mapping[str, Mapping[str, Sequence[object]]] = {"image": images, "chart": charts, "base": bases}
    rows = [
        ReachabilityRow(kind, name, answer, len(wanted[kind][name]))
        for (kind, name, _), answer in zip(jobs, answers, strict=True)
    ]
    return Online(tuple(rows), tuple(sorted(set(_problems(validation, rows, images, charts, bases)))))


def _told(validation: Validation) -> Iterator[StackObjects]:
    """Yield the objects of each stack, of the folders alone whose problems are reported."""
    for objects in map(validation.stack_objects, validation.stacks):
        yield replace(objects, all=tuple(one for one in objects.all if one.app.path in validation.told))


def wanted_images(stacks: Sequence[StackObjects]) -> dict[str, list[ObjectFinding]]:
    """Return every image with the places that use it."""
    found: dict[str, list[ObjectFinding]] = {}
    for objects in stacks:
        for pods in objects.pods:
            if pods.obj.by_chart and pods.obj.chart != "real":
                continue
            for path, container in pods.containers():
                image = str(container.get("image", ""))
                found.setdefault(image, []).append(ObjectFinding("", pods.obj, (*path, "image"), image, "", ""))
        for obj in objects.of("Cluster"):
            if named := obj.spec.get("imageName"):
                found.setdefault(str(named), []).append(ObjectFinding("", obj, ("spec", "imageName"), named, "", ""))
    return found


def wanted_charts(validation: Validation) -> dict[str, list[WantedChart]]:
    """Return every chart with the files that use it; repositories that need credentials are left out."""
    private = private_of(*(stack.settings for stack in validation.stacks if stack.settings))
    found: dict[str, list[WantedChart]] = {}
    for path in sorted(validation.told):
        for one in validation.contents[path].charts:
            if not one.chart.repository.rstrip("/").startswith(private):
                found.setdefault(str(one.chart), []).append(one)
    return found


def wanted_bases(validation: Validation) -> dict[str, list[WantedBase]]:
    """Return every remote base that has a tag, alone or behind its commit, with the files that use it."""
    found: dict[str, list[WantedBase]] = {}
    for path in sorted(validation.told):
        for one in validation.contents[path].bases:
            if git_tags.repository_of(one.url) and git_tags.tag_of(one):
                found.setdefault(one.url, []).append(one)
    return found


def _problems(
    validation: Validation,
    rows: Sequence[ReachabilityRow],
    images: Mapping[str, Sequence[ObjectFinding]],
    charts: Mapping[str, Sequence[WantedChart]],
    bases: Mapping[str, Sequence[WantedBase]],
) -> Iterator[Problem]:
    places = Locator(validation.reader, validation.readers)
    for row in rows:
        if row.answer.state is State.THERE:
            continue
        state, check = row.answer.state, CHECKS[row.answer.state]
        rule = f"{RULES[state]}{f': {row.answer.said}' if row.answer.said else ''}"
        fix = FIXES.get(state, "name a version that its registry lists")
        for found in images.get(row.name, ()) if row.kind == "image" else ():
            yield places.problem(ObjectFinding(check, found.obj, found.path, found.value, rule, fix))
        for one in charts.get(row.name, ()) if row.kind == "chart" else ():
            line, value = validation.reader.line(one.file, one.key), f"{one.chart.name} {one.chart.version}"
            yield Problem(one.file, line, dotted(one.key), value, rule, fix, check)
        for base in bases.get(row.name, ()) if row.kind == "base" else ():
            line = validation.reader.line(base.file, base.key)
            yield Problem(base.file, line, dotted(base.key), base.url, rule, fix, check)

"""Laying charts and remote bases where kustomize and helm look for them: into a tree, or into a copy for one render.

A tree, folders and sources come in; the tree's folders then build without a network. `vendor` does it for a tree that
is served from Git, `mirror` for a render, so that the checkout itself is never written. A kustomization that names an
URL names a folder beside it afterwards; not a comment of it is lost.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from config import files
from config.rules import rule
from config.source import KeyPath, dotted
from errors import Problem, TreeRefused
from manifests.checkout import CheckoutReader
from manifests.contents import Contents, WantedBase, closure_of, contents_of
from manifests.sources import FETCH, BaseSource, ChartSource, slug

LOCALIZED = "localized"
NESTED = 8

Lay = Callable[[Path, Path], object]


@dataclass(frozen=True)
class Placed:
    """One chart or base that was copied into a tree."""

    what: str
    asked_by: str
    place: str


def vendor(root: Path, folders: Iterable[str], charts: ChartSource, bases: BaseSource) -> list[Placed]:
    """Copy charts and bases of these folders into the tree, and return them with their paths; keep existing ones."""
    placed: list[Placed] = []
    problems: list[Problem] = []
    for folder in folders:
        placed += _place(root, folder, charts, bases, _copy, problems)
    if problems:
        raise TreeRefused(problems)
    return list(dict.fromkeys(placed))


@contextmanager
def mirror(
    reader: CheckoutReader,
    folder: str,
    contents: Contents,
    charts: ChartSource,
    bases: BaseSource,
    problems: list[Problem],
) -> Iterator[Path]:
    """Yield a temporary copy of all inputs of a folder's render, with charts and remote bases in place."""
    with tempfile.TemporaryDirectory(prefix="homelab-render-") as temporary:
        copy = Path(os.path.realpath(temporary))
        for file in contents.files:
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            (copy / file).write_bytes(reader.raw(file, files.LARGEST))
        if contents.bases:  # their copies have other names, and inputs of their own
            _place(copy, folder, charts, bases, _link, problems)
        else:
            _place_charts(copy, contents, charts, _link)
        yield copy


@rule(
    "chart-missing", scope="file", why="A render that fetched would change from day to day, and fail without a network."
)
def missing_charts(reader: CheckoutReader, contents: Contents, charts: ChartSource) -> Iterator[Problem]:
    """Report each chart that a source does not have."""
    for wanted in contents.charts:
        if charts.chart(wanted.chart) is None:
            chart, key = wanted.chart, dotted(wanted.key)
            rule = f"is not on this machine, and a render fetches nothing: chart of {chart.repository}"
            line = reader.line(wanted.file, wanted.key)
            value = f"{chart.name} {chart.version}"
            yield Problem(wanted.file, line, key, value, rule, f"fetch it: {FETCH}", "chart-missing")


@rule(
    "base-missing", scope="file", why="A render that fetched would change from day to day, and fail without a network."
)
def missing_bases(reader: CheckoutReader, contents: Contents, bases: BaseSource) -> Iterator[Problem]:
    """Report each remote base that a source does not have."""
    for wanted in contents.bases:
        if bases.base(wanted.url, wanted.version) is None:
            rule = "is not on this machine, and a render fetches nothing"
            line, key = reader.line(wanted.file, wanted.key), dotted(wanted.key)
            yield Problem(wanted.file, line, key, wanted.url, rule, f"fetch it: {FETCH}", "base-missing")


def _place(
    root: Path, folder: str, charts: ChartSource, bases: BaseSource, lay: Lay, problems: list[Problem]
) -> list[Placed]:
    """Copy bases until no URL is left, since a base can name others, then all charts."""
    placed: list[Placed] = []
    for _ in range(NESTED):
        reader = CheckoutReader(root)
        contents = contents_of(reader, folder)
        found = [*contents.problems, *missing_bases(reader, contents, bases)]
        if found or not contents.bases:
            break
        placed += _place_bases(root, contents.bases, bases)
    found += missing_charts(reader, contents, charts)
    problems += found
    return placed if found else [*placed, *_place_charts(root, contents, charts, lay)]


def _place_charts(root: Path, contents: Contents, charts: ChartSource, lay: Lay) -> list[Placed]:
    """Put the charts of a folder where helm and kustomize expect them; keep existing folders."""
    placed: list[Placed] = []
    for folder, place in contents.local.items():
        if not (root / place).exists():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            lay(root / folder, root / place)
    for wanted in contents.charts:
        source = charts.chart(wanted.chart)
        if source and not (root / wanted.place).exists():
            (root / wanted.place).parent.mkdir(parents=True, exist_ok=True)
            lay(source.resolve(), root / wanted.place)
            placed.append(Placed(str(wanted.chart), wanted.file, wanted.place))
    return placed


def _place_bases(root: Path, wanted: list[WantedBase], bases: BaseSource) -> list[Placed]:
    """Copy bases beside the kustomizations that name them, which name the copies from then on."""
    placed: list[Placed] = []
    names: dict[str, dict[KeyPath, str]] = {}
    for base in wanted:
        source, folder = bases.base(base.url, base.version), posixpath.dirname(base.file)
        assert source is not None
        beside = f"{LOCALIZED}/{slug(base.url)}"
        inside = _copy_base(source.resolve(), root / folder / beside)
        names.setdefault(base.file, {})[base.key] = posixpath.normpath(f"{beside}/{inside}")
        placed.append(Placed(base.url, base.file, posixpath.normpath(f"{folder}/{beside}/{inside}")))
    for file, entries in names.items():
        _rename(root / file, entries)
    return placed


def _copy_base(source: Path, target: Path) -> str:
    """Copy a base with all that it refers to, and give its path in the copy."""
    if source.is_file():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / source.name)
        return source.name
    top = Path(source.anchor)
    inputs = [top / file for file in closure_of(CheckoutReader(top), str(source.relative_to(top))).files]
    common = Path(os.path.commonpath([source, *(file.parent for file in inputs)]))
    for file in inputs:
        copied = target / file.relative_to(common)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copied)
    return str(source.relative_to(common))


def _rename(kustomization: Path, entries: dict[KeyPath, str]) -> None:
    """Write another name for some entries into a kustomization and leave every other letter as it is."""
    text = kustomization.read_text(encoding="utf-8")
    document = yaml.compose(text, yaml.SafeLoader)
    assert document is not None
    lists = {key.value: value for key, value in document.value}
    marks = [(lists[str(key)].value[index], name) for (key, index), name in entries.items()]
    for node, name in sorted(marks, key=lambda mark: -int(mark[0].start_mark.index)):
        text = f"{text[: node.start_mark.index]}{name}{text[node.end_mark.index :]}"
    kustomization.write_text(text, encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


def _link(source: Path, target: Path) -> None:
    target.symlink_to(source, target_is_directory=True)

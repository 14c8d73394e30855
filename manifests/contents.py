"""The inputs of a folder's render: every file by its digest, every chart and every remote base.

A reader and a folder's path come in; `Contents` go out, even of a folder that does not render. Whole folders count, and
each file outside of them that they refer to: too many files cost a render that was not needed, too few would return a
stale one. `manifests.render` makes a cache key of it, `manifests.vendor` a copy that a program can run on.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from config.pins import COMMIT, PREFIX, reference
from config.rules import rule
from config.source import KeyPath, dotted
from config.tree import MANIFESTS
from errors import Problem
from manifests import boundary, umbrella
from manifests.checkout import CheckoutReader, FolderShape
from manifests.fields import entries, text, texts
from manifests.sources import EXACT, Chart

ROOTS = ("resources", "bases", "components")
OLD_NAMES = {"name": "chartName", "version": "chartVersion", "repo": "chartRepoUrl"}
REMOTE = re.compile(r"(?:git::)?(?:(?:https?|ssh|file)://|[\w.-]+@[\w.-]+[:/]|github\.com[:/])|.*\?ref=", re.IGNORECASE)
RELEASE = rf"{PREFIX}v?\d+(?:\.\d+){{0,3}}(?:[-+][\w.+-]{{1,60}})?"
PINNED = re.compile(rf"(?:{RELEASE}|{COMMIT})\Z")
PINNED_FILE = re.compile(rf"/(?:v?\d+(?:\.\d+)+(?:[-+][\w.+-]{{1,60}})?|{COMMIT})/")


@dataclass(frozen=True)
class WantedChart:
    """A chart that a file names, and the path where the program expects it."""

    chart: Chart
    file: str
    key: KeyPath
    place: str


@dataclass(frozen=True)
class WantedBase:
    """An URL in a kustomization, with the version in its comment."""

    url: str
    file: str
    key: KeyPath
    version: str = ""


@dataclass
class Contents:
    """All inputs of a folder's render."""

    shape: FolderShape
    files: dict[str, str] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    values: list[str] = field(default_factory=list)
    kustomizations: dict[str, str] = field(default_factory=dict)
    charts: list[WantedChart] = field(default_factory=list)
    local: dict[str, str] = field(default_factory=dict)
    bases: list[WantedBase] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    inflates: bool = False

    def add(self, other: Contents) -> None:
        """Add the inputs of a folder that this one lists, each once."""
        self.files |= other.files
        self.listed |= other.listed
        self.named |= other.named
        self.kustomizations |= other.kustomizations
        self.inflates = self.inflates or other.inflates
        self.values += [one for one in other.values if one not in self.values]
        self.charts += [one for one in other.charts if one not in self.charts]
        self.bases += [one for one in other.bases if one not in self.bases]
        self.problems += [one for one in other.problems if one not in self.problems]

    @property
    def complete(self) -> bool:
        """Report whether the checkout has all inputs."""
        return not (self.charts or self.bases) and self.shape == "kustomization"


@rule(
    "nothing-to-render",
    scope="file",
    why="Argo CD would create an Application without objects and report it as Synced.",
)
def contents_of(reader: CheckoutReader, folder: str) -> Contents:
    """Return all inputs of a folder's render."""
    if reader.shape(folder) == "kustomization":
        return closure_of(reader, folder)
    if (folder, True) not in reader.closures:
        reader.closures[folder, True] = _contents_of(reader, folder)
    return reader.closures[folder, True]


def _contents_of(reader: CheckoutReader, folder: str) -> Contents:
    shape = reader.shape(folder)
    contents = Contents(shape or "manifests")
    visit = _Visit(reader, contents)
    if shape is None:
        rule = "holds nothing to render" if reader.is_folder(folder) else "is not a folder"
        fix = "add a kustomization.yaml, a Chart.yaml or manifests"
        contents.problems.append(Problem(folder, 0, "", "", rule, fix, "nothing-to-render"))
    elif shape == "manifests":
        visit.take_manifests(folder)
    else:
        contents.inflates = True
        visit.take_folder(folder)
        for file in umbrella.values_files(folder):
            if reader.is_file(file):
                visit.take_file(file)
                contents.values.append(file)
        wanted = umbrella.dependencies(reader, folder, contents.problems)
        contents.local = dict(umbrella.local_charts(folder, ((chart, place) for chart, *_, place in wanted)))
        for local in contents.local:
            visit.take_folder(local)
        for chart, file, key, place in wanted:
            if place not in contents.local.values():
                contents.charts.append(WantedChart(chart, file, key, place))
    return contents


def closure_of(reader: CheckoutReader, folder: str) -> Contents:
    """Return all inputs of a kustomization or component, also those outside of its folder."""
    if (folder, False) not in reader.closures:
        contents = Contents("kustomization")
        reader.searched.add(folder)
        _Visit(reader, contents).visit(folder)
        reader.searched.discard(folder)
        reader.closures[folder, False] = contents
    return reader.closures[folder, False]


class _Visit:
    """The search for one folder's inputs."""

    def __init__(self, reader: CheckoutReader, contents: Contents) -> None:
        self.reader, self.contents = reader, contents
        self.taken: set[str] = set()

    def visit(self, folder: str) -> None:
        """Add a kustomization's folder and all its references."""
        if folder in self.contents.kustomizations:
            return
        self.take_folder(folder)
        file = self.reader.kustomization(folder)
        if file is None:
            return
        self.contents.kustomizations[folder] = file
        value = self._value(file)
        for at, *broken in boundary.findings(self.reader, value, folder):
            self._problem(file, at, *broken)
        for key in ROOTS:
            for index, entry in enumerate(entries(value, key)):
                if isinstance(entry, str):
                    self._follow(entry, folder, file, (key, index))
        self._charts(value, folder, file)
        self._name(value, folder)
        self._outside({key: inner for key, inner in value.items() if key not in ROOTS}, folder)

    def _join(self, folder: str) -> None:
        """Add the closure of a folder elsewhere, which others share; in a cycle, its search is not over."""
        if folder in self.reader.searched or any(_within(folder, other) for other in self.taken):
            self.visit(folder)
        elif folder not in self.contents.kustomizations:
            self.contents.add(closure_of(self.reader, folder))

    def take_folder(self, folder: str) -> None:
        """Add every file of a folder."""
        if not any(_within(folder, other) for other in self.taken):
            self.taken.add(folder)
            for file in self.reader.walk(folder):
                self.take_file(file)

    def take_manifests(self, folder: str) -> None:
        """Add the manifests directly in a folder."""
        for name in self.reader.names(folder):
            if name.endswith((*MANIFESTS, ".jsonnet")) and self.reader.is_file(f"{folder}/{name}"):
                self.take_file(f"{folder}/{name}")

    @rule(
        "manifest-malformed",
        scope="file",
        why="Argo CD would show an error instead of the app, or ignore the file without a message.",
    )
    def take_file(self, file: str) -> None:
        if self.reader.leaves(file):
            fix = "copy its target into the repository"
            self.contents.problems.append(
                Problem(file, 0, "", "", "leads out of the checkout", fix, "reference-outside")
            )
            return
        try:
            self.contents.files[file] = self.reader.digest(file)
        except OSError as error:
            rule = f"cannot be read: {(error.strerror or str(error)).lower()}"
            fix = "make the file readable, or remove it"
            self.contents.problems.append(Problem(file, 0, "", "", rule, fix, "manifest-malformed"))

    def _value(self, file: str) -> dict[str, Any]:
        """Return the value of a kustomization, and add its problems as YAML."""
        try:
            value = self.reader.value(file)
        except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
            found = list(self.reader.source(file).problems)
            rule, fix = f"is not YAML: {' '.join(str(error).split())}", "look at it with an editor that knows YAML"
            self.contents.problems += found or [Problem(file, 0, "", "", rule, fix, "manifest-malformed")]
            return {}
        return value if isinstance(value, dict) else {}

    @rule("base-unpinned", scope="file", why="A branch changes without a commit here.")
    def _follow(self, entry: str, folder: str, file: str, key: KeyPath) -> None:
        path = _joined(folder, entry)
        if self.reader.leaves(path) or boundary.remote_rule(entry) or boundary.reference_rule(entry):
            return  # `boundary` has refused it
        if self.reader.is_folder(path):
            if not _within(folder, path):  # else a cycle, which kustomize explains well
                self._join(path)
        elif self.reader.is_file(path):
            self.take_file(path)
            self.contents.listed.add(path)
        elif REMOTE.match(entry):
            place = entry.partition("?")[0]
            if PINNED.match(reference(entry)) or (place.endswith(MANIFESTS) and PINNED_FILE.search(place)):
                self.contents.bases.append(WantedBase(entry, file, key, self.reader.versions(file).get(entry, "")))
            else:
                self._problem(file, key, entry, "is not pinned", "add ?ref= with a commit", "base-unpinned")

    def _charts(self, value: dict[str, Any], folder: str, file: str) -> None:
        old = _maps(value.get("helmChartInflationGenerator"))
        homes = (*_maps([value.get("helmGlobals")]), *reversed(old))
        home = next((entry["chartHome"] for entry in homes if entry.get("chartHome")), None)
        for index, entry in enumerate(_maps(value.get("helmCharts"))):
            self._chart(entry, home, folder, file, ("helmCharts", index))
        for index, entry in enumerate(old):
            renamed = {new: entry.get(name) for new, name in OLD_NAMES.items()}
            self._chart(renamed, home, folder, file, ("helmChartInflationGenerator", index))

    @rule("chart-unpinned", scope="file", why="A range means one version today and another tomorrow.")
    def _chart(self, entry: dict[str, Any], home: Any, folder: str, file: str, key: KeyPath) -> None:
        """Add a chart at kustomize's path: in a folder of its own if version and repository are set."""
        name, version, repository = (str(entry.get(part) or "") for part in ("name", "version", "repo"))
        own = f"{name}-{version}/{name}" if version and repository else name
        path = _joined(folder, f"{home or 'charts'}/{own}")
        if not name or self.reader.leaves(path) or any(boundary.chart_findings(entry, key)):
            return  # `boundary` has refused it
        self.contents.inflates = True
        self._values(entry, folder)
        if self.reader.is_folder(path):
            self.take_folder(path)
        elif not repository:
            rule = f"has no `repo`, and there is no chart at {path}"
            self._problem(file, key, name, rule, "add `repo` and `version`", "chart-missing")
        elif not EXACT.match(version):
            fix = "give one version with all three parts"
            self._problem(file, key, f"{name} {version}".strip(), "is not pinned", fix, "chart-unpinned")
        else:
            self.contents.charts.append(WantedChart(Chart(name, version, repository), file, key, path))

    def _values(self, entry: dict[str, Any], folder: str) -> None:
        """Add the files of a chart's values, in the order in which they apply."""
        for one in (text(entry, "valuesFile"), *texts(entry, "additionalValuesFiles")):
            if one and self.reader.is_file(path := _joined(folder, one)):
                self.contents.values.append(path)

    def _name(self, value: Any, folder: str) -> None:
        """Add every path that any key can refer to."""
        for one in _strings(value):
            self.contents.named |= {_joined(folder, one), _joined(folder, one.partition("=")[2])}

    def _outside(self, value: Any, folder: str) -> None:
        """Add the files and folders outside of this one that any key refers to."""
        for one in _strings(value):
            for entry in (one, one.partition("=")[2]):
                path = _joined(folder, entry)
                if "../" not in f"{entry}/" or _within(path, folder) or _within(folder, path):
                    continue
                if self.reader.leaves(path):
                    continue
                if self.reader.is_file(path):
                    self.take_file(path)
                elif self.reader.is_folder(path):
                    self.take_folder(path)

    def _problem(self, file: str, key: KeyPath, value: str, rule: str, fix: str, check: str) -> None:
        line = self.reader.line(file, key)
        self.contents.problems.append(Problem(file, line, dotted(key), value, rule, fix, check))


def _joined(folder: str, entry: str) -> str:
    return posixpath.normpath(posixpath.join(folder, entry))


def _within(path: str, folder: str) -> bool:
    """Report whether a path is a folder or in it."""
    return folder in (path, ".") or path.startswith(f"{folder}/")


def _maps(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _strings(value: Any) -> Iterator[str]:
    """Yield every text of one line; inline values and patches name no files."""
    if isinstance(value, str):
        if "\n" not in value:
            yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key != "valuesInline":
                yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)

"""The renders of both sides of a change by the rehearsed Argo CD, compared with those of the report.

Both folders and the pairs of the report come in, an `Observation` for each app goes out. The rehearsal's own Git serves
both sides under refs that no Application follows, and Argo CD's repo-server renders them: nothing is applied or synced.
Which objects differ is found here anew, without `manifests.comparison`, so that the comparison proves it too.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from components.handover.application_sets import GitSource, value_files
from config.load import read_stack, stack_files
from config.model import Settings
from config.tree import read_tree
from errors import Declined, RenderFailed, TreeRefused, printable
from lab.delivery import git_server, prepared_tree, repo_server
from lab.delivery.repo_server import AppSource, RepoServer
from lab.layout import Lab
from lab.running import servers
from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from manifests.objects import Identity, Object, identity
from manifests.pinned import PinnedTrees
from manifests.redact import covered
from manifests.rules.stack_objects import scope_of
from manifests.vendor import vendor
from ops.checking.validation import StackApp, places_of
from ops.rehearsal.entry import locked
from ops.rehearsal.presence import command
from ops.rehearsal.sources import sources
from ops.review.report import Observation, Rehearsed
from ops.review.revisions import Span
from ops.review.sides import AppPair
from ops.toolchain.lookup import CRDS, MANIFESTS, ensure
from standins.bases import StandInBases
from standins.charts import StandInCharts

RENDERS_AT_ONCE = 4
LONGEST_ERROR, MOST_DIFFERENCES = 400, 50
NEEDED = ("kube-apiserver", git_server.NAME, repo_server.NAME)

Sides: TypeAlias = "dict[Key, tuple[Object | None, Object | None]]"
"""Objects that differ, before and after the change."""


@dataclass(frozen=True, order=True)
class Key:
    """The identity of an object with the namespace where it lands; `number` separates objects of one identity."""

    identity: Identity
    number: int


@dataclass(frozen=True)
class Rendered:
    """One side of an app by Argo CD: its objects, or the reason why there are none."""

    objects: tuple[Object, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Lender:
    """Everything that lets the rehearsed Argo CD render a folder of this machine."""

    lab: Lab
    source: GitSource
    server: RepoServer
    charts: StandInCharts
    bases: StandInBases
    pinned: PinnedTrees

    def rendered(self, folder: Path, files: Iterable[str], places: Mapping[str, StackApp]) -> dict[str, Rendered]:
        """Return the renders of apps by their labels: each pinned one from its commit, the others from the folder."""
        found: dict[str, Rendered] = {}
        for revision in sorted({place.app.revision for place in places.values()}):
            members = {label: place for label, place in places.items() if place.app.revision == revision}
            if not revision:
                found |= self._rendered(folder, files, members)
            elif (commit := self.pinned.folder(revision)) is None:
                found |= dict.fromkeys(members, Rendered(error=f"{revision} is no commit of this repository"))
            else:
                found |= self._rendered(commit, _files(commit), members)
        return found

    def _rendered(self, folder: Path, files: Iterable[str], places: Mapping[str, StackApp]) -> dict[str, Rendered]:
        with tempfile.TemporaryDirectory(prefix="homelab-side-") as temporary:
            copy = Path(temporary).resolve()
            _copy(folder, files, copy)
            found = {label: self._vendored(copy, place) for label, place in places.items()}
            able = [label for label, one in found.items() if not one.error]
            offered = git_server.offered(self.lab, self.source.repository, copy, self.source.path)
            with offered as commit, ThreadPoolExecutor(RENDERS_AT_ONCE) as pool:
                renders = pool.map(lambda label: self._render(places[label], commit), able)
                return {**found, **dict(zip(able, renders, strict=True))}

    def _vendored(self, copy: Path, place: StackApp) -> Rendered:
        """Copy the charts and bases of an app into the tree, as a rehearsal does."""
        try:
            vendor(copy, [place.app.path], self.charts, self.bases)
        except TreeRefused as refused:
            return Rendered(error=_short("; ".join(map(str, refused.problems))))
        return Rendered()

    def _render(self, place: StackApp, commit: str) -> Rendered:
        app, source = place.app, replace(self.source, environment=place.app.environment)
        values = value_files(source, app.category, app.name) if app.shape == "chart" else ()
        asked = AppSource(app.full_name, app.category, place.namespace, source.folder(app.path), values)
        try:
            return Rendered(tuple(self.server.objects(asked, commit)))
        except RenderFailed as failure:
            return Rendered(error=_short(str(failure)))


def observations(
    root: Path, stack: str, settings: Settings, span: Span, before: Path, apps: Sequence[AppPair]
) -> Rehearsed:
    """Return the verdicts of a stack's rehearsed Argo CD on every app whose inputs or objects the change touches.

    `root` is the checkout of the rehearsal, `before` the folder with the base of the span.
    """
    lab = Lab.of(root, stack)
    refuse_absent(lab, stack)
    pairs = {one.label: one for one in apps if one.stack == stack}
    old, new = _places(before, stack), _places(span.root, stack)
    pinned = PinnedTrees(span.root)
    changed = _touched(_inputs(before, old, pinned), _inputs(span.root, new, pinned))
    touched = sorted({label for label in pairs if label in old or label in new} | changed)
    if not touched:
        return Rehearsed(note=f"{stack}: the change touches no app, and Argo CD renders nothing")
    repository = git_server.served_as(settings.delivery.repository)
    tools = ensure((CRDS, MANIFESTS))
    with locked(lab), repo_server.connected(lab, repository) as server:
        source = replace(GitSource.of(settings), repository=repository)
        lender = Lender(lab, source, server, *sources(lab.root / "charts", tools), pinned)
        one = lender.rendered(before, _files(before), _chosen(old, touched))
        other = lender.rendered(span.root, prepared_tree.files_of(span.root), _chosen(new, touched))
        note = _versions(stack, settings, server.kubernetes)
    found = []
    for label in touched:
        pair = pairs.get(label) or AppPair(stack, label, old.get(label), new.get(label))
        found.append(_observation(pair, one.get(label, Rendered()), other.get(label, Rendered())))
    return Rehearsed(observations=tuple(found), note=note)


def refuse_absent(lab: Lab, stack: str) -> None:
    """Refuse a stack without a running rehearsal of its Argo CD."""
    if not lab.kubeconfig.exists():
        raise Declined(f"{stack}: there is no rehearsal; {command(stack)}")
    if stopped := [name for name in NEEDED if not servers.runs(lab, name)]:
        raise Declined(f"{stack}: the rehearsal does not run {', '.join(stopped)}; {command(stack)}")


def disagreements(ours: Sides, theirs: Sides) -> Iterator[str]:
    """Yield a line for each object in which the report and Argo CD disagree."""
    for key in sorted({*ours, *theirs}):
        name = str(key.identity)
        if key not in theirs:
            yield f"{name}: only this report has it"
        elif key not in ours:
            yield f"{name}: only Argo CD has it"
        else:
            for when, one, other in zip(("before", "after"), ours[key], theirs[key], strict=True):
                if _text(one) != _text(other):
                    yield f"{name}: Argo CD renders it differently {when} the change: {_place(one, other) or 'whole'}"


def differing(
    before: Iterable[Object], after: Iterable[Object], namespaces: tuple[str, str], ordered: Container[Key] = ()
) -> Sides:
    """Return the objects that differ between two renders.

    The order of a list is a difference in the objects of `ordered` alone: the report knows which orders have a meaning.
    """
    one, other = _by_key(before, namespaces[0]), _by_key(after, namespaces[1])
    sides = {key: (one.get(key), other.get(key)) for key in {*one, *other}}
    return {
        key: (old, new)
        for key, (old, new) in sides.items()
        if _text(old) != _text(new) and (key in ordered or _text(_sorted(old)) != _text(_sorted(new)))
    }


def reported(pair: AppPair, namespaces: tuple[str, str]) -> Sides:
    """Return the objects that differ by the report; one whose name changes is removed under one and added under one."""
    before = _by_key((one.before for one in pair.pairs if one.before is not None), namespaces[0])
    after = _by_key((one.after for one in pair.pairs if one.after is not None), namespaces[1])
    return {key: (before.get(key), after.get(key)) for key in {*before, *after}}


def _observation(pair: AppPair, before: Rendered, after: Rendered) -> Observation:
    sides = (("before", before), ("after", after))
    errors = [f"{when} the change: {side.error}" for when, side in sides if side.error]
    if errors:
        return Observation(stack=pair.stack, app=pair.label, objects=0, error="; ".join(errors))
    namespaces = (_namespace(pair.before), _namespace(pair.after))
    ours = reported(pair, namespaces)
    theirs = differing(before.objects, after.objects, namespaces, ours)
    lines = [*disagreements(ours, theirs)]
    if pair.problems:
        lines = ["this report could not render both sides, Argo CD can"]
    if len(lines) > MOST_DIFFERENCES:
        lines = [*lines[:MOST_DIFFERENCES], f"and {len(lines) - MOST_DIFFERENCES} more"]
    return Observation(stack=pair.stack, app=pair.label, objects=len(theirs), differences=tuple(lines))


def _places(root: Path, stack: str) -> dict[str, StackApp]:
    """Return the apps that a stack runs at one side, by their labels."""
    file = stack_files(root).get(stack)
    return {place.app.label: place for place in places_of(read_stack(file), read_tree(root))} if file else {}


def _chosen(places: Mapping[str, StackApp], labels: Iterable[str]) -> dict[str, StackApp]:
    return {label: places[label] for label in labels if label in places}


Inputs: TypeAlias = "dict[str, tuple[str, Mapping[str, str]]]"
"""The namespace and the files of each app, with their digests."""


def _touched(one: Inputs, other: Inputs) -> set[str]:
    """Return the apps that have other inputs after the change than before it."""
    return {label for label in {*one, *other} if one.get(label) != other.get(label)}


def _inputs(root: Path, places: Mapping[str, StackApp], pinned: PinnedTrees) -> Inputs:
    reader = CheckoutReader(root)
    found: Inputs = {}
    for label, place in places.items():
        own = pinned.reader(place.app) if place.app.revision else reader
        found[label] = place.namespace, contents_of(own, place.app.path).files
    return found


def _files(folder: Path) -> Iterator[str]:
    """Yield the names of all files of a folder without a repository, and of all links."""
    for above, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(above) / name).is_symlink()]
        yield from (os.path.relpath(Path(above) / name, folder) for name in (*names, *links))


def _copy(folder: Path, files: Iterable[str], copy: Path) -> None:
    """Copy files; links that lead out of the folder are left out."""
    for name in files:
        source, target = folder / name, copy / name
        if source.is_symlink():
            lead = posixpath.normpath(posixpath.join(posixpath.dirname(name), source.readlink()))
            if lead.startswith(("/", "../")) or lead == "..":
                continue
        elif not source.is_file():
            continue  # removed from the working tree, or a submodule
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def _by_key(objects: Iterable[Object], namespace: str) -> dict[Key, Object]:
    """Return objects by their identities; `namespace` is that of objects without one of their own."""
    found: dict[Key, Object] = {}
    for item in objects:
        name = identity(item)
        # Which kinds of CRDs have no namespace is not known here: it matters only if that of the app changes.
        where = "" if scope_of(name.group, name.kind, {}) == "Cluster" else name.namespace or namespace
        key = Key(replace(name, namespace=where), 0)
        while key in found:
            key = replace(key, number=key.number + 1)
        found[key] = item
    return found


def _sorted(value: Any) -> Any:
    """Return a value in which every list is sorted."""
    if isinstance(value, dict):
        return {name: _sorted(inner) for name, inner in value.items()}
    return sorted((_sorted(one) for one in value), key=_text) if isinstance(value, list) else value


def _text(value: Any) -> str:
    # 1, 1.0 and true are equal in Python, and are not in Kubernetes.
    return json.dumps(value, sort_keys=True)


def _place(one: Any, other: Any) -> str:
    """Return the path of the first field in which two values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        pairs: Iterable[tuple[Any, Any, Any]] = (
            (key, one.get(key), other.get(key)) for key in sorted({*one, *other}, key=str)
        )
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = ((number, *both) for number, both in enumerate(zip(one, other, strict=True)))
    else:
        return ""
    key, first, second = next((key, a, b) for key, a, b in pairs if _text(a) != _text(b))
    return ".".join(filter(None, (str(key), _place(first, second))))


def _namespace(place: StackApp | None) -> str:
    return place.namespace if place else ""


def _short(message: str) -> str:
    """Return a message of Argo CD without secrets, in one line of bounded length."""
    text = printable(" ".join(str(covered(message, lambda _: "(redacted)")).split()))
    return text if len(text) <= LONGEST_ERROR else f"… {text[-LONGEST_ERROR:]}"


def _versions(stack: str, settings: Settings, rehearsed: str) -> str:
    """Return a note if the rehearsal runs another version of Kubernetes than the change."""
    wanted = str(settings.cluster.kubernetes_version)
    if rehearsed.lstrip("v") == wanted.lstrip("v"):
        return ""
    return f"{stack}: the rehearsal runs Kubernetes {rehearsed}, and the change has {wanted}"

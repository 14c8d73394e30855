"""The matrix of versions: every app and every part of the infrastructure by environment.

The chain, the tree, the stacks, the contents of Git and the health of clusters come in, a `VersionMatrix` goes out.
`ops.versions` reads the clusters, `ops.promotion.formats` print the matrix.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from itertools import chain

from components.machines import images
from config.chain import Chain
from config.derive import machines
from config.load import Stack
from config.model import Part, Settings
from config.tree import App, Tree
from errors import printable
from manifests.comparison.references import jump
from ops.promotion.ages import Ages
from ops.promotion.app_contents import WORKING, AppContents
from ops.promotion.git_objects import GitObjects
from ops.promotion.parts import AppParts
from ops.promotion.pinned import PinnedVersion, has_versions, main_version, merged, pinned_in
from ops.promotion.report import (
    CellHealth,
    Difference,
    MatrixCell,
    MatrixEnvironment,
    MatrixRow,
    VersionMatrix,
    VersionOf,
    VersionStep,
)
from ops.terminal import count

SHORT = 8
PLATFORM = {"cilium": "kube-system/cilium", "gateway-api": "crds/gateway-api", "argocd": "system/argocd"}
"""Parts of the infrastructure that are apps, by the names under which `promote` accepts them too."""
PARTS: tuple[Part, ...] = ("talos", "kubernetes", "extensions")
NO_REPOSITORY = "this is no Git repository: pins and ages are unknown; git init, or a clone"
NO_COMMIT = "there is no commit yet: ages are unknown"
NO_CHAIN = "no chain is declared in apps/environments.yaml: no environment is behind another one"


@dataclass(frozen=True)
class EnvironmentHealth:
    """The health of an environment's apps, by the names of their Applications."""

    origin: str = ""
    reason: str = ""
    apps: Mapping[str, CellHealth] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionSources:
    """All that a matrix is made of."""

    chain: Chain
    tree: Tree
    stacks: Sequence[Stack]
    objects: GitObjects
    at: datetime
    health: Mapping[str, EnvironmentHealth] = field(default_factory=dict)

    @cached_property
    def environments(self) -> tuple[str, ...]:
        """Return the environments of the chain; without one, those that stacks run."""
        run = dict.fromkeys(one.delivery.environment for one in self.settings.values())
        return self.chain.environments or tuple(run)

    @cached_property
    def settings(self) -> Mapping[str, Settings]:
        """Return the settings of each stack without problems."""
        return {stack.name: stack.settings for stack in self.stacks if stack.settings}

    def stacks_of(self, environment: str) -> list[str]:
        """Return the stacks that run an environment."""
        return [name for name, one in self.settings.items() if one.delivery.environment == environment]


def matrix_of(sources: VersionSources, labels: Collection[str] = ()) -> VersionMatrix:
    """Return the matrix; of the named rows alone, if there are any."""
    rows = _Rows(sources, labels)
    infrastructure, applications = tuple(rows.infrastructure()), tuple(rows.applications())
    every = (*infrastructure, *applications)
    environments = tuple(_environment(sources, name, every) for name in sources.environments)
    return VersionMatrix(
        at=sources.at,
        commit=sources.objects.head,
        chain=sources.chain.environments,
        summary=_summary(sources, environments, applications),
        environments=environments,
        infrastructure=infrastructure,
        applications=applications,
        notes=tuple(_notes(sources, environments)),
    )


def _environment(sources: VersionSources, name: str, rows: Iterable[MatrixRow]) -> MatrixEnvironment:
    health = sources.health.get(name, EnvironmentHealth(reason="no stack runs it"))
    cells = ((row, cell) for row in rows if row.name != "extensions" for cell in row.cells)
    behind = tuple(row.name for row, cell in cells if cell.environment == name and cell.is_behind)
    stacks = tuple(sources.stacks_of(name))
    return MatrixEnvironment(name=name, stacks=stacks, health=health.origin, reason=health.reason, behind=behind)


def _summary(
    sources: VersionSources, environments: Iterable[MatrixEnvironment], applications: Sequence[MatrixRow]
) -> str:
    shown = count(len(applications), "app")
    if not sources.chain.environments:
        return f"{shown}; {NO_CHAIN}"
    behind = {name for one in environments for name in one.behind}
    if not behind:
        return f"{shown}; every environment has what the one before it has"
    apps = behind & {row.name for row in applications}
    counted = [count(len(apps), "app")] if apps else []
    counted += [count(len(behind - apps), "part") + " of the infrastructure"] if behind - apps else []
    verb = "is" if len(behind) == 1 else "are"
    places = ", ".join(f"{one.name} {len(one.behind)}" for one in environments if one.behind)
    return f"{' and '.join(counted)} {verb} behind ({places}) of {shown}"


def _notes(sources: VersionSources, environments: Sequence[MatrixEnvironment]) -> Iterator[str]:
    """Yield each reason why a part of the matrix is unknown, once."""
    if not sources.objects.has_repository:
        yield NO_REPOSITORY
    elif not sources.objects.head:
        yield NO_COMMIT
    elif sources.objects.is_shallow:
        yield "this is a shallow clone: ages and pins beyond its end are unknown; git fetch --unshallow"
    if sources.objects.error:
        yield printable(f"files of the working tree are left out: {sources.objects.error}")
    for stack in sources.stacks:
        if not stack.settings:
            yield printable(f"{stack.places.file}: has problems, and its versions are unknown; ./homelab check")
    reasons: dict[str, list[str]] = {}
    for one in environments:
        if one.reason:
            reasons.setdefault(one.reason, []).append(one.name)
    for reason, names in reasons.items():
        yield f"health in {', '.join(names)} is unknown: {reason}"


@dataclass(frozen=True)
class _Rows:
    """The rows, for which everything is read from Git together."""

    sources: VersionSources
    labels: Collection[str]
    _scanned: dict[str, tuple[PinnedVersion, ...]] = field(default_factory=dict)
    _merged: dict[tuple[str, ...], tuple[str, tuple[VersionOf, ...]]] = field(default_factory=dict)

    def infrastructure(self) -> Iterator[MatrixRow]:
        """Yield the rows of the infrastructure: what stack files pin, and the apps that belong to it."""
        for part in PARTS:
            if not self.labels or part in self.labels:
                cells = [_part(self.sources, self._ages, part, one) for one in self.sources.environments]
                yield MatrixRow(name=part, cells=tuple(_compared(self.sources.chain, cells)))
        for name, label in PLATFORM.items():
            if label in self._apps:
                yield self._row(name, label, label)

    def applications(self) -> Iterator[MatrixRow]:
        """Yield the rows of all other apps."""
        yield from (self._row(label, label) for label in self._apps if label not in PLATFORM.values())

    def _row(self, name: str, label: str, app: str = "") -> MatrixRow:
        apps = self._apps[label]
        cells = [
            self._cell(apps[one]) if one in apps else MatrixCell(environment=one, version="")
            for one in self.sources.environments
        ]
        shared = [
            found.shared if one in apps and (found := self._parts(apps[one])) else None
            for one in self.sources.environments
        ]
        return MatrixRow(name=name, app=app, cells=tuple(_compared(self.sources.chain, cells, shared)))

    @cached_property
    def _apps(self) -> Mapping[str, Mapping[str, App]]:
        found: dict[str, dict[str, App]] = {}
        for app in self.sources.tree.apps:
            if app.environment in self.sources.environments and (not self.labels or app.label in self.labels):
                found.setdefault(app.label, {})[app.environment] = app
        return dict(sorted(found.items()))

    @cached_property
    def _contents(self) -> AppContents:
        contents = AppContents(self.sources.objects)
        apps = [app for one in self._apps.values() for app in one.values()]
        head = self.sources.objects.head
        contents.read([*((app, self._revision(app)) for app in apps), *((app, head) for app in apps if head)])
        trees = {
            tree
            for app in apps
            if (parts := contents.parts(app, self._revision(app)))
            for tree in (parts.base, parts.folder)
        }
        self.sources.objects.read_below(trees)
        blobs = {blob for tree in trees for path, blob in self.sources.objects.files(tree) if has_versions(path)}
        self.sources.objects.read(blobs)
        return contents

    @cached_property
    def _known(self) -> frozenset[str]:
        pins = (app.revision for one in self._apps.values() for app in one.values() if app.revision)
        return self.sources.objects.commits(pins)

    @cached_property
    def _ages(self) -> Ages:
        return Ages.of(self.sources.objects, (app for one in self._apps.values() for app in one.values()))

    def _revision(self, app: App) -> str:
        return app.revision if app.revision in self._known else WORKING

    def _parts(self, app: App) -> AppParts | None:
        unknown = app.revision and app.revision not in self._known
        return None if unknown else self._contents.parts(app, app.revision)

    def _cell(self, app: App) -> MatrixCell:
        parts, head = self._parts(app), self.sources.objects.head
        committed = self._ages.pin(app) if app.revision else self._ages.inputs(app)
        health = self.sources.health.get(app.environment, EnvironmentHealth()).apps.get(app.full_name)
        now = self._contents.parts(app, head) if head else None
        is_new = committed is None and self._ages.is_complete if app.revision else bool(head) and parts != now
        facts = {
            "environment": app.environment,
            "pin": app.revision,
            "follows": "" if app.revision else self._branch(app.environment),
            "since": committed.time if committed and not is_new else None,
            "uncommitted": is_new,
            "hold": printable(app.hold),
            "health": health,
        }
        if parts is None:
            return MatrixCell(version=app.revision[:SHORT], problem=self._problem(app), **facts)
        text, versions = self._versions_of(app.name, parts)
        last = app.revision or (committed.commit if committed else "")
        own_changes = bool(app.revision and now and now.own != parts.own)
        return MatrixCell(
            version=printable(text or last[:SHORT] or "unknown"),
            versions=versions,
            own_changes=own_changes,
            **facts,
        )

    def _versions_of(self, name: str, parts: AppParts) -> tuple[str, tuple[VersionOf, ...]]:
        """Return the text and the versions of an app, computed once for environments with the same files."""
        key = name, parts.base, parts.folder
        if key not in self._merged:
            found = merged(*(self._versions(tree) for tree in (parts.base, parts.folder)))
            self._merged[key] = main_version(name, found), tuple(map(_version_of, found))
        return self._merged[key]

    def _versions(self, tree: str) -> tuple[PinnedVersion, ...]:
        if tree not in self._scanned:
            objects = self.sources.objects
            paths = ((path, blob) for path, blob in objects.files(tree) if has_versions(path))
            found = (pinned_in(path.rpartition("/")[2], objects.blob(blob)) for path, blob in paths)
            self._scanned[tree] = tuple(chain.from_iterable(found))
        return self._scanned[tree]

    def _branch(self, environment: str) -> str:
        found = [self.sources.settings[one].delivery.revision for one in self.sources.stacks_of(environment)]
        return printable(", ".join(dict.fromkeys(found)))

    def _problem(self, app: App) -> str:
        if not self.sources.objects.has_repository:
            return "the pin is unknown: this is no Git repository"
        if app.revision in self._known:
            return f"the commit has no folder {app.path}; ./homelab promote {app.label} --to {app.environment}"
        if self.sources.objects.is_shallow:
            return "the commit is not in this shallow clone; git fetch --unshallow"
        return "the commit is not in this repository; git fetch, or promote the app again"


@cache
def _version_of(one: PinnedVersion) -> VersionOf:
    return VersionOf(
        kind=one.kind, name=printable(one.name), version=printable(one.version), digest=printable(one.digest)
    )


def _part(sources: VersionSources, ages: Ages, name: Part, environment: str) -> MatrixCell:
    """Return a part of the infrastructure that a stack file pins."""
    stacks = sources.stacks_of(environment)
    found = [_setting(sources.settings[stack], name) for stack in stacks]
    key = name if name == "extensions" else f"{name}Version"
    committed = [ages.setting(f"Pulumi.{stack}.yaml", "cluster", key) for stack in stacks]
    times = [one.time for one in committed if one]
    holds = [sources.settings[stack].delivery.holds.get(name, "") for stack in stacks]
    return MatrixCell(
        environment=environment,
        version=", ".join(dict.fromkeys(text for text, _ in found)),
        versions=tuple(dict.fromkeys(one for _, versions in found for one in versions)),
        since=max(times, default=None),
        uncommitted=ages.is_complete and len(times) < len(stacks),
        hold=printable("; ".join(filter(None, holds))),
    )


def _setting(settings: Settings, name: str) -> tuple[str, tuple[VersionOf, ...]]:
    cluster = settings.cluster
    if name != "extensions":
        version = str(cluster.talos_version if name == "talos" else cluster.kubernetes_version)
        return version, (VersionOf(kind="part", name=name, version=version),)
    schematics = tuple(one.schematic_id for one in images.images_of(settings))
    extensions = sorted({extension for machine in machines(settings) for extension in machine.extensions})
    return (
        f"{', '.join(one[:SHORT] for one in schematics)} ({count(len(extensions), 'extension')})",
        (
            *(VersionOf(kind="part", name="schematic", version=one) for one in schematics),
            *(VersionOf(kind="part", name=one, version="") for one in extensions),
        ),
    )


def _compared(
    order: Chain, cells: Sequence[MatrixCell], shared: Sequence[object] | None = None
) -> Iterator[MatrixCell]:
    """Yield cells with their difference to the nearest environment before them that has the row."""
    before: int | None = None
    for number, cell in enumerate(cells):
        if before is not None and order.environments:
            same = shared is None or shared[before] == shared[number]
            difference, steps = _difference(cells[before], cell, same=same)
            yield cell.model_copy(update={"difference": difference, "steps": steps})
        else:
            yield cell
        before = number if cell.version else before


def _difference(before: MatrixCell, cell: MatrixCell, *, same: bool) -> tuple[Difference, tuple[VersionStep, ...]]:
    if not cell.version:
        return "absent", ()
    if before.problem or cell.problem:
        return "unknown", ()
    steps = tuple(_steps(before.versions, cell.versions))
    return ("versions" if steps else "same" if same else "manifests"), steps


def _steps(before: Sequence[VersionOf], here: Sequence[VersionOf]) -> Iterator[VersionStep]:
    """Yield the versions that differ under a name that both environments have."""
    if before == here:
        return
    sides = [_by_name(side) for side in (before, here)]
    for name in (one for one in sides[1] if one in sides[0]):
        new, old = sides[0][name], sides[1][name]
        if {(one.version, one.digest) for one in new} != {(one.version, one.digest) for one in old}:
            (was, now) = (", ".join(dict.fromkeys(one.version or one.digest for one in side)) for side in (old, new))
            yield VersionStep(name=name[1], here=was, before=now, jump=jump(was, now))


def _by_name(found: Iterable[VersionOf]) -> Mapping[tuple[str, str], list[VersionOf]]:
    names: dict[tuple[str, str], list[VersionOf]] = {}
    for one in found:
        names.setdefault((one.kind, one.name), []).append(one)
    return names

"""The sources of a rehearsal: charts and remote bases in the prepared tree, and Git to read it from.

Settings and the prepared tree come in; afterwards the tree builds without a network and is served under the
repository's own URL. Stand-ins are listed for the report. `ops.rehearse` calls it before the engine runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from config.model import Settings
from config.tree import Tree
from lab.delivery import git_server
from lab.layout import Lab
from local.files import private_folder
from manifests.charts import CachedCharts
from manifests.sources import BaseSource, ChartSource
from manifests.vendor import vendor
from ops.rehearsal import pins
from ops.toolchain.lookup import CRDS, MANIFESTS, Toolchain
from ops.upstream.originals import folders_of
from standins.bases import StandInBases
from standins.charts import StandInCharts
from standins.crds import KnownCrds


@dataclass(frozen=True)
class Served:
    """The commit that Git serves, and the stand-ins in it."""

    commit: str
    is_new: bool
    stand_ins: tuple[tuple[str, str, str], ...]


def serve(lab: Lab, checkout: Path, settings: Settings, tree: Tree, tools: Toolchain) -> Served:
    """Publish the prepared tree, and serve it from Git."""
    charts, bases = sources(lab.root / "charts", tools)
    repository = git_server.served_as(settings.delivery.repository)
    before = git_server.head_of(lab, repository, settings.delivery.revision)
    commit = publish(lab, checkout, settings, tree, charts, bases)
    git_server.serve(lab, repository)
    return Served(commit, commit != before, stand_ins(charts, bases))


def publish(lab: Lab, checkout: Path, settings: Settings, tree: Tree, charts: ChartSource, bases: BaseSource) -> str:
    """Copy charts and bases into the prepared tree and into the commits of its pins, commit all; return the commit."""
    delivery = settings.delivery
    vendor(lab.tree, folders_of(settings, tree), charts, bases)
    repository = git_server.served_as(delivery.repository)
    own = replace(tree, categories=tree.chosen(delivery.environment))
    origins = pins.place(lab, checkout, (repository, delivery.revision, delivery.path), own, charts, bases)
    commit = git_server.publish(lab, repository, delivery.revision, delivery.path)
    pins.remember(lab, checkout, commit, origins)
    return commit


def sources(home: Path, tools: Toolchain) -> tuple[StandInCharts, StandInBases]:
    """Return the charts and bases of a rehearsal: the user's own copies first, then stand-ins."""
    private_folder(home)
    crds, manifests = tools.manifests(CRDS), tools.manifests(MANIFESTS)
    return StandInCharts(home, KnownCrds(crds), CachedCharts()), StandInBases((crds, manifests))


def stand_ins(charts: StandInCharts, bases: StandInBases) -> tuple[tuple[str, str, str], ...]:
    """Return a row for each stand-in: the chart or base, its version, and the kind of its replacement."""
    made = [one for one in charts.placed if one.kind != "real"]
    placed = [(f"chart {one.name}", one.version, one.kind) for one in made]
    placed += [(f"base {one.url}", "", f"{one.kind} {one.version}") for one in bases.placed if one.kind != "real"]
    origins = [charts.crds.origin(name) for name in charts.crds.names if name in {one.name for one in made}]
    placed += [(f"CRDs of {one.name}", "", f"take any object: {one.why}") for one in origins if not one.real]
    return tuple(placed)

"""Apply a stack: machines, cluster, platform and handover, then wait until the applications are synced."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from config.category import Layer
from config.model import Settings
from config.tree import APPS, CategoryFolder, Tree
from errors import TreeRefused
from manifests.bases import CachedBases
from manifests.charts import CachedCharts
from manifests.pinned import PinnedTrees
from manifests.vendor import vendor
from ops.argocd.client import ArgoCDClient, with_kubeconfig
from ops.argocd.report import SyncReport, as_text, current_report
from ops.argocd.syncing import first_syncs, wait_and_sync
from ops.engine.engine import Engine
from ops.engine.path import prepare_path
from ops.engine.run import drive, facts, summary
from ops.engine.timeline import Timeline
from ops.result import Result
from ops.settling import Settling
from ops.stack import checked, require_pins, require_secrets, stack_argument
from ops.terminal import count, progress
from ops.upstream.offline import forbidden, offline_argument
from ops.upstream.originals import fetch_for, folders_of

UNREACHED = "this machine cannot reach the API, so that applications are unknown; run ./homelab status where it can"
PINNED = "pins"
SEEDED: tuple[Layer, ...] = ("crds", "infrastructure")  # the layers that the seeds render
# The tree that components/platform/scripts read in place of the checkout, and the commits of pinned apps.
SEEDS, PINS = "HOMELAB_SEEDS", "HOMELAB_PINS"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    stack_argument(parser)
    offline_argument(parser)
    parser.add_argument("--refresh", action="store_true", help="read the live state of every resource first")


def run(options: argparse.Namespace) -> Result:
    """Check the stack, run the engine, wait for the applications, and report."""
    root, began = Path.cwd(), time.monotonic()
    _, settings, tree = checked(root, options.stack)
    require_pins(root, tree, settings.delivery.environment)
    require_secrets(options.stack, settings)
    prepare_path()
    fetched = fetch_for(root, settings, tree, os.environ, forbidden(options), SEEDED)
    fetched.require()
    with Timeline() as timeline, seeds_from_the_cache(root, settings, tree):
        if fetched.why:
            timeline.log(f"the seeds fetch charts and bases that the cache lacks: {fetched.why}")
        engine, outcome = drive(
            root, settings, options.stack, timeline, lambda engine: engine.up(refresh=options.refresh)
        )
    report = _report(engine, settings, tree.chosen(settings.delivery.environment))
    seconds = time.monotonic() - began
    data = facts(options.stack, timeline, outcome, seconds)
    if report:
        data |= {"good": report.is_good, "unfinished": [one.name for one in report.unfinished]}
    # A state that waits for the operator is a success, and so is any state that the stack does not wait for.
    good = report is None or report.is_good or report.waits_for_operator or settings.delivery.wait == "generated"
    text = as_text(report) if report else UNREACHED
    if report and report.waiting_for_sync:
        held = count(len(report.waiting_for_sync), "application")
        text += f"\n{held} with a held change: ./homelab sync --stack {options.stack} --all"
    return Result(f"{summary(timeline, outcome, seconds)}\n\n{text}", data, good=good)


def _report(engine: Engine, settings: Settings, categories: Sequence[CategoryFolder]) -> SyncReport | None:
    """Return the report on the stack's cluster; nothing where this machine does not reach it."""
    with with_kubeconfig(str(engine.outputs().get("kubeconfig", ""))) as client:
        return _settled(client, settings, categories) if client.answers() else None


def _settled(client: ArgoCDClient, settings: Settings, categories: Sequence[CategoryFolder]) -> SyncReport:
    """Return the report at once, or after a wait and the first syncs, as `delivery.wait` has it."""
    if settings.delivery.wait == "generated":
        return current_report(client, settings, categories)
    repair = Settling(client, settings, categories).repair
    due = partial(first_syncs, settings=settings, categories=categories)
    report, synced = wait_and_sync(client, settings, categories, due, repair)
    if synced:
        progress(f"first syncs, which the gates of the stack do not hold back: {', '.join(synced)}")
    return report


@contextmanager
def seeds_from_the_cache(root: Path, settings: Settings, tree: Tree) -> Iterator[None]:
    """Copy the tree for the seeds, with charts and bases from the cache; the seeds fetch those that it lacks."""
    with TemporaryDirectory(prefix="homelab-seeds-") as folder:
        if (root / APPS).is_dir():
            shutil.copytree(root / APPS, Path(folder) / APPS, symlinks=True)
        charts, bases, commits = CachedCharts(), CachedBases(), PinnedTrees(root)
        pinned = {app.path: app for app in tree.apps_in(settings.delivery.environment) if app.revision}
        for app in folders_of(settings, tree, SEEDED):
            place = Path(folder)
            if app in pinned:
                place = place / PINNED / pinned[app].revision
                commits.copy(pinned[app], place)
            with suppress(TreeRefused):
                vendor(place, [app], charts, bases)
        os.environ |= {SEEDS: folder, PINS: str(Path(folder) / PINNED)}
        try:
            yield
        finally:
            del os.environ[SEEDS], os.environ[PINS]

"""Bring a stack to what is written: machines, cluster, platform, handover, until all is there."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from config.model import Settings
from config.tree import CategoryFolder, read_tree
from errors import TreeRefused
from manifests.bases import CachedBases
from manifests.charts import CachedCharts
from manifests.vendor import vendor
from ops.argocd.client import Cluster, cluster_of
from ops.argocd.report import Report, chosen, look, wait, written
from ops.engine.path import prepare_path
from ops.engine.run import drive, report
from ops.engine.timeline import Timeline
from ops.settling import Settling
from ops.stack import checked, secrets_set, stack_arguments
from ops.upstream.offline import forbidden, offline_argument
from ops.upstream.originals import bring_for, folders_of

UNREACHED = "the API cannot be reached from here, so that nothing is said of applications: ./homelab status, from there"
SEEDED = ("crds", "infrastructure")  # the layers that the seeds render
TREE = ("apps", "environments")
SEEDS = "HOMELAB_SEEDS"  # where components/platform/scripts look for the tree before they look into the checkout


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stack."""
    stack_arguments(parser)
    offline_argument(parser)
    parser.add_argument("--refresh", action="store_true", help="look at the real state of every resource first")


def run(options: argparse.Namespace) -> int:
    """Check, run the engine, report."""
    root, began = Path.cwd(), time.monotonic()
    _, settings = checked(root, options.stack)
    secrets_set(options.stack, settings)
    prepare_path()
    brought = bring_for(root, settings, os.environ, forbidden(options), SEEDED)
    brought.require()
    with Timeline() as timeline, seeds_from_the_cache(root, settings):
        if brought.why:
            timeline.say(f"charts and bases that the cache lacks are fetched by the seeds themselves: {brought.why}")
        engine, outcome = drive(
            root, settings, options.stack, timeline, lambda engine: engine.up(refresh=options.refresh)
        )
    with cluster_of(engine) as cluster:
        found = _settled(cluster, settings, chosen(settings, root)) if cluster.answers() else None
    more = {"good": found.is_good, "unfinished": [one.name for one in found.unfinished]} if found else {}
    report(options, timeline, outcome, time.monotonic() - began, **more)
    if not options.json:
        print("\n" + (written(found) if found else UNREACHED))
    # What waits for a person is as the stack wants it, and so is what need not be there yet.
    as_wanted = found is None or found.is_good or found.waits_for_a_person
    return 0 if as_wanted or settings.delivery.wait == "generated" else 1


def _settled(cluster: Cluster, settings: Settings, categories: Sequence[CategoryFolder]) -> Report:
    """Look once, or wait for the end state, as the stack has it."""
    if settings.delivery.wait == "generated":
        return look(cluster, settings, categories)
    return wait(cluster, settings, categories, Settling(cluster, settings, categories).mend)


@contextmanager
def seeds_from_the_cache(root: Path, settings: Settings) -> Iterator[None]:
    """Give the seeds a copy of the tree with charts and bases from the cache; what it lacks they fetch themselves."""
    with TemporaryDirectory(prefix="homelab-seeds-") as folder:
        for name in TREE:
            if (root / name).is_dir():
                shutil.copytree(root / name, Path(folder) / name, symlinks=True)
        charts, bases = CachedCharts(), CachedBases()
        for app in folders_of(settings, read_tree(root), SEEDED):
            with suppress(TreeRefused):
                vendor(Path(folder), [app], charts, bases)
        os.environ[SEEDS] = folder
        try:
            yield
        finally:
            del os.environ[SEEDS]

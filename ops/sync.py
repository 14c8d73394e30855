"""Sync by hand where the policy is manual, and wait."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from config.explain import nearest
from errors import Declined
from ops.argocd.applications import GOOD
from ops.argocd.client import Cluster
from ops.argocd.report import Report, chosen, look, refuse_strangers
from ops.argocd.syncing import sync
from ops.stack import checked, stack_arguments
from ops.terminal import elapsed, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take which applications."""
    stack_arguments(parser)
    parser.add_argument("applications", nargs="*", metavar="APP", help="names as `status` shows them")
    parser.add_argument("--all", action="store_true", help="every application that is not Synced, layer after layer")


def run(options: argparse.Namespace) -> int:
    """Sync, wait for each layer, and say how it went."""
    root, began = Path.cwd(), time.monotonic()
    if options.all == bool(options.applications):
        raise Declined("name the applications to sync, or say --all, not both")
    _, settings = checked(root, options.stack)
    cluster = Cluster.of(root, options.stack)
    refuse_strangers(cluster, settings, options.stack)
    categories = chosen(settings, root)
    names = _wanted(options, look(cluster, settings, categories, edited=False))
    synced = sync(cluster, settings, categories, names)
    seconds, good = time.monotonic() - began, all((one.sync, one.health) == GOOD for one in synced)
    if options.json:
        said = {"good": good, "seconds": round(seconds, 3), "applications": [asdict(one) for one in synced]}
        print(json.dumps(said, indent=2))
    else:
        print(table(("application", "sync", "health"), [(one.name, one.sync, one.health) for one in synced]))
        print(f"{len(synced)} synced in {elapsed(seconds)}")
    return 0 if good else 1


def _wanted(options: argparse.Namespace, report: Report) -> list[str]:
    known = [one.name for one in report.counted]
    if options.all:
        return [one.name for one in report.counted if one.sync != "Synced"]
    unknown = [name for name in options.applications if name not in known]
    if unknown:
        said = "; ".join(f"{name}: {nearest(name, known, './homelab status lists them')}" for name in unknown)
        raise Declined(f"there is no such application: {said}")
    return list(options.applications)

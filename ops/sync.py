"""Sync Applications whose policy is manual, and wait for the end."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from config.explain import nearest
from errors import Declined
from ops.argocd.applications import GOOD
from ops.argocd.report import SyncReport, current_report, refuse_other_stack
from ops.argocd.syncing import sync
from ops.rehearsal.client import client_of
from ops.result import Result
from ops.stack import checked, stack_argument
from ops.terminal import elapsed, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    stack_argument(parser)
    parser.add_argument("applications", nargs="*", metavar="APP", help="names as `status` shows them")
    parser.add_argument("--all", action="store_true", help="every application that is not Synced, layer after layer")


def run(options: argparse.Namespace) -> Result:
    """Sync the Applications, wait for each layer, and report their states."""
    root, began = Path.cwd(), time.monotonic()
    if options.all == bool(options.applications):
        raise Declined("name the applications to sync, or pass --all, not both")
    _, settings, tree = checked(root, options.stack)
    client = client_of(root, options.stack)
    refuse_other_stack(client, settings, options.stack)
    categories = tree.chosen(settings.delivery.environment)
    before = current_report(client, settings, categories, with_edits=False)
    names = _names(options, before)
    left = _refused(options, before, names)
    synced = sync(client, settings, categories, [name for name in names if name not in left])
    seconds, good = time.monotonic() - began, not left and all((one.sync, one.health) == GOOD for one in synced)
    rows = table(("application", "sync", "health"), [(one.name, one.sync, one.health) for one in synced])
    lines = [f"{name}: not synced, {reason}" for name, reason in left.items()]
    return Result(
        "\n".join([rows, *lines, f"{len(synced)} synced in {elapsed(seconds)}"]),
        {"good": good, "seconds": round(seconds, 3), "applications": [asdict(one) for one in synced], "refused": left},
        good=good,
    )


def _refused(options: argparse.Namespace, report: SyncReport, names: Sequence[str]) -> dict[str, str]:
    """Return the Applications whose closed windows refuse a requested sync; refuse them where they were named.

    Argo CD would accept the request, and keep it running until the window opens.
    """
    left = {name: report.closed[name] for name in names if name in report.refusing}
    if left and not options.all:
        listed = "; ".join(f"{name}: {reason}" for name, reason in left.items())
        raise Declined(f"{listed}; wait, or write `manualSync: allowed` for the window and run ./homelab up")
    return left


def _names(options: argparse.Namespace, report: SyncReport) -> list[str]:
    known = [one.name for one in report.counted]
    if options.all:
        return [one.name for one in report.counted if one.sync != "Synced"]
    unknown = [name for name in options.applications if name not in known]
    if unknown:
        listed = "; ".join(f"{name}: {nearest(name, known, './homelab status lists them')}" for name in unknown)
        raise Declined(f"there is no such application: {listed}")
    return list(options.applications)

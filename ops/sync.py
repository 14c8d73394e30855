"""Sync by hand where the policy is manual, and wait."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from components.handover.application_defaults import LAYERS
from config.explain import nearest
from config.model import Settings
from config.tree import CategoryFolder
from errors import Declined, TookTooLong
from ops.applications import GOOD, Application, applications, expected_applications, operation
from ops.cluster import Cluster
from ops.drive import checked, stack_arguments
from ops.show import elapsed, table
from ops.status import Report, Stall, chosen, look, refuse_strangers

PAUSE = 1.0
OTHERS = "others"


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


def sync(
    cluster: Cluster, settings: Settings, categories: Sequence[CategoryFolder], names: Sequence[str]
) -> list[Application]:
    """Sync layer after layer, each once the one before is Synced and Healthy; what has no layer comes last."""
    done: list[Application] = []
    for layer in (*LAYERS, OTHERS):
        found = {one["metadata"]["name"]: one for one in cluster.argocd()["Application"]}
        wishes = {
            one.name: operation(found[one.name], categories, settings.delivery.environment)
            for one in applications(list(found.values()), expected_applications(categories))
            if one.name in names and (one.layer if one.layer in LAYERS else OTHERS) == layer and not one.retired
        }
        if not wishes:
            continue
        for name, wish in wishes.items():
            cluster.patch(name, {"operation": wish})
        print(f"syncing {layer}: {', '.join(wishes)}", file=sys.stderr, flush=True)
        keeping = {name for name, wish in wishes.items() if not wish["sync"]["prune"]}
        ended = _wait(cluster, settings, categories, set(wishes), keeping)
        done += ended
        tried = {one.name for one in done}
        left = [name for name in names if name not in tried]
        if left and not all(_is_there(one, kept=one.name in keeping) for one in ended):
            print(f"not synced, as {layer} is not there: {', '.join(left)}", file=sys.stderr, flush=True)
            break
    return done


def _wait(
    cluster: Cluster, settings: Settings, categories: Sequence[CategoryFolder], names: set[str], keeping: set[str]
) -> list[Application]:
    """Wait for the end; where nothing is pruned, what left Git differs for good, and the table shows it."""
    stall, timeout = Stall(), settings.delivery.stall_timeout
    while True:
        report = look(cluster, settings, categories, edited=False)
        now = [one for one in report.applications if one.name in names]
        going = [one for one in now if one.running or not _is_there(one, kept=one.name in keeping)]
        failed = [one for one in going if (one.failed or one.health == "Degraded") and not one.running]
        if not going:
            return now
        if failed and len(failed) == len(going):
            return now
        if stall.seconds(report.moving) > timeout.seconds:
            raise TookTooLong(
                f"nothing has changed for {timeout} (delivery.stallTimeout); still not synced: "
                + ", ".join(f"{one.name} ({one.error or one.sync})" for one in going)
            )
        time.sleep(PAUSE)


def _is_there(one: Application, *, kept: bool) -> bool:
    return one.health == "Healthy" and (one.sync == "Synced" or (kept and one.unpruned))

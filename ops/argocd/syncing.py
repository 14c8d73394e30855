"""Syncs that a user requests: layer after layer, each once the one before is Synced and Healthy.

A client and the names of Applications come in, their states afterwards go out. `ops.sync` and `ops.rehearse` call it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from components.handover.application_defaults import LAYERS
from config.model import Settings
from config.tree import CategoryFolder
from errors import TookTooLong
from ops.argocd.applications import Application, applications, expected_applications, operation
from ops.argocd.client import Cluster
from ops.argocd.report import Stall, look

PAUSE = 1.0
OTHERS = "others"


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

"""Requested syncs: layer after layer, each once the one before is Synced and Healthy.

A client and the names of Applications come in, their states afterwards go out. `ops.sync`, `ops.up` and `ops.rehearse`
call it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from components.handover.application_defaults import LAYERS
from config.model import Settings
from config.tree import CategoryFolder
from errors import TookTooLong
from ops.argocd.applications import Application, applications, expected_applications, operation
from ops.argocd.client import ArgoCDClient
from ops.argocd.report import Stall, SyncReport, current_report, wait
from ops.terminal import progress

PAUSE = 1.0
SECONDS_BETWEEN_REPAIRS = 10.0
OTHERS = "others"


def first_syncs(report: SyncReport, settings: Settings, categories: Sequence[CategoryFolder]) -> list[str]:
    """Return the Applications that gates of the stack hold back although no sync of them has ever succeeded.

    A cluster that is made anew must not wait for a gate; an Application that its category holds back does.
    """
    gates, environment = settings.delivery.gates, settings.delivery.environment
    automatic = {one.name for one in categories if one.settings.sync_in(environment).mode == "automatic"}
    return [
        one.name
        for one in report.unfinished
        if gates.holds
        and one.category in automatic
        and not (one.deployed or one.running or one.name in report.refusing)
        and one.sync == "OutOfSync"
    ]


def wait_and_sync(
    client: ArgoCDClient,
    settings: Settings,
    categories: Sequence[CategoryFolder],
    due: Callable[[SyncReport], Sequence[str]],
    repair: Callable[[SyncReport], None],
) -> tuple[SyncReport, list[str]]:
    """Wait, sync the Applications that are due, and wait again; return the report and the names, each tried once."""
    tried: list[str] = []
    while True:
        report = wait(client, settings, categories, repair)
        names = [name for name in due(report) if name not in tried]
        if not names:
            return report, tried
        try:
            tried += [one.name for one in sync(client, settings, categories, names, repair)] or names
        except TookTooLong as error:
            progress(str(error))
            return current_report(client, settings, categories), [*tried, *names]


def sync(
    client: ArgoCDClient,
    settings: Settings,
    categories: Sequence[CategoryFolder],
    names: Sequence[str],
    repair: Callable[[SyncReport], None] = lambda report: None,
) -> list[Application]:
    """Sync layer after layer, Applications without a layer last; stop after a layer that does not get healthy."""
    done: list[Application] = []
    for layer in (*LAYERS, OTHERS):
        found = {one["metadata"]["name"]: one for one in client.argocd()["Application"]}
        operations = {
            one.name: operation(found[one.name], categories, settings.delivery.environment)
            for one in applications(list(found.values()), expected_applications(categories))
            if one.name in names and (one.layer if one.layer in LAYERS else OTHERS) == layer and not one.retired
        }
        if not operations:
            continue
        for name, requested in operations.items():
            client.patch(name, {"operation": requested})
        progress(f"syncing {layer}: {', '.join(operations)}")
        retaining = {name for name, requested in operations.items() if not requested["sync"]["prune"]}
        ended = _wait(client, settings, categories, set(operations), retaining, repair)
        done += ended
        tried = {one.name for one in done}
        left = [name for name in names if name not in tried]
        if left and not all(_is_finished(one, retains=one.name in retaining) for one in ended):
            progress(f"not synced, as {layer} is not Synced and Healthy: {', '.join(left)}")
            break
    return done


def _wait(
    client: ArgoCDClient,
    settings: Settings,
    categories: Sequence[CategoryFolder],
    names: set[str],
    retaining: set[str],
    repair: Callable[[SyncReport], None],
) -> list[Application]:
    """Wait until the syncs end; without pruning, objects that were removed from Git stay as a difference."""
    stall, timeout = Stall(), settings.delivery.stall_timeout
    repaired = time.monotonic()
    while True:
        report = current_report(client, settings, categories, with_edits=False)
        now = [one for one in report.applications if one.name in names]
        going = [one for one in now if one.running or not _is_finished(one, retains=one.name in retaining)]
        failed = [one for one in going if (one.failed or one.health == "Degraded") and not one.running]
        paused = [one for one in going if one.awaits_promotion and one not in failed]
        if len(failed) + len(paused) == len(going):
            return now
        if stall.seconds(report.states) > timeout.seconds:
            raise TookTooLong(
                f"nothing has changed for {timeout} (delivery.stallTimeout); still not synced: "
                + ", ".join(f"{one.name} ({one.error or one.sync})" for one in going)
            )
        if time.monotonic() - repaired > SECONDS_BETWEEN_REPAIRS:
            repair(report)
            repaired = time.monotonic()
        time.sleep(PAUSE)


def _is_finished(one: Application, *, retains: bool) -> bool:
    return one.health == "Healthy" and (one.sync == "Synced" or (retains and one.unpruned))

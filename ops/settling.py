"""Repairs while `up` and `rehearse` wait for Applications: entries of the secret store, and failed syncs.

A client and a stack come in; `ops.argocd.report.wait` calls `repair` with each report.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from config.model import Settings
from config.tree import CategoryFolder
from ops.argocd.applications import operation
from ops.argocd.client import ArgoCDClient
from ops.argocd.report import SyncReport
from ops.store_entries import Filled, fill
from ops.terminal import progress

SECONDS_BETWEEN_SYNCS = 60.0


@dataclass
class Settling:
    """The repairs of one wait."""

    client: ArgoCDClient
    settings: Settings
    categories: Sequence[CategoryFolder]
    filled: Filled = field(default_factory=Filled)
    synced: dict[str, float] = field(default_factory=dict)

    def repair(self, report: SyncReport) -> None:
        """Make missing entries, and sync failed Applications again: Argo CD does not retry a commit that failed."""
        before = len(self.filled.made), len(self.filled.none)
        fill(self.client, self.settings, self.filled)
        made, none = self.filled.made[before[0] :], self.filled.none[before[1] :]
        if made or none:
            progress(f"made entries of the secret store: {', '.join([*made, *(f'{name} (none)' for name in none)])}")
        now = time.monotonic()
        due = now - SECONDS_BETWEEN_SYNCS
        names = [one.name for one in report.unfinished if one.stopped and self.synced.get(one.name, due) <= due]
        if not names:
            return
        found = {one["metadata"]["name"]: one for one in self.client.argocd()["Application"]}
        for name in names:
            self.synced[name] = now
            progress(f"{name}: its sync failed; syncing again")
            requested = operation(found[name], self.categories, self.settings.delivery.environment)
            self.client.patch(name, {"operation": requested})

"""What `up` and `rehearse` do while they wait for applications: entries of the store are made, failed syncs repeated.

A cluster and a stack come in; `mend` is called by `ops.status.wait` with what it has just seen.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from config.model import Settings
from config.tree import CategoryFolder
from ops.argocd.applications import operation
from ops.argocd.client import Cluster
from ops.argocd.report import Report
from ops.store_entries import Filled, fill

AGAIN = 60.0


@dataclass
class Settling:
    """One wait and what was done in it."""

    cluster: Cluster
    settings: Settings
    categories: Sequence[CategoryFolder]
    filled: Filled = field(default_factory=Filled)
    synced: dict[str, float] = field(default_factory=dict)

    def mend(self, report: Report) -> None:
        """Make missing entries, and sync again what failed for good: Argo CD never retries such a commit."""
        before = len(self.filled.made), len(self.filled.none)
        fill(self.cluster, self.settings, self.filled)
        made, none = self.filled.made[before[0] :], self.filled.none[before[1] :]
        if made or none:
            _say(f"made entries of the secret store: {', '.join([*made, *(f'{name} (none)' for name in none)])}")
        now = time.monotonic()
        names = [
            one.name for one in report.unfinished if one.stopped and now - self.synced.get(one.name, -AGAIN) >= AGAIN
        ]
        if not names:
            return
        found = {one["metadata"]["name"]: one for one in self.cluster.argocd()["Application"]}
        for name in names:
            self.synced[name] = now
            _say(f"{name}: its sync failed; syncing again")
            wish = operation(found[name], self.categories, self.settings.delivery.environment)
            self.cluster.patch(name, {"operation": wish})


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

"""The evidence for a promotion: which version an environment runs, and since when it is Synced and Healthy there.

Objects of Argo CD come in, `AppEvidence` goes out. `ops.promotion.plan` requires it, and the commits record it.

Argo CD 3.6 sets `status.health.lastTransitionTime` only when the state of health changes, so that it stays while a
healthy app takes another version; `status.history` gets an entry for each complete sync. A version is Healthy since the
later of both times: that of the first sync of its content, repeated syncs of it left out, and that of the health.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from config.load import read_stacks
from config.tree import App
from errors import HomelabError
from manifests.objects import Object
from ops.argocd.applications import GOOD, Application, applications
from ops.argocd.client import ArgoCDClient
from ops.argocd.report import refuse_other_stack
from ops.rehearsal.client import client_of
from ops.rehearsal.pins import EDITED, user_commit

AsCommit = Callable[[str], str]


@dataclass(frozen=True)
class AppEvidence:
    """An app of an environment as its Argo CD reports it."""

    revision: str
    """The commit that it is compared with; empty where Argo CD has not compared it."""
    sync: str = "Unknown"
    health: str = "Unknown"
    is_syncing: bool = False
    is_edited: bool = False
    """Whether a rehearsal has files that differ from the commit."""
    detail: str = ""
    """The first error, or the first object that is not ready."""
    healthy_at: str = ""
    """When its health changed the last time."""
    syncs: tuple[tuple[str, str], ...] = ()
    """The revision and the end of each complete sync, the newest first."""

    @property
    def is_good(self) -> bool:
        """Report whether it is Synced and Healthy."""
        return (self.sync, self.health) == GOOD and not self.is_syncing

    @property
    def state(self) -> str:
        """Return its state in words."""
        return f"{self.sync} and {self.health}{', during a sync' if self.is_syncing else ''}"

    def since(self, is_same: Callable[[str], bool]) -> datetime | None:
        """Return since when it has run a content and was Healthy; None where Argo CD reports no time.

        Without a sync of this content, its objects are those of the last sync: only another commit has them too.
        """
        times = [self.healthy_at]
        if self.syncs:
            first = next((at for at, (revision, _) in enumerate(self.syncs) if not is_same(revision)), len(self.syncs))
            times.append(self.syncs[max(first - 1, 0)][1])
        found = [datetime.fromisoformat(one) for one in times if one]
        return max(found, default=None)


@dataclass(frozen=True)
class NodeEvidence:
    """A node of an environment as its API server reports it."""

    name: str
    is_ready: bool
    since: datetime | None
    talos: str
    """The image of its operating system, such as `Talos (v1.13.10)`."""
    kubernetes: str
    """The version of its kubelet, such as `v1.36.3`."""


class Evidence(Protocol):
    """What is known about the apps of an environment."""

    @property
    def origin(self) -> str:
        """Return where it comes from, such as `stack dev (rehearsal)`."""

    @property
    def problem(self) -> str:
        """Return the reason why there is none; empty where the environment answers."""

    def of(self, app: App) -> AppEvidence | None:
        """Return the evidence for an app; None for one that the environment does not have."""

    def nodes(self) -> tuple[NodeEvidence, ...]:
        """Return the nodes of the environment."""


@dataclass(frozen=True)
class NoEvidence:
    """An environment that cannot be reached."""

    problem: str
    origin: str = ""

    def of(self, app: App) -> AppEvidence | None:
        """Return no evidence."""
        return None

    def nodes(self) -> tuple[NodeEvidence, ...]:
        """Return no node."""
        return ()


@dataclass(frozen=True)
class ArgoCDEvidence:
    """The Applications of a stack's Argo CD."""

    origin: str
    found: Mapping[str, AppEvidence]
    client: ArgoCDClient
    problem: str = field(default="", init=False)

    def of(self, app: App) -> AppEvidence | None:
        """Return the evidence for an app."""
        return self.found.get(app.full_name)

    def nodes(self) -> tuple[NodeEvidence, ...]:
        """Return the nodes of the cluster."""
        listed = json.loads(self.client.kubectl("get", "nodes", "--output", "json"))["items"]
        return tuple(map(node_evidence, listed))


def evidence_of(client: ArgoCDClient, stack: str, as_commit: AsCommit = lambda revision: revision) -> Evidence:
    """Return the evidence that a cluster has; `as_commit` returns the commit of a rehearsed revision."""
    try:
        found = client.argocd()["Application"]
    except HomelabError as error:
        return NoEvidence(str(error), stack)
    origin = f"stack {stack}{' (rehearsal)' if client.is_rehearsed else ''}"
    return ArgoCDEvidence(origin, {one["metadata"]["name"]: app_evidence(one, as_commit) for one in found}, client)


def evidence_for(root: Path, environment: str) -> Evidence:
    """Return the evidence of an environment: of the rehearsal of its stack, else of the cluster of KUBECONFIG."""
    stacks = [one for one in read_stacks(root) if one.settings and one.settings.delivery.environment == environment]
    for stack in stacks:
        settings = stack.require()
        try:
            client = client_of(root, stack.name)
            refuse_other_stack(client, settings, stack.name)
        except HomelabError as error:
            return NoEvidence(str(error), f"stack {stack.name}")
        if client.is_rehearsed:
            return evidence_of(client, stack.name, partial(user_commit, root, stack.name))
        return evidence_of(client, stack.name)
    return NoEvidence(f"no stack file without problems has delivery.environment: {environment}")


def app_evidence(found: Object, as_commit: AsCommit = lambda revision: revision) -> AppEvidence:
    """Return the evidence in one Application."""
    (row,) = applications([found], {found["metadata"]["name"]})
    status = found.get("status") or {}
    revision = as_commit(row.revision) if row.revision else ""
    return AppEvidence(
        revision=revision.removesuffix(EDITED),
        is_edited=revision.endswith(EDITED),
        sync=row.sync,
        health=row.health,
        is_syncing=row.running,
        detail=_detail(row),
        healthy_at=(status.get("health") or {}).get("lastTransitionTime") or "",
        syncs=tuple(_syncs(status.get("history") or (), as_commit)),
    )


def node_evidence(found: Object) -> NodeEvidence:
    """Return the evidence in one node."""
    status = found.get("status") or {}
    about = status.get("nodeInfo") or {}
    conditions: Sequence[Object] = status.get("conditions") or ()
    ready: Object = next((one for one in conditions if one.get("type") == "Ready"), {})
    changed = ready.get("lastTransitionTime")
    return NodeEvidence(
        found["metadata"]["name"],
        ready.get("status") == "True",
        datetime.fromisoformat(changed) if changed else None,
        about.get("osImage", ""),
        about.get("kubeletVersion", ""),
    )


def _detail(row: Application) -> str:
    return (row.error or row.waiting_for)[:200]


def _syncs(history: Sequence[Object], as_commit: AsCommit) -> list[tuple[str, str]]:
    ended = [(one.get("revision") or "", one.get("deployedAt") or "") for one in reversed(history)]
    return [(as_commit(revision), at) for revision, at in ended if revision and at]

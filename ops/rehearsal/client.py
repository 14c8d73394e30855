"""The client of a rehearsed cluster, and the choice between a rehearsal and the cluster of KUBECONFIG.

A checkout and the name of a stack come in, a client goes out. `ops.status`, `ops.sync`, `ops.secrets`, `ops.preview`
and `ops.rehearse` use it; `ops.up` acts on real hosts alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from config.model import Settings
from lab.delivery import git_server, web_ui
from lab.layout import Lab
from lab.running import proxy, servers
from ops.argocd.client import ArgoCDClient, folders_at, kubectl_environment, pins_at, refuse_kubeconfig
from ops.terminal import count


@dataclass(frozen=True)
class RehearsedClient(ArgoCDClient):
    """The API server of a rehearsal, whose Argo CD reads Git from this machine."""

    lab: Lab = field(kw_only=True)

    @property
    def is_rehearsed(self) -> bool:
        """Return whether the cluster is that of a rehearsal."""
        return True

    def summary(self) -> list[str]:
        """Return lines about the processes of the rehearsal, its web UI, and requests that the proxy refused."""
        alive = servers.alive(self.lab)
        memory = sum(one.resident for one in alive) >> 20
        lines = [f"rehearsal: {count(len(alive), 'process', 'processes')}, {memory} MiB, hosts and pods simulated"]
        if address := web_ui.address(self.lab):
            lines.append(f"Argo CD's web UI: {address}, {web_ui.login(self.lab)}")
        return [*lines, *refusals(proxy.refused(self.lab))]

    def repository(self, settings: Settings) -> str:
        """Return the URL that Argo CD reads the checkout's repository from."""
        return git_server.served_as(settings.delivery.repository)

    def head(self, settings: Settings) -> str:
        """Return the commit of the stack's revision in the rehearsal's repository."""
        return git_server.head_of(self.lab, self.repository(settings), settings.delivery.revision)

    def holds(self, settings: Settings, commit: str, folders: Sequence[str]) -> set[str]:
        """Return the folders that the rehearsal's repository has at a commit."""
        bare = git_server.bare_repository(self.lab, self.repository(settings))
        return folders_at(commit, folders, ("--git-dir", bare), settings.delivery.path)

    def pins(self, settings: Settings, commit: str) -> dict[str, str] | None:
        """Return the pins that the rehearsal's repository has at a commit."""
        bare = git_server.bare_repository(self.lab, self.repository(settings))
        return pins_at(commit, ("--git-dir", bare), settings.delivery.path)


def refusals(refused: Sequence[str]) -> list[str]:
    """Return the line about requests that the proxy of a rehearsal refused; none without such a request."""
    return [f"requests to other hosts that were refused: {', '.join(refused)}"] if refused else []


def has_rehearsal(root: Path, stack: str) -> bool:
    """Report whether a stack has a rehearsed cluster that KUBECONFIG does not replace."""
    kubeconfig = Lab.of(root, stack).kubeconfig
    return kubeconfig.exists() and os.environ.get("KUBECONFIG", "") in ("", str(kubeconfig))


def client_of(root: Path, stack: str) -> ArgoCDClient:
    """Return the client of a stack's rehearsal where there is one, else that of the cluster of KUBECONFIG."""
    lab, kubeconfig = Lab.of(root, stack), os.environ.get("KUBECONFIG", "")
    environment = kubectl_environment()
    if kubeconfig in ("", str(lab.kubeconfig)) and lab.kubeconfig.exists():
        return RehearsedClient({**environment, "KUBECONFIG": str(lab.kubeconfig)}, lab=lab)
    refuse_kubeconfig(kubeconfig, stack)
    first = next(Path(name) for name in kubeconfig.split(os.pathsep) if name)
    if first.exists() and lab.kubeconfig.exists() and first.samefile(lab.kubeconfig):
        return RehearsedClient(environment, lab=lab)
    return ArgoCDClient(environment)

"""A folder of the apps tree, applied once: what comes before Git takes over.

One command for each folder and not a resource for each object: an object that is renamed in the folder later is Git's
matter and no change here, a preview needs no API, and the fields belong to Argo CD from the first moment. A raised
generation seeds anew; everything else about it never runs again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pulumi
from pulumi_command.local import Command

SCRIPT = Path(__file__).parent / "scripts" / "seed.sh"
NOTHING = ":"


@dataclass(frozen=True)
class Ground:
    """What every seed stands on."""

    kubeconfig: pulumi.Output[str]
    kubernetes_version: str
    generation: int
    gone_with: pulumi.Resource
    """The bootstrap: nothing is asked of a cluster that goes as a whole."""


@dataclass(frozen=True)
class Seed:
    """One folder, where it lives, and what has to be ready before the next."""

    folder: str
    namespace: str
    waits: tuple[str, ...] = ()

    def sow(self, name: str, ground: Ground, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> Command:
        """Apply it."""
        return Command(
            name,
            create=script(),
            update=NOTHING,
            environment={
                "FOLDER": self.folder,
                "NAMESPACE": self.namespace,
                "WAITS": " ".join(self.waits),
                "KUBERNETES": ground.kubernetes_version,
                "KUBECONFIG_TEXT": ground.kubeconfig,
            },
            opts=pulumi.ResourceOptions(
                parent=parent,
                depends_on=after,
                replacement_trigger=str(ground.generation),
                deleted_with=ground.gone_with,
                retain_on_delete=True,
            ),
        )


@cache
def script() -> str:
    """Give the script as text, so that the state holds no path of the machine that ran it."""
    return SCRIPT.read_text(encoding="utf-8")

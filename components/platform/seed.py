"""A folder of the apps tree, applied once: what comes before Git takes over.

One command for each folder and not a resource for each object: an object that is renamed in the folder later is Git's
matter and no change here, a preview needs no API, and the fields belong to Argo CD from the first moment. A raised
generation seeds anew; everything else about it never runs again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_command.local import Command

from components import shell

SCRIPTS = Path(__file__).parent / "scripts"
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
        said = {"FOLDER": self.folder, "NAMESPACE": self.namespace, "WAITS": " ".join(self.waits)}
        return once(name, "seed", said, ground, parent, after)


def once(
    name: str,
    script: str,
    environment: Mapping[str, str],
    ground: Ground,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> Command:
    """Run a script once, and anew under another generation."""
    return Command(
        name,
        create=text(script),
        update=NOTHING,
        environment={
            **environment,
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


def text(script: str) -> str:
    """Give a script with what the platform's scripts begin with."""
    return shell.script(SCRIPTS / "rendering.sh", SCRIPTS / f"{script}.sh")

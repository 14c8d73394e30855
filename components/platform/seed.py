"""A seed: a folder of the apps tree, applied once, before Git owns its objects.

One command per folder and not a resource per object: an object that is renamed in Git later changes no resource, a
preview needs no API, and Argo CD's field manager owns the fields from the start. A raised generation seeds again; no
other change does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_command.local import Command

from components import shell

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Ground:
    """The common inputs of all seeds."""

    kubeconfig: pulumi.Output[str]
    kubernetes_version: str
    generation: int
    gone_with: pulumi.Resource
    """The bootstrap: deleting it deletes the whole cluster, seeds included."""


@dataclass(frozen=True)
class Seed:
    """One folder, its namespace, and the objects that must be ready before the next seed."""

    folder: str
    namespace: str
    waits: tuple[str, ...] = ()

    def sow(self, name: str, ground: Ground, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> Command:
        """Make the command that applies the folder."""
        variables = {"FOLDER": self.folder, "NAMESPACE": self.namespace, "WAITS": " ".join(self.waits)}
        return once(name, "seed", variables, ground, parent, after)


def once(
    name: str,
    script: str,
    environment: Mapping[str, str],
    ground: Ground,
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> Command:
    """Make a command that runs a script once per generation."""
    return Command(
        name,
        create=text(script),
        update=shell.NOTHING,
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
    """Return a script with the common beginning of the platform's scripts."""
    return shell.script(SCRIPTS / "rendering.sh", SCRIPTS / f"{script}.sh")

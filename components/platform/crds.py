"""The CRD bundles, before any controller, so that each controller starts with the kinds that it watches.

Every app of the layer `crds` is seeded; `components.platform.cni` and all others come after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command.local import Command

from components.contract import Component
from components.platform.seed import Ground, Seed


@dataclass(frozen=True)
class CrdsArgs:
    """The folders by the names of their apps."""

    folders: Mapping[str, str]
    ground: Ground
    after: Sequence[pulumi.Resource]


class Crds(Component):
    """All CRD bundles."""

    seeds: Sequence[Command]

    def __init__(self, name: str, args: CrdsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Seed all of them in parallel."""
        super().__init__(name, opts)
        self.seeds = [
            Seed(folder, "default").sow(self.child(app), args.ground, self, args.after)
            for app, folder in args.folders.items()
        ]
        self.register_outputs({"folders": list(args.folders.values())})

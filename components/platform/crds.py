"""The CRD bundles, before any controller: whoever starts finds the kinds that it watches.

Every app of the layer `crds` is seeded, and of every app of the infrastructure the definitions alone: Argo CD reads the
whole API anew for each that comes later. `components.platform.cni` comes after the bundles, Argo CD after all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command.local import Command

from components.contract import Component
from components.platform.seed import Ground, Seed, once


@dataclass(frozen=True)
class CrdsArgs:
    """The bundles' folders by the names of their apps, and which categories bring definitions of their own."""

    folders: Mapping[str, str]
    infrastructure: Sequence[str]
    environment: str
    ground: Ground
    after: Sequence[pulumi.Resource]


class Crds(Component):
    """All CRD bundles."""

    seeds: Sequence[Command]
    all: Sequence[Command]

    def __init__(self, name: str, args: CrdsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Seed them side by side."""
        super().__init__(name, opts)
        self.seeds = [
            Seed(folder, "default").sow(self.child(app), args.ground, self, args.after)
            for app, folder in args.folders.items()
        ]
        said = {"CATEGORIES": " ".join(args.infrastructure), "ENVIRONMENT": args.environment}
        others = once(self.child("definitions"), "definitions", said, args.ground, self, args.after)
        self.all = [*self.seeds, others]
        self.register_outputs({"folders": list(args.folders.values())})

"""The CRDs of infrastructure apps, all applied before Argo CD starts.

Charts of operators contain their own CRDs. Argo CD reads the whole API again for each CRD that appears while it runs,
and an object whose CRD is late waits for the next retry. So the CRDs of those folders are applied first, and nothing
else of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command.local import Command

from components.contract import Component
from components.platform.seed import Ground, once


@dataclass(frozen=True)
class DefinitionsArgs:
    """The categories whose CRDs to apply, as an environment runs them, without the apps that are seeded."""

    categories: Sequence[str]
    seeded: Sequence[str]
    environment: str
    ground: Ground
    after: Sequence[pulumi.Resource]


class Definitions(Component):
    """Every CRD of infrastructure."""

    made: Command

    def __init__(self, name: str, args: DefinitionsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Apply them together."""
        super().__init__(name, opts)
        listed = {"CATEGORIES": " ".join(args.categories), "SEEDED": " ".join(args.seeded)}
        variables = {**listed, "ENVIRONMENT": args.environment}
        self.made = once(self.child("all"), "definitions", variables, args.ground, self, args.after)
        self.register_outputs({"categories": list(args.categories)})

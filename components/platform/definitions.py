"""The definitions that infrastructure brings along, all of them before Argo CD starts.

Charts of operators hold their own CRDs. Argo CD reads the whole API anew for each that appears while it runs, and an
object whose definition is late has to wait for the next try; so everything that is a definition is applied first, and
nothing else of those folders.
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
    """Whose definitions: categories, as an environment runs them, but for what is seeded with its own."""

    categories: Sequence[str]
    seeded: Sequence[str]
    environment: str
    ground: Ground
    after: Sequence[pulumi.Resource]


class Definitions(Component):
    """Every kind that infrastructure knows."""

    made: Command

    def __init__(self, name: str, args: DefinitionsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Apply them together."""
        super().__init__(name, opts)
        listed = {"CATEGORIES": " ".join(args.categories), "SEEDED": " ".join(args.seeded)}
        said = {**listed, "ENVIRONMENT": args.environment}
        self.made = once(self.child("all"), "definitions", said, args.ground, self, args.after)
        self.register_outputs({"categories": list(args.categories)})

"""The inputs of the configurations of all nodes, and the configuration of one node from them.

Pure: `stacks.nodes` makes the inputs from settings; `components.cluster.cluster` passes the patches to Talos, and
`ops.review.machines` compares those of two revisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.cluster.configuration_diff import merged, readable
from components.cluster.patches import Surroundings, patches
from config.derive import Machine


@dataclass(frozen=True)
class NodeConfigurations:
    """Everything that decides the configuration of a node, beside the node's own facts."""

    around: Surroundings
    installers: Mapping[str, str]
    own_patches: Mapping[str, str]
    talos_version: str
    kubernetes_version: str

    @property
    def versions(self) -> dict[str, str]:
        """Return the versions, which decide the parts that Talos generates."""
        return {"talos": self.talos_version, "kubernetes": self.kubernetes_version}

    def patches(self, node: Machine) -> list[str]:
        """Return the patches of a node, the operator's own last."""
        own = [self.own_patches[path] for path in node.patches]
        return patches(node, self.around, self.installers[node.name], own)

    def readable(self, node: Machine) -> str:
        """Return the configuration of a node in readable form, without credentials."""
        return readable(self.patches(node), self.versions)

    def documents(self, node: Machine) -> dict[str, Any]:
        """Return the same as values, credentials included: a changed credential has no other trace."""
        return merged(self.patches(node), self.versions)

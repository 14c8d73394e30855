"""Namespaces, made from the tree before anything else, with the Pod Security level of their category.

`stacks.homelab` makes them first. Deleting the stack retains them, because Pulumi does not own their content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Namespace

from components.contract import Component
from components.platform.namespace_manifest import namespace_manifest


@dataclass(frozen=True)
class NamespacesArgs:
    """Namespaces by name, with their category and level."""

    namespaces: Mapping[str, tuple[str, str]]
    gone_with: pulumi.Resource


class Namespaces(Component):
    """Every namespace of the tree."""

    made: Mapping[str, Namespace]

    def __init__(self, name: str, args: NamespacesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make all namespaces."""
        super().__init__(name, opts)
        self.made = {
            namespace: Namespace(
                self.child(namespace),
                metadata=namespace_manifest(namespace, category, level)["metadata"],
                opts=self.options(retain_on_delete=True, deleted_with=args.gone_with),
            )
            for namespace, (category, level) in args.namespaces.items()
        }
        self.register_outputs({"namespaces": list(self.made)})

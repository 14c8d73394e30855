"""What every component is: a type token, a name, arguments of its own, children named from its name, outputs.

`components.machines`, `components.cluster` and the others derive from `Component`; a test goes over all of them by
reflection. A child's logical name is its identity: renaming one replaces a resource, so names are made here.
"""

from __future__ import annotations

from typing import Any

import pulumi


class Component(pulumi.ComponentResource):
    """A component with its type token `homelab:<room>:<Class>`."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the component under its token."""
        room = type(self).__module__.split(".")[1]
        self.name = name
        super().__init__(f"homelab:{room}:{type(self).__name__}", name, None, opts)

    def child(self, *parts: str) -> str:
        """Name a child: the component's name, then what tells it from its siblings."""
        return "-".join((self.name, *parts))

    def options(self, **options: Any) -> pulumi.ResourceOptions:
        """Make the options of a child."""
        return pulumi.ResourceOptions(parent=self, **options)

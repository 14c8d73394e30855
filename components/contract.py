"""The base of every component: a type token, a name, its own arguments, children named from its name, outputs.

`components.machines`, `components.cluster` and the others derive from `Component`; a test checks all of them by
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
        """Return the name of a child: the component's name and a suffix that is unique among its siblings."""
        return "-".join((self.name, *parts))

    def options(self, **options: Any) -> pulumi.ResourceOptions:
        """Return the options of a child."""
        return pulumi.ResourceOptions(parent=self, **options)

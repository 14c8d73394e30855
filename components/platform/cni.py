"""The CNI, without which no node becomes Ready.

Cilium is seeded from its folder where Talos installs no network; `components.platform.certificates` and the others come
after it and find nodes to run on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command.local import Command

from components.contract import Component
from components.platform.seed import Ground, Seed

NAMESPACE = "kube-system"


@dataclass(frozen=True)
class CniArgs:
    """Cilium's folder, or nothing where Talos installs the network."""

    folder: str | None
    ground: Ground
    after: Sequence[pulumi.Resource]


class Cni(Component):
    """The pod network."""

    ready: Sequence[pulumi.Resource]
    seed: Command | None = None

    def __init__(self, name: str, args: CniArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Seed it and wait for every node."""
        super().__init__(name, opts)
        self.ready = list(args.after)
        if args.folder:
            waits = (
                f"{NAMESPACE}/daemonset/cilium",
                f"{NAMESPACE}/deployment/cilium-operator",
                f"{NAMESPACE}/nodes/all",
            )
            self.seed = Seed(args.folder, NAMESPACE, waits).sow(self.child("cilium"), args.ground, self, args.after)
            self.ready = [self.seed]
        self.register_outputs({"folder": args.folder})

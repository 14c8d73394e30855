"""What talosctl does for us where the provider has no resource: the scripts and their environments.

Pure: facts come in, the arguments of `pulumi_command.local.Command` go out. `components.cluster.cluster` decides when
they run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components import shell
from config.derive import Machine

SCRIPTS = Path(__file__).parent / "scripts"
REMEMBER_GENERATION = 'echo "generation $GENERATION"'
NOTHING = ":"  # what a command does that has its moment later


def script(name: str) -> str:
    """Give a script with what every script begins with."""
    return shell.script(SCRIPTS / "talos.sh", SCRIPTS / f"{name}.sh")


def whole(cluster: str, endpoint: str, machines: Iterable[Machine]) -> dict[str, str]:
    """Say which cluster a script talks to."""
    planes = (machine for machine in machines if machine.role == "control-plane")
    return {"CLUSTER": cluster, "ENDPOINT": endpoint, "CONTROL_PLANES": pairs(planes)}


def single(machine: Machine) -> dict[str, str]:
    """Say which node a script is about."""
    return {"NODE_NAME": machine.name, "NODE": str(machine.address), "ROLE": machine.role}


def draining(
    machine: Machine, machines: Iterable[Machine], seconds: int, workloads_on_control_planes: bool
) -> dict[str, str]:
    """Return how long a drain of a node may take, and whether any other node can run its pods."""
    others = (other for other in machines if other.name != machine.name)
    able = any(other.role == "worker" or workloads_on_control_planes for other in others)
    return {"DRAIN_SECONDS": str(seconds), "OTHERS_TAKE_PODS": "yes" if able else "no"}


def in_order_of_upgrade(machines: Iterable[Machine]) -> list[Machine]:
    """Workers first: when one fails, the control plane has not moved."""
    return sorted(machines, key=lambda machine: machine.role == "control-plane")


def pairs(machines: Iterable[Machine]) -> str:
    """Write nodes as the scripts read them."""
    return " ".join(f"{machine.name}={machine.address}" for machine in machines)

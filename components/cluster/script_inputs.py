"""The inputs of the scripts that call talosctl where the provider has no resource: their text and their environments.

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


def script(name: str) -> str:
    """Return a script with the common beginning."""
    return shell.script(SCRIPTS / "talos.sh", SCRIPTS / f"{name}.sh")


def whole(cluster: str, endpoint: str, machines: Iterable[Machine]) -> dict[str, str]:
    """Return the variables that identify the cluster."""
    planes = (machine for machine in machines if machine.role == "control-plane")
    return {"CLUSTER": cluster, "ENDPOINT": endpoint, "CONTROL_PLANES": pairs(planes)}


def single(machine: Machine) -> dict[str, str]:
    """Return the variables that identify a node."""
    return {"NODE_NAME": machine.name, "NODE": str(machine.address), "ROLE": machine.role}


def draining(
    machine: Machine, machines: Iterable[Machine], seconds: int, workloads_on_control_planes: bool
) -> dict[str, str]:
    """Return the limit of a node's drain, and whether any other node can run its pods."""
    others = (other for other in machines if other.name != machine.name)
    able = any(other.role == "worker" or workloads_on_control_planes for other in others)
    return {"DRAIN_SECONDS": str(seconds), "OTHERS_TAKE_PODS": "yes" if able else "no"}


def in_order_of_upgrade(machines: Iterable[Machine]) -> list[Machine]:
    """Return workers first: when one fails, the control plane is unchanged."""
    return sorted(machines, key=lambda machine: machine.role == "control-plane")


def pairs(machines: Iterable[Machine]) -> str:
    """Return nodes in the format of the scripts."""
    return " ".join(f"{machine.name}={machine.address}" for machine in machines)

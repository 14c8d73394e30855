"""What a Talos node does when it is asked: take a configuration, bootstrap, upgrade, leave.

The `talos` stand-in and the lab's `talosctl` come in here; `lab.rack` keeps the outcome, `lab.control_plane` is started
by the bootstrap, `lab.kubelets` shows the nodes to Kubernetes. Configurations are validated by the real talosctl.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml

import programs
from errors import HardwareRefused, ProgramFailed
from lab import processes
from lab.places import Lab
from lab.rack import Node, Rack

REGISTRATION = "kubelets"  # nobody registers while somebody takes the control plane away
NEEDS_REBOOT = ("install.disk", "kernel", "systemDiskEncryption", "sysfs", "type")


def real_talosctl(*arguments: str | Path) -> str:
    """Ask the real talosctl: generating, validating and patching need no node."""
    return programs.run("talosctl-real", *arguments, timeout=60).stdout


def validate(configuration: str) -> None:
    """Refuse what a node would refuse."""
    with NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(configuration)
        file.flush()
        try:
            real_talosctl("validate", "--mode", "cloud", "--config", file.name)
        except ProgramFailed as failure:
            said = " ".join(failure.output.split())
            refused = f"rpc error: code = InvalidArgument desc = configuration is invalid: {said}"
            raise HardwareRefused(refused) from None


def documents(configuration: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Take a configuration apart: the machine's document, and the others by their kind."""
    machine: dict[str, Any] = {}
    others: dict[str, dict[str, Any]] = {}
    for document in yaml.load_all(configuration, Loader=yaml.CSafeLoader):
        if document and "kind" in document:
            others[document["kind"]] = document
        elif document:
            machine = document
    return machine, others


def apply(lab: Lab, rack: Rack, address: str, configuration: str, mode: str) -> str:
    """Give a node its configuration, and say in which mode it took it."""
    validate(configuration)
    node = rack.node_at(address)
    machine, others = documents(configuration)
    name = others.get("HostnameConfig", {}).get("hostname") or machine["machine"].get("network", {}).get("hostname")
    resolved = _resolved(node, machine, mode)
    with rack.change():
        if resolved == "staged":
            rack.set_node(node.vm.vm_id, staged=configuration)
        else:
            rack.set_node(
                node.vm.vm_id,
                hostname=name,
                role="control-plane" if machine["machine"]["type"] == "controlplane" else "worker",
                kubernetes=machine["machine"]["kubelet"]["image"].rpartition(":v")[2],
                configuration=configuration,
                staged="",
            )
        rack.note("configure", name, resolved)
        if rack.members() and machine["machine"]["type"] == "controlplane" and name not in rack.members():
            rack.add_member(name, address)
    register(lab, rack)
    return resolved


def _resolved(node: Node, machine: Mapping[str, Any], mode: str) -> str:
    if mode != "staged_if_needing_reboot" or not node.configuration:
        return "auto" if mode == "staged_if_needing_reboot" else mode
    before = documents(node.configuration)[0]
    changed = any(_at(before["machine"], key) != _at(machine["machine"], key) for key in NEEDS_REBOOT)
    return "staged" if changed else "auto"


def _at(value: Any, key: str) -> Any:
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def bootstrap(lab: Lab, rack: Rack, address: str) -> None:
    """Begin etcd on a node, and with it the control plane."""
    node = rack.node_at(address)
    if node.role != "control-plane":
        raise HardwareRefused(
            "rpc error: code = FailedPrecondition desc = bootstrap can only be performed on a configured "
            f"control plane node, and {node.name or address} is: {node.role}"
        )
    if rack.members():
        raise HardwareRefused(
            f"rpc error: code = AlreadyExists desc = etcd data directory is not empty ({node.name} at {address}): "
            "the cluster is bootstrapped already"
        )
    rack.note("bootstrap", node.name)
    from lab import control_plane  # noqa: PLC0415 - as in `register`

    control_plane.start(lab, documents(node.configuration)[0])
    with rack.change():
        for plane in rack.nodes():
            if plane.role == "control-plane":
                rack.add_member(plane.name, plane.vm.address)
    register(lab, rack)


def upgrade(lab: Lab, rack: Rack, address: str, image: str) -> None:
    """Bring a node to the Talos of an installer image; what was staged takes effect with the reboot."""
    node = rack.node_at(address)
    schematic, version = image.rsplit("/", 1)[1].split(":v")
    with rack.change():
        rack.note("upgrade talos", node.name, f"{node.talos} -> {version}")
        rack.set_node(node.vm.vm_id, talos=version, schematic=schematic)
    reboot(lab, rack, node)


def reboot(lab: Lab, rack: Rack, node: Node) -> None:
    """Let a node come up again."""
    rack.note("reboot", node.name)
    if node.staged:
        rack.set_node(node.vm.vm_id, configuration=node.staged, staged="")
    register(lab, rack)


def upgrade_kubernetes(lab: Lab, rack: Rack, version: str, *, dry_run: bool) -> list[str]:
    """Bring every node to a Kubernetes version, control planes first, and say what was done."""
    if dry_run:
        rack.note("upgrade kubernetes", "all", f"dry run {version}")
        return [f"> dry run: would update {node.name} to v{version}" for node in rack.nodes()]
    said = []
    for node in sorted(rack.nodes(), key=lambda node: node.role != "control-plane"):
        with rack.change():
            rack.note("upgrade kubernetes", node.name, f"{node.kubernetes} -> {version}")
            configuration = node.configuration.replace(f":v{node.kubernetes}", f":v{version}")
            rack.set_node(node.vm.vm_id, kubernetes=version, configuration=configuration)
        said.append(f"> {node.name}: updated kubelet to v{version}")
    register(lab, rack)
    return said


def reset(lab: Lab, rack: Rack, address: str) -> None:
    """Wipe a node: it leaves etcd and halts."""
    node = rack.node_at(address)
    with rack.change():
        rack.note("reset", node.name)
        if node.name in rack.members():
            rack.remove_member(node.name)
        rack.forget_node(node.vm.vm_id)
    settle(lab, rack)


def register(lab: Lab, rack: Rack) -> None:
    """Show the nodes to Kubernetes, where there is one to show them to."""
    with processes.lock(lab, REGISTRATION):
        if lab.kubeconfig.exists() and rack.members():
            # A plugin that only makes a preview does without what talks to an API server.
            from lab import kubelets  # noqa: PLC0415

            kubelets.register(lab, rack)


def settle(lab: Lab, rack: Rack) -> None:
    """Stop the control plane when nobody is left to run it, and take Nodes away whose machine is gone."""
    with processes.lock(lab, REGISTRATION):
        alive = {node.name for node in rack.nodes()} & set(rack.members())
        if not alive and rack.members():
            from lab import control_plane  # noqa: PLC0415 - as in `register`

            control_plane.erase(lab)
            with rack.change():
                for member in rack.members():
                    rack.remove_member(member)
                rack.note("control plane gone", "all")
    register(lab, rack)

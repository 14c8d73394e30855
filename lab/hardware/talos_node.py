"""Requests to a Talos node: apply a configuration, bootstrap, upgrade, leave.

The `talos` stand-in and the lab's `talosctl` call these functions; `lab.hardware.rack` stores the outcome,
`lab.hardware.etcd` the membership. The bootstrap starts `lab.control_plane.kubernetes`, and `lab.hardware.kubelets`
registers the nodes with Kubernetes. The real talosctl validates configurations. A node needs time: the effect of a
request is scheduled, and `advance` makes it happen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml

import programs
from errors import HardwareRefused, ProgramFailed
from lab.hardware import etcd
from lab.hardware.rack import Rack, TalosNode
from lab.layout import Lab
from lab.running.locks import lock

REGISTRATION = "kubelets"  # no registration while the control plane is erased
CRI_SECONDS = 2.0  # from the configuration until CRI is up; a node answers `version` long before
JOIN_SECONDS = 1.0  # from then until it looks for the etcd of the others
API_SECONDS = 2.0  # until the kubelet sees a changed static pod and the API server is back
CRI, INSTALLED, API = "cri", "installed", "api server is back"
CONFIG_VERSION = "talos.dev/config-version"  # the annotation of a static pod
NEVER = float("inf")
NEEDS_REBOOT = ("install.disk", "kernel", "systemDiskEncryption", "sysfs", "type")


def real_talosctl(*arguments: str | Path) -> str:
    """Run the real talosctl: generating, validating and patching need no node."""
    return programs.run("talosctl-real", *arguments, timeout=60).stdout


def validate(configuration: str) -> None:
    """Refuse a configuration that a node would refuse."""
    with NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(configuration)
        file.flush()
        try:
            real_talosctl("validate", "--mode", "cloud", "--config", file.name)
        except ProgramFailed as failure:
            output = " ".join(failure.output.split())
            refused = f"rpc error: code = InvalidArgument desc = configuration is invalid: {output}"
            raise HardwareRefused(refused) from None


def documents(configuration: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Split a configuration: the document of the machine, and the others by their kind."""
    machine: dict[str, Any] = {}
    others: dict[str, dict[str, Any]] = {}
    for document in yaml.load_all(configuration, Loader=yaml.CSafeLoader):
        if document and "kind" in document:
            others[document["kind"]] = document
        elif document:
            machine = document
    return machine, others


def advance(lab: Lab, rack: Rack) -> None:
    """Apply the scheduled effects that are due."""
    due = rack.due()
    for moment in due:
        with rack.change():
            node = next((node for node in rack.nodes() if node.vm.vm_id == moment.vm_id), None)
            if node and rack.take(moment):
                if moment.event == etcd.JOIN:
                    etcd.join(rack, node)
                elif moment.event in (etcd.PROMOTE, API):
                    rack.note(moment.event, node.name)
    if any(moment.event == API for moment in due):
        register(lab, rack)


def apply(lab: Lab, rack: Rack, address: str, configuration: str, mode: str) -> str:
    """Apply a configuration to a node, and return the mode in which the node accepted it."""
    validate(configuration)
    node = rack.node_at(address)
    machine, others = documents(configuration)
    name = others.get("HostnameConfig", {}).get("hostname") or machine["machine"].get("network", {}).get("hostname")
    resolved = _resolved(node, machine, mode)
    is_plane, is_fresh = machine["machine"]["type"] == "controlplane", not node.configuration
    with rack.change():
        if resolved == "staged":
            rack.set_node(node.vm.vm_id, staged=configuration)
        else:
            rack.set_node(
                node.vm.vm_id,
                hostname=name,
                role="control-plane" if is_plane else "worker",
                kubernetes=machine["machine"]["kubelet"]["image"].rpartition(":v")[2],
                configuration=configuration,
                staged="",
            )
        rack.note("configure", name, resolved)
        if is_plane and not is_fresh and resolved != "staged":
            _restart_api(rack, node, configuration)
        if is_fresh:
            rack.schedule(node.vm.vm_id, CRI, CRI_SECONDS)
        if is_fresh and is_plane:
            rack.schedule(node.vm.vm_id, etcd.JOIN, CRI_SECONDS + JOIN_SECONDS)
    register(lab, rack)
    return resolved


def _restart_api(rack: Rack, node: TalosNode, configuration: str) -> None:
    """Restart the API server of a control plane, and record an outage if no other one is up."""
    if api_version(node.configuration) == api_version(configuration):
        return
    rack.schedule(node.vm.vm_id, API, API_SECONDS, api_version(node.configuration))
    planes = [plane for plane in rack.nodes() if etcd.runs(rack, plane)]
    if len(planes) > 1 and all(plane.vm.vm_id in rack.scheduled(API) for plane in planes):
        rack.note("api outage", "all", "every API server restarts at the same time")


def api_version(configuration: str) -> str:
    """Return a version of the API server's settings: it changes with the configuration of the API server."""
    machine, _ = documents(configuration)
    parts = [
        machine["cluster"].get("apiServer"),
        machine["cluster"].get("controlPlane"),
        machine["machine"].get("certSANs"),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def _resolved(node: TalosNode, machine: Mapping[str, Any], mode: str) -> str:
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
    """Start etcd on a node, and with it the control plane."""
    node = rack.node_at(address)
    if node.vm.vm_id in rack.scheduled(CRI):
        raise HardwareRefused("rpc error: code = FailedPrecondition desc = bootstrap is not available yet")
    if node.role != "control-plane":
        refused = "rpc error: code = Unimplemented desc = bootstrap is only available on control plane nodes"
        raise HardwareRefused(f"{refused} ({node.name or address} is a {node.role})")
    if etcd.runs(rack, node):
        raise HardwareRefused(
            f"rpc error: code = AlreadyExists desc = etcd data directory is not empty ({node.name} at {address}): "
            "the cluster is bootstrapped already"
        )
    if rack.members():
        raise HardwareRefused(
            f"{node.name} would begin a second etcd beside that of {', '.join(rack.members())}: a real node does so "
            "and reports nothing, so the rehearsal fails here"
        )
    rack.note("bootstrap", node.name)
    from lab.control_plane import kubernetes  # noqa: PLC0415 - as in `register`

    kubernetes.start(lab, documents(node.configuration)[0])
    with rack.change():
        for moment in rack.scheduled(etcd.JOIN).values():
            if moment.vm_id == node.vm.vm_id:
                rack.take(moment)
        etcd.begin(rack, node)
        for plane in rack.nodes():
            if plane.role == "control-plane" and plane.name not in rack.members():
                rack.schedule(plane.vm.vm_id, etcd.JOIN, JOIN_SECONDS)
    register(lab, rack)


def upgrade(lab: Lab, rack: Rack, address: str, image: str, drain: str = "") -> None:
    """Upgrade a node to the Talos of an installer image, as talosctl 1.13 does: install, drain, reboot, uncordon.

    If the drain exceeds its timeout, the new version is installed, no node reboots, and the node stays cordoned.
    """
    node = rack.node_at(address)
    with rack.change():
        rack.note("upgrade talos", node.name, f"{node.talos} -> {image.rpartition(':v')[2]}")
        rack.schedule(node.vm.vm_id, INSTALLED, NEVER, image)
    if drain:
        _drain(lab, node, drain)
    reboot(lab, rack, node)
    if drain:
        programs.run("kubectl", "--kubeconfig", lab.kubeconfig, "uncordon", node.name, timeout=60)


def _drain(lab: Lab, node: TalosNode, timeout: str) -> None:
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", f"--timeout={timeout}")
    try:
        programs.run("kubectl", "--kubeconfig", lab.kubeconfig, "drain", node.name, *options, timeout=3600)
    except ProgramFailed as failure:
        output = failure.output.strip().rpartition("\n")[2]
        raise HardwareRefused(f'error draining node "{node.name}": {output}') from None


def reboot(lab: Lab, rack: Rack, node: TalosNode) -> None:
    """Restart a node with the installed version and the staged configuration."""
    with rack.change():
        rack.note("reboot", node.name)
        installed = rack.scheduled(INSTALLED).get(node.vm.vm_id)
        if installed and rack.take(installed):
            schematic, version = installed.detail.rsplit("/", 1)[1].split(":v")
            rack.set_node(node.vm.vm_id, talos=version, schematic=schematic)
        if node.staged:
            rack.set_node(node.vm.vm_id, configuration=node.staged, staged="")
    register(lab, rack)


def upgrade_kubernetes(lab: Lab, rack: Rack, current: str, version: str, *, dry_run: bool) -> list[str]:
    """Upgrade Kubernetes on every node, control planes first, and report each step."""
    _upgradable(rack, current, version)
    if dry_run:
        rack.note("upgrade kubernetes", "all", f"dry run {version}")
        return [f"> dry run: would update {node.name} to v{version}" for node in rack.nodes()]
    output = []
    for node in sorted(rack.nodes(), key=lambda node: node.role != "control-plane"):
        with rack.change():
            rack.note("upgrade kubernetes", node.name, f"{node.kubernetes} -> {version}")
            configuration = node.configuration.replace(f":v{node.kubernetes}", f":v{version}")
            rack.set_node(node.vm.vm_id, kubernetes=version, configuration=configuration)
        output.append(f"> {node.name}: updated kubelet to v{version}")
    register(lab, rack)
    return output


def _upgradable(rack: Rack, current: str, version: str) -> None:
    """Refuse the versions of Kubernetes and Talos that the pinned talosctl does not support."""
    from config.compatibility import compatible, is_newer  # noqa: PLC0415 - every other call does without
    from config.values import Version  # noqa: PLC0415

    known, talos = compatible()["talosctl"], compatible()["talos"]
    before, after = Version.parse(current), Version.parse(version)
    if is_newer(after, known["kubernetes"]):
        path = f'{before.line}->{after.line} (from "{current}" to "{version}")'
        raise HardwareRefused(f"unsupported upgrade path {path}")
    for node in rack.nodes():
        runs = Version.parse(node.talos)
        address = node.vm.address
        if runs.line not in talos or is_newer(runs, known["talos"]):
            raise HardwareRefused(f'node "{address}": compatibility with version {node.talos} is not supported')
        if after.line not in talos[runs.line]:
            age = "new" if is_newer(after, talos[runs.line][-1]) else "old"
            refused = f"version of Kubernetes {version} is too {age} to be used with Talos {node.talos}"
            raise HardwareRefused(f'node "{address}": {refused}')


def register(lab: Lab, rack: Rack) -> None:
    """Register the nodes with Kubernetes, if it runs."""
    with lock(lab, REGISTRATION):
        if lab.kubeconfig.exists() and rack.members():
            # A plugin that only makes a preview does not load the client of an API server.
            from lab.hardware import kubelets  # noqa: PLC0415

            kubelets.register(lab, rack)


def reconcile(lab: Lab, rack: Rack) -> None:
    """Erase the control plane when no node runs it any more, and delete Nodes without a VM."""
    with lock(lab, REGISTRATION):
        if rack.members() and not any(etcd.runs(rack, node) for node in rack.nodes()):
            from lab.control_plane import kubernetes  # noqa: PLC0415 - as in `register`

            kubernetes.erase(lab)
            with rack.change():
                for member in rack.members():
                    rack.remove_member(member)
                rack.note("control plane gone", "all")
    register(lab, rack)

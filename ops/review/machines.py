"""The machine configurations of both sides of a change, as readable differences, with the cost of each.

Settings and folders of both revisions come in, a `NodeConfiguration` for each node that changes goes out. The cost is
that of Talos' own rules: its `CanApplyImmediate` (1.13) lists the parts of a configuration that it applies without a
reboot, and later versions name no other part. No engine runs and no credential is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from components.cluster.configuration_diff import difference, merged, readable
from components.machines.hardware import disks, vm_arguments
from components.machines.images import image_of
from config import derive
from config.derive import Machine
from config.model import Settings
from errors import Declined
from ops.review.report import Cost, NodeConfiguration
from stacks.nodes import node_configurations, site

COSTS: tuple[Cost, ...] = ("nothing", "service restart", "reboot", "replacement")
V1ALPHA1 = "machine configuration"
KUBELET, STATIC = "the kubelet restarts", "static pods of the control plane restart"
AT_ONCE = "Talos applies {} without a reboot"
AT_REBOOT = "{} takes effect at the next reboot of the node"

# The longest prefix of a changed path decides. What Talos does not list takes effect at the next reboot.
CONFIGURATION: Mapping[str, tuple[Cost, str]] = {
    "debug": ("nothing", AT_ONCE),
    "cluster": ("nothing", AT_ONCE),
    "cluster.apiServer": ("service restart", STATIC),
    "cluster.controllerManager": ("service restart", STATIC),
    "cluster.scheduler": ("service restart", STATIC),
    "cluster.network": ("service restart", f"{KUBELET}, and {STATIC}"),
    "cluster.network.cni": ("nothing", "Talos applies other manifests to the cluster"),
    "cluster.secretboxEncryptionSecret": ("service restart", STATIC),
    "cluster.aescbcEncryptionSecret": ("service restart", STATIC),
    "cluster.serviceAccount": ("service restart", STATIC),
    "cluster.aggregatorCA": ("service restart", STATIC),
    "cluster.ca": ("service restart", f"{KUBELET}, and {STATIC}"),
    "cluster.acceptedCAs": ("service restart", f"{KUBELET}, and {STATIC}"),
    "cluster.controlPlane": ("service restart", f"{KUBELET}, and {STATIC}"),
    "cluster.etcd": ("reboot", "etcd reads {} when it starts: at the next reboot of the node"),
    "machine": ("reboot", AT_REBOOT),
    **dict.fromkeys(
        [
            f"machine.{name}"
            for name in (
                *("ca", "acceptedCAs", "time", "certSANs", "network", "sysfs", "sysctls", "logging", "controlPlane"),
                *("kernel", "registries", "pods", "seccompProfiles", "nodeAnnotations", "nodeLabels", "nodeTaints"),
                *(f"features.{name}" for name in ("kubernetesTalosAPIAccess", "kubePrism", "hostDNS", "imageCache")),
                "features.nodeAddressSortAlgorithm",
            )
        ],
        ("nothing", AT_ONCE),
    ),
    "machine.network": ("nothing", "Talos applies {} at once; connections through a changed interface break"),
    "machine.kubelet": ("service restart", KUBELET),
    "machine.install": ("nothing", "{} takes effect at the next upgrade of Talos"),
    "machine.registries.config": ("reboot", "containerd reads credentials when it starts: at the next reboot"),
}
OTHER_DOCUMENTS: Mapping[str, tuple[Cost, str]] = {
    "ExtensionServiceConfig": ("service restart", "the service of the extension restarts"),
    "EnvironmentConfig": ("reboot", AT_REBOOT),
}
VM: Mapping[str, tuple[Cost, str]] = {
    "vm_id": ("replacement", "the VM is deleted and made again: {} changes"),
    "efi_disk.type": ("replacement", "the VM is deleted and made again: {} changes"),
    "tpm_state": ("replacement", "the VM is deleted and made again: {} changes"),
    **dict.fromkeys(
        ("cpu", "memory", "machine", "bios", "efi_disk", "scsi_hardware", "agent", "serial_devices", "hostpcis"),
        ("reboot", "{} of the VM takes effect when the VM is stopped and started"),
    ),
    "boot_orders": ("reboot", "{} of the VM takes effect when the VM is stopped and started"),
    "node_name": ("nothing", "the VM migrates to another host"),
    "disks": ("nothing", "Proxmox changes the disks of the running VM; Talos grows its partitions at the next reboot"),
}
VM_AT_ONCE: tuple[Cost, str] = ("nothing", "Proxmox changes {} of the running VM")


class Reason(NamedTuple):
    """One consequence of a change."""

    cost: Cost
    why: str


@dataclass(frozen=True)
class _Node:
    """A node on one side of the change."""

    machine: Machine
    readable: str
    documents: Mapping[str, Any]
    vm: Mapping[str, Any]
    around: Mapping[str, Any]


def configurations(
    stack_name: str, before: Settings | None, after: Settings | None, root_before: Path, root_after: Path
) -> tuple[NodeConfiguration, ...]:
    """Return every node whose machine configuration or VM changes; a side without the stack has no nodes.

    Raise `Declined` for the operator's own patch that cannot be read.
    """
    old, new = _nodes(before, root_before), _nodes(after, root_after)
    changes = (_change(stack_name, name, old.get(name), new.get(name)) for name in dict.fromkeys((*old, *new)))
    return tuple(change for change in changes if change)


def _change(stack: str, name: str, old: _Node | None, new: _Node | None) -> NodeConfiguration | None:
    lines = difference(old.readable if old else "", new.readable if new else "").splitlines()
    if old and new:
        changed = [*_paths(old.documents, new.documents)]
        lines += _covered_changes(old.readable, new.readable, changed)
        reasons = [*_reasons(changed), *_reasons_of_vm(old, new), *_reasons_around(old, new)]
    elif old:
        reasons = [Reason("replacement", "the node leaves the cluster, and its VM is deleted with its disks")]
    else:
        reasons = [Reason("nothing", "the node is new: its VM is made and joins the cluster")]
    return _configuration(stack, name, reasons, lines) if reasons else None


def drifted(stack: str, node: str, running: str, applied: str) -> NodeConfiguration | None:
    """Return the difference of a node's whole configuration from the applied one, and the cost to apply that again."""
    texts = readable([running], {}), readable([applied], {})
    changed = [*_paths(merged([running], {}), merged([applied], {}))]
    lines = [*difference(*texts).splitlines(), *_covered_changes(*texts, changed)]
    return _configuration(stack, node, [*_reasons(changed)], lines) if changed else None


def _configuration(stack: str, node: str, reasons: Iterable[Reason], lines: Iterable[str]) -> NodeConfiguration:
    """Return the part of the report; the highest cost comes first."""
    ordered = sorted(dict.fromkeys(reasons), key=lambda reason: -COSTS.index(reason.cost))
    why = "; ".join(dict.fromkeys(reason.why for reason in ordered))
    return NodeConfiguration(stack=stack, node=node, cost=ordered[0].cost, why=why, difference=tuple(lines))


def _covered_changes(old: str, new: str, changed: Iterable[tuple[str, ...]]) -> list[str]:
    """Return a line for each changed credential: the readable texts are equal there."""
    shown = set(_paths(yaml.safe_load(old), yaml.safe_load(new)))
    return [f" {'.'.join(path)}: (covered), changed" for path in changed if path not in shown]


def _nodes(settings: Settings | None, root: Path) -> dict[str, _Node]:
    if settings is None:
        return {}
    machines = derive.machines(settings)
    _refuse_unreadable(root, derive.patch_files(settings))
    desired, place = node_configurations(settings, root), site(settings)
    storages = {host.name: host.disks for host in settings.proxmox.hosts}
    around = {
        "endpoint": derive.endpoint(settings),
        "cluster": settings.cluster.name,
        "contract": settings.cluster.talos_contract,
        "generation": settings.cluster.generation,
    }
    found = {}
    for machine in machines:
        storage = storages.get(machine.host, "")
        vm = {**vm_arguments(machine, place, storage), "disks": disks(machine, storage, "image")}
        found[machine.name] = _Node(machine, desired.readable(machine), desired.documents(machine), vm, around)
    return found


def _refuse_unreadable(root: Path, files: Iterable[str]) -> None:
    """Refuse patches that are missing, no YAML, or links out of the checkout: the text may be a stranger's."""
    for name in sorted(files):
        file = root / name
        if not file.resolve().is_relative_to(root.resolve()):
            raise Declined(f"{name}: is a link out of the checkout; a patch must be a file of it")
        try:
            readable([file.read_text(encoding="utf-8")], {})
        except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
            raise Declined(f"{name}: cannot be read as a patch of machine configurations: {reason}") from None


def _paths(old: Any, new: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each changed value; a list is one value, and each value of an added or removed map."""
    if old == new:
        return
    maps = [one for one in (old, new) if isinstance(one, Mapping)]
    others = [one for one in (old, new) if not isinstance(one, Mapping) and one is not None]
    if any(maps) and not others:
        for name in dict.fromkeys(name for one in maps for name in one):
            yield from _paths((old or {}).get(name), (new or {}).get(name), (*path, str(name)))
    else:
        yield path


def _reasons(changed: Iterable[tuple[str, ...]]) -> Iterator[Reason]:
    for document, *rest in changed:
        if document == "versions":
            yield _reason_of_version(*rest)
        elif document == V1ALPHA1:
            yield _by_prefix(CONFIGURATION, rest, ("reboot", AT_REBOOT))
        else:
            kind = document.split(" ")[0]
            cost, why = OTHER_DOCUMENTS.get(kind, ("nothing", AT_ONCE))
            yield Reason(cost, why.format(kind))


def _reason_of_version(name: str) -> Reason:
    if name == "talos":
        return Reason("reboot", "Talos is upgraded, one node after the other: each is drained and reboots")
    return Reason("service restart", f"Kubernetes is upgraded, one node after the other: {KUBELET}, and {STATIC}")


def _by_prefix(rules: Mapping[str, tuple[Cost, str]], path: Iterable[str], usual: tuple[Cost, str]) -> Reason:
    """Return the reason of the longest prefix that has a rule."""
    parts, prefix = [str(part) for part in path], ""
    cost, why = usual
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in rules:
            cost, why = rules[prefix]
            break
    return Reason(cost, why.format(".".join(parts[:2])))


def _reasons_of_vm(old: _Node, new: _Node) -> Iterator[Reason]:
    for path in _paths(old.vm, new.vm):
        yield _by_prefix(VM, path, VM_AT_ONCE)


def _reasons_around(old: _Node, new: _Node) -> Iterator[Reason]:
    """Yield the reasons that no part of the readable configuration shows."""
    if old.machine.role != new.machine.role:
        yield Reason("replacement", f"the node becomes a {new.machine.role}: Talos must be installed anew")
    if old.machine.generation != new.machine.generation or old.around["generation"] != new.around["generation"]:
        yield Reason(
            "replacement", "the generation is raised: the node is configured as a new one, and etcd forgets the old"
        )
    if old.around["endpoint"] != new.around["endpoint"] or old.around["cluster"] != new.around["cluster"]:
        yield Reason("service restart", f"the name or endpoint of the cluster changes: {KUBELET}, and {STATIC}")
    if old.around["contract"] != new.around["contract"]:
        yield Reason(
            "reboot", "talosContract changes the generated parts, some of which take effect at the next reboot"
        )
    if image_of(old.machine).schematic != image_of(new.machine).schematic:
        yield Reason("reboot", "extensions or kernel arguments change: Talos is upgraded to another image and reboots")

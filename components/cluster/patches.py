"""The patches of a node's machine configuration: for all nodes, for its role, for the node.

Pure: facts come in, strategic merge patches go out (Talos refuses JSON patches for configurations of several
documents). `components.cluster.cluster` passes them to Talos in this order, the operator's own files last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import yaml

from config.derive import Machine
from config.values import TAINT

INSTALL_DISK = "/dev/sda"  # scsi0 of the VM; without it, Talos 1.13 waits for ever and reports nothing
KUBE_PRISM_PORT = 7445
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # Probes and leader elections are most of the traffic and carry no information.
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "None", "verbs": ["get", "list", "watch"], "resources": [{"group": "", "resources": ["events"]}]},
        {"level": "Metadata"},  # this policy replaces Talos' own, and a request that no rule matches is not logged
    ],
}


@dataclass(frozen=True)
class Surroundings:
    """The settings that all nodes of a cluster share."""

    subnet: IPv4Network
    gateway: IPv4Address
    nameservers: tuple[IPv4Address, ...]
    time_servers: tuple[str, ...]
    vip: IPv4Address | None
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    cert_sans: tuple[str, ...]
    own_cni: bool
    workloads_on_control_planes: bool
    registry_mirrors: Mapping[str, Sequence[str]]


def patches(machine: Machine, around: Surroundings, installer: str, own: Iterable[str] = ()) -> list[str]:
    """Return every patch of a node, in the order in which they are applied."""
    role = [control_plane(around)] if machine.role == "control-plane" else []
    decided = [everywhere(around), *role, node(machine, around, installer), hostname(machine)]
    return [*map(_dump, decided), *own]


def everywhere(around: Surroundings) -> dict[str, Any]:
    """Return the patch of every node."""
    cni: dict[str, Any] = {"cni": {"name": "none"}} if around.own_cni else {}
    return {
        "machine": {
            "certSANs": list(around.cert_sans),
            "kubelet": {
                "extraArgs": {"rotate-server-certificates": "true"},
                # A node with a VIP or a pod network has several addresses; this selects its own.
                "nodeIP": {"validSubnets": [str(around.subnet)]},
            },
            "network": {"nameservers": [str(server) for server in around.nameservers]},
            "time": {"servers": list(around.time_servers)},
            "features": {"kubePrism": {"enabled": True, "port": KUBE_PRISM_PORT}},
            **_mirrors(around),
        },
        "cluster": {
            "network": {
                **cni,
                "podSubnets": [str(around.pod_cidr)],
                "serviceSubnets": [str(around.service_cidr)],
            },
            **({"proxy": {"disabled": True}} if around.own_cni else {}),
        },
    }


def _mirrors(around: Surroundings) -> dict[str, Any]:
    if not around.registry_mirrors:
        return {}
    mirrors = {name: {"endpoints": list(endpoints)} for name, endpoints in around.registry_mirrors.items()}
    return {"registries": {"mirrors": mirrors}}


def control_plane(around: Surroundings) -> dict[str, Any]:
    """Return the patch of control planes.

    Talos excludes them from load balancers by a label, and MetalLB then announces nothing from there: where workloads
    may run on them, the label is removed.
    """
    labels = {"machine": {"nodeLabels": {EXCLUDED: {"$patch": "delete"}}}} if around.workloads_on_control_planes else {}
    return {
        **labels,
        "cluster": {
            "allowSchedulingOnControlPlanes": around.workloads_on_control_planes,
            "apiServer": {"certSANs": list(around.cert_sans), "auditPolicy": AUDIT_POLICY},
        },
    }


def node(machine: Machine, around: Surroundings, installer: str) -> dict[str, Any]:
    """Return the patch of one node: its disk, its address, its labels and taints."""
    shares_vip = around.vip is not None and machine.role == "control-plane"
    interface = {
        # By MAC: the interface is eth0 on one Talos version and ens18 on another.
        "deviceSelector": {"hardwareAddr": machine.mac},
        "dhcp": False,
        "addresses": [f"{machine.address}/{around.subnet.prefixlen}"],
        "routes": [{"network": "0.0.0.0/0", "gateway": str(around.gateway)}],
        **({"vip": {"ip": str(around.vip)}} if shares_vip else {}),
    }
    labels = {"nodeLabels": machine.labels} if machine.labels else {}
    return {
        "machine": {
            "install": {"disk": INSTALL_DISK, "image": installer},
            "network": {"interfaces": [interface]},
            **labels,
            **(_taints(machine) if machine.taints else {}),
        }
    }


def _taints(machine: Machine) -> dict[str, Any]:
    """Return the patch of a node's taints: Kubernetes accepts them from a worker only when it registers."""
    parts = [TAINT.fullmatch(taint) for taint in machine.taints]
    taints = [{name: part[name] or "" for name in ("key", "value", "effect")} for part in parts if part]
    if machine.role == "worker":
        return {"kubelet": {"extraConfig": {"registerWithTaints": taints}}}
    return {"nodeTaints": {taint["key"]: f"{taint['value']}:{taint['effect']}" for taint in taints}}


def hostname(machine: Machine) -> dict[str, Any]:
    """Return the patch with the node's name; Talos 1.12 and later have a document of its own for it."""
    return {"apiVersion": "v1alpha1", "kind": "HostnameConfig", "hostname": machine.name, "auto": "off"}


def _dump(patch: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(patch), sort_keys=False)

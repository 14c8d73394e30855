"""The kubelets of the rack: Nodes in Kubernetes for the VMs that run.

`lab.hardware.talos_node` calls `register` after each change of a node. Name, role, labels, taints, addresses, versions
and size come from the machine configuration and the VM; kwok keeps the Node alive and simulates its pods. The Node of a
deleted VM is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from config.values import is_a_kubelets
from lab.api import Api
from lab.hardware import etcd, talos_node
from lab.hardware.rack import Rack, TalosNode
from lab.layout import Lab
from lab.running import servers

MANAGER = "kubelet"
WAITS = {"rehearsal.homelab.dev/waits-for": "cni"}
ROLE = "node-role.kubernetes.io/control-plane"
PODS_PER_NODE = "250"


def register(lab: Lab, rack: Rack) -> None:
    """Create, change and delete Nodes until they match the rack; do nothing before the control plane runs."""
    if not servers.runs(lab, "kube-apiserver"):
        return
    api = Api.of(lab)
    networked = has_network(api)
    wanted = {node.name: node for node in rack.nodes() if node.configuration}
    for node in wanted.values():
        machine = yaml.load(node.configuration.split("\n---")[0], Loader=yaml.CSafeLoader)
        api.apply(_object(node, machine, networked=networked), field_manager=MANAGER, force=True)
        api.patch_status("v1", "Node", node.name, _status(node))
        if etcd.runs(rack, node):
            api.apply(_api_server(rack, node), field_manager=MANAGER, force=True)
    for existing in api.list("v1", "Node"):
        if existing["metadata"]["name"] not in wanted:
            api.delete("v1", "Node", existing["metadata"]["name"])


def has_network(api: Api) -> bool:
    """Report whether a CNI runs on a node; Talos leaves that to Cilium if its own CNI is switched off."""
    daemon = api.get("apps/v1", "DaemonSet", "cilium", "kube-system")
    return bool(daemon and daemon.get("status", {}).get("numberReady"))


def _object(node: TalosNode, configuration: Mapping[str, Any], *, networked: bool) -> dict[str, Any]:
    machine, cluster = configuration["machine"], configuration["cluster"]
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": node.vm.architecture,
        **(machine.get("nodeLabels", {}) if may_label(node, machine) else {}),
    }
    registered = machine["kubelet"].get("extraConfig", {}).get("registerWithTaints", [])
    later = machine.get("nodeTaints", {}) if node.role == "control-plane" else {}
    taints = [*registered, *(_taint(key, value) for key, value in later.items())]
    if node.role == "control-plane":
        labels[ROLE] = ""
        if not cluster.get("allowSchedulingOnControlPlanes"):
            taints.append({"key": ROLE, "effect": "NoSchedule"})
    waits = cluster.get("network", {}).get("cni", {}).get("name") == "none" and not networked
    spec: dict[str, Any] = {"taints": taints} if taints else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels, **({"annotations": WAITS} if waits else {})},
        "spec": {**spec, "providerID": f"proxmox://rack/{node.vm.vm_id}"},
    }


def _api_server(rack: Rack, node: TalosNode) -> dict[str, Any]:
    """Return the static pod that shows the API server of a kubelet: the old one until it restarts."""
    restarts = rack.scheduled(talos_node.API).get(node.vm.vm_id)
    version = restarts.detail if restarts else talos_node.api_version(node.configuration)
    name = f"kube-apiserver-{node.name}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-apiserver", "tier": "control-plane"},
            "annotations": {talos_node.CONFIG_VERSION: version, "kubernetes.io/config.mirror": name},
        },
        "spec": {
            "nodeName": node.name,
            "containers": [{"name": "kube-apiserver", "image": f"registry.k8s.io/kube-apiserver:v{node.kubernetes}"}],
            "hostNetwork": True,
            "priorityClassName": "system-cluster-critical",
            "tolerations": [{"operator": "Exists"}],
        },
    }


def may_label(node: TalosNode, machine: Mapping[str, Any]) -> bool:
    """Report whether Kubernetes accepts the labels of a node: with one forbidden, a worker gets none."""
    if node.role == "control-plane":
        return True
    return not machine.get("nodeTaints") and all(is_a_kubelets(label) for label in machine.get("nodeLabels", {}))


def _taint(key: str, value: str) -> dict[str, str]:
    text, _, effect = value.rpartition(":")
    return {"key": key, "value": text, "effect": effect}


def _status(node: TalosNode) -> dict[str, Any]:
    processors, memory = node.vm.booted
    size = {
        "cpu": str(processors),
        "memory": f"{memory >> 10}Ki",
        "ephemeral-storage": f"{node.vm.disk >> 10}Ki",
        "pods": PODS_PER_NODE,
    }
    return {
        "addresses": [
            {"type": "InternalIP", "address": node.vm.address},
            {"type": "Hostname", "address": node.name},
        ],
        "capacity": size,
        "allocatable": size,
        "nodeInfo": {
            "architecture": node.vm.architecture,
            "bootID": f"{node.vm.vm_id}",
            "containerRuntimeVersion": "containerd://simulated",
            "kernelVersion": "simulated",
            "kubeProxyVersion": "",
            "kubeletVersion": f"v{node.kubernetes}",
            "machineID": f"{node.vm.vm_id:032x}",
            "operatingSystem": "linux",
            "osImage": f"Talos (v{node.talos}) simulated",
            "systemUUID": node.vm.arguments.get("networkDevices", [{}])[0].get("macAddress", ""),
        },
    }

"""The facts about nodes that components need, from settings: the site of their VMs, and their configurations.

Pure: `stacks.homelab` passes them to components, `ops.review.machines` compares those of two revisions without an
engine.
"""

from __future__ import annotations

from pathlib import Path

from components.cluster.node_configurations import NodeConfigurations
from components.cluster.patches import Surroundings
from components.machines.hardware import Site
from components.machines.images import image_of, installer
from config import derive
from config.model import Settings


def site(settings: Settings) -> Site:
    """Return the properties that all VMs share."""
    proxmox, network, cluster = settings.proxmox, settings.network, settings.cluster
    return Site(
        stack=cluster.name,
        pool=proxmox.pool,
        tags=proxmox.tags,
        scsi=proxmox.scsi,
        cpu_type=proxmox.cpu_type,
        secure=cluster.boot == "secure",
        subnet=network.subnet,
        gateway=network.gateway,
        nameservers=network.nameservers,
    )


def node_configurations(settings: Settings, root: Path) -> NodeConfigurations:
    """Return the inputs of the configurations of all nodes; the operator's own patches are files below `root`."""
    cluster, nodes = settings.cluster, derive.machines(settings)
    version, factory, secure = str(cluster.talos_version), cluster.image_factory, cluster.boot == "secure"
    files = {path for node in nodes for path in node.patches}
    return NodeConfigurations(
        around=surroundings(settings),
        installers={node.name: installer(factory, image_of(node, secure=secure), version) for node in nodes},
        own_patches={path: (root / path).read_text(encoding="utf-8") for path in files},
        talos_version=version,
        kubernetes_version=str(cluster.kubernetes_version),
    )


def surroundings(settings: Settings) -> Surroundings:
    """Return the settings that the configurations of all nodes share."""
    network, cluster = settings.network, settings.cluster
    return Surroundings(
        subnet=network.subnet,
        gateway=network.gateway,
        nameservers=network.nameservers,
        time_servers=network.time_servers,
        vip=network.vip,
        pod_cidr=network.pod_cidr,
        service_cidr=network.service_cidr,
        cert_sans=derive.cert_sans(settings),
        own_cni=settings.platform.cni == "cilium",
        workloads_on_control_planes=cluster.workloads_on_control_planes == "allowed",
        registry_mirrors=cluster.registry_mirrors,
    )

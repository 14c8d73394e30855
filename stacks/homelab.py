"""A whole stack: machines, a cluster on them, a platform in it, and the handover to Git.

`__main__.py` calls `build` with checked settings and exports its result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi

from components.cluster.cluster import Cluster, ClusterArgs
from components.cluster.patches import Surroundings
from components.handover.application_sets import GitSource
from components.handover.handover import Handover, HandoverArgs
from components.machines.hardware import Site
from components.machines.images import image_of, installer
from components.machines.machines import Machines, MachinesArgs
from config import derive
from config.model import Settings
from config.tree import Tree
from stacks.platform import PlatformOutputs, build_platform
from stacks.providers import kubernetes_provider, proxmox_provider, talos_provider

CONFIGURATIONS = "nodeConfigurations"


def build(settings: Settings, tree: Tree, root: Path) -> dict[str, Any]:
    """Build the stack and return its outputs."""
    nodes = derive.machines(settings)
    machines = Machines(
        "machines",
        machines_args(settings, nodes),
        pulumi.ResourceOptions(providers=[proxmox_provider(settings), *talos_provider(settings)]),
    )
    cluster = Cluster("cluster", cluster_args(settings, nodes, machines, root))
    kubernetes = pulumi.ResourceOptions(providers=[kubernetes_provider(settings, cluster.kubeconfig)])
    platform = build_platform(settings, tree, cluster, kubernetes)
    Handover("handover", handover_args(settings, tree, cluster, platform), kubernetes)
    return {
        "endpoint": derive.endpoint(settings),
        "kubeconfig": cluster.kubeconfig,
        "talosconfig": cluster.talosconfig,
        "secretsBundle": cluster.secrets_bundle,
        "rootCertificate": _made(platform.root_certificate),
        "argocdUrl": f"https://argocd.{settings.network.domain}",
        CONFIGURATIONS: pulumi.Output.secret(cluster.configurations),
    }


def machines_args(settings: Settings, nodes: tuple[derive.Machine, ...]) -> MachinesArgs:
    """Return the arguments of the machines."""
    proxmox, network, cluster = settings.proxmox, settings.network, settings.cluster
    site = Site(
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
    return MachinesArgs(
        machines=nodes,
        hosts=proxmox.hosts,
        site=site,
        talos_version=str(cluster.talos_version),
        image_factory=cluster.image_factory,
        image_checksums=cluster.image_checksums,
        shared_images=proxmox.image_storage == "shared",
        high_availability=proxmox.high_availability != "none",
        protect=cluster.protect != "nothing",
    )


def cluster_args(settings: Settings, nodes: tuple[derive.Machine, ...], machines: Machines, root: Path) -> ClusterArgs:
    """Return the arguments of the cluster and the VMs that it runs on."""
    cluster = settings.cluster
    version, factory = str(cluster.talos_version), cluster.image_factory
    secure = cluster.boot == "secure"
    files = {path for node in nodes for path in node.patches}
    return ClusterArgs(
        cluster_name=cluster.name,
        endpoint=derive.endpoint(settings),
        machines=nodes,
        around=surroundings(settings),
        installers={node.name: installer(factory, image_of(node, secure=secure), version) for node in nodes},
        vms=machines.vms,
        own_patches={path: (root / path).read_text(encoding="utf-8") for path in files},
        talos_version=version,
        talos_contract=cluster.talos_contract,
        kubernetes_version=str(cluster.kubernetes_version),
        generation=cluster.generation,
        drain_seconds=cluster.drain_timeout.seconds,
        protect=cluster.protect != "nothing",
        before=configurations_before(),
    )


def handover_args(settings: Settings, tree: Tree, cluster: Cluster, platform: PlatformOutputs) -> HandoverArgs:
    """Return the arguments of the handover: the part of Git that this stack runs."""
    delivery = settings.delivery
    return HandoverArgs(
        categories=tree.chosen(delivery.environment),
        source=GitSource.of(settings),
        waits_for_health=delivery.wait == "healthy",
        stall_timeout=delivery.stall_timeout,
        kubeconfig=cluster.kubeconfig,
        generation=settings.cluster.generation,
        gone_with=cluster.bootstrap,
        after=platform.ready,
    )


def surroundings(settings: Settings) -> Surroundings:
    """Return the settings that all nodes share."""
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


def _made(output: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return an empty text where a targeted run did not make the output: a preview cannot show an unknown output."""
    if pulumi.runtime.is_dry_run():
        return output

    async def value() -> str:
        return await output.future() or ""

    return pulumi.Output.from_input(value())


def configurations_before() -> pulumi.Output[dict[str, str]]:
    """Return the machine configurations of the last run, so that a preview can show changes; empty on the first."""
    if not pulumi.runtime.is_dry_run():
        return pulumi.Output.from_input({})
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    before = pulumi.StackReference(name).get_output(CONFIGURATIONS)
    return before.apply(lambda found: found or {})

"""A whole stack: machines, a cluster on them, a platform in it, and the handover to Git.

`__main__.py` calls `build` with checked settings and exports its result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi

from components.cluster.cluster import Cluster, ClusterArgs
from components.handover.application_sets import GitSource
from components.handover.handover import Handover, HandoverArgs
from components.machines.machines import Machines, MachinesArgs
from config import derive
from config.model import Settings
from config.tree import Tree
from stacks.nodes import node_configurations, site
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
    proxmox, cluster = settings.proxmox, settings.cluster
    return MachinesArgs(
        machines=nodes,
        hosts=proxmox.hosts,
        site=site(settings),
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
    return ClusterArgs(
        cluster_name=cluster.name,
        endpoint=derive.endpoint(settings),
        machines=nodes,
        desired=node_configurations(settings, root),
        vms=machines.vms,
        talos_contract=cluster.talos_contract,
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

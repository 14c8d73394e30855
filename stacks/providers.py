"""The providers of a stack, each with what it needs and nothing implicit.

`stacks.homelab` hands them to components through their options.
"""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_proxmoxve as proxmox
import pulumiverse_talos as talos

from config.load import reveal
from config.model import Settings

PUBLIC_FACTORY = "factory.talos.dev"


def proxmox_provider(settings: Settings) -> proxmox.Provider:
    """Reach the Proxmox API with a token; no step of ours needs ssh."""
    return proxmox.Provider(
        "proxmox",
        endpoint=settings.proxmox.endpoint,
        insecure=settings.proxmox.certificate == "self-signed",
        api_token=pulumi.Output.secret(reveal(settings.secrets.proxmox_token)),
        random_vm_ids=False,
    )


def talos_provider(settings: Settings) -> list[pulumi.ProviderResource]:
    """Register schematics at an image factory of the operator's own; the provider's default needs no provider."""
    if settings.cluster.image_factory == PUBLIC_FACTORY:
        return []
    return [talos.Provider("talos", image_factory_url=f"https://{settings.cluster.image_factory}")]


def kubernetes_provider(settings: Settings, kubeconfig: pulumi.Output[str]) -> kubernetes.Provider:
    """Reach the cluster that this stack makes.

    The identifier, not the kubeconfig, says which cluster it is: a new kubeconfig replaces nothing, a new generation
    everything. What exists already is taken over, and a preview from a machine that cannot reach the API works.
    """
    return kubernetes.Provider(
        "kubernetes",
        kubeconfig=kubeconfig,
        cluster_identifier=f"{settings.cluster.name}-{settings.cluster.generation}",
        enable_server_side_apply=True,
        upsert_existing_objects=True,
        skip_update_unreachable=True,
    )

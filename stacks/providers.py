"""The providers of a stack, each with explicit arguments.

`stacks.homelab` passes them to components through their options.
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
    """Return the provider of Proxmox, which uses the API with a token; no resource needs ssh."""
    return proxmox.Provider(
        "proxmox",
        endpoint=settings.proxmox.endpoint,
        insecure=settings.proxmox.certificate == "self-signed",
        api_token=pulumi.Output.secret(reveal(settings.secrets.proxmox_token)),
        random_vm_ids=False,
    )


def talos_provider(settings: Settings) -> list[pulumi.ProviderResource]:
    """Return the provider of Talos for the operator's own image factory; the default one needs no provider."""
    if settings.cluster.image_factory == PUBLIC_FACTORY:
        return []
    return [talos.Provider("talos", image_factory_url=f"https://{settings.cluster.image_factory}")]


def kubernetes_provider(settings: Settings, kubeconfig: pulumi.Output[str]) -> kubernetes.Provider:
    """Return the provider of the cluster that this stack makes.

    The cluster identifier, not the kubeconfig, identifies the cluster: a new kubeconfig replaces no resource, a new
    generation replaces all. Existing objects are adopted, and a preview works on a machine that cannot reach the API.
    """
    return kubernetes.Provider(
        "kubernetes",
        kubeconfig=kubeconfig,
        cluster_identifier=f"{settings.cluster.name}-{settings.cluster.generation}",
        enable_server_side_apply=True,
        upsert_existing_objects=True,
        skip_update_unreachable=True,
    )

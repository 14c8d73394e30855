"""The providers of a stack, each with what it needs and nothing implicit.

`stacks.homelab` hands them to components through their options.
"""

from __future__ import annotations

import pulumi
import pulumi_proxmoxve as proxmox

from config.load import reveal
from config.model import Settings


def proxmox_provider(settings: Settings) -> proxmox.Provider:
    """Reach the Proxmox API with a token; no step of ours needs ssh."""
    return proxmox.Provider(
        "proxmox",
        endpoint=settings.proxmox.endpoint,
        insecure=settings.proxmox.certificate == "self-signed",
        api_token=pulumi.Output.secret(reveal(settings.secrets.proxmox_token)),
        random_vm_ids=False,
    )

"""The rights that the API token needs on Proxmox, each with the request that needs it.

One table for all readers: docs/start/go-live.md shows the commands that `commands` writes, `ops.diagnosis.proxmox`
compares the table with the rights that a real token has, and the rehearsal's token has these rights and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.model import Settings

ROLE, USER, TOKEN = "Homelab", "homelab@pve", "homelab"
OLDEST = (8, 4)  # the first version whose storages take images as content type import
RENAMED = 9  # the major version that replaced VM.Monitor
OLDEST_WITH_RULES = (9, 0)  # the first version that keeps VMs apart by rules of high availability

PRIVILEGES: Mapping[str, str] = {
    "Datastore.Allocate": "delete an image that is no longer needed",
    "Datastore.AllocateSpace": "create disks",
    "Datastore.AllocateTemplate": "download an image",
    "Datastore.Audit": "list storages and images",
    "Mapping.Use": "pass PCI and USB devices through",
    "Pool.Allocate": "change the pool of a VM",
    "Pool.Audit": "read the pool of a VM",
    "SDN.Use": "plug a VM into a bridge",
    "Sys.AccessNetwork": "download from a URL",
    "Sys.Audit": "read the state of hosts, download from a URL",
    "Sys.Modify": "set the start order of a VM, download from a URL",
    "VM.Allocate": "create and delete a VM",
    "VM.Audit": "read a VM",
    "VM.Config.CDROM": "change the cloud-init drive",
    "VM.Config.CPU": "set processors",
    "VM.Config.Cloudinit": "set the addresses of a VM",
    "VM.Config.Disk": "resize disks",
    "VM.Config.HWType": "set firmware, machine type, devices",
    "VM.Config.Memory": "set memory",
    "VM.Config.Network": "set network cards",
    "VM.Config.Options": "set name, description, start at boot",
    "VM.GuestAgent.Audit": "read addresses from the guest agent",
    "VM.Migrate": "move a VM to its host",
    "VM.PowerMgmt": "start and stop a VM",
}
# Needed for proxmox.highAvailability only: on Proxmox it also opens a shell on every host.
HIGH_AVAILABILITY = "Sys.Console"
BEFORE_RENAMED = {"VM.GuestAgent.Audit": "VM.Monitor"}


def privileges(major: int = RENAMED) -> tuple[str, ...]:
    """Return the privileges of the role under the names that a major version of Proxmox knows."""
    return tuple(BEFORE_RENAMED.get(name, name) if major < RENAMED else name for name in PRIVILEGES)


def commands(major: int = RENAMED) -> tuple[str, ...]:
    """Return the commands that make role, user and token; they run on one host, as root."""
    return (
        f'pveum role add {ROLE} -privs "{" ".join(privileges(major))}"',
        f"pveum user add {USER}",
        f"pveum acl modify / --users {USER} --roles {ROLE}",
        f"pveum user token add {USER} {TOKEN} --privsep 0",
    )


def paths(settings: Settings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each path of the permission tree that a stack's requests touch, with the privileges needed there."""
    from config import derive  # noqa: PLC0415 - the rack needs the names alone, without pydantic

    proxmox, machines = settings.proxmox, derive.machines(settings)
    yield "/", ("Sys.Audit", "Sys.Modify")
    for storage in dict.fromkeys(host.images for host in proxmox.hosts):
        yield f"/storage/{storage}", ("Datastore.Allocate", "Datastore.AllocateTemplate", "Datastore.Audit")
    for storage in dict.fromkeys(storage for machine in machines for storage in derive.storages(settings, machine)):
        yield f"/storage/{storage}", ("Datastore.AllocateSpace", "Datastore.Audit")
    for bridge, vlan in dict.fromkeys((card.bridge, card.vlan) for machine in machines for card in machine.cards):
        yield f"/sdn/zones/localnetwork/{bridge}{f'/{vlan}' if vlan else ''}", ("SDN.Use",)
    if proxmox.pool:
        yield f"/pool/{proxmox.pool}", ("Pool.Allocate", "Pool.Audit")
    for kind, name in dict.fromkeys(mapping for machine in machines for mapping in derive.mappings(machine)):
        yield f"/mapping/{kind}/{name}", ("Mapping.Use",)
    if proxmox.high_availability != "none":
        yield "/", (HIGH_AVAILABILITY,)
    for machine in machines:
        yield f"/vms/{machine.vm_id}", tuple(name for name in PRIVILEGES if name.startswith("VM."))

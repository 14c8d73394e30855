"""The arguments of a VM on Proxmox.

Pure: facts of a machine come in, the arguments of `pulumi_proxmoxve.VmLegacy` go out as plain values; a test compares
every name with the provider's own. `components.machines.machines` adds the image and the provider, which only the
engine knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from config.derive import Card, Machine

GUEST_AGENT = "siderolabs/qemu-guest-agent"
SYSTEM_DISK = "scsi0"
CLOUD_INIT_OF_ARM = "scsi30"  # the provider's default is IDE, which a VM of the machine type virt does not have
CONTROL_PLANE_FIRST, WORKER_LATER = 1, 2


@dataclass(frozen=True)
class Site:
    """The properties that all VMs of a stack share."""

    stack: str
    pool: str | None
    tags: tuple[str, ...]
    scsi: str
    cpu_type: str
    secure: bool
    subnet: IPv4Network
    gateway: IPv4Address
    nameservers: tuple[IPv4Address, ...]


def is_protected(machine: Machine) -> bool:
    """Return whether `destroy` must refuse a machine: a control plane holds etcd, a data disk holds data."""
    return machine.role == "control-plane" or bool(machine.data_disks)


def vm_arguments(machine: Machine, site: Site, storage: str) -> dict[str, Any]:
    """Return every argument of a VM that is known beforehand."""
    arm = machine.architecture == "arm64"
    return {
        "name": machine.name,
        "node_name": machine.host,
        "vm_id": machine.vm_id,
        "description": f"{machine.role} of {site.stack}; made by homelab, change it there",
        "tags": sorted({*site.tags, site.stack, machine.role}),
        "pool_id": site.pool,
        "machine": "virt" if arm else "q35",
        "bios": "ovmf",
        # Without keys, the firmware enrolls those of a signed image; with Microsoft's keys it refuses Talos.
        "efi_disk": {"datastore_id": storage, "file_format": "raw", "type": "4m", "pre_enrolled_keys": False},
        "tpm_state": {"datastore_id": storage, "version": "v2.0"} if site.secure else None,
        "scsi_hardware": site.scsi,
        "cpu": {"cores": machine.cpu, "type": site.cpu_type},
        # Ballooning would take memory that the kubelet has promised to pods already.
        "memory": {"dedicated": machine.memory.mebibytes, "floating": 0},
        "agent": {"enabled": GUEST_AGENT in machine.extensions, "timeout": "2m", "trim": True},
        "network_devices": [network_card(card) for card in machine.cards],
        "initialization": {
            "datastore_id": storage,
            "interface": CLOUD_INIT_OF_ARM if arm else None,
            "ip_configs": [
                {"ipv4": {"address": f"{machine.address}/{site.subnet.prefixlen}", "gateway": str(site.gateway)}}
            ],
            "dns": {"servers": [str(server) for server in site.nameservers]},
        },
        "operating_system": {"type": "l26"},
        "serial_devices": [{"device": "socket"}],
        "boot_orders": [SYSTEM_DISK],
        "startup": {"order": CONTROL_PLANE_FIRST if machine.role == "control-plane" else WORKER_LATER, "up_delay": 15},
        "hostpcis": [
            {"device": f"hostpci{index}", "mapping": mapping, "pcie": True} for index, mapping in enumerate(machine.pci)
        ],
        "usbs": [{"mapping": mapping} for mapping in machine.usb],
        "on_boot": True,
        # A migrated VM, moved by hand or by Proxmox, is migrated back; without this it would be deleted and made again.
        "migrate": True,
        "stop_on_destroy": True,
        "reboot_after_update": False,  # Talos decides when a node reboots; a reboot must never be a side effect
        "purge_on_destroy": True,
        "delete_unreferenced_disks_on_destroy": False,  # devices of other owners stay
    }


def is_kept_apart(machine: Machine) -> bool:
    """Return whether two such VMs on one host would fail together: control planes carry the quorum."""
    return machine.role == "control-plane"


def network_card(card: Card) -> dict[str, Any]:
    """Return the arguments of one network card."""
    given = {"bridge": card.bridge, "mac_address": card.mac, "model": "virtio", "vlan_id": card.vlan, "mtu": card.mtu}
    return {name: value for name, value in given.items() if value is not None}


def disks(machine: Machine, storage: str, image: Any) -> list[Any]:
    """Return the system disk, imported from the image, and the data disks after it."""
    common = {"file_format": "raw", "discard": "on", "ssd": True, "cache": "writethrough"}
    system = {"interface": SYSTEM_DISK, "datastore_id": storage, "size": machine.disk.gibibytes, "import_from": image}
    data = [
        {
            "interface": f"scsi{index}",
            "datastore_id": disk.storage or storage,
            "size": disk.size.gibibytes,
            "backup": disk.backup == "included",
        }
        for index, disk in enumerate(machine.data_disks, start=1)
    ]
    return [common | disk for disk in (system, *data)]

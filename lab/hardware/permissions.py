"""The privileges that Proxmox VE requires, request by request, and the messages of its refusals.

Pure: the arguments of a VM come in, demands go out, in the order in which the API checks them. `lab.hardware.hosts`
compares them with the rights of the rehearsal's token, which are those of `config.rights` and no others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.rights import HIGH_AVAILABILITY

# The privilege for each changed argument of a VM; an argument that is not here belongs to the provider alone.
OPTIONS: Mapping[str, str] = {
    "agent": "VM.Config.Options",
    "bios": "VM.Config.HWType",
    "bootOrders": "VM.Config.Disk",
    "cpu": "VM.Config.CPU",
    "description": "VM.Config.Options",
    "disks": "VM.Config.Disk",
    "efiDisk": "VM.Config.Disk",
    "hostpcis": "VM.Config.HWType",
    "initialization": "VM.Config.CDROM",
    "machine": "VM.Config.HWType",
    "memory": "VM.Config.Memory",
    "name": "VM.Config.Options",
    "networkDevices": "VM.Config.Network",
    "nodeName": "VM.Migrate",
    "onBoot": "VM.Config.Options",
    "operatingSystem": "VM.Config.Options",
    "scsiHardware": "VM.Config.HWType",
    "serialDevices": "VM.Config.HWType",
    "startup": "VM.Config.Options",
    "tags": "VM.Config.Options",
    "tpmState": "VM.Config.Disk",
    "usbs": "VM.Config.HWType",
}
ASKED_FIRST = ("cpu", "memory", "bios", "machine", "scsiHardware", "name", "onBoot", "bootOrders", "networkDevices")
ASKED_LATER = ("serialDevices", "usbs", "hostpcis")


@dataclass(frozen=True)
class Demand:
    """Privileges that are required on one path: all of them, or any."""

    path: str
    privileges: Sequence[str]
    any: bool = False
    silent: bool = False
    """Whether the refusal has neither path nor privilege."""

    def refusal(self, granted: Collection[str]) -> str:
        """Return the message of the API's refusal, or nothing if the rights suffice."""
        missing = [name for name in self.privileges if name not in granted]
        if not missing or (self.any and len(missing) < len(self.privileges)):
            return ""
        named = "|".join(self.privileges) if self.any else missing[0]
        return "Permission check failed" if self.silent else f"Permission check failed ({self.path}, {named})"


def download(host: str, storage: str, granted: Collection[str]) -> Iterator[Demand]:
    """Yield the demands of a download: the metadata of the URL, the download, the list of files."""
    by_network = Demand(f"/nodes/{host}", ("Sys.AccessNetwork",), silent=True)
    by_host = Demand("/", ("Sys.Audit", "Sys.Modify"), silent=True)
    yield by_network if by_host.refusal(granted) else by_host
    yield Demand(f"/storage/{storage}", ("Datastore.AllocateTemplate",))
    yield Demand(f"/storage/{storage}", ("Datastore.Audit", "Datastore.AllocateSpace"), any=True)


def delete_file(storage: str) -> Iterator[Demand]:
    """Yield the demands of the removal of an image."""
    yield Demand(f"/storage/{storage}", ("Datastore.Allocate",))


def create(arguments: Mapping[str, Any]) -> Iterator[Demand]:
    """Yield the demands of the creation and the start of a VM."""
    vm = f"/vms/{arguments['vmId']}"
    yield Demand(vm, ("VM.Allocate",), silent=True)
    for storage in storages(arguments):
        yield Demand(f"/storage/{storage}", ("Datastore.AllocateSpace",))
    for disk in arguments.get("disks", ()):
        if image := disk.get("importFrom"):
            source = f"/storage/{str(image).partition(':')[0]}"
            yield Demand(source, ("Datastore.AllocateSpace", "Datastore.Audit", "Datastore.Allocate"), any=True)
    yield from (Demand(vm, (OPTIONS[name],)) for name in ASKED_FIRST if arguments.get(name))
    if arguments.get("startup"):
        yield Demand(vm, (OPTIONS["startup"],))
        yield Demand("/", ("Sys.Modify",))
    if arguments.get("initialization"):
        yield Demand(vm, ("VM.Config.Cloudinit", "VM.Config.Network"), any=True)
    yield from (Demand(vm, (OPTIONS[name],)) for name in ASKED_LATER if arguments.get(name))
    yield from devices(arguments)
    yield from bridges(arguments)
    yield from (Demand(vm, (name,)) for name in ("VM.Audit", "VM.Config.Disk", "VM.PowerMgmt"))


def storages(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the storages of a VM's disks."""
    places = [*arguments.get("disks", ()), arguments.get("efiDisk"), arguments.get("tpmState")]
    return tuple(dict.fromkeys(str(place["datastoreId"]) for place in places if place and place.get("datastoreId")))


def devices(arguments: Mapping[str, Any]) -> Iterator[Demand]:
    """Yield the demands of devices that are passed through."""
    for kind, key in (("usb", "usbs"), ("pci", "hostpcis")):
        for device in arguments.get(key) or ():
            yield Demand(f"/mapping/{kind}/{device['mapping']}", ("Mapping.Use",))


def bridges(arguments: Mapping[str, Any]) -> Iterator[Demand]:
    """Yield the demands of network cards: a bridge needs a privilege also without SDN."""
    for device in arguments.get("networkDevices") or ():
        tag = f"/{device['vlanId']}" if device.get("vlanId") else ""
        yield Demand(f"/sdn/zones/localnetwork/{device['bridge']}{tag}", ("SDN.Use",))


def update(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Demand]:
    """Yield the demands of a change of a VM."""
    vm = f"/vms/{after['vmId']}"
    yield Demand(vm, ("VM.Audit",))
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    for name in sorted(changed & {*OPTIONS}):
        yield Demand(vm, (OPTIONS[name],))
    if "startup" in changed:
        yield Demand("/", ("Sys.Modify",))
    if "initialization" in changed:
        yield Demand(vm, ("VM.Config.Cloudinit", "VM.Config.Network"), any=True)
    if "poolId" in changed:
        yield from (Demand(f"/pool/{pool}", ("Pool.Allocate",)) for pool in _pools(before, after))
    if changed & {"usbs", "hostpcis"}:
        yield from devices(after)
    if "networkDevices" in changed:
        yield from bridges(after)


def _pools(*arguments: Mapping[str, Any]) -> list[str]:
    return [str(one["poolId"]) for one in arguments if one.get("poolId")]


def delete(vm_id: int) -> Iterator[Demand]:
    """Yield the demands of stopping and deleting a VM."""
    yield Demand(f"/vms/{vm_id}", ("VM.PowerMgmt",))
    yield Demand(f"/vms/{vm_id}", ("VM.Allocate",))


def high_availability() -> Iterator[Demand]:
    """Yield the demands of a change of high availability."""
    yield Demand("/", (HIGH_AVAILABILITY,))

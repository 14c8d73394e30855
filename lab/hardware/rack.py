"""The rack: a small model of Proxmox hosts, their VMs, and the Talos nodes that boot on them.

The stand-ins of `proxmoxve` and `talos` and the lab's `talosctl` act on it from processes of their own, so it is stored
in one SQLite file: a killed process leaves a finished change or none. It refuses the same requests as hardware, with
the messages of Proxmox and Talos, and has a journal from which tests read the order of events. `lab.hardware.kubelets`
makes Kubernetes Nodes from it. Machine configurations carry secrets: only the owner can read the file.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from errors import HardwareRefused
from lab.hardware import permissions
from lab.hardware.hosts import GIBI, TABLES, ProxmoxHosts

SCHEMA = """
CREATE TABLE IF NOT EXISTS vms (
    vm_id INTEGER PRIMARY KEY, name TEXT, host TEXT, address TEXT, memory INTEGER, disk INTEGER, arguments TEXT);
CREATE TABLE IF NOT EXISTS nodes (
    vm_id INTEGER PRIMARY KEY REFERENCES vms ON DELETE CASCADE, hostname TEXT, role TEXT, talos TEXT, schematic TEXT,
    kubernetes TEXT, configuration TEXT, staged TEXT);
CREATE TABLE IF NOT EXISTS members (id TEXT PRIMARY KEY, hostname TEXT, address TEXT);
CREATE TABLE IF NOT EXISTS moments (
    id INTEGER PRIMARY KEY, vm_id INTEGER REFERENCES nodes ON DELETE CASCADE, event TEXT, due REAL, detail TEXT);
"""
BOOTED = "booted"  # beside the arguments of a VM: the hardware that it was started with
# Changes of a running VM that take effect at a restart only; network cards and USB devices are plugged while it runs.
WITH_RESTART = ("bios", "machine", "bootOrders", "cpu", "efiDisk", "memory", "scsiHardware", "serialDevices", "startup")


@dataclass(frozen=True)
class Vm:
    """A VM as Proxmox stores it."""

    vm_id: int
    name: str
    host: str
    address: str
    memory: int
    disk: int
    arguments: Mapping[str, Any]

    @property
    def architecture(self) -> str:
        """Return the architecture of its processors, as Kubernetes names it."""
        return "arm64" if self.arguments.get("machine") == "virt" else "amd64"

    @property
    def booted(self) -> tuple[int, int]:
        """Return the processors and the bytes of memory of the last start: a later change is pending."""
        started = self.arguments.get(BOOTED, self.arguments)
        return int(started.get("cpu", {}).get("cores", 1)), int(started.get("memory", {}).get("dedicated", 512)) << 20


@dataclass(frozen=True)
class TalosNode:
    """Talos on a VM, with a configuration or waiting for one."""

    vm: Vm
    name: str
    role: str
    talos: str
    schematic: str
    kubernetes: str
    configuration: str
    staged: str


@dataclass(frozen=True)
class Moment:
    """An event that a node has begun and that happens later, unless its VM is deleted first."""

    id: int
    vm_id: int
    event: str
    due: float
    detail: str


class Rack(ProxmoxHosts):
    """The hosts with their VMs and nodes, stored in one file."""

    tables = TABLES + SCHEMA

    # VMs

    def create_vm(self, arguments: Mapping[str, Any]) -> Vm:
        """Create a VM and boot it from the image that its first disk imports."""
        vm = vm_of(arguments)
        prefix = f"error creating VM {vm.vm_id} ({vm.name})"
        with self.change():
            self.host(vm.host)
            self._existing(arguments)
            self.allow(permissions.create(arguments), prefix)
            self._devices(arguments, prefix)
            taken = self.vm(vm.vm_id)
            if taken:
                raise HardwareRefused(
                    f"error creating VM {vm.name}: received an HTTP 500 response - Reason: unable to create VM "
                    f"{vm.vm_id} on {vm.host}: VM {vm.vm_id} already exists on node '{taken.host}' as {taken.name!r}"
                )
            self.room(vm.host, vm.disk, prefix)
            image = arguments["disks"][0].get("importFrom")
            if image and not self.has_file(vm.host, image):
                raise HardwareRefused(f"{prefix}: volume '{image}' does not exist on {vm.host}")
            self._memory(vm)
            self._insert(vm)
            self.note("create vm", vm.name, f"{vm.vm_id} on {vm.host}")
            if image:
                self._boot(vm, image)
        return vm

    def _existing(self, arguments: Mapping[str, Any]) -> None:
        """Refuse a pool or a storage that does not exist."""
        pool = arguments.get("poolId")
        if pool and not self.has("pool", pool):
            raise HardwareRefused(f"received an HTTP 500 response - Reason: pool '{pool}' does not exist")
        for storage in permissions.storages(arguments):
            self.storage(str(arguments["nodeName"]), storage, "images")

    def _devices(self, arguments: Mapping[str, Any], prefix: str) -> None:
        """Refuse a mapping that does not exist, and a drive without a controller in the machine type."""
        for kind, key in (("pci", "hostpcis"), ("usb", "usbs")):
            for device in arguments.get(key) or ():
                if not self.has(kind, device["mapping"]):
                    raise HardwareRefused(
                        f"{prefix}: {kind.upper()} device mapping not found for '{device['mapping']}'"
                    )
        drive = arguments.get("initialization", {}).get("interface", "ide2")
        if arguments.get("machine") == "virt" and drive.startswith("ide"):
            raise HardwareRefused(f"{prefix}: aarch64 cannot use IDE devices")

    def _disks(self, before: Mapping[str, Any], after: Mapping[str, Any], prefix: str) -> None:
        """Refuse changes that the provider makes to a stopped VM only, as it may not stop it, and impossible ones."""
        old = {disk.get("interface"): disk for disk in before.get("disks", ())}
        pairs = [(old[name], disk) for disk in after.get("disks", ()) if (name := disk.get("interface")) in old]
        moved = any(was.get("datastoreId") != now.get("datastoreId") for was, now in pairs)
        resized = any(was.get("size") != now.get("size") for was, now in pairs)
        for was, now in pairs:
            if now.get("size", 8) < was.get("size", 8):
                disk = f"{now.get('datastoreId')}:{now.get('interface')}"
                raise HardwareRefused(f"{prefix}: Cannot shrink {disk} in VM {after['vmId']}, it is not supported!")
        others = any(before.get(name) != after.get(name) for name in WITH_RESTART)
        tpm = before.get("tpmState") != after.get("tpmState")
        for does, operation in (
            (moved, "move disks between datastores"),
            (resized and others, "resize disks"),
            (tpm, "add, remove, or update the TPM device"),
        ):
            if does and not after.get("rebootAfterUpdate", True):
                raise HardwareRefused(
                    f"{prefix}: cannot {operation} while the VM is running because this change requires the VM to be "
                    "powered off, but automatic power-offs/reboots are disabled by 'reboot_after_update = false'"
                )

    def _memory(self, vm: Vm) -> None:
        total = 0 if self.is_broken("memory", vm.host) else self.host(vm.host)["memory"]
        query = "SELECT COALESCE(SUM(memory), 0) AS sum FROM vms WHERE host = ? AND vm_id != ?"
        used = self.rows(query, vm.host, vm.vm_id)[0]["sum"]
        if used + vm.memory > total:
            raise HardwareRefused(
                f"error starting VM {vm.vm_id} ({vm.name}): host {vm.host} cannot allocate memory: "
                f"{vm.memory // GIBI} GiB needed, {max(0, total - used) // GIBI} GiB free"
            )

    def _insert(self, vm: Vm) -> None:
        values = (vm.vm_id, vm.name, vm.host, vm.address, vm.memory, vm.disk, json.dumps(vm.arguments))
        self._database.execute("INSERT INTO vms VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def _boot(self, vm: Vm, image: str) -> None:
        """Start Talos, which waits for a configuration."""
        if self.is_broken("boot", vm.name):
            self.note("hang", vm.name, "never boots")
            return
        schematic, version = self.url_of(vm.host, image).split("/image/")[-1].split("/")[:2]
        query = "INSERT INTO nodes (vm_id, hostname, role, talos, schematic) VALUES (?, '', 'maintenance', ?, ?)"
        self._database.execute(query, (vm.vm_id, version.removeprefix("v"), schematic))
        self.note("boot", vm.name, f"talos {version}")

    def power_cycle(self, name: str) -> None:
        """Power-cycle a VM that hangs."""
        with self.change():
            vm = next(vm for vm in self.vms() if vm.name == name)
            self._boot(vm, vm.arguments["disks"][0]["importFrom"])

    def restart_vm(self, vm_id: int) -> None:
        """Restart a VM with its pending changes, as `qm reboot` does."""
        with self.change():
            vm = self.vm(vm_id)
            if vm:
                arguments = {name: value for name, value in vm.arguments.items() if name != BOOTED}
                query = "UPDATE vms SET arguments = ? WHERE vm_id = ?"
                self._database.execute(query, (json.dumps(arguments), vm_id))
                self.note("restart vm", vm.name)

    def add_foreign_vm(self, vm_id: int, host: str, name: str) -> None:
        """Add a VM that the program does not own."""
        with self.change():
            self._insert(Vm(vm_id, name, host, "", GIBI, GIBI, {}))

    def vm(self, vm_id: int) -> Vm | None:
        """Return a VM."""
        found = self.rows("SELECT * FROM vms WHERE vm_id = ?", vm_id)
        return _vm(found[0]) if found else None

    def vms(self) -> list[Vm]:
        """Return the VMs."""
        return [_vm(row) for row in self.rows("SELECT * FROM vms ORDER BY vm_id")]

    def update_vm(self, arguments: Mapping[str, Any]) -> Vm:
        """Change a VM in place; another host is a move, and other processors and memory wait for a restart."""
        vm = vm_of(arguments)
        prefix = f"error updating VM {vm.vm_id} ({vm.name})"
        with self.change():
            before = self.vm(vm.vm_id)
            if before is None:
                file = f"nodes/{vm.host}/qemu-server/{vm.vm_id}.conf"
                raise HardwareRefused(f"{prefix}: Configuration file '{file}' does not exist")
            self.allow(permissions.update(before.arguments, arguments), prefix)
            if before.host != vm.host:
                self._move(before, vm)
            self._existing(arguments)
            self._devices(arguments, prefix)
            self._disks(before.arguments, arguments, prefix)
            self._memory(vm)
            query = (
                "UPDATE vms SET name = ?, host = ?, address = ?, memory = ?, disk = ?, arguments = ? WHERE vm_id = ?"
            )
            booted = before.arguments.get(BOOTED) or {
                name: before.arguments.get(name, {}) for name in ("cpu", "memory")
            }
            kept = {**vm.arguments, BOOTED: booted}
            values = (vm.name, vm.host, vm.address, vm.memory, vm.disk, json.dumps(kept), vm.vm_id)
            self._database.execute(query, values)
            self.note("update vm", vm.name)
        return vm

    def _move(self, before: Vm, after: Vm) -> None:
        prefix = f"error migrating VM {before.vm_id} ({before.name})"
        self.host(after.host)
        pinned = [f"hostpci{index}" for index, _ in enumerate(before.arguments.get("hostpcis") or ())]
        pinned += [f"usb{index}" for index, _ in enumerate(before.arguments.get("usbs") or ())]
        if pinned:
            devices = ", ".join(pinned)
            raise HardwareRefused(f"{prefix}: can't migrate running VM which uses following mapped devices: {devices}")
        for storage in permissions.storages(before.arguments):
            self.storage(after.host, storage, "images")
        self.room(after.host, before.disk, prefix)
        self.note("migrate vm", before.name, f"{before.host} -> {after.host}")

    def move_vm(self, vm_id: int, host: str) -> None:
        """Move a VM without the program, as high availability does."""
        with self.change():
            vm = self.vm(vm_id)
            if vm:
                arguments = json.dumps({**vm.arguments, "nodeName": host})
                query = "UPDATE vms SET host = ?, arguments = ? WHERE vm_id = ?"
                self._database.execute(query, (host, arguments, vm_id))

    def delete_vm(self, vm_id: int) -> None:
        """Delete a VM and its node, without a message to the node."""
        with self.change():
            vm = self.vm(vm_id)
            if vm:
                self.allow(permissions.delete(vm_id), f"error deleting VM {vm_id} ({vm.name})")
                self._database.execute("DELETE FROM vms WHERE vm_id = ?", (vm_id,))
                self.note("delete vm", vm.name, str(vm_id))

    # High availability

    def manage(self, resource: str) -> None:
        """Add a VM to high availability."""
        with self.change():
            self.allow(permissions.high_availability(), f"error creating HA resource {resource}")
            if self.vm(int(resource.removeprefix("vm:"))) is None:
                raise HardwareRefused(f"error creating HA resource {resource}: service '{resource}' does not exist")
            self.add_things("managed", [resource])
            self.note("manage", resource)

    def unmanage(self, resource: str) -> None:
        """Remove a VM from high availability."""
        with self.change():
            self.allow(permissions.high_availability(), f"error deleting HA resource {resource}")
            self.remove_thing("managed", resource)
            self.note("unmanage", resource)

    def set_rule(self, rule: str, resources: Sequence[str]) -> None:
        """Set a rule about VMs that are managed."""
        with self.change():
            self.allow(permissions.high_availability(), f"error setting HA rule {rule}")
            unmanaged = [resource for resource in sorted(resources) if not self.has("managed", resource)]
            if unmanaged:
                raise HardwareRefused(
                    f"error setting HA rule {rule}: received an HTTP 500 response - Reason: create HA rules failed: "
                    f"cannot use unmanaged resource(s) {', '.join(unmanaged)}."
                )
            self.add_things("rule", [rule])
            self.note("rule", rule, ", ".join(resources))

    def drop_rule(self, rule: str) -> None:
        """Remove a rule."""
        with self.change():
            self.allow(permissions.high_availability(), f"error deleting HA rule {rule}")
            self.remove_thing("rule", rule)

    # Nodes

    def nodes(self) -> list[TalosNode]:
        """Return the nodes on the VMs."""
        found = self.rows("SELECT * FROM nodes JOIN vms USING (vm_id) ORDER BY vm_id")
        return [_node(row) for row in found]

    def node_at(self, address: str) -> TalosNode:
        """Return the node behind an address, as a dialled connection would find it."""
        found = self.rows("SELECT * FROM nodes JOIN vms USING (vm_id) WHERE address = ?", address)
        if not found or self.is_broken("answer", found[0]["name"]):
            raise HardwareRefused(
                "rpc error: code = Unavailable desc = connection error: desc = "
                f'"transport: Error while dialing: dial tcp {address}:50000: connect: no route to host"'
            )
        return _node(found[0])

    def schedule(self, vm_id: int, event: str, seconds: float, detail: str = "") -> None:
        """Schedule an event of a node; an event that is scheduled already gets the new time."""
        self._database.execute("DELETE FROM moments WHERE vm_id = ? AND event = ?", (vm_id, event))
        values = (vm_id, event, time.time() + seconds, detail)
        self._database.execute("INSERT INTO moments (vm_id, event, due, detail) VALUES (?, ?, ?, ?)", values)

    def scheduled(self, event: str) -> dict[int, Moment]:
        """Return the scheduled events of one kind by the id of their VM."""
        found = self.rows("SELECT * FROM moments WHERE event = ?", event)
        return {row["vm_id"]: Moment(**row) for row in found}

    def due(self) -> list[Moment]:
        """Return the events whose time has come, in order."""
        return [Moment(**row) for row in self.rows("SELECT * FROM moments WHERE due <= ? ORDER BY due", time.time())]

    def take(self, moment: Moment) -> bool:
        """Remove an event and report whether it was still there: two processes never act on the same one."""
        return self._database.execute("DELETE FROM moments WHERE id = ?", (moment.id,)).rowcount == 1

    def members(self) -> dict[str, tuple[str, str]]:
        """Return etcd's members: address and id by host name; one without a node stays until it is removed."""
        found = self.rows("SELECT * FROM members ORDER BY rowid")
        return {row["hostname"]: (row["address"], row["id"]) for row in found}

    def add_member(self, hostname: str, address: str) -> None:
        """Add a member to etcd."""
        member = hashlib.sha256(f"{hostname}{time.time_ns()}".encode()).hexdigest()[:16]
        self._database.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?)", (member, hostname, address))
        self.note("join etcd", hostname)

    def remove_member(self, hostname: str) -> None:
        """Remove a member from etcd."""
        self._database.execute("DELETE FROM members WHERE hostname = ?", (hostname,))
        self.note("leave etcd", hostname)

    def set_node(self, vm_id: int, **values: Any) -> None:
        """Change facts of a node."""
        names = ", ".join(f"{name} = ?" for name in values)
        self._database.execute(f"UPDATE nodes SET {names} WHERE vm_id = ?", (*values.values(), vm_id))  # noqa: S608


def vm_of(arguments: Mapping[str, Any]) -> Vm:
    """Read the facts of a VM from the provider's arguments."""
    address = arguments.get("initialization", {}).get("ipConfigs", [{}])[0].get("ipv4", {}).get("address", "")
    disks: Sequence[Mapping[str, Any]] = arguments.get("disks", ())
    return Vm(
        vm_id=int(arguments["vmId"]),
        name=str(arguments["name"]),
        host=str(arguments["nodeName"]),
        address=address.split("/")[0],
        memory=int(arguments.get("memory", {}).get("dedicated", 512)) << 20,
        disk=sum(int(disk.get("size", 8)) for disk in disks) * GIBI,
        arguments=arguments,
    )


def _vm(row: sqlite3.Row) -> Vm:
    names = ("vm_id", "name", "host", "address", "memory", "disk")
    return Vm(**{name: row[name] for name in names}, arguments=json.loads(row["arguments"]))


def _node(row: sqlite3.Row) -> TalosNode:
    return TalosNode(
        vm=_vm(row),
        name=row["hostname"],
        role=row["role"],
        talos=row["talos"],
        schematic=row["schematic"],
        kubernetes=row["kubernetes"] or "",
        configuration=row["configuration"] or "",
        staged=row["staged"] or "",
    )

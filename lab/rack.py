"""The rack: a small model of Proxmox hosts, their VMs, and the Talos nodes that boot on them.

The stand-ins of `proxmoxve` and `talos` and the lab's `talosctl` act on it, each in a process of its own, so it lives
in one SQLite file: a killed process leaves a finished change or none. It refuses what hardware refuses, in the words of
Proxmox and Talos, and keeps a journal from which tests read the order of events. `lab.kubelets` makes Kubernetes Nodes
of what it holds. Machine configurations carry secrets: the file is for its owner only.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import HardwareRefused

GIBI = 1 << 30
IMAGE_BYTES = 2 * GIBI
SCHEMA = """
CREATE TABLE IF NOT EXISTS hosts (name TEXT PRIMARY KEY, memory INTEGER, disk INTEGER);
CREATE TABLE IF NOT EXISTS files (host TEXT, id TEXT, url TEXT, PRIMARY KEY (host, id));
CREATE TABLE IF NOT EXISTS vms (
    vm_id INTEGER PRIMARY KEY, name TEXT, host TEXT, address TEXT, memory INTEGER, disk INTEGER, arguments TEXT);
CREATE TABLE IF NOT EXISTS nodes (
    vm_id INTEGER PRIMARY KEY REFERENCES vms ON DELETE CASCADE, hostname TEXT, role TEXT, talos TEXT, schematic TEXT,
    kubernetes TEXT, configuration TEXT, staged TEXT);
CREATE TABLE IF NOT EXISTS members (id TEXT PRIMARY KEY, hostname TEXT, address TEXT);
CREATE TABLE IF NOT EXISTS moments (
    id INTEGER PRIMARY KEY, vm_id INTEGER REFERENCES nodes ON DELETE CASCADE, event TEXT, due REAL, detail TEXT);
CREATE TABLE IF NOT EXISTS faults (kind TEXT, subject TEXT, PRIMARY KEY (kind, subject));
CREATE TABLE IF NOT EXISTS journal (at REAL, event TEXT, subject TEXT, detail TEXT);
"""
PERMISSIONS = {"vm": "VM.Allocate", "file": "Sys.Audit|Sys.Modify"}


@dataclass(frozen=True)
class Vm:
    """A VM as Proxmox knows it."""

    vm_id: int
    name: str
    host: str
    address: str
    memory: int
    disk: int
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Node:
    """What runs on a VM: Talos, waiting for a configuration or with one."""

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


class Rack:
    """The model, behind one file."""

    def __init__(self, path: Path) -> None:
        """Open it, and make it where there is none."""
        path.touch(mode=0o600, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA foreign_keys = ON")
        self._database.execute("PRAGMA synchronous = OFF")  # a killed process loses nothing, a power cut may
        self._database.executescript(SCHEMA)

    @contextmanager
    def change(self) -> Iterator[None]:
        """Make one change wholly or not at all."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Ask the database."""
        return self._database.execute(query, values).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    # Hosts and their faults

    def set_hosts(self, hosts: Mapping[str, tuple[int, int]]) -> None:
        """Say which hosts there are, with their bytes of memory and disk; what runs on them stays."""
        with self.change():
            self._database.execute("DELETE FROM hosts")
            for name, (memory, disk) in hosts.items():
                self._database.execute("INSERT INTO hosts VALUES (?, ?, ?)", (name, memory, disk))

    def break_(self, kind: str, subject: str = "") -> None:
        """Let something go wrong from now on.

        `rights` of the token; `host` (unknown), `disk` (full), `memory` (full), `download` (refused) of a host;
        `boot` and `answer` of a machine.
        """
        self._database.execute("INSERT OR IGNORE INTO faults VALUES (?, ?)", (kind, subject))

    def mend(self, kind: str, subject: str = "") -> None:
        """Let it go right again."""
        self._database.execute("DELETE FROM faults WHERE kind = ? AND subject = ?", (kind, subject))

    def is_broken(self, kind: str, subject: str = "") -> bool:
        """Whether it goes wrong at the moment."""
        return bool(self.rows("SELECT 1 FROM faults WHERE kind = ? AND subject IN (?, '')", kind, subject))

    def note(self, event: str, subject: str, detail: str = "") -> None:
        """Write a line into the journal."""
        self._database.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (time.time(), event, subject, detail))

    def journal(self, *events: str) -> list[tuple[str, str, str]]:
        """Read the journal, whole or these events only, in order."""
        found = self.rows("SELECT event, subject, detail FROM journal ORDER BY rowid")
        return [(row["event"], row["subject"], row["detail"]) for row in found if not events or row["event"] in events]

    def _allowed(self, what: str, path: str) -> None:
        if self.is_broken("rights"):
            raise HardwareRefused(
                f"received an HTTP 403 response - Reason: Permission check failed ({path}, {PERMISSIONS[what]}): "
                "the token needs this privilege"
            )

    def _host(self, name: str) -> sqlite3.Row:
        found = self.rows("SELECT * FROM hosts WHERE name = ?", name)
        if not found or self.is_broken("host", name):
            known = ", ".join(row["name"] for row in self.rows("SELECT name FROM hosts ORDER BY name"))
            raise HardwareRefused(
                f"received an HTTP 500 response - Reason: hostname lookup '{name}' failed - failed to get address info "
                f"for: {name}: Name or service not known (Proxmox knows {known})"
            )
        return found[0]

    def _room(self, host: str, need: int, what: str) -> None:
        total = 0 if self.is_broken("disk", host) else self._host(host)["disk"]
        used = self.rows("SELECT COALESCE(SUM(disk), 0) AS sum FROM vms WHERE host = ?", host)[0]["sum"]
        used += IMAGE_BYTES * len(self.rows("SELECT 1 FROM files WHERE host = ?", host))
        if used + need > total:
            raise HardwareRefused(
                f"{what}: host {host} has insufficient free space: {need // GIBI} GiB needed, "
                f"{max(0, total - used) // GIBI} GiB free"
            )

    # Images

    def download(self, host: str, file_id: str, url: str) -> None:
        """Fetch an image onto a host; one that is there already is taken over."""
        with self.change():
            self._host(host)
            self._allowed("file", "/")
            if self.is_broken("download", host):
                raise HardwareRefused(f"error downloading file by URL to {host}: download failed: 403 Forbidden: {url}")
            self._room(host, IMAGE_BYTES, f"error downloading {file_id}")
            self._database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", (host, file_id, url))
            self.note("download", host, file_id)

    def has_file(self, host: str, file_id: str) -> bool:
        """Whether an image lies on a host."""
        return bool(self.rows("SELECT 1 FROM files WHERE host = ? AND id = ?", host, file_id))

    def drop_file(self, host: str, file_id: str) -> None:
        """Remove an image."""
        with self.change():
            self._database.execute("DELETE FROM files WHERE host = ? AND id = ?", (host, file_id))
            self.note("remove file", host, file_id)

    # VMs

    def create_vm(self, arguments: Mapping[str, Any]) -> Vm:
        """Make a VM and boot it from the image that its first disk imports."""
        vm = vm_of(arguments)
        with self.change():
            self._host(vm.host)
            self._allowed("vm", f"/vms/{vm.vm_id}")
            taken = self.vm(vm.vm_id)
            if taken:
                raise HardwareRefused(
                    f"error creating VM {vm.name}: received an HTTP 500 response - Reason: unable to create VM "
                    f"{vm.vm_id} on {vm.host}: VM {vm.vm_id} already exists on node '{taken.host}' as {taken.name!r}"
                )
            self._room(vm.host, vm.disk, f"error creating VM {vm.vm_id} ({vm.name})")
            image = arguments["disks"][0].get("importFrom")
            if image and not self.has_file(vm.host, image):
                raise HardwareRefused(f"error creating VM {vm.vm_id} ({vm.name}): no such image on {vm.host}: {image}")
            self._memory(vm)
            self._insert(vm)
            self.note("create vm", vm.name, f"{vm.vm_id} on {vm.host}")
            if image:
                self._boot(vm, image)
        return vm

    def _memory(self, vm: Vm) -> None:
        total = 0 if self.is_broken("memory", vm.host) else self._host(vm.host)["memory"]
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
        """Let Talos come up and wait for a configuration."""
        if self.is_broken("boot", vm.name):
            self.note("hang", vm.name, "never boots")
            return
        url = self.rows("SELECT url FROM files WHERE host = ? AND id = ?", vm.host, image)[0]["url"]
        schematic, version = url.split("/image/")[-1].split("/")[:2]
        query = "INSERT INTO nodes (vm_id, hostname, role, talos, schematic) VALUES (?, '', 'maintenance', ?, ?)"
        self._database.execute(query, (vm.vm_id, version.removeprefix("v"), schematic))
        self.note("boot", vm.name, f"talos {version}")

    def power_cycle(self, name: str) -> None:
        """Switch a VM that hangs off and on, as a person would."""
        with self.change():
            vm = next(vm for vm in self.vms() if vm.name == name)
            self._boot(vm, vm.arguments["disks"][0]["importFrom"])

    def add_foreign_vm(self, vm_id: int, host: str, name: str) -> None:
        """Put a VM there that somebody else made."""
        with self.change():
            self._insert(Vm(vm_id, name, host, "", GIBI, GIBI, {}))

    def vm(self, vm_id: int) -> Vm | None:
        """Find a VM."""
        found = self.rows("SELECT * FROM vms WHERE vm_id = ?", vm_id)
        return _vm(found[0]) if found else None

    def vms(self) -> list[Vm]:
        """List the VMs."""
        return [_vm(row) for row in self.rows("SELECT * FROM vms ORDER BY vm_id")]

    def update_vm(self, arguments: Mapping[str, Any]) -> Vm:
        """Change a VM in place."""
        vm = vm_of(arguments)
        with self.change():
            self._allowed("vm", f"/vms/{vm.vm_id}")
            self._memory(vm)
            query = (
                "UPDATE vms SET name = ?, host = ?, address = ?, memory = ?, disk = ?, arguments = ? WHERE vm_id = ?"
            )
            values = (vm.name, vm.host, vm.address, vm.memory, vm.disk, json.dumps(vm.arguments), vm.vm_id)
            self._database.execute(query, values)
            self.note("update vm", vm.name)
        return vm

    def delete_vm(self, vm_id: int) -> None:
        """Delete a VM; what ran on it is gone without a word."""
        with self.change():
            vm = self.vm(vm_id)
            if vm:
                self._allowed("vm", f"/vms/{vm_id}")
                self._database.execute("DELETE FROM vms WHERE vm_id = ?", (vm_id,))
                self.note("delete vm", vm.name, str(vm_id))

    # Nodes

    def nodes(self) -> list[Node]:
        """List what runs on the VMs."""
        found = self.rows("SELECT * FROM nodes JOIN vms USING (vm_id) ORDER BY vm_id")
        return [_node(row) for row in found]

    def node_at(self, address: str) -> Node:
        """Find the node behind an address, as a dialled connection would."""
        found = self.rows("SELECT * FROM nodes JOIN vms USING (vm_id) WHERE address = ?", address)
        if not found or self.is_broken("answer", found[0]["name"]):
            raise HardwareRefused(
                "rpc error: code = Unavailable desc = connection error: desc = "
                f'"transport: Error while dialing: dial tcp {address}:50000: connect: no route to host"'
            )
        return _node(found[0])

    def schedule(self, vm_id: int, event: str, seconds: float, detail: str = "") -> None:
        """Schedule an event of a node; the same event that is scheduled already gets the new time."""
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
        """List etcd's members: address and id by host name; one whose node is gone stays until it is removed."""
        found = self.rows("SELECT * FROM members ORDER BY rowid")
        return {row["hostname"]: (row["address"], row["id"]) for row in found}

    def add_member(self, hostname: str, address: str) -> None:
        """Let a node join etcd."""
        member = hashlib.sha256(f"{hostname}{time.time_ns()}".encode()).hexdigest()[:16]
        self._database.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?)", (member, hostname, address))
        self.note("join etcd", hostname)

    def remove_member(self, hostname: str) -> None:
        """Let a node leave etcd."""
        self._database.execute("DELETE FROM members WHERE hostname = ?", (hostname,))
        self.note("leave etcd", hostname)

    def set_node(self, vm_id: int, **values: Any) -> None:
        """Change facts of a node."""
        names = ", ".join(f"{name} = ?" for name in values)
        self._database.execute(f"UPDATE nodes SET {names} WHERE vm_id = ?", (*values.values(), vm_id))  # noqa: S608


def vm_of(arguments: Mapping[str, Any]) -> Vm:
    """Read the facts of a VM out of the provider's arguments."""
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


def _node(row: sqlite3.Row) -> Node:
    return Node(
        vm=_vm(row),
        name=row["hostname"],
        role=row["role"],
        talos=row["talos"],
        schematic=row["schematic"],
        kubernetes=row["kubernetes"] or "",
        configuration=row["configuration"] or "",
        staged=row["staged"] or "",
    )

"""The Proxmox hosts of the rack: their storages with images, their pools and mappings, the token's rights, faults.

`lab.hardware.rack` adds the VMs and the nodes on them. One SQLite file stores everything, and several processes share
it. A refusal has the message of Proxmox or of its provider.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from config.rights import PRIVILEGES
from errors import HardwareRefused
from lab.hardware import permissions
from lab.hardware.permissions import Demand

GIBI = 1 << 30
IMAGE_BYTES = 2 * GIBI
TABLES = """
CREATE TABLE IF NOT EXISTS hosts (name TEXT PRIMARY KEY, memory INTEGER, disk INTEGER);
CREATE TABLE IF NOT EXISTS storages (host TEXT, name TEXT, content TEXT, PRIMARY KEY (host, name, content));
CREATE TABLE IF NOT EXISTS things (kind TEXT, name TEXT, PRIMARY KEY (kind, name));
CREATE TABLE IF NOT EXISTS images (place TEXT, id TEXT, url TEXT, PRIMARY KEY (place, id));
CREATE TABLE IF NOT EXISTS faults (kind TEXT, subject TEXT, PRIMARY KEY (kind, subject));
CREATE TABLE IF NOT EXISTS journal (at REAL, event TEXT, subject TEXT, detail TEXT);
"""
USUAL_STORAGES = {"local": "import", "local-lvm": "images"}
ON_ALL_HOSTS = "(shared)"


class ProxmoxHosts:
    """The hosts, stored in one file."""

    tables = TABLES

    def __init__(self, path: Path) -> None:
        """Open the file, and create it if it is missing."""
        path.touch(mode=0o600, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA foreign_keys = ON")
        self._database.execute("PRAGMA synchronous = OFF")  # a killed process loses no data, a power cut may
        self._database.executescript(self.tables)

    @contextmanager
    def change(self) -> Iterator[None]:
        """Make one change completely or not at all."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Run a query and return its rows."""
        return self._database.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # Setup

    def set_hosts(self, hosts: Mapping[str, tuple[int, int]]) -> None:
        """Set the hosts with their bytes of memory and disk, and the storages of each; VMs stay."""
        with self.change():
            self._database.execute("DELETE FROM hosts")
            self._database.execute("DELETE FROM storages")
            for name, (memory, disk) in hosts.items():
                self._database.execute("INSERT INTO hosts VALUES (?, ?, ?)", (name, memory, disk))
                for storage, content in USUAL_STORAGES.items():
                    self._database.execute("INSERT INTO storages VALUES (?, ?, ?)", (name, storage, content))

    def add_storage(self, host: str, name: str, content: str, *, shared: bool = False) -> None:
        """Set up a storage on a host; all hosts see the files of a shared one."""
        self._database.execute("INSERT OR IGNORE INTO storages VALUES (?, ?, ?)", (host, name, content))
        if shared:
            self.add_things("shared storage", [name])

    def add_things(self, kind: str, names: Iterable[str]) -> None:
        """Set up pools (`pool`), resource mappings (`pci`, `usb`), further rights of the token (`right`)."""
        for name in names:
            self._database.execute("INSERT OR IGNORE INTO things VALUES (?, ?)", (kind, name))

    def remove_thing(self, kind: str, name: str) -> None:
        """Remove a pool, a mapping or a right."""
        self._database.execute("DELETE FROM things WHERE kind = ? AND name = ?", (kind, name))

    def has(self, kind: str, name: str) -> bool:
        """Report whether a pool, a mapping or a right is set up."""
        return bool(self.rows("SELECT 1 FROM things WHERE kind = ? AND name = ?", kind, name))

    # Faults, and the journal

    def break_(self, kind: str, subject: str = "") -> None:
        """Add a fault.

        Its kind is `rights` (a privilege that the token lacks); `host` (unknown), `disk` (full), `memory` (full),
        `download` (refused) or `content` (another checksum than the factory's) of a host; `boot` or `answer` of a VM.
        """
        self._database.execute("INSERT OR IGNORE INTO faults VALUES (?, ?)", (kind, subject))

    def mend(self, kind: str, subject: str = "") -> None:
        """Remove a fault."""
        self._database.execute("DELETE FROM faults WHERE kind = ? AND subject = ?", (kind, subject))

    def is_broken(self, kind: str, subject: str = "") -> bool:
        """Report whether a fault is present."""
        return bool(self.rows("SELECT 1 FROM faults WHERE kind = ? AND subject IN (?, '')", kind, subject))

    def note(self, event: str, subject: str, detail: str = "") -> None:
        """Write a line to the journal."""
        self._database.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (time.time(), event, subject, detail))

    def journal(self, *events: str) -> list[tuple[str, str, str]]:
        """Return the journal in order, all of it or these events only."""
        found = self.rows("SELECT event, subject, detail FROM journal ORDER BY rowid")
        return [(row["event"], row["subject"], row["detail"]) for row in found if not events or row["event"] in events]

    # Refusals

    def granted(self) -> frozenset[str]:
        """Return the rights of the token: those of the table, without those that a fault removes."""
        extra = (row["name"] for row in self.rows("SELECT name FROM things WHERE kind = 'right'"))
        return frozenset(name for name in (*PRIVILEGES, *extra) if not self.is_broken("rights", name))

    def allow(self, demands: Iterable[Demand], prefix: str) -> None:
        """Refuse a request for which the token lacks a right."""
        granted = self.granted()
        for demand in demands:
            if refusal := demand.refusal(granted):
                raise HardwareRefused(f"{prefix}: received an HTTP 403 response - Reason: {refusal}")

    def host(self, name: str) -> sqlite3.Row:
        """Return a host, or refuse as Proxmox does when it cannot reach an unknown one."""
        found = self.rows("SELECT * FROM hosts WHERE name = ?", name)
        if not found or self.is_broken("host", name):
            known = ", ".join(row["name"] for row in self.rows("SELECT name FROM hosts ORDER BY name"))
            raise HardwareRefused(
                f"received an HTTP 500 response - Reason: hostname lookup '{name}' failed - failed to get address info "
                f"for: {name}: Name or service not known (Proxmox knows {known})"
            )
        return found[0]

    def storage(self, host: str, name: str, content: str) -> None:
        """Refuse a storage that does not exist, or does not accept a kind of content."""
        contents = {
            row["content"] for row in self.rows("SELECT content FROM storages WHERE host = ? AND name = ?", host, name)
        }
        if not contents:
            raise HardwareRefused(f"received an HTTP 500 response - Reason: storage '{name}' does not exist on {host}")
        if content not in contents and content == "images":
            raise HardwareRefused(
                "received an HTTP 400 response - Reason: Parameter verification failed. "
                f"(storage: storage '{name}' does not support vm images)"
            )
        if content not in contents:
            raise HardwareRefused(
                f"received an HTTP 500 response - Reason: storage '{name}' is not configured for content-type "
                f"'{content}'"
            )

    def room(self, host: str, need: int, prefix: str) -> None:
        """Refuse a disk or image that does not fit on a host."""
        total = 0 if self.is_broken("disk", host) else self.host(host)["disk"]
        used = self.rows("SELECT COALESCE(SUM(disk), 0) AS sum FROM vms WHERE host = ?", host)[0]["sum"]
        used += IMAGE_BYTES * len(self.rows("SELECT 1 FROM images WHERE place = ?", host))
        if used + need > total:
            raise HardwareRefused(
                f"{prefix}: host {host} has insufficient free space: {need // GIBI} GiB needed, "
                f"{max(0, total - used) // GIBI} GiB free"
            )

    # Images

    def _place(self, host: str, file_id: str) -> str:
        return ON_ALL_HOSTS if self.has("shared storage", file_id.partition(":")[0]) else host

    def download(self, host: str, file_id: str, url: str, checksum: str = "") -> None:
        """Download an image to a storage; a file of the same name is refused, and content with another checksum."""
        storage, _, volume = file_id.partition(":")
        with self.change():
            self.host(host)
            self.allow(permissions.download(host, storage, self.granted()), f"error downloading {file_id}")
            self.storage(host, storage, volume.partition("/")[0])
            if self.has_file(host, file_id):
                raise HardwareRefused(f"error downloading {file_id}: refusing to override existing file '{volume}'")
            if self.is_broken("download", host):
                raise HardwareRefused(f"error downloading file by URL to {host}: download failed: 403 Forbidden: {url}")
            if checksum and self.is_broken("content", host):
                other = "0" * len(checksum)
                raise HardwareRefused(
                    f"error downloading {file_id}: checksum mismatch: got '{other}' != expect '{checksum}', aborting"
                )
            self.room(host, IMAGE_BYTES, f"error downloading {file_id}")
            self._database.execute("INSERT INTO images VALUES (?, ?, ?)", (self._place(host, file_id), file_id, url))
            self.note("download", host, file_id)

    def has_file(self, host: str, file_id: str) -> bool:
        """Report whether a host sees an image."""
        return bool(self.rows("SELECT 1 FROM images WHERE place = ? AND id = ?", self._place(host, file_id), file_id))

    def url_of(self, host: str, file_id: str) -> str:
        """Return the URL that an image was downloaded from."""
        query = "SELECT url FROM images WHERE place = ? AND id = ?"
        return str(self.rows(query, self._place(host, file_id), file_id)[0]["url"])

    def drop_file(self, host: str, file_id: str) -> None:
        """Delete an image, also one that another resource created."""
        with self.change():
            self.allow(
                permissions.delete_file(file_id.partition(":")[0]), f"Could not delete datastore file '{file_id}'"
            )
            query = "DELETE FROM images WHERE place = ? AND id = ?"
            self._database.execute(query, (self._place(host, file_id), file_id))
            self.note("remove file", host, file_id)

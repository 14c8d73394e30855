"""The stand-in for the Proxmox plugin changes, moves and replaces a VM in the same cases as the official one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi.provider.experimental import provider as sdk

from config.values import GIBI
from lab.hardware.rack import Rack
from lab.layout import VARIABLE, Lab
from lab.plugins import base
from lab.plugins.properties import engine_value
from lab.plugins.proxmoxve import ImageFile, ProxmoxPlugin, VmLegacy

TOKEN = "proxmoxve:index/vmLegacy:VmLegacy"
URN = f"urn:pulumi:s::p::{TOKEN}::worker-1"
BEFORE: dict[str, Any] = {
    "vmId": 1020,
    "name": "worker-1",
    "nodeName": "pve-1",
    "bios": "ovmf",
    "machine": "q35",
    "migrate": True,
    "efiDisk": {"type": "4m", "datastoreId": "local-lvm"},
    "tpmState": {"version": "v2.0", "datastoreId": "local-lvm"},
}
FILE = {
    "datastoreId": "local",
    "contentType": "import",
    "fileName": "talos_home_pve-1.qcow2",
    "nodeName": "pve-1",
    "url": "https://factory.talos.dev/image/0123456789/v1.13.0/nocloud-amd64.qcow2",
    "overwriteUnmanaged": True,
}


def replaced(**changes: Any) -> list[str]:
    """Return the changed arguments that replace the VM."""

    def wrapped(inputs: dict[str, Any]) -> Any:
        return {name: engine_value(value) for name, value in inputs.items()}

    async def ask() -> sdk.DiffResponse:
        base.old_inputs.set(wrapped(BEFORE))
        request = sdk.DiffRequest(URN, "1020", wrapped(BEFORE), wrapped({**BEFORE, **changes}), [])
        return await ProxmoxPlugin().diff(request)

    answer = asyncio.run(ask())
    assert answer.changes
    return list(answer.replaces or [])


@pytest.mark.parametrize(
    "changes",
    [{"bios": "seabios"}, {"machine": "pc"}, {"nodeName": "pve-2"}, {"efiDisk": {"type": "4m", "datastoreId": "nas"}}],
)
def test_firmware_machine_type_and_host_change_in_place(changes: dict[str, Any]) -> None:
    assert replaced(**changes) == []


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"vmId": 1021}, ["vmId"]),
        ({"nodeName": "pve-2", "migrate": False}, ["nodeName"]),
        ({"efiDisk": {"type": "2m", "datastoreId": "local-lvm"}}, ["efiDisk"]),
        ({"tpmState": {"version": "v1.2", "datastoreId": "local-lvm"}}, ["tpmState"]),
    ],
)
def test_changes_that_need_a_new_vm_replace_it(changes: dict[str, Any], names: list[str]) -> None:
    assert replaced(**changes) == names


@pytest.fixture
def rack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rack]:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    rack = Rack(Lab(tmp_path).rack)
    rack.set_hosts({"pve-1": (64 * GIBI, 512 * GIBI)})
    yield rack
    rack.close()


def test_a_file_of_the_same_name_is_deleted_first(rack: Rack) -> None:
    ImageFile(ProxmoxPlugin()).create(FILE, preview=False)
    ImageFile(ProxmoxPlugin()).create(FILE, preview=False)
    assert [event for event, _, _ in rack.journal()] == ["download", "remove file", "download"]
    ImageFile(ProxmoxPlugin()).delete("local:import/talos_home_pve-1.qcow2", FILE)
    assert ImageFile(ProxmoxPlugin()).read("local:import/talos_home_pve-1.qcow2", FILE) is None


def test_a_vm_that_was_moved_is_read_on_its_host(rack: Rack) -> None:
    rack.set_hosts({"pve-1": (64 * GIBI, 512 * GIBI), "pve-2": (64 * GIBI, 512 * GIBI)})
    inputs = {**BEFORE, "memory": {"dedicated": 1024}, "disks": [{"size": 10}]}
    VmLegacy(ProxmoxPlugin()).create(inputs, preview=False)
    rack.move_vm(1020, "pve-2")
    seen = VmLegacy(ProxmoxPlugin()).read("1020", dict(inputs)) or {}
    assert seen["nodeName"] == "pve-2"
    VmLegacy(ProxmoxPlugin()).update("1020", seen, inputs, preview=False)
    assert rack.journal("migrate vm") == [("migrate vm", "worker-1", "pve-2 -> pve-1")]

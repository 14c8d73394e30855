"""The product's machines under the real engine, on the rack: moves, replacements and deletions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import read_stack
from config.rights import HIGH_AVAILABILITY
from lab.hardware.rack import Rack
from lab.layout import Lab
from ops.rehearsal.entry import fill_rack
from tests.lab.plugins.desk import CHECKOUT, Desk, Run

pytestmark = pytest.mark.xdist_group("engine")

WORKER = "name: worker-1, role: worker, address: 10.0.10.20, host: pve-2"
PROGRAM = """
    import os
    from pathlib import Path

    import pulumi
    import pulumi_proxmoxve as proxmox

    from components.machines.machines import Machines
    from config import derive
    from config.load import read_stack
    from stacks.homelab import machines_args

    settings = read_stack(Path(os.environ["STACK_FILE"])).require()
    token = "rehearsal@pve!lab=" + "11111111-2222-4333-8444-555555555555"
    provider = proxmox.Provider("proxmox", endpoint="https://rack.lab.invalid:8006", api_token=token)
    machines = machines_args(settings, derive.machines(settings))
    Machines("machines", machines, pulumi.ResourceOptions(providers=[provider]))
"""


class MachineSite:
    """A project whose program makes the machines of a stack file on a rack."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        """Write the stack file and set up the rack."""
        self.desk, self.lab = desk, Lab(folder / "lab")
        self.lab.make()
        self.file = folder / "Pulumi.staging.yaml"
        self.file.write_text((CHECKOUT / "Pulumi.staging.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        desk.env |= {**self.lab.environment, "STACK_FILE": str(self.file), "PYTHONPATH": str(CHECKOUT)}
        self.rack = Rack(self.lab.rack)

    def up(self, *edits: tuple[str, str], refresh: bool = False) -> Run:
        """Edit the stack file, set the rack up for it, and run the engine."""
        text = self.file.read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.file.write_text(text, encoding="utf-8")
        fill_rack(self.lab, read_stack(self.file).require())
        return self.desk.up(PROGRAM, *(("--refresh",) if refresh else ()))


@pytest.fixture(scope="module")
def site(new_desk: Callable[[str], Desk], tmp_path_factory: pytest.TempPathFactory) -> MachineSite:
    site = MachineSite(new_desk("machines"), tmp_path_factory.mktemp("site"))
    made = site.up()
    assert made.exit_code == 0, made.text
    return site


def test_machines_are_created_with_the_rights_of_the_table(site: MachineSite) -> None:
    assert {vm.name for vm in site.rack.vms()} == {"cp-1", "cp-2", "cp-3", "worker-1"}
    assert {file.rpartition("_")[2] for _, _, file in site.rack.journal("download")} == {"pve-1.qcow2", "pve-2.qcow2"}
    again = site.up(refresh=True)
    assert again.counts().keys() == {"unchanged"}, again.text


@pytest.mark.nightly
def test_a_moved_vm_is_moved_back(site: MachineSite) -> None:
    site.rack.move_vm(2020, "pve-1")
    moved = site.up(refresh=True)
    assert moved.counts()["updated"] == 1, moved.text
    there = WORKER.replace("pve-2", "pve-1")
    assert site.up((WORKER, there)).counts()["updated"] == 1
    assert site.up((there, WORKER)).exit_code == 0
    assert [detail for _, _, detail in site.rack.journal("migrate vm")] == [
        "pve-1 -> pve-2",
        "pve-2 -> pve-1",
        "pve-1 -> pve-2",
    ]
    assert site.rack.journal("delete vm") == []


@pytest.mark.nightly
def test_another_id_deletes_and_creates_a_vm(site: MachineSite) -> None:
    assert site.up((WORKER, f"{WORKER}, vmId: 2999")).counts()["replaced"] == 1
    events = [event for event, subject, _ in site.rack.journal("create vm", "delete vm") if subject == "worker-1"]
    assert events == ["create vm", "delete vm", "create vm"]
    assert site.up((f"{WORKER}, vmId: 2999", WORKER)).exit_code == 0


def test_images_of_another_talos_need_a_right_to_replace(site: MachineSite) -> None:
    before = {file for _, _, file in site.rack.journal("download")}
    site.rack.break_("rights", "Datastore.Allocate")
    refused = site.up(("talosVersion: 1.13.10", "talosVersion: 1.13.11"))
    assert "Permission check failed (/storage/local, Datastore.Allocate)" in refused.text
    site.rack.mend("rights", "Datastore.Allocate")
    assert site.up().exit_code == 0
    assert {file for _, _, file in site.rack.journal("remove file")} == before
    assert [vm.arguments["disks"][0]["importFrom"] in before for vm in site.rack.vms()] == [True] * 4


def test_high_availability_manages_the_vms_before_it_keeps_them_apart(site: MachineSite) -> None:
    available = site.up(("    vlan: 10\n", "    vlan: 10\n    highAvailability: restart\n"))
    assert available.counts()["created"] == 5, available.text
    events = [event for event, _, _ in site.rack.journal("manage", "rule")]
    assert events[-1] == "rule"
    assert len(events) == 5
    site.rack.break_("rights", HIGH_AVAILABILITY)
    refused = site.up(("    highAvailability: restart\n", ""))
    assert f"Permission check failed (/, {HIGH_AVAILABILITY})" in refused.text
    site.rack.mend("rights", HIGH_AVAILABILITY)
    site.rack.add_things("right", [HIGH_AVAILABILITY])
    assert site.up().exit_code == 0
    assert not site.rack.has("managed", "vm:2011")

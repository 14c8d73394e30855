"""The rack refuses the same requests as Proxmox: rights request by request, files, storages, pools, devices, moves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.rights import HIGH_AVAILABILITY, PRIVILEGES
from config.values import GIBI
from errors import HardwareRefused
from lab.hardware.rack import Rack
from tests.lab.checkout import Checkout

IMAGE = "local:import/talos-1.13.0-01234567-amd64_home_pve-1.qcow2"
URL = "https://factory.talos.dev/image/0123456789/v1.13.0/nocloud-amd64.qcow2"
VM: Mapping[str, Any] = {
    "vmId": 1020,
    "name": "worker-1",
    "nodeName": "pve-1",
    "machine": "q35",
    "bios": "ovmf",
    "cpu": {"cores": 2},
    "memory": {"dedicated": 4096},
    "onBoot": True,
    "bootOrders": ["scsi0"],
    "startup": {"order": 2},
    "poolId": "talos",
    "disks": [{"interface": "scsi0", "datastoreId": "local-lvm", "size": 40, "importFrom": IMAGE}],
    "efiDisk": {"datastoreId": "local-lvm"},
    "networkDevices": [{"bridge": "vmbr0", "vlanId": 20}],
    "initialization": {"interface": "ide2", "ipConfigs": [{"ipv4": {"address": "10.0.0.20/24"}}]},
    "serialDevices": [{"device": "socket"}],
}
WORKER_ON_THE_FIRST = "name: worker-1, role: worker, address: 10.0.10.20, host: pve-1"
# Without these rights Proxmox answers with an empty list, or the provider warns.
UNSEEN = {"Pool.Audit", "VM.GuestAgent.Audit"}
# Either of two rights suffices.
DOUBLE = {"Datastore.Audit", "VM.Config.Cloudinit", "Sys.AccessNetwork", "Sys.Audit"}


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    rack = Rack(tmp_path / "rack.db")
    rack.set_hosts({"pve-1": (64 * GIBI, 512 * GIBI), "pve-2": (64 * GIBI, 512 * GIBI)})
    rack.add_things("pool", ["talos", "other"])
    rack.add_things("pci", ["gpu"])
    rack.add_things("usb", ["zigbee"])
    yield rack
    rack.close()


def with_vm(rack: Rack, **changes: Any) -> None:
    rack.download("pve-1", IMAGE, URL)
    rack.create_vm({**VM, **changes})


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(HardwareRefused) as refused:
        act()
    return str(refused.value)


def everything(rack: Rack) -> None:
    """Send every request that the program can cause."""
    with_vm(rack, hostpcis=[{"mapping": "gpu"}])
    changes: dict[str, Any] = {"hostpcis": [], "poolId": "other", "description": "other", "nodeName": "pve-2"}
    changes["initialization"] = {"interface": "ide2", "ipConfigs": [{"ipv4": {"address": "10.0.0.21/24"}}]}
    rack.update_vm({**VM, "hostpcis": []})
    rack.update_vm({**VM, **changes})
    rack.delete_vm(1020)
    rack.drop_file("pve-1", IMAGE)


def test_the_rights_of_the_documented_commands_suffice_for_every_request(rack: Rack) -> None:
    everything(rack)


@pytest.mark.parametrize("right", sorted(PRIVILEGES.keys() - UNSEEN - DOUBLE))
def test_each_right_is_required_by_a_request(right: str, rack: Rack) -> None:
    rack.break_("rights", right)
    said = refusal(lambda: everything(rack))
    assert "received an HTTP 403 response - Reason: Permission check failed" in said
    assert right in said or right == "VM.Allocate"  # this refusal has no path


@pytest.mark.parametrize(
    ("right", "words"),
    [
        ("SDN.Use", "Permission check failed (/sdn/zones/localnetwork/vmbr0/20, SDN.Use)"),
        ("Sys.Modify", "Permission check failed (/, Sys.Modify)"),
        ("Datastore.AllocateSpace", "Permission check failed (/storage/local-lvm, Datastore.AllocateSpace)"),
        ("VM.PowerMgmt", "Permission check failed (/vms/1020, VM.PowerMgmt)"),
    ],
)
def test_a_vm_is_refused_in_the_words_of_proxmox(right: str, words: str, rack: Rack) -> None:
    rack.break_("rights", right)
    assert words in refusal(lambda: with_vm(rack))


def test_a_download_needs_rights_on_the_cluster_or_the_host(rack: Rack) -> None:
    rack.break_("rights", "Sys.AccessNetwork")
    rack.download("pve-1", IMAGE, URL)
    rack.break_("rights", "Sys.Audit")
    assert refusal(lambda: rack.download("pve-2", IMAGE, URL)).endswith("Reason: Permission check failed")
    rack.mend("rights", "Sys.AccessNetwork")
    rack.download("pve-2", IMAGE, URL)


def test_an_image_can_be_deleted_with_one_right_only(rack: Rack) -> None:
    rack.download("pve-1", IMAGE, URL)
    rack.break_("rights", "Datastore.Allocate")
    words = "Reason: Permission check failed (/storage/local, Datastore.Allocate)"
    assert words in refusal(lambda: rack.drop_file("pve-1", IMAGE))
    assert rack.has_file("pve-1", IMAGE)


def test_high_availability_needs_a_right_beyond_the_role(rack: Rack) -> None:
    with_vm(rack)
    assert f"Permission check failed (/, {HIGH_AVAILABILITY})" in refusal(lambda: rack.manage("vm:1020"))
    rack.add_things("right", [HIGH_AVAILABILITY])
    rack.manage("vm:1020")
    rack.set_rule("apart", ["vm:1020"])
    assert rack.has("rule", "apart")


def test_a_rule_lists_only_managed_vms(rack: Rack) -> None:
    with_vm(rack)
    rack.add_things("right", [HIGH_AVAILABILITY])
    rack.manage("vm:1020")
    words = "cannot use unmanaged resource(s) vm:1021."
    assert words in refusal(lambda: rack.set_rule("apart", ["vm:1020", "vm:1021"]))
    rack.unmanage("vm:1020")
    assert "cannot use unmanaged resource(s) vm:1020." in refusal(lambda: rack.set_rule("apart", ["vm:1020"]))


def test_a_file_is_never_written_over(rack: Rack) -> None:
    rack.download("pve-1", IMAGE, URL)
    assert f"refusing to override existing file '{IMAGE.partition(':')[2]}'" in refusal(
        lambda: rack.download("pve-1", IMAGE, URL)
    )
    rack.download("pve-2", IMAGE, URL)


def test_an_image_with_another_checksum_is_not_kept(rack: Rack) -> None:
    rack.break_("content", "pve-1")
    words = f"checksum mismatch: got '{'0' * 64}' != expect '{'a' * 64}', aborting"
    assert words in refusal(lambda: rack.download("pve-1", IMAGE, URL, "a" * 64))
    assert not rack.has_file("pve-1", IMAGE)


def test_a_shared_storage_shows_one_file_to_all_hosts(rack: Rack) -> None:
    image = IMAGE.replace("local:", "nas:")
    for host in ("pve-1", "pve-2"):
        rack.add_storage(host, "nas", "import", shared=True)
    rack.download("pve-1", image, URL)
    assert rack.has_file("pve-2", image)
    assert "refusing to override existing file" in refusal(lambda: rack.download("pve-2", image, URL))
    rack.drop_file("pve-2", image)
    vm = {**VM, "disks": [{**VM["disks"][0], "importFrom": image}]}
    assert f"volume '{image}' does not exist on pve-1" in refusal(lambda: rack.create_vm(vm))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"poolId": "none"}, "pool 'none' does not exist"),
        ({"efiDisk": {"datastoreId": "tank"}}, "storage 'tank' does not exist on pve-1"),
        ({"efiDisk": {"datastoreId": "local"}}, "storage 'local' does not support vm images"),
        ({"hostpcis": [{"mapping": "nic"}]}, "PCI device mapping not found for 'nic'"),
        ({"usbs": [{"mapping": "stick"}]}, "USB device mapping not found for 'stick'"),
        ({"machine": "virt"}, "aarch64 cannot use IDE devices"),
        ({"machine": "virt", "initialization": {}}, "aarch64 cannot use IDE devices"),
    ],
)
def test_missing_things_are_refused(changes: dict[str, Any], words: str, rack: Rack) -> None:
    assert words in refusal(lambda: with_vm(rack, **changes))
    assert rack.vm(1020) is None


def test_a_storage_takes_images_only_with_their_content_type(rack: Rack) -> None:
    image = IMAGE.replace("local:", "local-lvm:")
    words = "storage 'local-lvm' is not configured for content-type 'import'"
    assert words in refusal(lambda: rack.download("pve-1", image, URL))


def test_a_vm_is_moved_with_its_disks_and_unchanged(rack: Rack) -> None:
    with_vm(rack)
    rack.update_vm({**VM, "nodeName": "pve-2"})
    assert rack.journal("migrate vm") == [("migrate vm", "worker-1", "pve-1 -> pve-2")]
    assert [node.vm.host for node in rack.nodes()] == ["pve-2"]


def test_other_processors_and_memory_wait_until_proxmox_restarts_the_vm(rack: Rack) -> None:
    with_vm(rack)
    changed = {**VM, "cpu": {"cores": 8}, "memory": {"dedicated": 8192}}
    rack.update_vm(changed)
    rack.update_vm({**changed, "description": "other"})
    (node,) = rack.nodes()
    assert node.vm.booted == (2, 4 * GIBI)
    rack.restart_vm(1020)
    (node,) = rack.nodes()
    assert node.vm.booted == (8, 8 * GIBI)


@pytest.mark.parametrize(("key", "mapping", "device"), [("hostpcis", "gpu", "hostpci0"), ("usbs", "zigbee", "usb0")])
def test_a_vm_that_holds_a_device_stays_where_it_is(key: str, mapping: str, device: str, rack: Rack) -> None:
    with_vm(rack, **{key: [{"mapping": mapping}]})
    moved = {**VM, key: [{"mapping": mapping}], "nodeName": "pve-2"}
    words = f"can't migrate running VM which uses following mapped devices: {device}"
    assert re.search(re.escape(words), refusal(lambda: rack.update_vm(moved)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"disks": [{**VM["disks"][0], "size": 30}]}, "Cannot shrink local-lvm:scsi0 in VM 1020, it is not supported!"),
        (
            {"disks": [{**VM["disks"][0], "size": 50}], "cpu": {"cores": 4}},
            "cannot resize disks while the VM is running",
        ),
        ({"disks": [{**VM["disks"][0], "datastoreId": "tank"}]}, "cannot move disks between datastores while"),
        ({"tpmState": {"datastoreId": "tank"}}, "cannot add, remove, or update the TPM device while"),
    ],
)
def test_a_running_vm_is_not_stopped_for_a_change(changes: dict[str, Any], words: str, rack: Rack) -> None:
    rack.add_storage("pve-1", "tank", "images")
    with_vm(rack, rebootAfterUpdate=False)
    assert words in refusal(lambda: rack.update_vm({**VM, "rebootAfterUpdate": False, **changes}))
    grown = {**VM, "rebootAfterUpdate": False, "disks": [{**VM["disks"][0], "size": 50}]}
    rack.update_vm(grown)
    rack.update_vm({**grown, "cpu": {"cores": 4}})


def test_a_vm_moves_only_where_its_storage_is(rack: Rack) -> None:
    rack.add_storage("pve-1", "tank", "images")
    with_vm(rack, efiDisk={"datastoreId": "tank"})
    moved = {**VM, "efiDisk": {"datastoreId": "tank"}, "nodeName": "pve-2"}
    assert "storage 'tank' does not exist on pve-2" in refusal(lambda: rack.update_vm(moved))


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout.make(tmp_path_factory.mktemp("staging"), "staging")
    checkout.until = "network"  # an upgrade requires Ready nodes
    checkout.rehearse()
    yield checkout
    checkout.end()


@pytest.mark.nightly  # minutes
@pytest.mark.xdist_group("hosts")
class TestTwoHosts:
    """A rehearsed cluster on two hosts, whose VMs are moved and replaced."""

    def test_each_host_has_an_image_of_its_own(self, staging: Checkout) -> None:
        files = {(host, file) for _, host, file in staging.rack.journal("download")}
        assert {file.rpartition("_")[2] for _, file in files} == {"pve-1.qcow2", "pve-2.qcow2"}
        assert all("_staging_" in file for _, file in files)

    def test_a_vm_that_proxmox_moved_is_moved_back(self, staging: Checkout) -> None:
        staging.rack.move_vm(2020, "pve-1")
        staging.rehearse("--refresh")
        assert staging.rack.journal("migrate vm") == [("migrate vm", "worker-1", "pve-1 -> pve-2")]
        assert staging.rack.journal("delete vm") == []
        assert staging.rehearse("--refresh")["changes"].keys() == {"same"}

    def test_another_host_in_the_settings_moves_the_vm(self, staging: Checkout) -> None:
        staging.edit("name: worker-1, role: worker, address: 10.0.10.20, host: pve-2", WORKER_ON_THE_FIRST)
        staging.rehearse()
        assert staging.rack.journal("migrate vm")[-1] == ("migrate vm", "worker-1", "pve-2 -> pve-1")
        assert staging.rack.journal("delete vm") == []
        assert "worker-1" in staging.ready()

    def test_a_vm_with_another_id_needs_no_raised_generation(self, staging: Checkout) -> None:
        staging.edit(WORKER_ON_THE_FIRST, f"{WORKER_ON_THE_FIRST}, vmId: 2999")
        staging.rehearse()
        assert [subject for _, subject, _ in staging.rack.journal("delete vm")] == ["worker-1"]
        (node,) = [node for node in staging.rack.nodes() if node.vm.vm_id == 2999]
        assert (node.name, node.role) == ("worker-1", "worker")
        assert "worker-1" in staging.ready()

    def test_images_of_an_older_talos_are_deleted_and_no_others(self, staging: Checkout) -> None:
        before = {file for _, _, file in staging.rack.journal("download")}
        staging.edit("talosVersion: 1.13.10", "talosVersion: 1.13.11")
        staging.rehearse()
        assert {file for _, _, file in staging.rack.journal("remove file")} == before
        assert {node.talos for node in staging.rack.nodes()} == {"1.13.11"}

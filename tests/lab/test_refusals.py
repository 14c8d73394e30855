"""Refusals of hardware: one clear message with node and host, a usable state, and success after the fix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.values import GIBI
from errors import ExitCode, HardwareRefused
from lab.hardware import talos_node
from lab.hardware.rack import Rack
from tests.lab.checkout import SHORT, Checkout


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout.make(tmp_path_factory.mktemp("dev"))
    checkout.rehearse()
    yield checkout
    checkout.end()


def refused(checkout: Checkout) -> str:
    ran = checkout.run("rehearse", *SHORT)
    assert ran.code == ExitCode.TRY_AGAIN, ran.out
    assert "Traceback" not in ran.err
    assert "run the same command again to go on" in ran.err
    return ran.err


WORKER = "      - {name: worker-1, role: worker, address: 10.0.20.20, host: pve-1}\n"
ENTRY = "      - {name: worker-2, role: worker, address: 10.0.20.21, host: pve-1}\n"
FAULTS = {
    "a token without rights": (
        "rights",
        "SDN.Use",
        "Permission check failed (/sdn/zones/localnetwork/vmbr0/20, SDN.Use)",
    ),
    "an unknown host": ("host", "pve-1", "hostname lookup 'pve-1' failed"),
    "no disk left": ("disk", "pve-1", "host pve-1 has insufficient free space: 40 GiB needed"),
    "no memory left": ("memory", "pve-1", "host pve-1 cannot allocate memory: 16 GiB needed"),
    "a node that never boots": ("boot", "worker-2", "dial tcp 10.0.20.21:50000: connect: no route to host"),
}


IMAGE = "local:import/talos.qcow2"
VM = {
    "vmId": 3021,
    "name": "worker-2",
    "nodeName": "pve-1",
    "memory": {"dedicated": 16384},
    "disks": [{"size": 40, "importFrom": IMAGE}],
    "networkDevices": [{"bridge": "vmbr0", "vlanId": 20}],
    "initialization": {"ipConfigs": [{"ipv4": {"address": "10.0.20.21/24"}}]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_hardware_refuses_in_its_own_words(fault: str, tmp_path: Path) -> None:
    kind, subject, message = FAULTS[fault]
    rack = Rack(tmp_path / "rack.db")
    rack.set_hosts({"pve-1": (64 * GIBI, 512 * GIBI)})
    rack.download("pve-1", IMAGE, "https://factory.example.com/image/0123/v1.13.0/nocloud-amd64.qcow2")
    rack.break_(kind, subject)

    def make() -> None:
        rack.create_vm(VM)
        rack.node_at("10.0.20.21")

    with pytest.raises(HardwareRefused, match=re.escape(message)):
        make()
    rack.mend(kind, subject)
    if rack.vm(3021):
        rack.power_cycle("worker-2")
    else:
        rack.create_vm(VM)
    assert rack.node_at("10.0.20.21").vm.name == "worker-2"
    rack.close()


@pytest.mark.nightly  # minutes
@pytest.mark.xdist_group("refusals")
class TestRefusals:
    """One more worker with every possible obstacle, one after the other, on a cluster that keeps running."""

    def test_a_taken_vm_id_is_reported(self, dev: Checkout) -> None:
        dev.edit(WORKER, WORKER + ENTRY)
        dev.rack.add_foreign_vm(3021, "pve-1", "somebody-elses")
        assert "VM 3021 already exists on node 'pve-1' as 'somebody-elses'" in refused(dev)
        dev.rack.delete_vm(3021)

    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_fault_is_reported_with_node_and_host(self, dev: Checkout, fault: str) -> None:
        kind, subject, message = FAULTS[fault]
        dev.rack.break_(kind, subject)
        said = refused(dev)
        assert message in said
        assert "worker-2 (worker-2, 10.0.20.21, on pve-1): " in said
        dev.rack.mend(kind, subject)

    def test_once_mended_the_next_run_succeeds_and_makes_everything_once(self, dev: Checkout) -> None:
        dev.rack.power_cycle("worker-2")
        dev.rehearse()
        assert set(dev.nodes()) == {"cp-1", "worker-1", "worker-2"}
        assert [subject for _, subject, _ in dev.rack.journal("create vm")].count("worker-2") == 1

    def test_a_refused_download_names_the_host(self, dev: Checkout) -> None:
        dev.edit("name: worker-2, role", "name: worker-2, extensions: [siderolabs/i915], role")
        dev.rack.break_("download", "pve-1")
        assert "error downloading file by URL to pve-1: download failed: 403 Forbidden" in refused(dev)

    def test_a_second_bootstrap_is_refused_in_words(self, dev: Checkout) -> None:
        with pytest.raises(HardwareRefused, match=r"etcd data directory is not empty \(cp-1 at 10.0.20.11\)"):
            talos_node.bootstrap(dev.lab, dev.rack, "10.0.20.11")

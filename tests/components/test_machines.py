"""Machines: what a VM looks like, which image it boots, and that the provider knows every word of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pulumi_proxmoxve as proxmox
import pytest
from pulumi_proxmoxve import _inputs as inputs
from pulumi_proxmoxve.download import File

from components.machines.hardware import disks, is_protected, vm_arguments
from components.machines.images import Image, checksum, file_name, image_of, installer, url
from config import derive
from config.load import read_stack
from errors import Declined
from stacks.homelab import machines_args
from tests.components.mocks import ROOT, Registered, run

SETTINGS = read_stack(ROOT / "Pulumi.homelab.yaml").require()
MACHINES = {machine.name: machine for machine in derive.machines(SETTINGS)}
SITE = machines_args(SETTINGS, tuple(MACHINES.values())).site


def test_a_schematic_has_the_id_that_the_factory_gives() -> None:
    plain = Image("amd64", ())
    with_agent = Image("amd64", ("siderolabs/qemu-guest-agent",))
    assert plain.schematic_id == "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
    assert with_agent.schematic_id == "ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515"


def test_image_and_installer_are_named_by_schematic_and_version() -> None:
    image = Image("arm64", ())
    assert (
        url("factory.talos.dev", image, "abc", "1.13.0")
        == "https://factory.talos.dev/image/abc/v1.13.0/nocloud-arm64.qcow2"
    )
    assert file_name(image, "0123456789", "1.13.0") == "talos-1.13.0-01234567-arm64.qcow2"
    assert installer("factory.talos.dev", "abc", "1.13.0") == "factory.talos.dev/nocloud-installer/abc:v1.13.0"


def test_an_image_keeps_its_name_in_the_state_when_talos_is_upgraded() -> None:
    raised = run("dev", lambda sections: sections["homelab:cluster"].update(talosVersion="1.13.1"))
    assert raised.of("File").keys() == run("dev").of("File").keys()


def test_a_vm_is_made_for_talos() -> None:
    vm = vm_arguments(MACHINES["cp-1"], SITE, "local-lvm")
    assert (vm["bios"], vm["machine"], vm["scsi_hardware"]) == ("ovmf", "q35", "virtio-scsi-pci")
    assert vm["memory"] == {"dedicated": 8192, "floating": 0}
    assert vm["efi_disk"]["pre_enrolled_keys"] is False
    assert vm["serial_devices"] == [{"device": "socket"}]
    assert vm["initialization"]["ip_configs"] == [{"ipv4": {"address": "10.0.0.11/24", "gateway": "10.0.0.1"}}]
    assert vm["network_devices"][0]["mac_address"] == MACHINES["cp-1"].mac
    assert vm["vm_id"] == 1011
    assert vm["reboot_after_update"] is False


def test_control_planes_start_before_workers() -> None:
    orders = {name: vm_arguments(machine, SITE, "s")["startup"]["order"] for name, machine in MACHINES.items()}
    assert orders["cp-1"] < orders["worker-1"]


def test_disks_are_the_system_disk_from_the_image_then_the_data_disks() -> None:
    system, data = disks(MACHINES["worker-1"], "local-lvm", "local:import/talos.qcow2")
    assert (system["interface"], system["size"], system["import_from"]) == ("scsi0", 100, "local:import/talos.qcow2")
    assert (data["interface"], data["size"]) == ("scsi1", 1024)
    assert "import_from" not in data
    assert system["discard"] == data["discard"] == "on"


def test_what_holds_data_is_protected_in_production_and_nothing_in_dev() -> None:
    assert [name for name, machine in MACHINES.items() if is_protected(machine)] == list(MACHINES)
    assert all(vm.options.protect for vm in run("homelab").of("VmLegacy").values())
    assert not any(vm.options.protect for vm in run("dev").of("VmLegacy").values())


def test_passed_through_devices_are_named_by_their_mapping() -> None:
    def with_gpu(sections: dict[str, Any]) -> None:
        sections["homelab:cluster"]["nodes"][1]["pci"] = ["gpu"]

    assert run("dev", with_gpu).of("VmLegacy")["machines-worker-1"].inputs["hostpcis"] == [
        {"device": "hostpci0", "mapping": "gpu", "pcie": True}
    ]


def test_an_image_is_downloaded_once_a_host() -> None:
    files = run("homelab").of("File")
    assert sorted(file.inputs["nodeName"] for file in files.values()) == ["pve-1", "pve-2", "pve-3"]
    assert {file.inputs["contentType"] for file in files.values()} == {"import"}


def test_a_running_vm_ignores_another_image() -> None:
    vms = run("homelab").of("VmLegacy").values()
    assert {tuple(vm.options.ignoreChanges) for vm in vms} == {("disks[0].importFrom",)}


def known(cls: type) -> set[str]:
    return set(inspect.signature(cls).parameters)


def nested(name: str, value: Any) -> Iterator[tuple[str, set[str]]]:
    """Give every nested argument with the name of the provider's type for it."""
    if isinstance(value, list):
        for item in value:
            yield from nested(name.removesuffix("s"), item)
    elif isinstance(value, dict):
        yield name, set(value)
        for key, inner in value.items():
            yield from nested(name + "".join(part.title() for part in key.split("_")), inner)


def test_the_provider_knows_every_argument_of_a_vm() -> None:
    machine = MACHINES["worker-1"]
    arguments = vm_arguments(machine, SITE, "local-lvm") | {"disks": disks(machine, "local-lvm", "image")}
    assert set(arguments) <= set(inspect.signature(proxmox.VmLegacy._internal_init).parameters)
    for key, value in arguments.items():
        for kind, keys in nested("VmLegacy" + "".join(part.title() for part in key.split("_")), value):
            assert keys <= known(getattr(inputs, f"{kind}Args")), kind


@pytest.mark.parametrize("stack", ["homelab", "dev"])
def test_the_provider_knows_every_argument_of_a_download(stack: str) -> None:
    names = {to_snake(key) for file in run(stack).of("File").values() for key in file.inputs}
    assert names <= set(inspect.signature(File._internal_init).parameters)


def to_snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def test_no_vm_says_more_than_the_state_may_hold() -> None:
    def text(resource: Registered) -> str:
        return repr(resource.inputs)

    assert "11111111-2222" not in "".join(text(vm) for vm in run("homelab").of("VmLegacy").values())


def test_kernel_arguments_are_part_of_the_schematic_in_the_order_of_the_factory() -> None:
    image = Image("amd64", ("siderolabs/qemu-guest-agent",), ("intel_iommu=on", "-selinux"))
    assert image.schematic == (
        "customization:\n    extraKernelArgs:\n        - intel_iommu=on\n        - -selinux\n"
        "    systemExtensions:\n        officialExtensions:\n            - siderolabs/qemu-guest-agent\n"
    )
    assert image.key != Image("amd64", ("siderolabs/qemu-guest-agent",)).key


def test_a_factory_of_the_operators_own_makes_images_installers_and_schematics() -> None:
    def change(sections: dict[str, Any]) -> None:
        sections["homelab:cluster"]["imageFactory"] = "factory.example.com"

    program = run("dev", change)
    urls = [file.inputs["url"] for file in program.of("File").values()]
    assert all(url.startswith("https://factory.example.com/image/") for url in urls)
    image = program.of("Command")["cluster-talos-cp-1"].inputs["environment"]["IMAGE"]
    assert image.startswith("factory.example.com/nocloud-installer/")
    provider = program.of("talos")["talos"]
    assert provider.inputs["imageFactoryUrl"] == "https://factory.example.com"
    for schematic in program.of("Schematic").values():
        assert "::talos::" in schematic.options.provider


def test_an_image_has_its_checksum_and_none_is_left_out() -> None:
    settings = read_stack(ROOT / "Pulumi.dev.yaml").require()
    booted = image_of(derive.machines(settings)[0])
    image = url("factory.talos.dev", booted, booted.schematic_id, str(settings.cluster.talos_version))

    def change(sections: dict[str, Any]) -> None:
        sections["homelab:cluster"]["imageChecksums"] = {image.replace("1.13", "1.12"): "0" * 64, image: "a" * 64}

    for file in run("dev", change).of("File").values():
        assert (file.inputs["checksum"], file.inputs["checksumAlgorithm"]) == ("a" * 64, "sha256")
        assert list(file.options.ignoreChanges) == ["checksum", "checksumAlgorithm"]
    with pytest.raises(Declined, match=f"cluster.imageChecksums: has no checksum of {image}x; add its SHA-256"):
        checksum({image: "a" * 64}, f"{image}x")

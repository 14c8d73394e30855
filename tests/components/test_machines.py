"""Machines: the arguments of a VM, all known to the provider, and the image that it boots."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pulumi_proxmoxve as proxmox
import pytest
from pulumi_proxmoxve import _inputs as inputs
from pulumi_proxmoxve.download import File

from components.machines.hardware import disks, is_protected, vm_arguments
from components.machines.images import Image, file_name, image_of, installer, path, url
from config import derive
from config.load import read_stack
from config.model import Settings
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
    assert file_name(image, "0123456789", "1.13.0", "home", "pve-1") == "talos-1.13.0-01234567-arm64_home_pve-1.qcow2"
    assert (
        installer("f.example.com", image, "1.13.0") == f"f.example.com/nocloud-installer/{image.schematic_id}:v1.13.0"
    )


def test_a_signed_image_has_an_installer_that_is_signed_too() -> None:
    image = Image("amd64", (), secure=True)
    assert url("factory.talos.dev", image, "abc", "1.13.0").endswith("/nocloud-amd64-secureboot.qcow2")
    assert "/nocloud-installer-secureboot/" in installer("factory.talos.dev", image, "1.13.0")


def test_each_image_file_has_one_stack_and_one_host() -> None:
    def names(stack: str) -> list[str]:
        return [file_name(*image, stack, host) for host in ("pve", "pve-1") for image in images]

    images = [(Image("amd64", ()), "0123456789", "1.13.0")]
    both = [*names("home"), *names("home-pve")]
    assert len(set(both)) == len(both)


def test_a_listed_image_is_compared_by_its_checksum() -> None:
    image = image_of(derive.machine(settings_of_dev(), settings_of_dev().cluster.nodes[0]))
    place = path(image, image.schematic_id, str(settings_of_dev().cluster.talos_version))

    def listed(sections: dict[str, Any]) -> None:
        sections["homelab:cluster"]["imageChecksums"] = {place.replace("1.13", "1.12"): "0" * 64, place: "a" * 64}

    (file,) = run("dev", listed).of("File").values()
    assert (file.inputs["checksum"], file.inputs["checksumAlgorithm"]) == ("a" * 64, "sha256")
    assert list(file.options.ignoreChanges) == ["checksum", "checksumAlgorithm"]
    assert all("checksum" not in file.inputs for file in run("dev").of("File").values())


def settings_of_dev() -> Settings:
    return read_stack(ROOT / "Pulumi.dev.yaml").require()


def test_hosts_with_shared_storage_download_each_image_once() -> None:
    def shared(sections: dict[str, Any]) -> None:
        sections["homelab:proxmox"]["imageStorage"] = "shared"
        for host in sections["homelab:proxmox"]["hosts"]:
            host["images"] = "nas"

    program = run("homelab", shared)
    assert [file.inputs["nodeName"] for file in program.of("File").values()] == ["pve-1"]
    images = {vm.inputs["disks"][0]["importFrom"] for vm in program.of("VmLegacy").values()}
    assert images == {f"{name}-id" for name in program.of("File")}


def test_an_upgrade_of_talos_keeps_the_names_of_images() -> None:
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


def test_a_migrated_vm_is_migrated_back() -> None:
    assert vm_arguments(MACHINES["worker-1"], SITE, "local-lvm")["migrate"] is True


def test_an_arm_vm_has_its_cloud_init_drive_on_scsi() -> None:
    arm = replace(MACHINES["worker-1"], architecture="arm64")
    assert vm_arguments(arm, SITE, "s")["initialization"]["interface"] == "scsi30"
    assert vm_arguments(MACHINES["worker-1"], SITE, "s")["initialization"]["interface"] is None  # the provider's own


def test_secure_boot_has_a_tpm_and_no_foreign_keys() -> None:
    vm = vm_arguments(MACHINES["cp-1"], replace(SITE, secure=True), "local-lvm")
    assert vm["tpm_state"] == {"datastore_id": "local-lvm", "version": "v2.0"}
    assert vm["efi_disk"]["pre_enrolled_keys"] is False
    assert vm_arguments(MACHINES["cp-1"], SITE, "local-lvm")["tpm_state"] is None


def test_cards_cpu_and_usb_devices_are_as_the_settings_say() -> None:
    def change(sections: dict[str, Any]) -> None:
        sections["homelab:proxmox"] |= {"cpuType": "x86-64-v3", "mtu": 9000}
        sections["homelab:proxmox"]["hosts"][0]["bridge"] = "vmbr1"
        cards = [{"bridge": "vmbr9", "vlan": 30, "mtu": 1}]
        sections["homelab:cluster"]["nodes"][1] |= {"usb": ["zigbee"], "vlan": 21, "networkCards": cards}

    vms = run("dev", change).of("VmLegacy")
    plane, worker = (vms[f"machines-{name}"].inputs for name in ("cp-1", "worker-1"))
    assert plane["cpu"]["type"] == "x86-64-v3"
    first, second = worker["networkDevices"]
    assert (first["bridge"], first["vlanId"], first["mtu"]) == ("vmbr1", 21, 9000)
    assert (second["bridge"], second["vlanId"], second["mtu"]) == ("vmbr9", 30, 1)
    assert first["macAddress"] != second["macAddress"]
    assert worker["usbs"] == [{"mapping": "zigbee"}]
    assert plane["networkDevices"][0]["vlanId"] == 20


def test_backup_jobs_exclude_data_disks_by_default() -> None:
    worker = MACHINES["worker-1"]
    included = replace(worker, data_disks=(worker.data_disks[0].model_copy(update={"backup": "included"}),))
    assert [disk["backup"] for disk in (disks(worker, "s", "i")[1], disks(included, "s", "i")[1])] == [False, True]
    assert "backup" not in disks(worker, "s", "i")[0]


def test_control_planes_start_before_workers() -> None:
    orders = {name: vm_arguments(machine, SITE, "s")["startup"]["order"] for name, machine in MACHINES.items()}
    assert orders["cp-1"] < orders["worker-1"]


def test_the_system_disk_comes_before_the_data_disks() -> None:
    system, data = disks(MACHINES["worker-1"], "local-lvm", "local:import/talos.qcow2")
    assert (system["interface"], system["size"], system["import_from"]) == ("scsi0", 100, "local:import/talos.qcow2")
    assert (data["interface"], data["size"]) == ("scsi1", 1024)
    assert "import_from" not in data
    assert system["discard"] == data["discard"] == "on"


def test_machines_with_data_are_protected_in_production_only() -> None:
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


def test_high_availability_manages_every_vm_and_keeps_control_planes_apart() -> None:
    def available(sections: dict[str, Any]) -> None:
        sections["homelab:proxmox"]["highAvailability"] = "restart"

    program = run("homelab", available)
    managed = {one.inputs["resourceId"] for one in program.of("Haresource").values()}
    assert managed == {f"vm:{machine.vm_id}" for machine in MACHINES.values()}
    (rule,) = program.of("Harule").values()
    assert (rule.inputs["type"], rule.inputs["affinity"]) == ("resource-affinity", "negative")
    assert rule.inputs["resources"] == ["vm:1011", "vm:1012", "vm:1013"]
    assert rule.depends_on >= {"machines-available-cp-1", "machines-available-cp-3"}
    assert not run("homelab").of("Haresource")
    assert not run("dev", available).of("Harule")


def test_a_running_vm_ignores_another_image() -> None:
    vms = run("homelab").of("VmLegacy").values()
    assert {tuple(vm.options.ignoreChanges) for vm in vms} == {("disks[0].importFrom",)}


def known(cls: type) -> set[str]:
    return set(inspect.signature(cls).parameters)


def nested(name: str, value: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield every nested argument with the provider's type for it."""
    if isinstance(value, list):
        for item in value:
            yield from nested(name.removesuffix("s"), item)
    elif isinstance(value, dict):
        yield name, set(value)
        for key, inner in value.items():
            yield from nested(name + "".join(part.title() for part in key.split("_")), inner)


def test_the_provider_knows_every_argument_of_a_vm() -> None:
    machine = replace(MACHINES["worker-1"], usb=("zigbee",), pci=("gpu",))
    arguments = vm_arguments(machine, replace(SITE, secure=True), "local-lvm") | {
        "disks": disks(machine, "local-lvm", "image")
    }
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


def test_kernel_arguments_have_the_order_of_the_factory() -> None:
    image = Image("amd64", ("siderolabs/qemu-guest-agent",), ("intel_iommu=on", "-selinux"))
    assert image.schematic == (
        "customization:\n    extraKernelArgs:\n        - intel_iommu=on\n        - -selinux\n"
        "    systemExtensions:\n        officialExtensions:\n            - siderolabs/qemu-guest-agent\n"
    )
    assert image.key != Image("amd64", ("siderolabs/qemu-guest-agent",)).key


def test_the_operators_own_factory_makes_images_installers_and_schematics() -> None:
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

"""The machines as resources: a schematic for each image, a download for each storage, a VM for each node.

`stacks.homelab` passes machines in and takes the VMs and schematics out, on which `components.cluster` depends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_proxmoxve as proxmox
import pulumiverse_talos as talos
from pulumi_proxmoxve.download import File

from components.contract import Component
from components.machines.hardware import Site, disks, is_kept_apart, is_protected, vm_arguments
from components.machines.images import Image, file_name, image_of, path, url
from config.derive import Machine
from config.model import Host

DOWNLOAD_SECONDS = 1800


@dataclass(frozen=True)
class MachinesArgs:
    """The arguments of the machines."""

    machines: Sequence[Machine]
    hosts: Sequence[Host]
    site: Site
    talos_version: str
    image_factory: str
    image_checksums: Mapping[str, str]
    shared_images: bool
    high_availability: bool
    protect: bool


class Machines(Component):
    """Talos images and VMs."""

    vms: Mapping[str, proxmox.VmLegacy]
    schematics: Mapping[Image, pulumi.Output[str]]

    def __init__(self, name: str, args: MachinesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the images on the storages that need them, then the VMs."""
        super().__init__(name, opts)
        self.args = args
        self.hosts = {host.name: host for host in args.hosts}
        self.images = {machine.name: image_of(machine, secure=args.site.secure) for machine in args.machines}
        self.schematics = {image: self._schematic(image) for image in dict.fromkeys(self.images.values())}
        wanted = dict.fromkeys(self._place(machine) for machine in args.machines)
        self.files = {(host, image): self._download(host, image) for host, image in wanted}
        self.vms = {machine.name: self._vm(machine) for machine in args.machines}
        if args.high_availability:
            self._high_availability()
        self.register_outputs({"vms": {name: vm.vm_id for name, vm in self.vms.items()}})

    def _place(self, machine: Machine) -> tuple[str, Image]:
        """Return the host that downloads a machine's image: of hosts with shared storage, the first one."""
        return self.args.hosts[0].name if self.args.shared_images else machine.host, self.images[machine.name]

    def _schematic(self, image: Image) -> pulumi.Output[str]:
        schematic = talos.imagefactory.Schematic(
            self.child("schematic", image.key), schematic=image.schematic, opts=self.options()
        )
        return schematic.id

    def _download(self, host: str, image: Image) -> File:
        version = self.args.talos_version
        schematic, factory = self.schematics[image], self.args.image_factory
        checksum = self.args.image_checksums.get(path(image, image.schematic_id, version))
        return File(
            self.child("image", host, image.key),
            content_type="import",
            datastore_id=self.hosts[host].images,
            node_name=host,
            url=schematic.apply(lambda schematic: url(factory, image, schematic, version)),
            file_name=schematic.apply(
                lambda schematic: file_name(image, schematic, version, self.args.site.stack, host)
            ),
            checksum=checksum,
            checksum_algorithm="sha256" if checksum else None,
            overwrite=False,
            overwrite_unmanaged=True,  # a file that an interrupted run left is adopted
            upload_timeout=DOWNLOAD_SECONDS,
            # A checksum verifies the download only. A later change would replace the file by one of the same name, and
            # deleting the old file would then delete the new one.
            opts=self.options(ignore_changes=["checksum", "checksumAlgorithm"]),
        )

    def _vm(self, machine: Machine) -> proxmox.VmLegacy:
        storage = self.hosts[machine.host].disks
        return proxmox.VmLegacy(
            self.child(machine.name),
            disks=disks(machine, storage, self.files[self._place(machine)].id),
            **vm_arguments(machine, self.args.site, storage),
            opts=self.options(
                protect=self.args.protect and is_protected(machine),
                # A VM id is in use until the old VM is deleted.
                delete_before_replace=True,
                # Another image is for new VMs: Talos upgrades a running node, never its disk.
                ignore_changes=["disks[0].importFrom"],
            ),
        )

    def _high_availability(self) -> None:
        """Make Proxmox restart the VMs, on another host if theirs failed, with control planes on separate hosts."""
        managed = {
            machine.name: proxmox.Haresource(
                self.child("available", machine.name),
                resource_id=f"vm:{machine.vm_id}",
                state="started",
                opts=self.options(depends_on=[self.vms[machine.name]]),
            )
            for machine in self.args.machines
        }
        apart = [machine for machine in self.args.machines if is_kept_apart(machine)]
        if len(apart) > 1:
            proxmox.Harule(
                self.child("apart"),
                rule=f"homelab-{self.args.site.stack}-control-planes",
                type="resource-affinity",
                affinity="negative",
                resources=[f"vm:{machine.vm_id}" for machine in apart],
                # A rule may only reference resources that are managed already.
                opts=self.options(depends_on=[managed[machine.name] for machine in apart]),
            )

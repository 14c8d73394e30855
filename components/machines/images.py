"""The Talos image that a machine boots from: its schematic, its name, its URL at the image factory.

Pure: facts of machines come in, texts go out. `components.machines.machines` makes a schematic and a download for each
distinct image, and `components.cluster` uses the installer of the same schematic for upgrades.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from config.derive import Machine, machines
from config.model import Settings

PLATFORM = "nocloud"  # reads addresses from the cloud-init drive that Proxmox makes
SHORT = 8


@dataclass(frozen=True)
class Image:
    """The properties that make an image distinct: processor, extensions, kernel arguments, signature."""

    architecture: str
    extensions: tuple[str, ...]
    kernel_arguments: tuple[str, ...] = ()
    secure: bool = False

    @property
    def key(self) -> str:
        """Return the part of logical names that identifies the image; an upgrade of Talos does not change it."""
        parts = (*self.extensions, *self.kernel_arguments)
        return f"{self.architecture}-{hashlib.sha256(','.join(parts).encode()).hexdigest()[:SHORT]}"

    @property
    def schematic(self) -> str:
        """Return the schematic in the factory's own canonical form, so that its hash is the factory's id."""
        lines = ["    extraKernelArgs:"] if self.kernel_arguments else []
        lines += [f"        - {argument}" for argument in self.kernel_arguments]
        lines += ["    systemExtensions:", "        officialExtensions:"] if self.extensions else []
        lines += [f"            - {extension}" for extension in self.extensions]
        return "\n".join(["customization:", *lines, ""]) if lines else "customization: {}\n"

    @property
    def schematic_id(self) -> str:
        """Return the id that the factory computes for the schematic."""
        return hashlib.sha256(self.schematic.encode()).hexdigest()

    @property
    def suffix(self) -> str:
        """Return the suffix of a signed image at the factory."""
        return "-secureboot" if self.secure else ""


def image_of(machine: Machine, *, secure: bool = False) -> Image:
    """Return the image that a machine boots from."""
    return Image(machine.architecture, machine.extensions, machine.kernel_arguments, secure)


def images_of(settings: Settings) -> tuple[Image, ...]:
    """Return the images of a stack."""
    secure = settings.cluster.boot == "secure"
    return tuple(dict.fromkeys(image_of(machine, secure=secure) for machine in machines(settings)))


def path(image: Image, schematic: str, version: str) -> str:
    """Return the path of the disk image at the factory: qcow2, which Proxmox imports without decompressing it."""
    return f"{schematic}/v{version}/{PLATFORM}-{image.architecture}{image.suffix}.qcow2"


def url(factory: str, image: Image, schematic: str, version: str) -> str:
    """Return the URL of the disk image."""
    return f"https://{factory}/image/{path(image, schematic, version)}"


def without_checksum(settings: Settings) -> tuple[str, ...]:
    """Return the images without a checksum, where others have one."""
    listed, version = settings.cluster.image_checksums, str(settings.cluster.talos_version)
    paths = (path(image, image.schematic_id, version) for image in images_of(settings))
    return tuple(one for one in paths if listed and one not in listed)


def file_name(image: Image, schematic: str, version: str, owner: str, host: str) -> str:
    """Return the file name on the storage.

    It is unique to version, schematic, stack and host: if two resources owned one file, deleting one of them would
    delete the file from which the other's VM is made.
    """
    return f"talos-{version}-{schematic[:SHORT]}-{image.architecture}{image.suffix}_{owner}_{host}.qcow2"


def installer(factory: str, image: Image, version: str) -> str:
    """Return the container image that installs and upgrades the nodes of an image."""
    return f"{factory}/{PLATFORM}-installer{image.suffix}/{image.schematic_id}:v{version}"

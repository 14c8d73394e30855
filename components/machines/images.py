"""Which Talos image a machine boots from: its schematic, its name, its address at the image factory.

Pure: facts of machines come in, texts go out. `components.machines.machines` makes a schematic and a download of each
distinct image, and `components.cluster` names the installer of the same schematic for upgrades.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from config.derive import Machine
from errors import Declined

PLATFORM = "nocloud"  # reads addresses from the cloud-init drive that Proxmox makes
SHORT = 8


@dataclass(frozen=True)
class Image:
    """What makes one image differ from another: the processor, the extensions and the kernel's arguments."""

    architecture: str
    extensions: tuple[str, ...]
    kernel_arguments: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Tell images apart in logical names; it stays when Talos is upgraded."""
        parts = (*self.extensions, *self.kernel_arguments)
        return f"{self.architecture}-{hashlib.sha256(','.join(parts).encode()).hexdigest()[:SHORT]}"

    @property
    def schematic(self) -> str:
        """Write the schematic in the factory's own canonical form, so that its hash is the factory's id."""
        lines = ["    extraKernelArgs:"] if self.kernel_arguments else []
        lines += [f"        - {argument}" for argument in self.kernel_arguments]
        lines += ["    systemExtensions:", "        officialExtensions:"] if self.extensions else []
        lines += [f"            - {extension}" for extension in self.extensions]
        return "\n".join(["customization:", *lines, ""]) if lines else "customization: {}\n"

    @property
    def schematic_id(self) -> str:
        """Compute the id that the factory will give."""
        return hashlib.sha256(self.schematic.encode()).hexdigest()


def image_of(machine: Machine) -> Image:
    """Say which image a machine boots from."""
    return Image(machine.architecture, machine.extensions, machine.kernel_arguments)


def url(factory: str, image: Image, schematic: str, version: str) -> str:
    """Where the disk image is downloaded: qcow2, which Proxmox imports without decompressing it."""
    return f"https://{factory}/image/{schematic}/v{version}/{PLATFORM}-{image.architecture}.qcow2"


def checksum(checksums: Mapping[str, str], image: str) -> str | None:
    """Return the checksum of an image by its URL; where any has one, an image without is refused."""
    if checksums and image not in checksums:
        raise Declined(f"cluster.imageChecksums: has no checksum of {image}; add its SHA-256, or remove all checksums")
    return checksums.get(image)


def file_name(image: Image, schematic: str, version: str) -> str:
    """Name the file on the host; another version or schematic is another file."""
    return f"talos-{version}-{schematic[:SHORT]}-{image.architecture}.qcow2"


def installer(factory: str, schematic: str, version: str) -> str:
    """Name the container image that installs and upgrades a node of this schematic."""
    return f"{factory}/{PLATFORM}-installer/{schematic}:v{version}"

"""Stand-in for `pulumi-resource-proxmoxve`, which acts on the rack.

It accepts the inputs of the official plugin, refuses the same requests as Proxmox, and returns its ids and outputs.
`lab.hardware.rack` stores the VMs, `lab.hardware.talos_node` removes the node of a deleted VM.
"""

from __future__ import annotations

from typing import ClassVar

from lab.hardware import permissions, talos_node
from lab.hardware.rack import Rack, vm_of
from lab.layout import Lab
from lab.plugins.base import ResourceKind, StandIn
from lab.plugins.properties import Plain, top
from lab.plugins.server import serve

# A change below these arguments makes the official provider replace a VM too; firmware and machine type change in
# place.
ANEW = ("efiDisk.type", "tpmState.version")


class OnTheRack(ResourceKind):
    """A kind that acts on the rack."""

    def rack(self) -> Rack:
        """Open the rack of this rehearsal."""
        return Rack(Lab.from_environment().rack)


class VmLegacy(OnTheRack):
    """A VM, as the provider calls its older resource."""

    replace_on = ("vmId",)
    unknown_in_preview = ("ipv4Addresses", "ipv6Addresses", "macAddresses", "networkInterfaceNames")

    def replaces(self, path: str) -> bool:
        """Report whether a change at this path replaces the VM; one that may migrate is moved."""
        if top(path) == "nodeName":
            return not self.given.get("migrate", False)
        return super().replaces(path) or path in ANEW

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Create and boot the VM."""
        vm = self.rack().create_vm(inputs)
        return str(vm.vm_id), _seen(inputs)

    def read(self, id: str, outputs: Plain) -> Plain | None:  # noqa: A002 - the engine's word
        """Read the VM; an import has its id as host/id."""
        number = id.rsplit("/", 1)[-1]
        vm = self.rack().vm(int(number))
        if vm is None or not vm.arguments:
            return None
        return {"id": number, **vm.arguments, **_seen(dict(vm.arguments)), **_kept(outputs)}

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002
        """Change the VM in place."""
        self.rack().update_vm(inputs)
        return _seen(inputs)

    def delete(self, id: str, outputs: Plain) -> None:  # noqa: A002
        """Delete the VM and the node on it."""
        rack = self.rack()
        rack.delete_vm(int(id))
        talos_node.reconcile(Lab.from_environment(), rack)


class ImageFile(OnTheRack):
    """An image that a host downloads."""

    replace_on = ("nodeName", "datastoreId", "contentType", "url", "fileName", "checksum", "checksumAlgorithm")
    unknown_in_preview = ("size",)

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Download the image; delete a file of its name first, if the inputs require it."""
        file, rack = f"{inputs['datastoreId']}:{inputs['contentType']}/{inputs['fileName']}", self.rack()
        if inputs.get("overwriteUnmanaged") and rack.has_file(inputs["nodeName"], file):
            rack.drop_file(inputs["nodeName"], file)
        rack.download(inputs["nodeName"], file, inputs["url"], inputs.get("checksum", ""))
        return file, {"size": 0}

    def read(self, id: str, outputs: Plain) -> Plain | None:  # noqa: A002
        """Report the image if it exists."""
        return outputs if self.rack().has_file(outputs["nodeName"], id) else None

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002
        """Store other flags."""
        return {}

    def delete(self, id: str, outputs: Plain) -> None:  # noqa: A002
        """Delete the image."""
        self.rack().drop_file(outputs["nodeName"], id)


class Haresource(OnTheRack):
    """A VM that high availability manages."""

    replace_on = ("resourceId", "type")

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Add the VM to high availability."""
        self.rack().manage(inputs["resourceId"])
        return inputs["resourceId"], {"state": "started", "type": "vm"}

    def read(self, id: str, outputs: Plain) -> Plain | None:  # noqa: A002
        """Return the resource, if the VM is managed."""
        return outputs if self.rack().has("managed", id) else None

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002
        """Store another comment or state."""
        self.rack().allow(permissions.high_availability(), f"error updating HA resource {id}")
        return {}

    def delete(self, id: str, outputs: Plain) -> None:  # noqa: A002
        """Remove the VM from high availability."""
        self.rack().unmanage(id)


class Harule(OnTheRack):
    """A rule about managed VMs that share a host."""

    replace_on = ("rule", "type")

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Set the rule."""
        self.rack().set_rule(inputs["rule"], inputs["resources"])
        return inputs["rule"], {"disable": False, "strict": False}

    def read(self, id: str, outputs: Plain) -> Plain | None:  # noqa: A002
        """Return the rule, if it is set."""
        return outputs if self.rack().has("rule", id) else None

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002
        """Set the rule again."""
        self.rack().set_rule(id, inputs["resources"])
        return {}

    def delete(self, id: str, outputs: Plain) -> None:  # noqa: A002
        """Remove the rule."""
        self.rack().drop_rule(id)


def _seen(inputs: Plain) -> Plain:
    address = vm_of(inputs).address
    macs = [device.get("macAddress", "") for device in inputs.get("networkDevices", [])]
    return {
        "ipv4Addresses": [["127.0.0.1"], [address]],
        "ipv6Addresses": [["::1"]],
        "macAddresses": ["00:00:00:00:00:00", *macs],
        "networkInterfaceNames": ["lo", "eth0"],
    }


def _kept(outputs: Plain) -> Plain:
    """Return arguments that the rack does not model as the state has them."""
    return {name: value for name, value in outputs.items() if name not in ("name", "nodeName", "cpu", "memory")}


class ProxmoxPlugin(StandIn):
    """The plugin of pulumi-proxmoxve."""

    package, distribution = "proxmoxve", "pulumi_proxmoxve"
    kinds: ClassVar = {
        "proxmoxve:index/vmLegacy:VmLegacy": VmLegacy,
        "proxmoxve:download/file:File": ImageFile,
        "proxmoxve:index/haresource:Haresource": Haresource,
        "proxmoxve:index/harule:Harule": Harule,
    }


if __name__ == "__main__":
    serve(ProxmoxPlugin())

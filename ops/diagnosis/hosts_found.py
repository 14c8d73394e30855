"""The hosts of a Proxmox cluster as `ops.init` proposes them: addresses, storages and bridges.

An endpoint and a token come in, `FoundHosts` go out, or a refusal with the reason. All requests are read-only. The
token goes to an endpoint with an untrusted certificate only after a verified connection was tried: the stack that is
proposed would accept the same certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from typing import Any
from urllib.parse import quote

from config.model import Host, Proxmox
from errors import HardwareRefused
from manifests.fields import mappings, number, text
from ops.diagnosis.proxmox import TOKEN, UNTRUSTED, ProxmoxApi

SECONDS = (3.0, 5.0)  # a user waits for the next question
CERTIFICATES = {"verified": True, "self-signed": False}


@dataclass(frozen=True)
class FoundHost:
    """One host; a storage or bridge is empty where the host has none that fits."""

    name: str
    address: str
    images: str
    disks: str
    bridge: str

    def __str__(self) -> str:
        """Return the host in one line."""
        parts = (("images", self.images), ("disks", self.disks), ("bridge", self.bridge))
        found = ", ".join(f"{what} {value}" if value else f"nothing for {what}" for what, value in parts)
        return f"{self.name} at {self.address}: {found}"


@dataclass(frozen=True)
class FoundHosts:
    """The hosts of a cluster, the form of its certificate, and the names of those that are not proposed."""

    hosts: tuple[FoundHost, ...]
    certificate: str
    left_out: tuple[str, ...] = ()


def hosts_at(endpoint: str, token: str) -> FoundHosts:
    """Return the hosts of the cluster at an endpoint; refuse with the reason if there is no answer to propose from."""
    if not endpoint.startswith("https://"):
        raise HardwareRefused(f"{endpoint}: is not an https URL")
    if not TOKEN.match(token):
        raise HardwareRefused("the API token is not user@realm!name=uuid")
    try:
        return _hosts(endpoint, token, "verified")
    except HardwareRefused as refused:
        if UNTRUSTED not in str(refused):
            raise
    return _hosts(endpoint, token, "self-signed")


def _hosts(endpoint: str, token: str, certificate: str) -> FoundHosts:
    api = ProxmoxApi(endpoint.rstrip("/"), CERTIFICATES[certificate], token, seconds=SECONDS)
    with api.session:
        nodes = [one for one in _rows(api.get("/cluster/status")) if one.get("type") == "node" and text(one, "name")]
        usable = [one for one in nodes if one.get("online") and _is_address(text(one, "ip"))]
        left_out = tuple(text(one, "name") for one in nodes if one not in usable)
        if not usable:
            raise HardwareRefused(f"{endpoint}: reports no host that is online and has an IPv4 address")
        found = [_host(api, text(one, "name"), text(one, "ip")) for one in usable]
    return FoundHosts(tuple(sorted(found, key=lambda one: IPv4Address(one.address))), certificate, left_out)


def _host(api: ProxmoxApi, name: str, address: str) -> FoundHost:
    place = f"/nodes/{quote(name, safe='')}"
    storages = [one for one in _rows(api.get(f"{place}/storage")) if one.get("enabled", 1) and one.get("active", 1)]
    bridges = [text(one, "iface") for one in _rows(api.get(f"{place}/network", type="any_bridge"))]
    images = _storage(storages, "import", Host.model_fields["images"].default)
    disks = _storage(storages, "images", Host.model_fields["disks"].default)
    return FoundHost(name, address, images, disks, _first(sorted(bridges), Proxmox.model_fields["bridge"].default))


def _storage(storages: Sequence[dict[str, Any]], content: str, usual: str) -> str:
    """Return the storage for some content: the usual one if it takes it, else the one with the most free space."""
    fitting = [one for one in storages if content in text(one, "content").split(",")]
    by_space = sorted(fitting, key=lambda one: (-number(one, "avail", otherwise=0), text(one, "storage")))
    return _first([text(one, "storage") for one in by_space], usual)


def _first(names: Sequence[str], usual: str) -> str:
    return usual if usual in names else next(iter(names), "")


def _rows(data: Any) -> list[dict[str, Any]]:
    """Return the rows of an answer, without those that are no maps."""
    return [one for one in mappings({"rows": data}, "rows") if one]


def _is_address(value: str) -> bool:
    try:
        IPv4Address(value)
    except AddressValueError:
        return False
    return True

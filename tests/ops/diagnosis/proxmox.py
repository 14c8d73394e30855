"""A Proxmox API on loopback, with TLS: the paths that `doctor` and `init` read, as strict as Proxmox.

It has a small cluster that fits tests/config/checkout; a test removes parts of it. It refuses a wrong token, a path
that the token has no right to, an unknown host, and parameters that a path does not accept.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from config.rights import privileges

UUID = "11111111-2222-4333-8444-555555555555"
TOKEN = f"homelab@pve!homelab={UUID}"
PARAMETERS = {
    "/access/permissions": {"path", "userid"},
    "/cluster/resources": {"type"},
    "/cluster/nextid": {"vmid"},
    "/nodes/HOST/network": {"type"},
}


class Refused(Exception):
    """A request that is refused."""

    def __init__(self, status: int, reason: str, errors: Mapping[str, str] | None = None) -> None:
        """Store the content of the status line and of the body."""
        self.status, self.reason, self.errors = status, reason, errors


def storage(name: str, content: str, **more: Any) -> dict[str, Any]:
    return {"storage": name, "content": content, "active": 1, "enabled": 1, "shared": 0, "type": "dir", **more}


@dataclass
class Proxmox:
    """The cluster that answers."""

    version: str = "9.0.3"
    token: str = TOKEN
    hosts: dict[str, int] = field(default_factory=lambda: {"pve-1": 1, "pve-2": 1})
    members: dict[str, int] = field(default_factory=lambda: {"pve-1": 1, "pve-2": 1})
    quorate: int = 1
    granted: dict[str, set[str]] = field(default_factory=lambda: {"/": set(privileges())})
    storages: list[dict[str, Any]] = field(
        default_factory=lambda: [storage("local", "iso,vztmpl,import"), storage("local-lvm", "images,rootdir")]
    )
    bridges: list[str] = field(default_factory=lambda: ["vmbr0"])
    own_storages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    own_bridges: dict[str, list[str]] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=lambda: {"pve-1": "10.0.0.2", "pve-2": "10.0.0.3"})
    pools: list[str] = field(default_factory=list)
    vms: list[dict[str, Any]] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)
    mappings: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"pci": [], "usb": []})
    machine: str = "x86_64"
    delay: float = 0
    asked: list[str] = field(default_factory=list)
    address: str = ""
    certificate: bytes = b""

    def rights(self, path: str) -> dict[str, int]:
        """Return the rights of a path: those of the nearest path above it that has any."""
        parts = path.strip("/").split("/")
        above = ["/" + "/".join(parts[:length]) for length in range(len(parts), 0, -1)]
        found = next((self.granted[one] for one in [*above, "/"] if one in self.granted), set())
        return dict.fromkeys(sorted(found), 1)

    def need(self, path: str, *names: str) -> None:
        """Refuse a token that has none of the rights on a path."""
        if not self.rights(path).keys() & {*names}:
            raise Refused(403, f"Permission check failed ({path}, {'|'.join(names)})")

    def answer(self, path: str, given: dict[str, str]) -> Any:
        """Return the data of one request."""
        parts = path.strip("/").split("/")
        host = unquote(parts[1]) if parts[0] == "nodes" else ""
        template = path.replace(f"/{parts[1]}/", "/HOST/") if host else path
        for name in given.keys() - PARAMETERS.get(template, set()):
            raise Refused(
                400,
                "Parameter verification failed.",
                {name: "property is not defined in schema and the schema does not allow additional properties"},
            )
        if host and host not in self.hosts:
            raise Refused(
                500,
                f"hostname lookup '{host}' failed - failed to get address info for: {host}: Name or service not known",
            )
        if host and not self.hosts[host]:
            raise Refused(595, "No route to host")
        return self.data(template, host, given)

    def data(self, path: str, host: str, given: dict[str, str]) -> Any:
        """Return the content of a path, as far as the token may read it."""
        if path.startswith("/nodes/HOST/"):
            return self.of_host(path.rpartition("/")[2], host, given)
        if path == "/version":
            return {"version": self.version, "release": self.version.rpartition(".")[0], "repoid": "abcdef01"}
        if path == "/access/permissions":
            return {given["path"]: found} if (found := self.rights(given["path"])) else {}
        if path == "/pools":
            return [{"poolid": name} for name in self.pools if "Pool.Audit" in self.rights(f"/pool/{name}")]
        if path.startswith("/cluster/"):
            return self.of_cluster(path.removeprefix("/cluster/"), given)
        raise Refused(501, f"Method 'GET {path}' not implemented")

    def of_cluster(self, path: str, given: dict[str, str]) -> Any:
        if path == "status":
            self.need("/", "Sys.Audit")
            nodes = [
                {"type": "node", "name": name, "online": up, "ip": self.addresses.get(name, "")}
                for name, up in self.members.items()
            ]
            whole = {"type": "cluster", "name": "home", "quorate": self.quorate, "nodes": len(nodes)}
            return [whole, *nodes] if len(nodes) > 1 else nodes
        if path == "resources":
            return [one for one in self.vms if "VM.Audit" in self.rights(f"/vms/{one['vmid']}")]
        if path == "nextid":
            if int(given["vmid"]) in [*self.hidden, *(one["vmid"] for one in self.vms)]:
                raise Refused(400, "Parameter verification failed.", {"vmid": f"VM {given['vmid']} already exists\n"})
            return given["vmid"]
        kind = path.removeprefix("mapping/")
        return [one for one in self.mappings[kind] if "Mapping.Use" in self.rights(f"/mapping/{kind}/{one['id']}")]

    def of_host(self, path: str, host: str, given: dict[str, str]) -> Any:
        if path == "storage":
            storages = self.own_storages.get(host, self.storages)
            return [one for one in storages if self.rights(f"/storage/{one['storage']}")]
        if path == "network":
            assert given == {"type": "any_bridge"}
            bridges = self.own_bridges.get(host, self.bridges)
            seen = [one for one in bridges if "SDN.Use" in self.rights(f"/sdn/zones/localnetwork/{one}")]
            return [{"iface": name, "type": "bridge", "active": 1} for name in seen]
        self.need(f"/nodes/{host}", "Sys.Audit")
        return {"current-kernel": {"machine": self.machine, "sysname": "Linux"}, "cpuinfo": {"cpus": 8}}

    def handler(self) -> type[BaseHTTPRequestHandler]:
        proxmox = self

        class Handler(BaseHTTPRequestHandler):
            """The requests of one connection."""

            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                time.sleep(proxmox.delay)
                place = urlsplit(self.path)
                proxmox.asked.append(self.path)
                try:
                    self.admit()
                    path = place.path.removeprefix("/api2/json")
                    self.answer(200, "OK", {"data": proxmox.answer(path, dict(parse_qsl(place.query)))})
                except Refused as refused:
                    body = {"data": None, "message": f"{refused.reason}\n"}
                    self.answer(
                        refused.status, refused.reason, body | ({"errors": refused.errors} if refused.errors else {})
                    )

            def admit(self) -> None:
                given = self.headers.get("Authorization", "")
                if not given.startswith("PVEAPIToken="):
                    raise Refused(401, "No ticket")
                if given.removeprefix("PVEAPIToken=") != proxmox.token:
                    raise Refused(401, "invalid token value!")

            def answer(self, status: int, reason: str, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status, reason)
                self.send_header("Content-Type", "application/json;charset=UTF-8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's word
                """Do nothing: the log would disturb the output of the tests."""

        return Handler


class Server(ThreadingHTTPServer):
    """A server that ignores clients that hang up: a test has clients that refuse its certificate."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a refused certificate is part of a test."""


@contextmanager
def served(proxmox: Proxmox, folder: Path) -> Iterator[Proxmox]:
    """Yield a cluster that is served with a certificate of its own until the block ends."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pve-1")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    proxmox.certificate = certificate.public_bytes(Encoding.PEM)
    file = folder / "pve-1.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + proxmox.certificate)
    server = Server(("127.0.0.1", 0), proxmox.handler())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    proxmox.address = f"https://127.0.0.1:{server.server_port}"
    try:
        yield proxmox
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

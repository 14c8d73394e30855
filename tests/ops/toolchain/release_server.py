"""Publishers' servers on loopback: releases packed as by their publishers, with every fault of a network.

`publish` writes a release and its checksum file into a folder, `ReleaseServer` serves the folder, `Proxy` is the proxy
of HTTPS_PROXY. A process of its own uses the server by

    python -m tests.ops.toolchain.release_server ADDRESS LOCK tools --only helm
"""

from __future__ import annotations

import hashlib
import io
import socket
import socketserver
import ssl
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from ops.toolchain import lockfile, releases
from ops.toolchain.catalogue import Tool
from ops.toolchain.releases import Asset, Platform

CHUNK = 1 << 16
STALL = 60.0


def lead(address: str, lock: Path) -> None:
    """Make this process take releases from a server of ours, and checksums from a lock of ours."""
    releases.SERVERS = {name: f"{address}/{name}" for name in releases.SERVERS}
    lockfile.FILE = lock


def publish(
    root: Path, tool: Tool, place: Platform, programs: Mapping[str, bytes | Path], *, sums: bool = True
) -> lockfile.Entries:
    """Write a tool's release as its publisher packs it, and return the entries for a lock."""
    entries: lockfile.Entries = {}
    for asset in releases.assets(tool, place):
        url = asset.url(tool, place)
        file = root / urlsplit(url).path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        _pack(file, asset, tool, place, programs)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        entries[asset.pin, place.name] = {"version": str(tool.version), "checksum": f"sha256:{digest}", "url": url}
        if asset.sums and sums:
            published = root / urlsplit(asset.sums_url(tool, place)).path.lstrip("/")
            _note(published, file)
    return entries


def _pack(file: Path, asset: Asset, tool: Tool, place: Platform, programs: Mapping[str, bytes | Path]) -> None:
    content = {name: _bytes(programs[name]) for name in asset.members}
    if not asset.archive:
        (only,) = content.values()
        file.write_bytes(only)
        return
    named = {asset.filled(asset.members[name], tool, place): data for name, data in content.items()}
    if file.name.endswith(".zip"):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:
            for name, data in {"README.md": b"read me", **named}.items():
                pack.writestr(name, data)
        return
    tar_of(file, {"README.md": b"read me", **named})


def tar_of(file: Path, members: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> None:
    """Write a tar archive with these files and symbolic links."""
    with tarfile.open(file, "w:gz", compresslevel=1) as tar:
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _bytes(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _note(published: Path, file: Path) -> None:
    """Write a file's checksum in the manner of its publisher: alone and bare, or with its name among others."""
    kind = "sha512" if "512" in published.name else "sha256"
    digest = hashlib.new(kind, file.read_bytes()).hexdigest()
    if published.name == f"{file.name}.sha256":
        published.write_text(f"{digest}\n", encoding="utf-8")
        return
    before = published.read_text(encoding="utf-8") if published.exists() else "0" * len(digest) + "  another.tar.gz\n"
    others = [line for line in before.splitlines() if not line.endswith(f" {file.name}")]
    published.write_text("\n".join([*others, f"{digest}  {file.name}", ""]), encoding="utf-8")


@dataclass
class ReleaseServer:
    """A server of releases: its files, its faults, and the requests that it received."""

    root: Path
    faults: dict[str, str] = field(default_factory=dict)
    """By the end of a path: `404`, `503`, `truncated`, `stalls`, `crawls`, or where it redirects to."""
    asked: list[str] = field(default_factory=list)
    bytes_a_second: float = 0.0
    address: str = ""
    sent: int = 0
    gone: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        """Start to serve."""
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"publishers": self}))
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._began = 0.0
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        """Release all clients, and stop."""
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def secure(self, certificate: Path, key: Path) -> None:
        """Serve over TLS from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def fault(self, path: str) -> str:
        return next((fault for end, fault in self.faults.items() if path.endswith(end)), "")

    def pace(self, size: int) -> None:
        """Wait as long as these bytes take on the line."""
        if not self.bytes_a_second:
            return
        now = time.monotonic()
        self._began = max(self._began, now - 0.05) + size / self.bytes_a_second
        if self._began > now:
            time.sleep(self._began - now)


class _Server(ThreadingHTTPServer):
    """One thread per client; in some tests, clients disconnect early."""

    daemon_threads = True

    def handle_error(self, *about: object) -> None:
        """Stay quiet."""


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    publishers: ReleaseServer

    def do_GET(self) -> None:
        self.publishers.asked.append(self.path)
        fault, file = self.publishers.fault(self.path), self.publishers.root / self.path.lstrip("/")
        if fault.startswith(("http:", "https:", "/")):
            self.answer(302, {"Location": fault})
        elif fault.isdigit() or not file.is_file():
            self.answer(int(fault or 404), {})
        else:
            self.give(file, fault)

    def answer(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def give(self, file: Path, fault: str) -> None:
        size = file.stat().st_size
        self.answer(200, {"Content-Length": str(size)})
        with file.open("rb") as content:
            left = size // 2 if fault else size
            while left and (piece := content.read(min(CHUNK, left))):
                self.publishers.pace(len(piece))
                self.wfile.write(piece)
                self.publishers.sent += len(piece)
                left -= len(piece)
        if fault == "stalls":
            self.publishers.gone.wait(STALL)
        while fault == "crawls" and not self.publishers.gone.wait(0.05):
            self.wfile.write(b"x")
            self.wfile.flush()
        self.close_connection = bool(fault)

    def log_message(self, *arguments: object) -> None:
        """Stay quiet."""


@dataclass
class Proxy:
    """The proxy of HTTPS_PROXY: it connects a client with a server of ours, for every requested host."""

    port_of_server: int
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start to listen."""
        proxy = self

        class Door(socketserver.StreamRequestHandler):
            """One CONNECT."""

            def handle(self) -> None:
                line = self.rfile.readline().decode()
                while self.rfile.readline().strip():
                    pass
                proxy.asked.append(line.split()[1])
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                with socket.create_connection(("127.0.0.1", proxy.port_of_server)) as other:
                    back = threading.Thread(target=_pour, args=(other, self.connection), daemon=True)
                    back.start()
                    _pour(self.connection, other)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


def _pour(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def main() -> int:
    """Run a verb of `./homelab` that takes its releases from a server of ours."""
    from ops.__main__ import main as verb  # noqa: PLC0415 - after the tables are replaced

    address, lock, *arguments = sys.argv[1:]
    lead(address, Path(lock))
    return verb(arguments)


if __name__ == "__main__":
    sys.exit(main())

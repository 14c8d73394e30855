"""The only way out of a rehearsal, which connects to the lab's own servers alone.

Every child of a rehearsal has HTTPS_PROXY set to this. A CONNECT to a host that the lab serves is connected to the
lab's server on loopback; every other is refused and logged, for `ops.rehearse` to report. `lab.running.servers` runs
it.

    python -m lab.running.proxy PORT
"""

from __future__ import annotations

import json
import selectors
import socket
import socketserver
import sys
from http import HTTPStatus
from pathlib import Path

from lab.layout import Lab
from local.files import write_private

HOSTS, REFUSED = "hosts.json", "refused.log"
CHUNK = 65536


class ProxyClient(socketserver.StreamRequestHandler):
    """One client that wants out."""

    def handle(self) -> None:
        """Read the requested host, then connect or refuse."""
        words = self.rfile.readline().decode("latin-1").split()
        while self.rfile.readline().strip():
            pass
        method, target = (words[0], words[1]) if len(words) > 1 else ("", "")
        address = served(Lab.from_environment()).get(target) if method == "CONNECT" else None
        if not target:
            return  # a probe that only checks whether the port is open
        if address is None:
            self._refuse(target)
            return
        with socket.create_connection(("127.0.0.1", address)) as other:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _copy_both_ways(self.connection, other)

    def _refuse(self, target: str) -> None:
        with (Lab.from_environment().logs / REFUSED).open("a", encoding="utf-8") as log:
            log.write(f"{target}\n")
        status = HTTPStatus.FORBIDDEN
        body = f"a rehearsal has no way out: {target} is refused\n"
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.wfile.write((head + body).encode())


class RefusingProxy(socketserver.ThreadingTCPServer):
    """A thread a client; none of them delays the end of the server."""

    allow_reuse_address = True
    daemon_threads = True


def serve_host(lab: Lab, target: str, port: int) -> None:
    """Route `host:port` to a server of the lab."""
    write_private(lab.root / HOSTS, json.dumps({**served(lab), target: port}, indent=2))


def served(lab: Lab) -> dict[str, int]:
    """Return the port of each served host."""
    file = lab.root / HOSTS
    found: dict[str, int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def refused(lab: Lab) -> list[str]:
    """Return the refused hosts, each once."""
    file: Path = lab.logs / REFUSED
    return list(dict.fromkeys(file.read_text(encoding="utf-8").split())) if file.exists() else []


def _copy_both_ways(one: socket.socket, other: socket.socket) -> None:
    """Copy bytes both ways until one side ends."""
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                data = source.recv(CHUNK)
                if not data:
                    return
                key.data.sendall(data)


if __name__ == "__main__":
    with RefusingProxy(("127.0.0.1", int(sys.argv[1])), ProxyClient) as doors:
        doors.serve_forever()

"""The only way out of a rehearsal is its proxy, which connects to the hosts that it serves and to no other.

`test_own_stack` rehearses a whole stack without a network.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.layout import Lab
from lab.running import proxy, servers
from tests.lab.checkout import ROOT
from tests.polling import until


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "lab")
    made.make()
    port = servers.port(made, "proxy")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **made.environment}
    servers.start(made, "proxy", sys.executable, ["-m", "lab.running.proxy", str(port)], env)
    until(lambda: servers.listens(port), 20)
    yield made
    servers.stop_all(made)


def ask(lab: Lab, request: str) -> str:
    with socket.create_connection(("127.0.0.1", servers.port(lab, "proxy")), timeout=5) as client:
        client.sendall(request.encode())
        return client.recv(4096).decode()


def test_the_proxy_refuses_and_reports_every_other_host(lab: Lab) -> None:
    assert ask(lab, "CONNECT 10.0.0.2:8006 HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 403 Forbidden")
    assert ask(lab, "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n").startswith(
        "HTTP/1.1 403 Forbidden"
    )
    assert proxy.refused(lab) == ["10.0.0.2:8006", "http://example.com/"]


def test_the_proxy_connects_to_served_hosts(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy.serve_host(lab, "git.example.com:443", server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", servers.port(lab, "proxy")), timeout=5) as client:
            client.sendall(b"CONNECT git.example.com:443 HTTP/1.1\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
            inside, _ = server.accept()
            with inside:
                client.sendall(b"hello")
                assert inside.recv(5) == b"hello"
                inside.sendall(b"you")
                assert client.recv(3) == b"you"
    assert proxy.refused(lab) == []

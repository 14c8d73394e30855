"""The client of an API server that is not ready yet."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from errors import ApiFailed
from lab.api import Api
from lab.control_plane.certificates import Authority, Subject, split


class ReluctantServer(ThreadingHTTPServer):
    """A server that reports a storage that is not ready several times, and then returns an empty list."""

    refusals = 0
    asked = 0


class ApiHandler(BaseHTTPRequestHandler):
    """One request."""

    server: ReluctantServer

    def do_GET(self) -> None:
        self.server.asked += 1
        refused = self.server.asked <= self.server.refusals
        body = json.dumps({"message": "storage is (re)initializing"} if refused else {"items": []}).encode()
        self.send_response(429 if refused else 200)
        self.send_header("Content-Length", str(len(body)))
        if refused:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[ReluctantServer, Api]]:
    authority, server = Authority.self_signed("lab"), ReluctantServer(("127.0.0.1", 0), ApiHandler)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(authority.keep_signed(tmp_path / "server.pem", Subject("server"), ["127.0.0.1"]))
    server.socket = serving.wrap_socket(server.socket, server_side=True)
    said = [base64.b64encode(part).decode() for part in (authority.pem, *split(authority.sign(Subject("me"))))]
    where = {"server": f"https://127.0.0.1:{server.server_port}", "certificate-authority-data": said[0]}
    user = {"client-certificate-data": said[1], "client-key-data": said[2]}
    config = {
        "clusters": [{"name": "c", "cluster": where}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server, Api(yaml.safe_dump(config))
    server.shutdown()
    server.server_close()


def test_a_request_is_retried_until_the_storage_is_ready(server: tuple[ReluctantServer, Api]) -> None:
    here, api = server
    here.refusals = 3
    assert json.loads(api.ask("/version")) == {"items": []}
    assert here.asked == 4


def test_a_server_that_never_becomes_ready_is_reported(server: tuple[ReluctantServer, Api]) -> None:
    here, api = server
    here.refusals = 1000
    with pytest.raises(ApiFailed, match=r"storage is \(re\)initializing"):
        api.ask("/version")


def test_a_request_that_changes_something_is_never_retried(server: tuple[ReluctantServer, Api]) -> None:
    here, api = server
    here.refusals = 1
    assert api.request("DELETE", "/anything").code == 429
    assert here.asked == 1

"""A server on loopback with charts and remote bases: a folder over HTTP, an OCI registry, and Git.

It records its requests, and can leave some without an answer, as a stalled network does.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import programs
from manifests.sources import Chart
from tests.manifests.checkout import lay, make_chart
from tests.repository import commit_all

INDEX = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.cncf.helm.config.v1+json"
LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@dataclass
class Server:
    """The content of the server, its recorded requests, and the parts of paths that get no answer or an error."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)
    stalled: str = "\0"
    broken: str = "\0"
    over: threading.Event = field(default_factory=threading.Event)
    blobs: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def publish(
        self, env: dict[str, str], place: str, name: str, version: str = "1.0.0", greeting: str = "hello"
    ) -> str:
        """Package a chart into a repository of this server, and return the repository's URL."""
        source = self.folder.parent / f"source-{place}-{name}-{version}-{greeting}" / name
        make_chart(source, Chart(name, version, ""), {"values.yaml": f"greeting: {greeting}\nwho: world\n"})
        programs.run("helm", "package", source, "--destination", self.folder / place, env=env)
        programs.run("helm", "repo", "index", self.folder / place, "--url", f"{self.url}/{place}", env=env)
        return f"{self.url}/{place}"

    def push(self, archive: Path, name: str, tag: str, **annotations: str) -> str:
        """Store an archive as a chart of the registry, and return the registry's URL."""
        layer, config = archive.read_bytes(), json.dumps({"name": name, "version": tag, "apiVersion": "v2"}).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "config": self._blob(CONFIG, config),
            "layers": [self._blob(LAYER, layer)],
            "annotations": annotations,
        }
        text = json.dumps(manifest).encode()
        self._blob(INDEX, text)
        self.blobs[f"charts/{name}:{tag}"] = (INDEX, text)
        return f"oci://{self.url.removeprefix('http://')}/charts"

    def commit(self, name: str, files: dict[str, str], tag: str) -> str:
        """Make a repository with one tagged commit, and return its URL."""
        place = self.folder / name
        lay(place, files)
        commit_all(place)
        programs.run("git", "tag", tag, cwd=place)
        return f"{self.url}/{name}.git"

    def _blob(self, kind: str, data: bytes) -> dict[str, object]:
        name = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[name] = (kind, data)
        return {"mediaType": kind, "digest": name, "size": len(data)}


class Requests(http.server.SimpleHTTPRequestHandler):
    """One request: below /private/ only with the password, below /v2/ as a registry."""

    about: ClassVar[Server]

    def __init__(self, *arguments: Any) -> None:
        """Serve the folder."""
        super().__init__(*arguments, directory=str(self.about.folder))

    def do_GET(self) -> None:
        self.about.asked.append(self.path)
        known = f"Basic {base64.b64encode(b'reader:swordfish').decode()}"
        if self.about.stalled in self.path:
            self.about.over.wait(60)
        elif self.about.broken in self.path:
            self.send_error(503)
        elif self.path.startswith("/private/") and self.headers.get("Authorization") != known:
            self.send_error(401)
        elif ".git/info/refs?service=git-upload-pack" in self.path:
            self.git("--advertise-refs", b"001e# service=git-upload-pack\n0000")
        elif self.path.startswith("/v2/"):
            self.registry(self.path.removeprefix("/v2/"))
        elif self.command == "HEAD":
            super().do_HEAD()
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815 - the name that the library calls

    def do_POST(self) -> None:
        self.git()

    def git(self, option: str = "", first: bytes = b"") -> None:
        """Answer as a Git server does over HTTP, with the output of `git upload-pack` on a repository here."""
        repository = self.about.folder / self.path.removeprefix("/").split(".git/")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        env = os.environ | {"GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        options = ("--stateless-rpc", *filter(None, [option]))
        said = programs.pipe("git", "upload-pack", *options, repository, env=env, stdin=body)
        self.send_response(200)
        kind = "advertisement" if option else "result"
        self.send_header("Content-Type", f"application/x-git-upload-pack-{kind}")
        self.send_header("Content-Length", str(len(first + said)))
        self.end_headers()
        self.wfile.write(first + said)

    def registry(self, path: str) -> None:
        """Answer as a registry: manifests by tag or digest, blobs by digest."""
        name, _, reference = path.partition("/manifests/" if "/manifests/" in path else "/blobs/")
        found = self.about.blobs.get(f"{name}:{reference}") or self.about.blobs.get(reference)
        if path and not found:
            self.send_error(404)
            return
        kind, data = found or ("application/json", b"{}")
        self.send_response(200)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        about = {"Content-Type": kind, "Docker-Content-Digest": digest, "Content-Length": str(len(data))}
        for header, value in about.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve a folder on loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Server(folder)
    requests = type("Requests", (Requests,), {"about": server})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), requests) as running:
        server.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            running.shutdown()
            thread.join()

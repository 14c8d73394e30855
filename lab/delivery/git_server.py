"""Git for the rehearsal: the prepared tree, served over TLS under the URL of the repository, with credentials verified.

`publish` commits the tree to a bare repository under `.lab/<stack>/git`. Clients reach the server through
`lab.running.proxy`, which connects the host of the repository with it, so that Argo CD and all others use the unchanged
https URL and trust the lab's authority for that host alone. `lab.running.servers` runs it.

    python -m lab.delivery.git_server PORT
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import programs
from errors import ProgramFailed
from lab.control_plane.certificates import Authority, Subject
from lab.layout import Lab
from lab.running import proxy, servers
from local.files import write_private

NAME, HTTPS = "delivery", 443
CREDENTIAL = "git-credential"
QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
OFFERED, PINNED = "homelab-preview", "homelab-pins"
NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "rehearsal"), ("EMAIL", "rehearsal@lab.invalid"), ("DATE", "946684800 +0000"))
}


def publish(lab: Lab, repository: str, revision: str, path: str) -> str:
    """Commit the tree to the branch that the stack follows, if it changed; return the commit's id."""
    bare = prepare(lab, repository, revision)
    tree = _staged(bare, lab.tree)
    from lab.delivery.commits import commit  # noqa: PLC0415 - importing GitPython takes longer than `head_of`

    return commit(bare, QUIET, revision, tree, path)


def prepare(lab: Lab, repository: str, revision: str) -> Path:
    """Make the bare repository, and return its folder."""
    bare = bare_repository(lab, repository)
    if not (bare / "HEAD").exists():
        _git(bare, "init", "--quiet", "--bare", "--initial-branch", revision)
        _git(bare, "config", "http.receivepack", "false")
    return bare


@contextmanager
def offered(lab: Lab, repository: str, folder: Path, path: str) -> Iterator[str]:
    """Commit a folder below a ref that no Application follows, yield the commit, and remove the ref at the end.

    One content has one commit, so that Argo CD renders it once.
    """
    bare = bare_repository(lab, repository)
    commit = _committed(bare, folder, path, "A side of a change")
    reference = f"refs/{OFFERED}/{commit}"
    _git(bare, "update-ref", reference, commit)
    try:
        yield commit
    finally:
        _git(bare, "update-ref", "-d", reference)


def pin(lab: Lab, repository: str, folder: Path, path: str, origin: str) -> str:
    """Commit the files of a pinned commit, charts and bases included, below a ref of its own; return the commit.

    One content has one commit. Argo CD fetches it by its hash, as it does a commit of the real repository.
    """
    bare = bare_repository(lab, repository)
    commit = _committed(bare, folder, path, f"The files of {origin}, as they are rehearsed")
    _git(bare, "update-ref", f"refs/{PINNED}/{commit}", commit)
    return commit


def _committed(bare: Path, folder: Path, path: str, message: str) -> str:
    """Commit a folder without a parent and without the time of day."""
    with tempfile.TemporaryDirectory(prefix="homelab-index-") as temporary:
        index = Path(temporary) / "index"
        apart = {"GIT_INDEX_FILE": str(index)}
        tree = _staged(bare, folder, apart)
        if above := [part for part in PurePosixPath(path).parts if part not in (".", "/")]:
            index.unlink()
            _git(bare, "read-tree", f"--prefix={'/'.join(above)}/", tree, work_tree=folder, variables=apart)
            tree = _git(bare, "write-tree", variables=apart)
    return _git(bare, "commit-tree", tree, "-m", message, variables=NOBODY)


def served_as(repository: str) -> str:
    """Return the URL under which the lab serves a repository: https, also if the settings use ssh."""
    found = re.fullmatch(r"(?:ssh://)?[^@/]+@([^:/]+)(?::\d+/|[:/])(.+)", repository)
    return f"https://{found[1]}/{found[2]}" if found else repository


def head_of(lab: Lab, repository: str, revision: str) -> str:
    """Return the commit of a branch, or nothing."""
    try:
        # git and not GitPython, whose import takes longer than this command.
        return _git(bare_repository(lab, repository), "rev-parse", "--verify", "--quiet", f"refs/heads/{revision}")
    except ProgramFailed:
        return ""


def serve(lab: Lab, repository: str) -> None:
    """Run the server, and route the repository's host to it."""
    host = urlsplit(repository).hostname or ""
    authority = own_authority(lab)
    certificate = authority.keep_signed(lab.pki / "delivery.pem", Subject(host), [host, "127.0.0.1"])
    port = servers.port(lab, NAME)
    few = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", *lab.environment)}
    servers.start(lab, NAME, sys.executable, ["-m", "lab.delivery.git_server", str(port)], few, files=[certificate])
    proxy.serve_host(lab, f"{host}:{HTTPS}", port)


def own_authority(lab: Lab) -> Authority:
    """Return the lab's own authority, generated once."""
    certificate, key = lab.pki / "lab-ca.crt", lab.pki / "lab-ca.key"
    if not key.exists():
        made = Authority.self_signed("rehearsal")
        write_private(certificate, made.pem)
        write_private(key, made.key_pem)
    return Authority.from_pem(certificate.read_bytes(), key.read_bytes())


def accept_password(lab: Lab, password: str) -> None:
    """Accept this password; only its digest is stored."""
    write_private(lab.root / CREDENTIAL, hashlib.sha256(password.encode()).hexdigest())


def bare_repository(lab: Lab, repository: str) -> Path:
    """Return the folder of a repository, by the path of its URL."""
    return lab.root / "git" / urlsplit(repository).path.strip("/").removesuffix(".git")


def _staged(bare: Path, folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """Stage a folder as Argo CD must see it; return the tree's id."""
    (bare / "info" / "exclude").write_text(".venv\n__pycache__/\n", encoding="utf-8")
    if (folder / "apps").exists():
        _git(bare, "add", "--all", "--force", "apps", work_tree=folder, variables=variables)
    # A rehearsal encrypts its own secrets into the stack file: Argo CD does not read it, and it would change every
    # time.
    _git(bare, "add", "--all", ".", ":(exclude)Pulumi.*.yaml", work_tree=folder, variables=variables)
    return _git(bare, "write-tree", variables=variables)


def _git(bare: Path, *arguments: str, work_tree: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
    bare.mkdir(parents=True, exist_ok=True)
    options = ["--git-dir", str(bare), *(["--work-tree", str(work_tree)] if work_tree else [])]
    environment = {**os.environ, **QUIET, **(variables or {})}
    # git and not GitPython, whose staging obeys neither .gitattributes nor .gitignore.
    return programs.run("git", *options, *arguments, env=environment, cwd=work_tree or bare).stdout.strip()


class GitRequests(BaseHTTPRequestHandler):
    """One client of the Git server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Return the refs."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Return the requested objects."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class' word
        """Log the path of a request, never its credentials."""
        sys.stderr.write(f"{self.command} {self.path.split('?')[0]} {arguments[1] if len(arguments) > 1 else ''}\n")

    def _answer(self, body: bytes) -> None:
        lab = Lab.from_environment()
        if not self._may_read(lab):
            self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Basic realm="rehearsal"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        url = urlsplit(self.path)
        environment = {
            **QUIET,
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(lab.root / "git"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path.replace(".git/", "/", 1),
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "reader",
        }
        try:
            # git and not GitPython, which has no HTTP server.
            response = programs.pipe("git", "http-backend", env=environment, stdin=body)
        except ProgramFailed as failure:
            response = f"Status: 500 Internal Server Error\r\n\r\n{failure}\n".encode()
        head, _, content = response.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _may_read(self, lab: Lab) -> bool:
        expected = lab.root / CREDENTIAL
        if not expected.exists():
            return True
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return False
        password = base64.b64decode(given).decode(errors="replace").partition(":")[2]
        return hashlib.sha256(password.encode()).hexdigest() == expected.read_text(encoding="utf-8")


def main(port: int) -> None:
    """Serve until the process ends."""
    lab = Lab.from_environment()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lab.pki / "delivery.pem")
    server = ThreadingHTTPServer(("127.0.0.1", port), GitRequests)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))

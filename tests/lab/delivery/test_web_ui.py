"""Argo CD's web UI is served if argocd-server embeds one; otherwise the reason is reported."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.api import Object
from lab.delivery import argocd, web_ui
from lab.layout import Lab
from lab.running import servers
from local.files import write_private
from ops.toolchain.lookup import ensure
from tests.polling import until

PAGE = '<!DOCTYPE html><html><body><div id="app"></div></body></html>'
# Takes argocd-server's arguments; without a page it answers as the real one does without an embedded UI.
FAKE_SERVER = """\
#!{python}
import http.server, sys
PAGE = b'''{page}'''
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        there = PAGE and "text/html" in self.headers["Accept"]
        self.send_response(200 if there else 500)
        self.end_headers()
        self.wfile.write(PAGE or b"open dist/app/index.html: file does not exist")
port = next(int(one.partition("=")[2]) for one in sys.argv if one.startswith("--port="))
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
SECRET = {"data": {"password": base64.b64encode(b"of-argo-cd").decode()}}


class FakeApi:
    """An API server with Argo CD's workloads, and its initial password."""

    def __init__(self, workloads: set[str], secret: Object | None = None) -> None:
        """Store the workloads."""
        self.workloads, self.secret = workloads, secret

    def get(self, version: str, kind: str, name: str, namespace: str) -> Object | None:
        if kind == "Secret":
            return self.secret
        container = {"command": None, "args": [f"/usr/local/bin/{name}"], "env": []}
        pod = {"containers": [container], "serviceAccountName": name}
        return {"spec": {"replicas": 1, "template": {"spec": pod}}} if name in self.workloads else None


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    made = Lab(tmp_path / "lab")
    made.make()
    write_private(made.kubeconfig, "users: [{name: admin, user: {}}]\n")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "bin/miniredis").write_text("#!/bin/sh\nexec sleep 300\n", encoding="utf-8")
    (tmp_path / "bin/miniredis").chmod(0o755)
    monkeypatch.setattr("lab.delivery.argocd.proxy.served", lambda lab: [])
    yield made
    servers.stop_all(made)


def serve(lab: Lab, page: str) -> None:
    program = lab.root.with_name("bin") / "argocd-server"
    program.write_text(FAKE_SERVER.format(python=sys.executable, page=page), encoding="utf-8")
    program.chmod(0o755)


def play(lab: Lab, *workloads: str) -> None:
    argocd.run_programs(lab, FakeApi(set(workloads)))  # type: ignore[arg-type]


def test_a_server_with_a_ui_runs_on_loopback(lab: Lab) -> None:
    serve(lab, PAGE)
    assert web_ui.is_embedded()
    play(lab, "argocd-server")
    address = web_ui.address(lab, 20)
    assert address == f"http://127.0.0.1:{servers.port(lab, 'argocd-server')}"
    assert "argocd-server" in argocd.names()
    servers.stop_all(lab)
    assert web_ui.address(lab) == ""


def test_a_server_without_a_ui_does_not_run(lab: Lab) -> None:
    serve(lab, "")
    play(lab, "argocd-server")
    assert not servers.runs(lab, "argocd-server")
    assert "argocd-server" not in argocd.names()
    assert web_ui.report(lab) == web_ui.ABSENT
    assert "HOMELAB_TOOLS=download ./homelab tools" in web_ui.ABSENT


def test_a_killed_server_restarts_and_an_unwanted_one_is_stopped(lab: Lab) -> None:
    serve(lab, PAGE)
    play(lab, "argocd-server")
    assert web_ui.address(lab, 20)
    (pid,) = (one.pid for one in servers.alive(lab) if one.name == "argocd-server")
    os.kill(pid, 9)
    until(lambda: not servers.runs(lab, "argocd-server"), 20)  # a killed process is not gone at once
    play(lab, "argocd-server")
    assert web_ui.address(lab, 20)
    play(lab)
    assert not servers.runs(lab, "argocd-server")


def test_the_login_is_the_initial_password_in_a_private_file(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(lab, PAGE)
    play(lab, "argocd-server")
    monkeypatch.setattr("lab.delivery.web_ui.Api.of", lambda lab: FakeApi(set(), SECRET))
    report = web_ui.report(lab, 20)
    file = lab.root / "argocd/admin-password"
    assert report == f"Argo CD's web UI: {web_ui.address(lab)}, user admin, password in {file}"
    assert file.read_text(encoding="utf-8") == "of-argo-cd"
    assert file.stat().st_mode & 0o077 == 0
    logs = "".join(log.read_text(encoding="utf-8") for log in lab.logs.iterdir())
    assert "of-argo-cd" not in logs + report


def test_a_closed_admin_login_is_reported(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.delivery.web_ui.Api.of", lambda lab: FakeApi(set()))
    assert web_ui.login(lab).startswith("no login: admin.enabled of argocd-cm is false")


def test_a_silent_server_is_reported_with_its_log(lab: Lab) -> None:
    serve(lab, PAGE)
    assert web_ui.report(lab).endswith(f"does not answer; its output: {lab.logs / 'argocd-server.log'}")


def test_an_argocd_that_was_built_from_source_has_no_ui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ensure(("argocd-server",)).env()["PATH"])
    assert not web_ui.is_embedded()

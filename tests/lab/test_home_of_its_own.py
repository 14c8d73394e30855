"""Tests of a whole small home that other tests must not share: argocd-server runs, and everything is seeded again."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.delivery import web_ui
from lab.running import servers
from ops.toolchain.catalogue import ARGOCD_ROLES
from ops.toolchain.lookup import ensure
from tests.lab.home import SEEDED, Home

pytestmark = [pytest.mark.nightly, pytest.mark.xdist_group("home of its own")]
NOTE = "argocd.argoproj.io/tracking-id"


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("own")
    made = Home.trimmed(folder / "checkout")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{with_page(folder / 'bin')}:{ensure(('kubectl',)).env()['PATH']}")
        try:
            made.whole()
            yield made
        finally:
            made.end()


def with_page(folder: Path) -> Path:
    """Add an argocd-server that seems to embed the UI to argocd's programs: a build from source has none."""
    folder.mkdir()
    for name in ("argocd", *ARGOCD_ROLES):
        real = ensure((name,)).places[name].file
        (folder / name).write_text(f'#!/bin/sh\n# {web_ui.INDEX.decode()}\nexec {real} "$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def test_argocd_server_runs_and_argo_cds_own_login_opens_it(own_home: Home) -> None:
    assert servers.runs(own_home.lab, "argocd-server"), servers.last_lines(own_home.lab, "argocd-server")
    address = f"http://127.0.0.1:{servers.port(own_home.lab, 'argocd-server')}"
    assert web_ui.login(own_home.lab).startswith("user admin, password in ")
    password = (own_home.lab.root / "argocd/admin-password").read_text(encoding="utf-8")
    body = json.dumps({"username": "admin", "password": password}).encode()
    asked = urllib.request.Request(f"{address}/api/v1/session", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        assert json.load(answer)["token"]
    assert password not in "".join(ran.out + ran.err for ran in own_home.said)
    assert password not in (own_home.lab.logs / "argocd-server.log").read_text(encoding="utf-8")


def test_a_cluster_that_is_seeded_again_stays_synced_and_tracked(own_home: Home) -> None:
    path = ("apps/v1", "DaemonSet", "cilium", "kube-system")
    before = own_home.api.get(*path)
    assert before
    own_home.edit("    protect: nothing\n", "    protect: nothing\n    generation: 2\n")
    own_home.write_settings()
    own_home.push()
    result = own_home.whole()
    assert result["good"]
    after = own_home.api.get(*path)
    assert after
    assert after["metadata"]["annotations"][NOTE] == before["metadata"]["annotations"][NOTE]
    for folder in SEEDED:
        own_home.wait_healthy(folder.replace("/", "-"), seconds=5)
    assert set(own_home.whole()["changes"]) == {"same"}

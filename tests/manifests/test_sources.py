"""Charts and remote bases are fetched once, explicitly, whole or not at all."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import programs
from errors import ProgramFailed
from manifests import boundary
from manifests.bases import CachedBases
from manifests.charts import CachedCharts
from manifests.fetch import fetch
from manifests.render import Folder, Renderer, render
from manifests.sources import Chart, cache, slug
from tests.manifests.checkout import config_map, lay, make_chart, names


@pytest.fixture(autouse=True)
def _on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow servers and repositories of this machine; test_boundary.py is about the rule."""
    monkeypatch.setattr(boundary, "remote_rule", lambda url, *, charts=False: "")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; below /private/ only to who knows the password."""

    def do_GET(self) -> None:
        known = f"Basic {base64.b64encode(b'reader:swordfish').decode()}"
        if self.path.startswith("/private/") and self.headers.get("Authorization") != known:
            self.send_error(401)
        else:
            super().do_GET()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def helm(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    homes = {f"HELM_{kind}_HOME": str(tmp_path / f"helm-{kind}") for kind in ("CONFIG", "CACHE", "DATA")}
    return {name: value for name, value in env.items() if "proxy" not in name.lower()} | homes


@pytest.fixture
def server(tmp_path: Path, helm: dict[str, str]) -> Iterator[str]:
    served = tmp_path / "served"
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(served))) as running:
        url = f"http://127.0.0.1:{running.server_port}"
        for place in ("charts", "private"):
            folder = make_chart(tmp_path / "source" / place / "greeter", Chart("greeter", "1.0.0", ""))
            programs.run("helm", "package", folder, "--destination", served / place, env=helm)
            programs.run("helm", "repo", "index", served / place, "--url", f"{url}/{place}", env=helm)
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield url
        running.shutdown()


@pytest.fixture
def repository(tmp_path: Path) -> str:
    place = tmp_path / "git"
    lay(
        place,
        {
            "config/crd/kustomization.yaml": "resources: [a.yaml, ../shared]\n",
            "config/crd/a.yaml": config_map("a"),
            "config/shared/kustomization.yaml": "resources: [b.yaml]\n",
            "config/shared/b.yaml": config_map("b"),
        },
    )
    known = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for command in (("init", "-q", "-b", "main"), ("add", "-A"), (*known, "commit", "-qm", "x"), ("tag", "v1")):
        programs.run("git", *command, cwd=place)
    return f"file://{place}//config/crd"


def test_a_chart_is_fetched_once_and_then_found(server: str, helm: dict[str, str], tmp_path: Path) -> None:
    charts, chart = CachedCharts(tmp_path / "cache"), Chart("greeter", "1.0.0", f"{server}/charts")
    assert charts.chart(chart) is None
    with ThreadPoolExecutor(3) as pool:
        folders = set(pool.map(lambda _: charts.fetch(chart, helm), range(3)))
    assert folders == {charts.chart(chart)}
    assert (folders.pop() / "templates" / "settings.yaml").is_file()
    assert charts.chart(replace(chart, version="1.0.1")) is None
    assert charts.chart(replace(chart, repository=f"{server}/other")) is None
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [f".lock-{chart.folder}", chart.folder]


def test_a_private_repository_is_read_with_what_helm_knows_of_it(
    server: str, helm: dict[str, str], tmp_path: Path
) -> None:
    charts, chart = CachedCharts(tmp_path / "cache"), Chart("greeter", "1.0.0", f"{server}/private/")
    with pytest.raises(ProgramFailed, match="401"):
        charts.fetch(chart, helm)
    assert charts.chart(chart) is None
    secret = ("--username", "reader", "--password-stdin")
    programs.run("helm", "repo", "add", "mine", f"{server}/private", *secret, stdin="swordfish", env=helm)
    assert (charts.fetch(chart, helm) / "Chart.yaml").is_file()


def test_a_registry_is_asked_as_helm_asks_it(tmp_path: Path) -> None:
    lay(tmp_path, {"bin/helm": '#!/bin/sh\necho "$*" >>"$HELM_CALLS"\nexit 1\n'})
    (tmp_path / "bin/helm").chmod(0o755)
    charts = CachedCharts(tmp_path / "cache")
    chart = Chart("greeter", "1.0.0", "oci://registry.example.com/charts/")
    with pytest.raises(ProgramFailed):
        charts.fetch(chart, {"PATH": f"{tmp_path / 'bin'}", "HELM_CALLS": str(tmp_path / "calls")})
    said = (tmp_path / "calls").read_text(encoding="utf-8").split()
    assert said[:3] == ["pull", "--untar", "--untardir"]
    assert said[4:] == ["--version", "1.0.0", "oci://registry.example.com/charts/greeter"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f".lock-{chart.folder}"]


def test_a_remote_base_is_fetched_with_what_lies_beside_it(
    repository: str, env: dict[str, str], tmp_path: Path, renderer: Renderer, root: Path
) -> None:
    bases, url = CachedBases(tmp_path / "cache"), f"{repository}?ref=v1"
    assert bases.base(url) is None
    folder = bases.fetch(url, env)
    assert bases.base(url) == folder == bases.fetch(url, {"PATH": ""})
    lay(root, {"apps/media/one/kustomization.yaml": f"resources: ['{url}']\n"})
    assert names(render(replace(renderer, bases=bases), Folder("apps/media/one"))) == ["ConfigMap a", "ConfigMap b"]


def test_a_file_behind_an_url_is_fetched_too(server: str, helm: dict[str, str], tmp_path: Path) -> None:
    lay(tmp_path, {"served/raw/a.yaml": config_map("a")})
    found = CachedBases(tmp_path / "cache").fetch(f"{server}/raw/a.yaml", helm)
    assert found.read_text(encoding="utf-8") == config_map("a")


def test_all_that_folders_ask_for_is_fetched_and_all_that_cannot_be_had_is_told(
    server: str, repository: str, helm: dict[str, str], tmp_path: Path, root: Path, renderer: Renderer
) -> None:
    charts, bases = CachedCharts(tmp_path / "charts-cache"), CachedBases(tmp_path / "bases-cache")
    chart = f"name: greeter, repo: '{server}/charts', releaseName: x, version"
    for name, tag, version in (("good", "v1", "1.0.0"), ("bad", "v2", "9.9.9")):
        text = f"resources: ['{repository}?ref={tag}']\nhelmCharts: [{{{chart}: {version}}}]\n"
        lay(root, {f"apps/media/{name}/kustomization.yaml": text})
    told: list[str] = []
    problems = fetch(root, ["apps/media/good", "apps/media/bad"], charts, bases, helm, told.append)
    assert sorted(told) == [f"{repository}?ref=v1", f"greeter 1.0.0 of {server}/charts"]
    assert [(problem.check, problem.file, problem.key) for problem in problems] == [
        ("base-unreachable", "apps/media/bad/kustomization.yaml", "resources[0]"),
        ("chart-unreachable", "apps/media/bad/kustomization.yaml", "helmCharts[0]"),
    ]
    assert "9.9.9" in problems[1].rule
    with_caches = replace(renderer, charts=charts, bases=bases)
    assert len(render(with_caches, Folder("apps/media/good"))) == 3
    assert fetch(root, ["apps/media/good"], charts, bases, {"PATH": ""}) == []


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == tmp_path / "homelab"
    assert CachedCharts().home == tmp_path / "homelab" / "charts"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache() == Path.home() / ".cache" / "homelab"


def test_urls_get_names_that_can_be_read_and_are_of_no_other() -> None:
    first = slug("https://github.com/kubernetes-sigs/gateway-api/config/crd?ref=v1.6.1")
    assert first.startswith("github.com-kubernetes-sigs-gateway-api-config-crd-v1.6.1-")
    assert slug("https://a/b") != slug("https://a-b")

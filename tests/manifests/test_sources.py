"""Charts and remote bases are fetched once, explicitly, completely or not at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import programs
from errors import HomelabError, OriginalChanged, OriginalRefused, ProgramFailed
from local.cache import cache_folder, digest
from manifests import receipts
from manifests.bases import CachedBases
from manifests.charts import CachedCharts
from manifests.checkout import CheckoutReader
from manifests.fetch import Wants, name_of
from manifests.render import Folder, Renderer, render
from manifests.sources import Chart, slug
from tests.manifests.checkout import config_map, lay, make_chart, names
from tests.manifests.servers import Server, serving
from tests.polling import until
from tests.repository import commit_all

CHECKOUT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("repositories_of_this_machine")


@pytest.fixture
def helm(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    homes = {f"HELM_{kind}_HOME": str(tmp_path / f"helm-{kind}") for kind in ("CONFIG", "CACHE", "DATA")}
    return {name: value for name, value in env.items() if "proxy" not in name.lower()} | homes


@pytest.fixture
def server(tmp_path: Path, helm: dict[str, str]) -> Iterator[Server]:
    with serving(tmp_path / "served") as running:
        for place in ("charts", "private"):
            running.publish(helm, place, "greeter")
        yield running


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
    commit_all(place)
    programs.run("git", "tag", "v1", cwd=place)
    return f"file://{place}//config/crd"


def test_a_chart_is_fetched_once_and_then_found(server: Server, helm: dict[str, str], tmp_path: Path) -> None:
    charts, chart = CachedCharts(tmp_path / "cache"), Chart("greeter", "1.0.0", f"{server.url}/charts")
    assert charts.chart(chart) is None
    with ThreadPoolExecutor(3) as pool:
        folders = set(pool.map(lambda _: charts.fetch(chart, helm), range(3)))
    assert folders == {charts.chart(chart)}
    assert (folders.pop() / "templates" / "settings.yaml").is_file()
    assert charts.chart(replace(chart, version="1.0.1")) is None
    assert charts.chart(replace(chart, repository=f"{server.url}/other")) is None
    left = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert left == [f".lock-{chart.folder}", chart.folder, f"{chart.folder}.json"]


def test_a_private_repository_is_read_with_helms_credentials(
    server: Server, helm: dict[str, str], tmp_path: Path
) -> None:
    charts, chart = CachedCharts(tmp_path / "cache"), Chart("greeter", "1.0.0", f"{server.url}/private/")
    with pytest.raises(ProgramFailed, match="401"):
        charts.fetch(chart, helm)
    assert charts.chart(chart) is None
    secret = ("--username", "reader", "--password-stdin")
    programs.run("helm", "repo", "add", "mine", f"{server.url}/private", *secret, stdin="swordfish", env=helm)
    assert (charts.fetch(chart, helm) / "Chart.yaml").is_file()


def test_a_registry_is_read_with_helms_configuration(tmp_path: Path) -> None:
    lay(tmp_path, {"bin/helm": '#!/bin/sh\necho "$*" >>"$HELM_CALLS"\nexit 1\n'})
    (tmp_path / "bin/helm").chmod(0o755)
    charts = CachedCharts(tmp_path / "cache")
    chart = Chart("greeter", "1.0.0", "oci://registry.example.com/charts/")
    with pytest.raises(ProgramFailed):
        charts.fetch(chart, {"PATH": f"{tmp_path / 'bin'}", "HELM_CALLS": str(tmp_path / "calls")})
    said = (tmp_path / "calls").read_text(encoding="utf-8").split()
    assert said[:2] == ["pull", "--destination"]
    assert said[3:] == ["--version", "1.0.0", "--", "oci://registry.example.com/charts/greeter"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f".lock-{chart.folder}"]


def test_a_remote_base_is_fetched_with_its_neighbours(
    repository: str, env: dict[str, str], tmp_path: Path, renderer: Renderer, root: Path
) -> None:
    bases, url = CachedBases(tmp_path / "cache"), f"{repository}?ref=v1"
    assert bases.base(url) is None
    folder = bases.fetch(url, env)
    assert bases.base(url) == folder == bases.fetch(url, {"PATH": ""})
    lay(root, {"apps/media/one/kustomization.yaml": f"resources: ['{url}']\n"})
    assert names(render(replace(renderer, bases=bases), Folder("apps/media/one"))) == ["ConfigMap a", "ConfigMap b"]


def test_a_file_behind_an_url_is_fetched_too(server: Server, helm: dict[str, str], tmp_path: Path) -> None:
    lay(tmp_path, {"served/raw/a.yaml": config_map("a")})
    found = CachedBases(tmp_path / "cache").fetch(f"{server.url}/raw/a.yaml", helm)
    assert found.read_text(encoding="utf-8") == config_map("a")


def test_all_charts_and_bases_are_fetched_and_failures_reported(
    server: Server, repository: str, helm: dict[str, str], tmp_path: Path, root: Path, renderer: Renderer
) -> None:
    charts, bases = CachedCharts(tmp_path / "charts-cache"), CachedBases(tmp_path / "bases-cache")
    chart = f"name: greeter, repo: '{server.url}/charts', releaseName: x, version"
    for name, tag, version in (("good", "v1", "1.0.0"), ("bad", "v2", "9.9.9")):
        text = f"resources: ['{repository}?ref={tag}']\nhelmCharts: [{{{chart}: {version}}}]\n"
        lay(root, {f"apps/media/{name}/kustomization.yaml": text})
    wants, problems = Wants(CheckoutReader(root), charts, bases), []
    missing = wants.missing(["apps/media/good", "apps/media/bad"])
    assert len(missing) == 4
    fetched = []
    for one in missing:
        try:
            wants.fetch(one, helm, 60)
            fetched.append(name_of(one))
        except HomelabError as error:
            problems.append(wants.problem(one, error))
    assert sorted(fetched) == [f"base {repository}?ref=v1", f"chart greeter 1.0.0 of {server.url}/charts"]
    assert [(problem.check, problem.file, problem.key) for problem in sorted(problems)] == [
        ("base-unreachable", "apps/media/bad/kustomization.yaml", "resources[0]"),
        ("chart-unreachable", "apps/media/bad/kustomization.yaml", "helmCharts[0]"),
    ]
    assert "9.9.9" in max(problems).rule
    with_caches = replace(renderer, charts=charts, bases=bases)
    assert len(render(with_caches, Folder("apps/media/good"))) == 3
    assert Wants(CheckoutReader(root), charts, bases).missing(["apps/media/good"]) == []


def test_a_chart_is_fetched_with_the_digest_of_its_registry(
    server: Server, helm: dict[str, str], tmp_path: Path
) -> None:
    repository = server.push(server.folder / "charts/greeter-1.0.0.tgz", "greeter", "1.0.0")
    charts, chart = CachedCharts(tmp_path / "cache"), Chart("greeter", "1.0.0", repository)
    assert (charts.fetch(chart, helm) / "values.yaml").is_file()
    receipt = receipts.read(charts.receipt(chart))
    assert receipt
    assert receipt.fetched == f"sha256:{digest((server.folder / 'charts/greeter-1.0.0.tgz').read_bytes())}"
    assert receipt.manifest == f"sha256:{digest(server.blobs['charts/greeter:1.0.0'][1])}"


def test_a_republished_chart_is_refused(server: Server, helm: dict[str, str], tmp_path: Path, root: Path) -> None:
    charts, chart = CachedCharts(tmp_path / "cache"), Chart("greeter", "1.0.0", f"{server.url}/charts")
    shutil.rmtree(charts.fetch(chart, helm).parent)
    before = receipts.read(charts.receipt(chart))
    server.publish(helm, "charts", "greeter", greeting="goodbye")
    with pytest.raises(OriginalChanged) as refused:
        CachedCharts(tmp_path / "cache").fetch(chart, helm)
    after = f"sha256:{digest((server.folder / 'charts/greeter-1.0.0.tgz').read_bytes())}"
    assert before
    assert refused.value.rule == f"has changed under the same version: {before.fetched} when first fetched, {after} now"
    assert refused.value.fix.endswith(
        f"to accept the change, remove {charts.receipt(chart)} and run the same command again"
    )
    assert CachedCharts(tmp_path / "cache").chart(chart) is None
    text = f"helmCharts: [{{name: greeter, version: 1.0.0, repo: '{server.url}/charts'}}]\n"
    lay(root, {"apps/media/one/kustomization.yaml": text})
    wants = Wants(CheckoutReader(root), charts)
    (wanted,) = wants.missing(["apps/media/one"])
    assert str(wants.problem(wanted, refused.value)).startswith(
        "apps/media/one/kustomization.yaml:1: helmCharts[0] = greeter 1.0.0: has changed under the same version: sha"
    )
    assert str(wants.problem(wanted, refused.value)).endswith("[chart-changed]")
    charts.receipt(chart).unlink()
    assert (charts.fetch(chart, helm) / "values.yaml").read_text(encoding="utf-8").startswith("greeting: goodbye")


def test_a_moved_tag_is_refused_even_with_the_same_archive(
    server: Server, helm: dict[str, str], tmp_path: Path
) -> None:
    archive = server.folder / "charts/greeter-1.0.0.tgz"
    charts, chart = (
        CachedCharts(tmp_path / "cache"),
        Chart("greeter", "1.0.0", server.push(archive, "greeter", "1.0.0")),
    )
    shutil.rmtree(charts.fetch(chart, helm).parent)
    server.push(archive, "greeter", "1.0.0", moved="yes")
    with pytest.raises(OriginalChanged, match="sha256"):
        charts.fetch(chart, helm)


def test_a_tag_that_was_moved_is_refused(repository: str, env: dict[str, str], tmp_path: Path, root: Path) -> None:
    bases, url = CachedBases(tmp_path / "cache"), f"{repository}?ref=v1"
    bases.fetch(url, env)
    shutil.rmtree(tmp_path / "cache" / slug(url))
    lay(tmp_path / "git", {"config/shared/b.yaml": config_map("b", other="value")})
    commit_all(tmp_path / "git")
    programs.run("git", "tag", "-f", "v1", cwd=tmp_path / "git")
    with pytest.raises(OriginalChanged) as refused:
        CachedBases(tmp_path / "cache").fetch(url, env)
    lay(root, {"apps/media/one/kustomization.yaml": f"resources: ['{url}']\n"})
    wants = Wants(CheckoutReader(root), bases=CachedBases(tmp_path / "cache"))
    (wanted,) = wants.missing(["apps/media/one"])
    assert wants.problem(wanted, refused.value).check == "base-changed"


def test_a_damaged_entry_is_noticed_and_fetched_again(
    server: Server, repository: str, helm: dict[str, str], tmp_path: Path
) -> None:
    charts, chart = CachedCharts(tmp_path / "cache"), Chart("greeter", "1.0.0", f"{server.url}/charts")
    bases, url = CachedBases(tmp_path / "cache"), f"{repository}?ref=v1"
    (charts.fetch(chart, helm) / "values.yaml").write_text("greeting: hi\n", encoding="utf-8")
    bases.fetch(url, helm)
    next((tmp_path / "cache" / slug(url)).rglob("b.yaml")).unlink()
    charts, bases = CachedCharts(tmp_path / "cache"), CachedBases(tmp_path / "cache")
    assert charts.chart(chart) is None
    assert bases.base(url) is None
    assert charts.is_damaged(chart)
    assert bases.is_damaged(url)
    assert "hello" in (charts.fetch(chart, helm) / "values.yaml").read_text(encoding="utf-8")
    assert bases.fetch(url, helm) == bases.base(url)
    charts.receipt(chart).write_text("{", encoding="utf-8")
    assert CachedCharts(tmp_path / "cache").chart(chart) is None


def test_a_chart_that_a_user_put_there_is_accepted(tmp_path: Path) -> None:
    charts, chart = CachedCharts(tmp_path), Chart("greeter", "1.0.0", "https://charts.example.com")
    make_chart(tmp_path / chart.folder / "greeter", chart)
    assert charts.chart(chart) == tmp_path / chart.folder / "greeter"


@pytest.mark.parametrize("name", ["../greeter", "-greeter", "a/b", ""])
def test_a_name_that_leads_out_of_the_cache_is_refused(name: str, tmp_path: Path) -> None:
    charts, chart = CachedCharts(tmp_path / "cache"), Chart(name, "1.0.0", "https://charts.example.com")
    assert charts.chart(chart) is None
    with pytest.raises(OriginalRefused, match="has a name that is no chart's"):
        charts.fetch(chart, {"PATH": ""})


def test_the_remains_of_a_killed_run_are_removed(server: Server, helm: dict[str, str], tmp_path: Path) -> None:
    chart = Chart("greeter", "1.0.0", f"{server.url}/charts")
    server.stalled = ".tgz"
    code = (
        "import sys; from pathlib import Path; from manifests.charts import CachedCharts; "
        "from manifests.sources import Chart; CachedCharts(Path(sys.argv[1])).fetch(Chart(*sys.argv[2:]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), chart.name, chart.version, chart.repository]
    killed = subprocess.Popen(command, env=helm | {"PYTHONPATH": str(CHECKOUT)}, start_new_session=True)
    until(lambda: any(".tgz" in path for path in server.asked), 30)
    killed.kill()
    killed.wait()
    charts = CachedCharts(tmp_path / "cache")
    assert charts.chart(chart) is None
    assert [path.name for path in (tmp_path / "cache").glob(".fetching-*")]
    server.stalled = "\0"
    server.over.set()
    assert charts.fetch(chart, helm) == charts.chart(chart)
    assert list((tmp_path / "cache").glob(".fetching-*")) == []


def test_two_runs_at_once_ask_once(server: Server, helm: dict[str, str], tmp_path: Path) -> None:
    chart = Chart("greeter", "1.0.0", f"{server.url}/charts")
    code = (
        "import sys; from pathlib import Path; from manifests.charts import CachedCharts; "
        "from manifests.sources import Chart; CachedCharts(Path(sys.argv[1])).fetch(Chart(*sys.argv[2:]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache"), chart.name, chart.version, chart.repository]
    runs = [subprocess.Popen(command, env=helm | {"PYTHONPATH": str(CHECKOUT)}) for _ in range(3)]
    assert [run.wait(60) for run in runs] == [0, 0, 0]
    assert len([path for path in server.asked if path.endswith(".tgz")]) == 1


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HOMELAB_ORIGINALS")
    assert cache_folder() == tmp_path / "homelab"
    assert CachedCharts().home == tmp_path / "homelab" / "charts"
    monkeypatch.setenv("HOMELAB_ORIGINALS", str(tmp_path / "other"))
    assert CachedBases().home == tmp_path / "other" / "bases"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "homelab"


def test_urls_have_readable_and_unique_names() -> None:
    first = slug("https://github.com/kubernetes-sigs/gateway-api/config/crd?ref=v1.6.1")
    assert first.startswith("github.com-kubernetes-sigs-gateway-api-config-crd-v1.6.1-")
    assert slug("https://a/b") != slug("https://a-b")

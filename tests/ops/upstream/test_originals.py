"""The real charts and bases are fetched automatically, and a failure is a problem of the tree or of the network."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from errors import Problem, TreeRefused, TryAgain
from manifests.bases import CachedBases
from manifests.charts import CachedCharts
from manifests.checkout import CheckoutReader
from manifests.fetch import Wants
from manifests.sources import Chart
from ops.toolchain.lookup import ensure
from ops.upstream.originals import UNREACHED, Fetched, fetch
from tests.manifests.checkout import config_map, lay
from tests.manifests.servers import Server, serving
from tests.polling import until

CHECKOUT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("repositories_of_this_machine")
NOBODY = "http://127.0.0.1:1"
FOLDER = "apps/media/one"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    found = ensure(("kustomize", "helm")).env()
    homes = {f"HELM_{kind}_HOME": str(tmp_path / f"helm-{kind}") for kind in ("CONFIG", "CACHE", "DATA")}
    return {name: value for name, value in found.items() if "proxy" not in name.lower()} | homes


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with serving(tmp_path / "served") as running:
        yield running


@pytest.fixture
def wants(tmp_path: Path) -> Wants:
    root = tmp_path / "checkout"
    root.mkdir()
    return Wants(CheckoutReader(root), CachedCharts(tmp_path / "charts"), CachedBases(tmp_path / "bases"))


def ask_for(wants: Wants, *charts: Chart, bases: tuple[str, ...] = ()) -> None:
    """Write a folder that requires charts and bases."""
    entries = [f"{{name: {one.name}, version: {one.version}, repo: '{one.repository}'}}" for one in charts]
    text = f"resources: [{', '.join(repr(one) for one in bases)}]\nhelmCharts: [{', '.join(entries)}]\n"
    lay(wants.reader.root, {f"{FOLDER}/kustomization.yaml": text})


def told(fetched: Fetched) -> list[tuple[str, str]]:
    return [(problem.check, problem.value) for problem in fetched.problems]


def test_charts_and_bases_are_fetched_with_timed_progress(
    server: Server, env: dict[str, str], wants: Wants, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = server.commit(
        "inner", {"crd/kustomization.yaml": "resources: [a.yaml]\n", "crd/a.yaml": config_map("a")}, "v1"
    )
    files = {"top/kustomization.yaml": f"resources: ['{inner}/crd?ref=v1']\nhelmCharts: []\n"}
    outer = server.commit("outer", files, "v2")
    repository = server.publish(env, "charts", "greeter")
    server.publish(env, "charts", "waver", "2.0.0")
    ask_for(
        wants,
        Chart("greeter", "1.0.0", repository),
        Chart("waver", "2.0.0", repository),
        bases=(f"{outer}/top?ref=v2",),
    )
    fetched = fetch(wants, [FOLDER], env)
    assert (fetched.problems, fetched.reasons, fetched.absent) == ([], [], {})
    assert set(fetched.fetched) == {f"base {outer}/top?ref=v2", "chart greeter 1.0.0", "chart waver 2.0.0"}
    said = capsys.readouterr().err
    assert "chart greeter 1.0.0: begins, about 4.0 s\n" in said
    assert re.search(r"^chart waver 2\.0\.0: done after \d\.\d s; \d of 3", said, re.MULTILINE)
    asked = len(server.asked)
    again = fetch(Wants(CheckoutReader(wants.reader.root), wants.charts, wants.bases), [FOLDER], {"PATH": ""})
    assert again == Fetched()
    assert len(server.asked) == asked
    assert capsys.readouterr().err == ""


def test_charts_and_bases_absent_from_repositories_are_problems(
    server: Server, env: dict[str, str], wants: Wants
) -> None:
    repository = server.publish(env, "charts", "greeter")
    base = server.commit("git", {"crd/kustomization.yaml": "resources: []\n"}, "v1")
    ask_for(
        wants,
        Chart("greeter", "9.9.9", repository),
        Chart("greeter", "1.0.0", f"{server.url}/nowhere"),
        Chart("greeter", "1.0.0", f"oci://{server.url.removeprefix('http://')}/charts"),
        bases=(f"{base}/crd?ref=v2", f"{base}/nowhere?ref=v1", f"{server.url}/v1.0.0/none.yaml"),
    )
    fetched = fetch(wants, [FOLDER], env)
    assert fetched.reasons == []
    assert sorted(told(fetched)) == [
        ("base-unreachable", f"{base}/crd?ref=v2"),
        ("base-unreachable", f"{base}/nowhere?ref=v1"),
        ("base-unreachable", f"{server.url}/v1.0.0/none.yaml"),
        ("chart-unreachable", "greeter 1.0.0"),
        ("chart-unreachable", "greeter 1.0.0"),
        ("chart-unreachable", "greeter 9.9.9"),
    ]
    assert {(one.file, one.line) for one in fetched.problems} == {
        (f"{FOLDER}/kustomization.yaml", 1),
        (f"{FOLDER}/kustomization.yaml", 2),
    }
    with pytest.raises(
        TreeRefused, match=r"greeter 9\.9\.9: could not be fetched: .*correct name, version and address"
    ):
        fetched.require()


def test_an_absent_network_is_detected_before_any_program_runs(wants: Wants, server: Server) -> None:
    ask_for(wants, Chart("a", "1.0.0", NOBODY), bases=("http://127.0.0.1:2/v1.0.0/b.yaml",))
    began = time.monotonic()
    fetched = fetch(wants, [FOLDER], {"PATH": ""})
    assert time.monotonic() - began < 6
    assert fetched.why == "no network: host 127.0.0.1:1 did not answer (Connection refused), nor did 1 other"
    assert fetched.absent == {
        f"chart a 1.0.0 of {NOBODY}": "Connection refused",
        "base http://127.0.0.1:2/v1.0.0/b.yaml": "Connection refused",
    }
    assert (fetched.problems, fetched.fetched) == ([], [])


def test_of_two_hosts_the_one_that_answers_is_used(server: Server, env: dict[str, str], wants: Wants) -> None:
    ask_for(wants, Chart("a", "1.0.0", NOBODY), Chart("greeter", "1.0.0", server.publish(env, "charts", "greeter")))
    fetched = fetch(wants, [FOLDER], env)
    assert fetched.fetched == ["chart greeter 1.0.0"]
    assert fetched.why == "host 127.0.0.1:1 did not answer (Connection refused)"
    assert fetched.problems == []
    fetched.require()
    with pytest.raises(TryAgain, match=r"^chart a 1\.0\.0 of http://127\.0\.0\.1:1: not fetched: Connection refused\n"):
        fetched.require(everything=True)


def test_a_server_that_fails_is_no_mistake_of_the_tree(server: Server, env: dict[str, str], wants: Wants) -> None:
    repository = server.publish(env, "charts", "greeter")
    server.broken = ".tgz"
    ask_for(wants, Chart("greeter", "1.0.0", repository))
    fetched = fetch(wants, [FOLDER], env)
    assert fetched.problems == []
    assert fetched.why.startswith(f"chart greeter 1.0.0 of {repository}: failed to fetch")
    assert "503" in fetched.why


def test_a_stalled_network_costs_one_timeout_for_all_charts(server: Server, env: dict[str, str], wants: Wants) -> None:
    ask_for(wants, *(Chart(f"a{number}", "1.0.0", f"{server.url}/charts") for number in range(12)))
    server.stalled = "index.yaml"
    began = time.monotonic()
    fetched = fetch(wants, [FOLDER], env, limit=2)
    assert time.monotonic() - began < 12  # one limit, and the time to end the programs
    assert fetched.why == f"{server.url.removeprefix('http://')} was too slow: not complete after 2 s"
    assert len(fetched.absent) == 12
    assert (fetched.problems, fetched.fetched) == ([], [])


def test_a_refusal_by_a_private_repository_is_no_problem(server: Server, env: dict[str, str], wants: Wants) -> None:
    ask_for(wants, Chart("greeter", "1.0.0", f"{server.url}/private"))
    assert told(fetch(wants, [FOLDER], env)) == [("chart-unreachable", "greeter 1.0.0")]
    wants.asked.clear()
    fetched = fetch(wants, [FOLDER], env, private=(f"{server.url}/private",))
    assert fetched.problems == []
    assert fetched.why.endswith("401 Unauthorized; helm registry login and helm repo add give credentials")


def test_an_invalid_archive_is_a_problem_of_its_publisher(server: Server, env: dict[str, str], wants: Wants) -> None:
    repository = server.publish(env, "charts", "greeter")
    (server.folder / "charts/greeter-1.0.0.tgz").write_bytes(b"<html>")
    ask_for(wants, Chart("greeter", "1.0.0", repository))
    (problem,) = fetch(wants, [FOLDER], env).problems
    assert isinstance(problem, Problem)
    assert problem.rule.startswith("is not an archive that can be unpacked: ")


@pytest.mark.parametrize(
    ("said", "network"),
    [
        ("dial tcp: lookup charts.example.com: no such host", True),
        ("fatal: unable to access 'https://github.com/a/b/': Could not resolve host: github.com", True),
        ("fatal: unable to access 'https://github.com/a/b/': The requested URL returned error: 503", True),
        ("hit 27s timeout running '/usr/bin/git fetch --depth=1'", True),
        ("HTTP Error: status code 502 (Bad Gateway)", True),
        ("failed to fetch https://charts.example.com/index.yaml : 429 Too Many Requests", True),
        ('Get "https://charts.example.com/index.yaml": EOF', True),
        ("fatal: couldn't find remote ref v2", False),
        ('chart "eof" version "1.429.503" not found in https://charts.example.com repository', False),
        ("failed to fetch https://charts.example.com/index.yaml : 404 Not Found", False),
    ],
)
def test_network_errors_are_distinguished_from_absent_charts(said: str, network: bool) -> None:
    assert bool(UNREACHED.search(said)) == network


def test_an_unwritable_cache_costs_only_the_real_chart(server: Server, env: dict[str, str], wants: Wants) -> None:
    ask_for(wants, Chart("greeter", "1.0.0", server.publish(env, "charts", "greeter")))
    wants.charts.home.write_text("no folder", encoding="utf-8")
    fetched = fetch(wants, [FOLDER], env)
    assert fetched.problems == []
    assert fetched.why.startswith("the cache cannot be written: ")


def test_a_reason_forbids_everything(server: Server, wants: Wants) -> None:
    ask_for(wants, Chart("greeter", "1.0.0", f"{server.url}/charts"))
    assert fetch(wants, [FOLDER], {"PATH": ""}, forbidden="--offline") == Fetched(reasons=["--offline"])
    assert server.asked == []


def test_a_damaged_copy_is_named_and_fetched_again(
    server: Server, env: dict[str, str], wants: Wants, capsys: pytest.CaptureFixture[str]
) -> None:
    chart = Chart("greeter", "1.0.0", server.publish(env, "charts", "greeter"))
    ask_for(wants, chart)
    (wants.charts.fetch(chart, env) / "values.yaml").unlink()
    again = Wants(wants.reader, CachedCharts(wants.charts.home), wants.bases)
    assert fetch(again, [FOLDER], env).fetched == ["chart greeter 1.0.0"]
    assert "chart greeter 1.0.0: its copy in the cache was damaged: fetching it again\n" in capsys.readouterr().err
    assert again.charts.chart(chart)


def test_ctrl_c_ends_what_is_fetched(server: Server, env: dict[str, str], wants: Wants, tmp_path: Path) -> None:
    ask_for(wants, Chart("greeter", "1.0.0", f"{server.url}/charts"))
    server.stalled = "index.yaml"
    code = (
        "import os, sys; from pathlib import Path; from manifests import boundary; from manifests.fetch import Wants; "
        "from manifests.checkout import CheckoutReader; from ops.upstream.originals import fetch; "
        "boundary.remote_rule = lambda url, *, charts=False: ''; "
        "fetch(Wants(CheckoutReader(Path(sys.argv[1]))), [sys.argv[2]], os.environ)"
    )
    more = {"PYTHONPATH": str(CHECKOUT), "HOMELAB_ORIGINALS": str(tmp_path / "cache"), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", code, str(wants.reader.root), FOLDER]
    run = subprocess.Popen(command, env=env | more, stderr=subprocess.DEVNULL)
    until(lambda: any("index.yaml" in path for path in server.asked), 30)
    run.send_signal(signal.SIGINT)
    assert run.wait(15) != 0
    assert list((tmp_path / "cache").rglob(".fetching-*")) == []

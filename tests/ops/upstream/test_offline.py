"""`check` fetches the real charts where a network answers, and sends no request where requests are forbidden."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.__main__ import main
from ops.toolchain.lookup import ensure
from tests import ears
from tests.manifests.rules.scenario import prepare
from tests.manifests.servers import Server, serving
from tests.ops.checking.test_validation import CHART

pytestmark = pytest.mark.usefixtures("repositories_of_this_machine")
CHECKOUT = Path(__file__).parents[3]
KUSTOMIZATION = "apps/media/charted/production/kustomization.yaml"
# There is no platform in a checkout this small.
CHECK = (
    "import sys, ops.checking.settings as settings; settings.check_stack = lambda *_: []; "
    "from ops.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout with an app of one chart, and an empty cache of charts."""
    monkeypatch.setattr("ops.checking.settings.check_stack", lambda root, stack, tree: [])
    monkeypatch.setenv("HOMELAB_ORIGINALS", str(tmp_path / "cache"))
    root = tmp_path / "checkout"
    prepare({}, root)
    ask_for(root, "https://charts.example.com")
    return root


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for kind in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"HELM_{kind}_HOME", str(tmp_path / f"helm-{kind}"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("HOMELAB_OFFLINE", "0")
    with serving(tmp_path / "served") as running:
        running.publish(ensure(["helm"]).env(), "charts", "greeter")
        yield running


def ask_for(root: Path, repository: str, version: str = "1.0.0") -> None:
    text = CHART.format(name="greeter", environment="production").replace("https://charts.example.com", repository)
    text = text.replace("1.0.0", version).replace("resources: [../base/route.yaml]\n", "")
    (root / KUSTOMIZATION).parent.mkdir(parents=True, exist_ok=True)
    (root / KUSTOMIZATION).write_text(text, encoding="utf-8")


def notes(checkout: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    main(["check", "--root", str(checkout), "--json", *options])
    found = json.loads(capsys.readouterr().out)["notes"]
    return [note for note in found if "stand-in" in note]


def test_the_real_chart_is_fetched_and_checked(
    checkout: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_for(checkout, f"{server.url}/charts")
    assert main(["check", "--root", str(checkout)]) == 0
    said = capsys.readouterr()
    assert "greeter 1.0.0: done after" in said.err
    assert "stand-in" not in said.out
    assert said.out.endswith("no problem in 2 stacks, 3 categories, 5 apps; 33 objects of 9 folders\n")
    served = len(server.asked)
    assert main(["check", "--root", str(checkout)]) == 0
    assert (capsys.readouterr().err, len(server.asked)) == ("", served)


def test_an_absent_version_is_reported_despite_its_stand_in(
    checkout: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_for(checkout, f"{server.url}/charts", "9.9.9")
    assert main(["check", "--root", str(checkout)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{KUSTOMIZATION}:6: helmCharts[0] = greeter 9.9.9: could not be fetched: ")
    assert said[0].endswith("; correct name, version and address, or run it again [chart-unreachable]")
    assert "1 chart or base is a stand-in; --json lists them" in said
    assert said[-1].startswith("1 problem in ")


def test_the_option_prevents_requests_and_appears_in_the_note(
    checkout: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_for(checkout, f"{server.url}/charts")
    assert notes(checkout, capsys, "--offline") == ["1 chart or base is a stand-in (--offline): chart greeter 1.0.0"]
    assert server.asked == []


def test_a_silent_host_is_noted_and_is_no_problem(
    checkout: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_for(checkout, "http://127.0.0.1:1")
    assert main(["check", "--root", str(checkout)]) == 0
    said = "1 chart or base is a stand-in (host 127.0.0.1:1 did not answer (Connection refused)); --json lists them\n"
    assert said in capsys.readouterr().out


@pytest.mark.skipif(not ears.available(), reason="this system gives no network namespaces to its users")
@pytest.mark.parametrize("value", ["1", "0"])
def test_only_without_the_variable_a_packet_leaves_this_machine(
    value: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_for(checkout, "https://192.0.2.1/charts")
    monkeypatch.setenv("HOMELAB_OFFLINE", value)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    check = [sys.executable, "-c", CHECK, "check", "--root", str(checkout)]
    command = [*ears.UNSHARE, sys.executable, "-m", "tests.ears", *check]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=True)
    found = json.loads(done.stdout)
    assert found["code"] == 0, found["err"]
    assert found["heard"] == ([] if value == "1" else ["tcp 192.0.2.1:443"])
    why = "HOMELAB_OFFLINE=1" if value == "1" else "host 192.0.2.1 did not answer (no answer within 4 s)"
    assert f"1 chart or base is a stand-in ({why}); --json lists them" in found["out"]

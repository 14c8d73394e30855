"""`rehearse` fetches before it leaves the network, and ends at once where the tree references a missing chart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config.tree import read_tree
from errors import Declined, Problem
from lab.api import Api
from lab.layout import Lab
from ops import rehearse
from ops.__main__ import main
from ops.rehearsal.sources import Served
from ops.upstream.originals import Fetched
from tests.lab.checkout import Checkout

MISSING = Problem(
    "apps/media/one/kustomization.yaml", 5, "helmCharts[0]", "greeter 9.9.9", "is missing", "correct it", "x"
)
ENTERED = "the rehearsal was entered"


class Tools:
    """Programs that are found and never run."""

    def env(self) -> dict[str, str]:
        return {"PATH": ""}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Fetched], list[str]]:
    """Return a function that sets the result of a fetch and returns the list of fetches; no rehearsal is entered."""
    checkout = Checkout.make(tmp_path / "checkout")
    asked: list[str] = []

    def enter(*_: object) -> None:
        raise Declined(ENTERED)

    def runs_with(fetched: Fetched) -> list[str]:
        def fetch(root: Path, settings: object, tree: object, env: object, forbidden: str) -> Fetched:
            asked.append(forbidden)
            return fetched

        monkeypatch.setattr(rehearse, "fetch_for", fetch)
        return asked

    monkeypatch.setattr(rehearse, "ensure", lambda names: Tools())
    monkeypatch.setattr(rehearse, "enter", enter)
    monkeypatch.chdir(checkout.root)
    return runs_with


def test_a_chart_that_does_not_exist_prevents_a_rehearsal(
    told: Callable[[Fetched], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = told(Fetched(problems=[MISSING]))
    assert main(["rehearse", "--stack", "dev"]) == 1
    assert capsys.readouterr().err == (
        "apps/media/one/kustomization.yaml:5: helmCharts[0] = greeter 9.9.9: is missing; correct it [x]\n1 problem\n"
    )
    assert asked == ["HOMELAB_OFFLINE=1"]


def test_what_could_not_be_had_does_not_end_it(
    told: Callable[[Fetched], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = told(Fetched(reasons=["no network"], absent={"chart a": "Connection refused"}))
    assert main(["rehearse", "--stack", "dev", "--offline"]) == 1
    assert capsys.readouterr().err == f"{ENTERED}\n"
    assert asked == ["--offline"]


def test_the_report_says_why_stand_ins_took_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        """An API server without a CRD."""

        def metadata(self, *_: object) -> list[dict[str, str]]:
            return []

    monkeypatch.setattr(Api, "of", lambda lab: Nothing())
    monkeypatch.chdir(tmp_path)
    served = Served("0" * 40, is_new=True, stand_ins=(("chart greeter", "1.0.0", "stand-in"),))
    fetched = Fetched(reasons=["no network: host a did not answer (x)"])
    prepared = rehearse.Prepared(Lab.of(tmp_path, "dev"), read_tree(tmp_path), fetched, [], [], served, [])
    said = "\n".join(rehearse._lines("dev", prepared, []))
    assert "chart greeter  1.0.0    stand-in\n" in said
    assert "because the real ones are not in the cache: no network: host a did not answer (x)\n" in said


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["banking-firefly-iii", "media-sonarr"], "banking-firefly-iii, media-sonarr"),
        ([f"media-{number}" for number in range(9)], "9 applications; --json lists them"),
    ],
)
def test_a_rehearsal_reports_the_syncs_that_it_ended_with(names: list[str], listed: str) -> None:
    expected = f"the rehearsal ended with `./homelab sync --all` for manual applications: {listed}"
    assert rehearse._settled_lines(rehearse.Settled(synced=names)) == [expected]
    assert rehearse._settled_lines(rehearse.Settled()) == []

"""`rehearse` fetches while something leads out of it, and ends at once where the tree names what does not exist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from errors import Declined, Problem
from lab.api import Api
from lab.layout import Lab
from ops import rehearse
from ops.__main__ import main
from ops.rehearsal.sources import Furnished
from ops.upstream.originals import Brought
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
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Brought], list[str]]:
    """Give what is asked for before the rehearsal is entered, which is where it ends here."""
    checkout = Checkout.make(tmp_path / "checkout")
    asked: list[str] = []

    def enter(*_: object) -> None:
        raise Declined(ENTERED)

    def runs_with(brought: Brought) -> list[str]:
        def bring(root: Path, settings: object, env: object, forbidden: str) -> Brought:
            asked.append(forbidden)
            return brought

        monkeypatch.setattr(rehearse, "bring_for", bring)
        return asked

    monkeypatch.setattr(rehearse, "ensure", lambda names: Tools())
    monkeypatch.setattr(rehearse, "enter", enter)
    monkeypatch.chdir(checkout.root)
    return runs_with


def test_a_chart_that_does_not_exist_ends_a_rehearsal_before_it_begins(
    told: Callable[[Brought], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = told(Brought(problems=[MISSING]))
    assert main(["rehearse", "--stack", "dev"]) == 1
    assert capsys.readouterr().err == (
        "apps/media/one/kustomization.yaml:5: helmCharts[0] = greeter 9.9.9: is missing; correct it [x]\n1 problem\n"
    )
    assert asked == ["HOMELAB_OFFLINE=1"]


def test_what_could_not_be_had_does_not_end_it(
    told: Callable[[Brought], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = told(Brought(reasons=["no network"], absent={"chart a": "Connection refused"}))
    assert main(["rehearse", "--stack", "dev", "--offline"]) == 1
    assert capsys.readouterr().err == f"{ENTERED}\n"
    assert asked == ["--offline"]


def test_the_report_says_why_stand_ins_took_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Nothing:
        """An API server without a CRD."""

        def metadata(self, *_: object) -> list[dict[str, str]]:
            return []

    monkeypatch.setattr(Api, "of", lambda lab: Nothing())
    monkeypatch.chdir(tmp_path)
    furnished = Furnished("0" * 40, is_new=True, stand_ins=(("chart greeter", "1.0.0", "stand-in"),))
    rehearse._tell("dev", Lab.of(tmp_path, "dev"), [], [], [], furnished, [], "no network: host a did not answer (x)")
    said = capsys.readouterr().out
    assert "chart greeter         1.0.0    stand-in\n" in said
    assert "because the real ones are not in the cache: no network: host a did not answer (x)\n" in said

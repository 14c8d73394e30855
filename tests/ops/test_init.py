"""`./homelab init` writes a stack file that passes the check, or says what is missing."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from config.load import read_stack
from ops.__main__ import main
from ops.init import STORES
from tests.config.scenario import prepare

WHO = ("--repository", "https://git.example.com/me/homelab.git", "--domain", "home.example.com")


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)


@pytest.mark.parametrize(("planes", "workers", "store"), list(itertools.product("13", "02", STORES)))
def test_what_init_writes_passes_the_check(planes: str, workers: str, store: str, tmp_path: Path) -> None:
    prepare({}, tmp_path)
    hosts = ("--hosts", "a=10.0.0.2,b=10.0.0.3")
    size = ("--control-planes", planes, "--workers", workers, "--store", store, "--root", str(tmp_path))
    assert main(["init", "--stack", "mine", *WHO, *hosts, *size]) == 0
    settings = read_stack(tmp_path / "Pulumi.mine.yaml").require()
    assert len(settings.cluster.nodes) == int(planes) + int(workers)
    assert (settings.network.vip is not None) == (planes == "3")


def test_answers_that_check_refuses_leave_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    wrong = ("--control-planes", "2", "--subnet", "10.0.0.1/24", "--root", str(tmp_path))
    assert main(["init", "--stack", "mine", *WHO, *wrong]) == 1
    said = capsys.readouterr().err
    assert "network.subnet = 10.0.0.1/24: has host bits set; did you mean 10.0.0.0/24?" in said
    assert not (tmp_path / "Pulumi.mine.yaml").exists()


def test_a_missing_answer_is_named_by_its_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--root", str(tmp_path), "--issuer", "letsencrypt", *WHO[:2]]) == 1
    assert "say --domain, --email (./homelab init --help)" in capsys.readouterr().err


def test_a_stack_file_that_exists_is_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    before = (tmp_path / "Pulumi.base.yaml").read_bytes()
    assert main(["init", "--stack", "base", "--root", str(tmp_path), *WHO]) == 1
    assert "Pulumi.base.yaml exists; --replace replaces it, --stack NAME writes another" in capsys.readouterr().err
    assert (tmp_path / "Pulumi.base.yaml").read_bytes() == before


def test_only_removes_the_other_stacks(tmp_path: Path) -> None:
    prepare({}, tmp_path)
    assert main(["init", "--stack", "mine", "--only", "--root", str(tmp_path), *WHO]) == 0
    assert [path.name for path in sorted(tmp_path.glob("Pulumi.*.yaml"))] == ["Pulumi.mine.yaml"]


def test_a_terminal_is_asked_and_enter_takes_the_proposal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare({}, tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "git@git.example.com:me/homelab.git" if "repository" in question else ""

    monkeypatch.setattr("builtins.input", answer)
    assert main(["init", "--stack", "mine", "--root", str(tmp_path), "--domain", "home.example.com"]) == 0
    assert asked[0] == "your Git repository (https://... or git@...): "
    assert "the router in it [10.0.0.1]: " in asked
    assert not any("domain" in question for question in asked)

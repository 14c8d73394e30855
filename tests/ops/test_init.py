"""`./homelab init` writes a stack file that passes the check, or reports the missing answers."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from config.load import read_stack
from config.secret_stores import KINDS
from ops.__main__ import main
from tests.config.scenario import prepare
from tests.repository import commit_all

WHO = ("--repository", "https://git.example.com/me/homelab.git", "--domain", "home.example.com")


def committed(root: Path) -> None:
    """Write the small checkout, and commit it."""
    prepare({}, root)
    commit_all(root)


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)


@pytest.mark.parametrize(("planes", "workers", "store"), list(itertools.product("13", "02", KINDS)))
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
    assert (
        "Pulumi.mine.yaml, not written: network.subnet = 10.0.0.1/24: has host bits set; did you mean 10.0.0.0/24?"
        in said
    )
    assert not (tmp_path / "Pulumi.mine.yaml").exists()


@pytest.mark.parametrize("subnet", ["255.255.255.0/24", "10.0.0.0/30"])
def test_a_subnet_without_room_is_a_problem(subnet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    many = ("--workers", "300", "--root", str(tmp_path))
    assert main(["init", "--stack", "mine", *WHO, "--subnet", subnet, *many]) == 1
    assert f"is outside network.subnet (line 5) {subnet}" in capsys.readouterr().err


def test_a_subnet_that_is_one_address_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *WHO, "--subnet", "255.255.255.255/32", "--root", str(tmp_path)]) == 1
    assert "--subnet = 255.255.255.255/32: has no room for nodes; give a network such as" in capsys.readouterr().err


def test_a_missing_answer_is_named_by_its_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--root", str(tmp_path), "--issuer", "letsencrypt", *WHO[:2]]) == 1
    assert "give --domain, --email (./homelab init --help)" in capsys.readouterr().err


def test_a_stack_file_that_exists_is_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare({}, tmp_path)
    before = (tmp_path / "Pulumi.base.yaml").read_bytes()
    assert main(["init", "--stack", "base", "--root", str(tmp_path), *WHO]) == 1
    assert "Pulumi.base.yaml exists; --replace replaces it, --stack NAME writes another" in capsys.readouterr().err
    assert (tmp_path / "Pulumi.base.yaml").read_bytes() == before


def test_only_removes_the_other_stacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed(tmp_path)
    assert main(["init", "--stack", "mine", "--only", "--root", str(tmp_path), *WHO]) == 0
    assert "removed Pulumi.base.yaml; git restore Pulumi.base.yaml brings it back" in capsys.readouterr().out
    assert [path.name for path in sorted(tmp_path.glob("Pulumi.*.yaml"))] == ["Pulumi.mine.yaml"]


@pytest.mark.parametrize("words", [("--stack", "base", "--replace"), ("--stack", "mine", "--only")])
@pytest.mark.parametrize(
    ("more", "commits", "said"),
    [
        ("# mine\n", False, "Pulumi.base.yaml: has uncommitted changes that would be lost; commit or delete it first"),
        ("encryptionsalt: v1:abc\n", True, "Pulumi.base.yaml: has secrets that would be lost; move it away"),
    ],
)
def test_what_nobody_could_bring_back_does_not_go(
    words: tuple[str, ...], more: str, commits: bool, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed(tmp_path)
    file = tmp_path / "Pulumi.base.yaml"
    file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
    if commits:
        commit_all(tmp_path)
    before = file.read_bytes()
    assert main(["init", *words, "--root", str(tmp_path), *WHO]) == 1
    assert said in capsys.readouterr().err
    assert file.read_bytes() == before
    assert list(tmp_path.glob("Pulumi.*.yaml")) == [file]


def test_a_stack_has_a_name_and_no_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--stack", "../x", "--root", str(tmp_path), *WHO]) == 1
    assert capsys.readouterr().err.startswith("--stack = ../x: is not a name for a stack; use small letters")


def test_a_question_without_a_proposal_is_repeated_until_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare({}, tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    answers = iter(["", "", WHO[1]])
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return next(answers) if "repository" in question else ""

    monkeypatch.setattr("builtins.input", answer)
    assert main(["init", "--stack", "mine", "--root", str(tmp_path), *WHO[2:]]) == 0
    assert ["repository" in question for question in asked[:4]] == [True, True, True, False]


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
    assert "its router [10.0.0.1]: " in asked
    assert not any("domain" in question for question in asked)

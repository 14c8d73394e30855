"""The table of verbs references existing modules, and the error of a misspelt verb proposes the nearest one."""

from __future__ import annotations

import argparse
import importlib
import json
import tomllib
from pathlib import Path

import pytest

from errors import Declined
from ops.__main__ import main
from ops.stack import file_of
from ops.verbs import VERBS, Verb

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_has_a_module_with_arguments_and_run(verb: Verb) -> None:
    module = importlib.import_module(f"ops.{verb.name}")
    module.arguments(argparse.ArgumentParser())
    assert callable(module.run)


def test_the_contracts_of_the_house_list_every_verb() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (independent,) = (one["modules"] for one in contracts if one["name"] == "Verbs are independent")
    (floors,) = (one["layers"] for one in contracts if one["name"].startswith("Floors of ops"))
    names = sorted(verb.name for verb in VERBS)
    assert independent == [f"ops.{name}" for name in names]
    assert floors[0].split(" | ") == names


def test_help_lists_every_verb_once_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for verb in VERBS:
        assert sum(line.startswith(f"  {verb.name} ") for line in lines) == 1
    assert {verb.group + ":" for verb in VERBS} <= set(lines)


def test_an_unknown_verb_names_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chekc"]) == 2
    assert capsys.readouterr().err == "./homelab: there is no verb 'chekc'; did you mean check?\n"


def test_a_refusal_is_json_too_where_machines_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--stack", "nope", "--json"]) == 1
    said = capsys.readouterr()
    assert "there is no stack 'nope'" in json.loads(said.out)["error"]
    assert said.err.strip() == json.loads(said.out)["error"]
    assert main(["check", "--stack", "nope", "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["file"], problem["check"]) == ("Pulumi.nope.yaml", "stack-missing")


@pytest.mark.parametrize("ended", [KeyboardInterrupt, EOFError])
def test_an_interruption_is_one_line_from_the_first_import_on(
    ended: type[BaseException], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> None:
        raise ended

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert main(["check"]) == 130
    assert capsys.readouterr().err == "\ninterrupted: run the same command again to go on\n"


def test_without_any_stack_file_the_way_to_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(Declined, match=r"there is no stack 'dev'; there is none yet: \./homelab init writes one"):
        file_of(tmp_path, "dev")

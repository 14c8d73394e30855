"""Every rule for rendered objects has a scenario that breaks it, and reports exactly the expected messages."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from config.rules import REGISTER
from manifests import rules
from tests.config.scenario import load
from tests.manifests.rules.scenario import HERE, prepare, problems

ROOM = Path(rules.__file__ or "").parent
INVALID = sorted((HERE / "invalid").glob("*.yaml"))
VALID = sorted((HERE / "valid").glob("*.yaml"))
TOLD_ELSEWHERE = {
    "value-unknown": "tests/manifests/test_values.py: it takes a real chart",
    "file-stray": "tests/config/invalid: the tree reports it too",
}


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_app_is_refused_in_these_words(path: Path, tmp_path: Path) -> None:
    scenario = load(path)
    prepare(scenario, tmp_path)
    assert [str(problem) for problem in problems(tmp_path)] == scenario["expect"]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_app_is_accepted(path: Path, tmp_path: Path) -> None:
    prepare(load(path), tmp_path)
    assert [str(problem) for problem in problems(tmp_path)] == []


def test_the_checkout_itself_is_accepted(tmp_path: Path) -> None:
    prepare({}, tmp_path)
    assert [str(problem) for problem in problems(tmp_path)] == []


def test_every_rule_has_a_scenario_that_breaks_it() -> None:
    told = {message.rsplit("[", 1)[1].rstrip("]") for path in INVALID for message in load(path)["expect"]}
    assert told | TOLD_ELSEWHERE.keys() == {check.id for check in REGISTER.values() if check.is_of("manifests.rules")}
    assert [path.stem for path in INVALID if not load(path)["expect"]] == []


def test_every_reported_id_is_registered() -> None:
    told = {
        node.args[0].value
        for file in ROOM.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Finding"
        and isinstance(node.args[0], ast.Constant)
    }
    assert told <= REGISTER.keys()

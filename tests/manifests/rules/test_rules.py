"""Every rule for rendered objects has a scenario that breaks it, and reports exactly the expected messages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import config
import manifests
import ops
import standins
from config.rules import REGISTER
from ops.checking.register import every_check
from tests.config.scenario import load
from tests.manifests.rules.scenario import HERE, prepare, problems

REPORTING = (config, manifests, ops, standins)
ID_OF = {"ObjectFinding": 0, "SettingFinding": 0, "Problem": -1}
INVALID = sorted((HERE / "invalid").glob("*.yaml"))
VALID = sorted((HERE / "valid").glob("*.yaml"))
TOLD_ELSEWHERE = {
    "value-unknown": "tests/manifests/test_values.py: it takes a real chart",
    "file-stray": "tests/config/invalid: the tree reports it too",
    "value-unreplaced": "test_setting_values.py: it is about the values of charts",
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
    known = every_check().keys()
    found = {(package.__name__, *one) for package in REPORTING for one in reported(package)}
    assert {(package, kind) for package, kind, _ in found} == {
        *((package.__name__, "Problem") for package in REPORTING),
        ("config", "SettingFinding"),
        ("manifests", "ObjectFinding"),
    }
    assert [one for one in sorted(found) if one[2] not in known] == []


def reported(package: ModuleType) -> Iterator[tuple[str, str]]:
    """Yield each class of reports with each id that a package writes in a call of it, also as a module's constant."""
    for file in Path(package.__file__ or "").parent.rglob("*.py"):
        module = ast.parse(file.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value
            for node in module.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(module):
            kind = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if isinstance(node, ast.Call) and kind in ID_OF and node.args:
                written = node.args[ID_OF[kind]]
                written = constants.get(written.id, written) if isinstance(written, ast.Name) else written
                if isinstance(written, ast.Constant) and written.value:  # `ops.checking.online` fills in an empty one
                    yield kind, str(written.value)

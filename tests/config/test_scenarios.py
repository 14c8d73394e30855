"""Every known mistake has a scenario, and its messages are exactly the expected ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import read_stack, stack_files
from ops.checking.register import every_check
from tests.config.scenario import HERE, load, prepare, problems

INVALID = sorted((HERE / "invalid").glob("*.yaml"))
VALID = sorted((HERE / "valid").glob("*.yaml"))
TOLD_ELSEWHERE = {
    "commit-unknown": "tests/ops/checking/test_validation.py: only Git knows",
    "flag-twice": "tests/ops/test_new.py: no file says it",
    "secret-missing": "tests/config/test_load.py: only a run of Pulumi needs the secrets",
    "stack-missing": "tests/ops/test_check.py: the verb says it",
}


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_checkout_is_refused_in_these_words(path: Path, tmp_path: Path) -> None:
    scenario = load(path)
    prepare(scenario, tmp_path)
    assert [str(problem) for problem in problems(tmp_path, scenario)] == scenario["expect"]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_checkout_is_accepted(path: Path, tmp_path: Path) -> None:
    prepare(load(path), tmp_path)
    assert problems(tmp_path) == []
    assert all(read_stack(file).require() for file in stack_files(tmp_path).values())


def test_there_are_enough_scenarios() -> None:
    assert len(INVALID) >= 60
    assert len(VALID) >= 8


def test_every_check_has_a_scenario_that_breaks_it() -> None:
    told = {message.rsplit("[", 1)[1].rstrip("]") for path in INVALID for message in load(path)["expect"]}
    every = every_check()
    ours = {check.id for check in every.values() if check.is_of("config")}
    assert ours <= told | TOLD_ELSEWHERE.keys() <= every.keys()


def test_an_invalid_scenario_expects_something() -> None:
    assert [path.stem for path in INVALID if not load(path)["expect"]] == []

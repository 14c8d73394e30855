"""Problems as the lines by which a runner annotates a pull request."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import Problem
from ops.__main__ import main
from ops.checking.annotations import annotated
from tests.config.scenario import prepare

HERE = {"GITHUB_ACTIONS": "true"}


def test_a_problem_has_its_place_its_check_and_its_fix() -> None:
    problem = Problem("apps/media/category.yaml", 3, "removal", "drop", "is unknown", "write keep", "value-unknown")
    assert annotated([problem], HERE) == [
        "::error file=apps/media/category.yaml,line=3,title=value-unknown::removal = drop: is unknown; write keep"
    ]
    whole = Problem("Pulumi.dev.yaml", 0, "", "", "is empty", "write it", "file-empty")
    assert annotated([whole], HERE) == ["::error file=Pulumi.dev.yaml,title=file-empty::is empty; write it"]


def test_a_name_cannot_write_a_line_or_a_property_of_its_own() -> None:
    problem = Problem("a,title=b::x\n::error::", 1, "k", "50%\r\n::stop-commands::x", "r", "f", "c")
    (line,) = annotated([problem], HERE)
    assert line.splitlines() == [line]
    assert line.startswith("::error file=a%2Ctitle=b%3A%3Ax")
    assert line.count("::error") == 1
    assert "50%25" in line


@pytest.mark.parametrize("environment", [{}, {"GITHUB_ACTIONS": "false"}])
def test_without_a_runner_there_is_no_annotation(environment: dict[str, str]) -> None:
    assert annotated([Problem("a", 1, "", "", "r", "f", "c")], environment) == []


def test_check_prints_annotations_beside_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare({"replace": {"apps/media/category.yaml": {"layer: applications": "layer: none"}}}, tmp_path)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert main(["check", "--shape", "--root", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    annotated = [line for line in lines if line.startswith("::error file=apps/media/category.yaml,line=1,title=")]
    assert len(annotated) == len([line for line in lines if line.startswith("apps/media/category.yaml:1: ")]) == 1
    assert main(["check", "--shape", "--json", "--root", str(tmp_path)]) == 1
    assert "::error" not in capsys.readouterr().out

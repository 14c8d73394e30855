"""The exit codes of the project are defined in one place, and their page lists every code and every class."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import errors
from errors import ExitCode, HomelabError
from ops import __main__ as door
from ops.result import Result

PAGE = Path(__file__).parents[2] / "docs/reference/exit-codes.md"
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.*?) ?\|$", re.MULTILINE)


def test_the_page_lists_every_code_with_its_classes() -> None:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    listed = {int(code): sorted(re.findall(r"`(\w+)`", names)) for code, _, names in rows}
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, HomelabError)]
    expected = {code.value: sorted(cls.__name__ for cls in classes if cls.exit_code is code) for code in ExitCode}
    assert listed == expected


FAILED = errors.ProgramFailed("no", status=9, output="")


@pytest.mark.parametrize("error", [errors.Declined("no"), errors.TookTooLong("no"), errors.Bug("no"), FAILED])
def test_a_verb_ends_with_the_code_of_its_error(
    error: HomelabError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: object) -> None:
        raise error

    monkeypatch.setattr(door, "_run", run)
    assert door.main(["check"]) == error.exit_code
    assert capsys.readouterr().err == "no\n"


@pytest.mark.parametrize(("good", "code"), [(True, ExitCode.DONE), (False, ExitCode.NOT_GOOD)])
def test_a_result_has_text_data_and_code(good: bool, code: ExitCode) -> None:
    result = Result("text", {"a": 1}, good=good)
    assert (result.text, result.as_dict(), result.code) == ("text", {"a": 1}, code)

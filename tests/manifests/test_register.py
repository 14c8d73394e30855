"""The register of checks is complete in both directions, and two functions can share an id only with one reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import manifests
from config import rules
from config.rules import REGISTER, SCOPES, rule, rules_of
from manifests.rules.stack_objects import ObjectFinding
from ops.checking.register import every_check

HERE = Path(__file__).parent
ROOM = Path(manifests.__file__ or "").parent
AN_ID = re.compile(r"(?:base|chart|manifest|nothing|reference|render)(?:-[a-z]+)+\Z")


def test_every_id_of_a_render_is_expected_by_a_test() -> None:
    every_check()
    ours = [one for one in REGISTER.values() if one.is_of("manifests") and not one.is_of("manifests.rules")]
    tests = "".join(file.read_text(encoding="utf-8") for file in HERE.glob("test_*.py") if file != Path(__file__))
    scenarios = "".join(file.read_text(encoding="utf-8") for file in HERE.glob("rules/invalid/*.yaml"))
    names = [one.id for one in ours]
    assert [name for name in names if f"[{name}]" not in tests + scenarios and f'"{name}"' not in tests] == []
    assert len(names) > 15


def test_every_id_of_a_verb_is_expected_by_a_test() -> None:
    names = [one.id for one in every_check().values() if one.is_of("ops")]
    tests = "".join(file.read_text(encoding="utf-8") for file in (HERE.parent / "ops").rglob("test_*.py"))
    tests += "".join(file.read_text(encoding="utf-8") for file in HERE.parent.glob("config/invalid/*.yaml"))
    assert [name for name in names if name not in tests] == []
    assert len(names) > 5


def test_every_id_that_a_render_reports_is_registered() -> None:
    every_check()
    reported = {
        node.value
        for file in ROOM.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and AN_ID.match(node.value)
    }
    assert reported <= REGISTER.keys()


def test_every_id_of_a_stand_in_is_expected_by_a_test() -> None:
    names = [one.id for one in every_check().values() if one.is_of("standins")]
    tests = "".join(file.read_text(encoding="utf-8") for file in (HERE.parent / "standins").glob("test_*.py"))
    assert sorted(names) == ["base-unbuildable", "base-version"]
    assert [name for name in names if rf"\[{name}\]" not in tests] == []


def test_an_object_accepts_what_is_found_in_it_and_nothing_else() -> None:
    every = every_check().values()
    assert {one.id for one in every if one.is_of("manifests.rules") and one.accepted_by != "object"} == {
        "base-by-tag",
        "config-hashed",
        "file-stray",
        "setting-repeated",
        "signing-key-absent",
        "read-elsewhere",
        "start-page-link",
        "value-unknown",
        "value-unreplaced",
    }
    assert [one.id for one in every if one.accepted_by == "kustomization"] == ["base-by-tag"]
    accepted = [function for one in every if one.accepted_by == "object" for function, _ in one.functions]
    assert {ObjectFinding in kinds_of(get_type_hints(function)["return"]) for function in accepted} == {True}


def kinds_of(annotation: Any) -> list[Any]:
    """Return a type and all types inside it."""
    return [annotation, *(kind for inner in get_args(annotation) for kind in kinds_of(inner))]


def test_every_check_has_a_reason_and_a_scope() -> None:
    for check in every_check().values():
        assert check.why.endswith("."), check.id
        assert set(check.scopes) <= SCOPES.keys(), check.id


def test_a_check_has_one_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_REGISTER", {})

    @rule("some-check", scope="app", why="A reason.")
    def first() -> None: ...

    @rule("some-check", scope="stack")
    def second() -> None: ...

    assert list(rules_of("app", "stack")) == [first, second]
    with pytest.raises(ValueError, match=r"some-check has two reasons"):
        rule("some-check", scope="app", why="Another reason.")(second)


def test_a_local_check_is_local_in_every_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_REGISTER", {})
    rule("own-files", scope="file", why="A reason.")(rule("own-files", scope="app")(every_check))
    rule("also-others", scope="app", why="A reason.")(rule("also-others", scope="stack")(every_check))
    assert {name: check.is_local for name, check in rules._REGISTER.items()} == {
        "own-files": True,
        "also-others": False,
    }

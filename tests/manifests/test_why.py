"""The register of refusals is complete in both directions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import manifests
from manifests.why import WHY

HERE = Path(__file__).parent
ROOM = Path(manifests.__file__ or "").parent
AN_ID = re.compile(r"(?:base|chart|manifest|nothing|reference|render)(?:-[a-z]+)+\Z")


def test_every_id_is_expected_by_a_test() -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in HERE.glob("test_*.py") if file != Path(__file__))
    assert [name for name in WHY if f"[{name}]" not in tests and f'"{name}"' not in tests] == []


def test_every_id_that_is_told_is_registered() -> None:
    told = {
        node.value
        for file in ROOM.glob("*.py")
        if file.name != "why.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and AN_ID.match(node.value)
    }
    assert told == set(WHY)

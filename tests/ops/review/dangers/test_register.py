"""The register of dangers: its ids, its page, and functions that report what they are registered for."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.checking.register import every_check
from ops.review.dangers import register
from ops.review.dangers.rules import REGISTER, SUBJECTS, rule

ROOT = Path(__file__).parents[4]


def test_the_page_of_dangers_is_current() -> None:
    page = (ROOT / register.PATH).read_text(encoding="utf-8")
    assert page == register.page(), "./homelab test --update writes it"


def test_an_id_has_one_meaning_in_the_project() -> None:
    assert REGISTER.keys() & every_check().keys() == set()
    with pytest.raises(ValueError, match="the danger removed-pvc is registered twice"):
        rule("removed-pvc", reads="object", why="twice")(lambda subject: iter(()))


def test_every_reason_is_a_sentence_and_every_subject_is_read() -> None:
    assert {name: one.why for name, one in REGISTER.items() if not one.why.endswith(".") or "|" in one.why} == {}
    assert {one.reads for one in REGISTER.values()} == SUBJECTS.keys()


def test_a_function_names_the_ids_that_it_is_registered_for() -> None:
    ids: dict[Callable[..., Any], set[str]] = defaultdict(set)
    for name, one in REGISTER.items():
        ids[one.function].add(name)
    for function, names in ids.items():
        texts = {
            node.value
            for node in ast.walk(ast.parse(inspect.getsource(inspect.getmodule(function) or register)))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert names <= texts, function

"""Scenarios of rendered objects: one change to a small valid checkout, and the messages of the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from config.load import read_stacks
from config.tree import read_tree
from errors import Problem
from ops.checking.validation import Validation, validate
from tests.config import scenario

HERE = Path(__file__).parent
CHECKOUT = HERE / "checkout"


def prepare(told: dict[str, Any], root: Path) -> None:
    """Write the checkout with the scenario's one change."""
    scenario.prepare(told, root, CHECKOUT)


def problems(root: Path) -> list[Problem]:
    """Return the problems that the rules find in a checkout."""
    stacks = read_stacks(root)
    tree = read_tree(root)
    assert [str(problem) for stack in stacks for problem in stack.problems] == []
    assert tree.problems == ()
    return validate(Validation(root, stacks, tree))

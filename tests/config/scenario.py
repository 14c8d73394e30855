"""Scenarios: one change to a small valid checkout, written as a YAML file.

`valid/` and `invalid/` contain them, found by glob. A scenario can replace text, write or remove files, make links or
write bytes; an invalid one contains the exact messages that `./homelab check` must print. The settings of the apps are
written anew after the change, as by `./homelab settings`, and `stale` has the files that are changed after that.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from config.load import Stack, read_stack, read_stacks
from config.tree import read_tree
from errors import Problem
from ops.checking.settings import problems_of
from ops.checking.settings_writer import write

HERE = Path(__file__).parent
CHECKOUT = HERE / "checkout"


def load(path: Path) -> dict[str, Any]:
    scenario: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = {"expect", "replace", "write", "remove", "bytes", "link", "before", "stale"}
    assert set(scenario) <= known, f"{path.name}: unknown keys"
    return scenario


def prepare(scenario: dict[str, Any], root: Path, checkout: Path = CHECKOUT) -> None:
    """Write a checkout with the scenario's one change."""
    shutil.copytree(checkout, root, dirs_exist_ok=True)
    change(scenario, root)
    if scenario:
        write_settings(root)
    change(scenario.get("stale", {}), root)


def write_settings(root: Path) -> None:
    """Write the settings of each readable stack whose environment exists, although the stack may have problems."""
    tree = read_tree(root)
    for stack in read_stacks(root):
        if stack.settings and stack.settings.delivery.environment in tree.environments:
            write(root, [replace(stack, problems=())], tree)


def change(scenario: dict[str, Any], root: Path) -> None:
    """Replace text in files, write and remove files, make links, write bytes."""
    for file, edits in scenario.get("replace", {}).items():
        text = (root / file).read_text(encoding="utf-8")
        for old, new in edits.items():
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
            text = text.replace(old, new)
        (root / file).write_text(text, encoding="utf-8")
    for file, text in scenario.get("write", {}).items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text, encoding="utf-8")
    for file in scenario.get("remove", ()):
        shutil.rmtree(root / file) if (root / file).is_dir() else (root / file).unlink()
    for file, target in scenario.get("link", {}).items():
        (root / file).symlink_to(target)
    for file, digits in scenario.get("bytes", {}).items():
        (root / file).write_bytes(bytes.fromhex(digits))


def problems(root: Path, scenario: dict[str, Any] | None = None) -> list[Problem]:
    """Return every message of `./homelab check` on a checkout; `before` in a scenario is the stack's old state."""
    stacks = read_stacks(root)
    before: dict[str, Stack | None] = {}
    for file, edits in (scenario or {}).get("before", {}).items():
        text = (root / file).read_text(encoding="utf-8")
        for now, was in edits.items():
            assert text.count(now) == 1, f"{now!r} stands {text.count(now)} times in {file}"
            text = text.replace(now, was)
        stack = read_stack(root / file, text.encode())
        before[stack.name] = stack
    return sorted(set(problems_of(root, stacks, read_tree(root), before)))

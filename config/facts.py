"""The subject of the rules of settings, and their findings.

The typed settings of one stack and the tree come in; `config.checks` and `config.tree_rules` read them, and yield
findings without a file and a line, which `config.checks.check_stack` looks up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.load import Stack
from config.model import Settings
from config.source import KeyPath, dotted
from config.tree import Tree


@dataclass(frozen=True)
class SettingFinding:
    """One broken rule, before its place is looked up."""

    check: str
    path: KeyPath
    value: object
    rule: str
    fix: str


@dataclass(frozen=True)
class Facts:
    """The input of a rule."""

    root: Path
    stack: Stack
    settings: Settings
    tree: Tree

    def stated(self, path: KeyPath) -> bool:
        """Return whether the stack file contains a key; otherwise its value is derived."""
        return self.stack.places.stated(path)

    def at(self, *path: str | int) -> str:
        """Return another owner with its line."""
        line, key = self.stack.places.line(path), dotted(path)
        return f"{key} (line {line})" if line else key

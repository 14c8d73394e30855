"""Writing apps/_settings/<environment> from stack files, and CODEOWNERS from categories, as `config` generates both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from config import code_owners
from config.app_settings import files_of, generated, holds, misplaced, templates
from config.load import Stack
from config.tree import Tree
from errors import Problem, TreeRefused


def write(root: Path, stacks: Sequence[Stack], tree: Tree) -> list[str]:
    """Write the settings of stacks, delete stale files, and return the paths of changed ones.

    Nothing is written if one of the stacks cannot be: a link in the place of a file could lead out of the checkout.
    """
    wanted: dict[str, str] = {}
    there: set[str] = set()
    problems: list[Problem] = []
    for stack in stacks:
        settings = stack.require()
        environment = settings.delivery.environment
        if wrong := list(misplaced(root, environment)):
            problems += wrong
            continue
        found, unreadable = templates(root, tree, settings)
        problems += unreadable
        wanted |= generated(stack, found)
        there |= files_of(root, environment)
    in_the_way = (name for name in wanted if (root / name).is_dir())
    problems += (
        Problem(name, 0, "", "", "is in the place of a file", "remove it", "file-unreadable") for name in in_the_way
    )
    if problems:
        raise TreeRefused(set(problems))
    stale = sorted(there - wanted.keys())
    for name in stale:
        (root / name).unlink()
    changed = [name for name, text in wanted.items() if not holds(root, name, text)]
    for name in changed:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(wanted[name], encoding="utf-8")
    return [*stale, *changed]


def write_code_owners(root: Path, stacks: Sequence[Stack], tree: Tree) -> list[str]:
    """Write the lines of categories and environments if the file exists, and return the paths of changed files."""
    try:
        text = code_owners.text_of(root)
    except OSError:
        raise TreeRefused(code_owners.check(root, tree, stacks)) from None
    if text is None or code_owners.generated(text, tree, stacks) == text:
        return []
    (root / code_owners.FILE).write_text(code_owners.generated(text, tree, stacks), encoding="utf-8")
    return [code_owners.FILE]

"""Writing apps/_settings/<environment> from a stack file, as `config.app_settings` generates it."""

from __future__ import annotations

from pathlib import Path

from config.app_settings import folder_of, generated, templates
from config.load import Stack
from config.tree import Tree


def write(root: Path, stack: Stack, tree: Tree) -> list[str]:
    """Write the settings of a stack, delete stale files, and return the paths of changed ones."""
    environment = stack.require().delivery.environment
    wanted, folder = generated(stack, templates(root, tree, environment)), root / folder_of(environment)
    stale = [path for path in folder.rglob("*") if path.is_file() and str(path.relative_to(root)) not in wanted]
    changed = [str(path.relative_to(root)) for path in stale]
    for path in stale:
        path.unlink()
    for name, text in wanted.items():
        file = root / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed

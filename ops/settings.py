"""Write apps/_settings: the settings of the stack files in the form that apps use. Commit the result."""

from __future__ import annotations

import argparse
from pathlib import Path

from config.app_settings import folder_of, generated, templates
from config.load import Stack, read_stack, stack_files
from config.tree import Tree, read_tree
from errors import Declined
from ops import terminal
from ops.result import Result
from ops.terminal import count


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--root", type=terminal.path, default=Path.cwd(), help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> Result:
    """Write the settings of every stack, and report the files that changed."""
    root: Path = options.root
    stacks = [read_stack(path) for path in stack_files(root).values()]
    if not stacks:
        raise Declined("there is no stack file (Pulumi.<stack>.yaml): ./homelab init writes one")
    tree = read_tree(root)
    changed = sorted(name for stack in stacks for name in write(root, stack, tree))
    lines = [*(f"wrote {name}" for name in changed), f"{count(len(changed), 'file')} changed; commit them"]
    return Result("\n".join(lines if changed else ["no file changed"]), {"changed": changed})


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

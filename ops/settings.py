"""Write apps/_settings: the settings of the stack files in the form that apps use. Commit the result."""

from __future__ import annotations

import argparse
from pathlib import Path

from config.app_settings import check_owners
from config.load import read_stack, stack_files
from config.tree import read_tree
from errors import Declined, Refused, printable
from ops import terminal
from ops.checking.settings_writer import write_all
from ops.result import Result
from ops.terminal import count


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--root", type=terminal.path, default=Path.cwd(), help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> Result:
    """Write the settings of every stack, and report the files that were written or deleted."""
    root: Path = options.root
    stacks = [read_stack(path) for path in stack_files(root).values()]
    if not stacks:
        raise Declined("there is no stack file (Pulumi.<stack>.yaml): ./homelab init writes one")
    for stack in stacks:
        stack.require()  # before anything is written
    tree = read_tree(root)
    if shared := list(check_owners(stacks)):
        raise Refused(shared)
    changed = sorted(write_all(root, stacks, tree))
    done = (f"{'wrote' if (root / name).is_file() else 'deleted'} {printable(name)}" for name in changed)
    lines = [*done, f"{count(len(changed), 'file')} changed; commit them"]
    return Result("\n".join(lines if changed else ["no file changed"]), {"changed": changed})

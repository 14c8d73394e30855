"""Write apps/_settings, the settings of the stack files in the form that apps use, and the owners in CODEOWNERS."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from config.app_settings import check_owners, folder_of, misplaced
from config.explain import nearest
from config.load import Stack, read_stack, stack_files
from config.rules import rule
from config.tree import APPS, SETTINGS, Tree, read_tree
from errors import Declined, Problem, Refused, SettingsRefused, TreeRefused, printable
from ops import terminal
from ops.checking.settings_writer import write, write_code_owners
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
    environments = [stack.require().delivery.environment for stack in stacks]
    if links := {problem for name in environments for problem in misplaced(root, name)}:
        raise TreeRefused(links)
    if unknown := list(_unknown(root, stacks, tree)):
        raise SettingsRefused(unknown)
    if missing := [name for name in environments if name not in tree.environments]:
        for name in missing:
            (root / folder_of(name)).mkdir(parents=True, exist_ok=True)
        tree = read_tree(root)  # again: an app's folder is an environment only if the settings have one too
    changed = sorted([*write(root, stacks, tree), *write_code_owners(root, stacks, tree)])
    done = (f"{'wrote' if (root / name).is_file() else 'deleted'} {printable(name)}" for name in changed)
    lines = [*done, f"{count(len(changed), 'file')} changed; commit them"]
    return Result("\n".join(lines if changed else ["no file changed"]), {"changed": changed})


@rule("environment-unknown", scope="program")
def _unknown(root: Path, stacks: Sequence[Stack], tree: Tree) -> Iterator[Problem]:
    """Yield environments without a folder: a misspelt one would become real."""
    for stack in stacks:
        name = stack.require().delivery.environment
        if name not in tree.environments and not any((root / APPS).glob(f"[!_]*/*/{name}")):
            near = nearest(name, tree.environments, "")
            fix = f"{near} ./homelab init writes a new one".strip()
            rule = f"has no folder in {APPS}/{SETTINGS}, and no app has one of this name"
            where = ("delivery", "environment")
            yield stack.places.problem("environment-unknown", where, name, rule, fix)

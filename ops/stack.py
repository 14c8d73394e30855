"""The stack that a verb works on: its options, its file and its checked settings.

Options come in, a stack file that was read and checked goes out. Every verb that needs a stack begins here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from config.app_settings import check as check_settings
from config.checks import check_stack
from config.derive import how_to_set, missing_secrets
from config.load import Stack, read_stack, stack_files
from config.model import Settings
from config.tree import Tree, read_tree
from errors import Declined, Problem, TreeRefused
from manifests.boundary import LIMITS
from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from manifests.pinned import PinnedTrees
from ops.checking.pins import check_pins
from ops.checking.settings import check_images

DEFAULT_STACK = "homelab"
OF_PINS = (*LIMITS, "file-unreadable")  # a link out of a commit: `read_tree` refuses those of the checkout alone


def stack_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option that chooses the stack."""
    parser.add_argument("--stack", default=DEFAULT_STACK, metavar="NAME", help=f"the stack (default: {DEFAULT_STACK})")


class Checked(NamedTuple):
    """A stack without problems, its settings, and the tree that it was checked with."""

    stack: Stack
    settings: Settings
    tree: Tree


def checked(root: Path, name: str) -> Checked:
    """Read a stack and refuse it with all its problems, before anything is changed."""
    stack = read_stack(file_of(root, name))
    tree = read_tree(root)
    settings = stack.require(
        lambda stack: [
            *check_stack(root, stack, tree),
            *check_images(stack),
            *check_settings(root, [stack], tree),
            *tree.problems,
            *_beyond_limits(root, tree),
        ]
    )
    return Checked(stack, settings, tree)


def _beyond_limits(root: Path, tree: Tree) -> Iterator[Problem]:
    """Yield problems of apps that would run or read files of this machine: the seeds render them, perhaps unchecked."""
    reader = CheckoutReader(root.resolve())
    for app in tree.apps:
        yield from (one for one in contents_of(reader, app.path).problems if one.check in LIMITS)


def require_pins(root: Path, tree: Tree, environment: str) -> None:
    """Refuse pins that are no commits of the history, or whose files would run or read files of this machine."""
    own = replace(tree, categories=tree.chosen(environment))
    problems, not_compared = check_pins(root, own)
    if not_compared:
        raise Declined(f"{not_compared}; run this in a clone, or remove the pins")
    pinned = PinnedTrees(root)
    for app in own.apps if not problems else ():
        if app.revision:
            found = contents_of(pinned.reader(app), app.path).problems
            problems += [replace(one, file=f"{app.revision}:{one.file}") for one in found if one.check in OF_PINS]
    if problems:
        raise TreeRefused(problems)


def file_of(root: Path, name: str) -> Path:
    """Return the file of a stack, or refuse a name that has none."""
    files = stack_files(root)
    if name not in files:
        known = f"the stacks are {', '.join(files)}" if files else "there is none yet: ./homelab init writes one"
        raise Declined(f"there is no stack {name!r}; {known}")
    return files[name]


def require_secrets(name: str, settings: Settings) -> None:
    """Refuse to act on real hosts while secrets are not set."""
    missing = missing_secrets(settings)
    if missing:
        raise Declined(f"Pulumi.{name}.yaml: still to set: {how_to_set(name, missing)}; docs/start/go-live.md")

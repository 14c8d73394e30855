"""From checked settings to a finished run: what `up` and `rehearse` share.

A stack's settings and a folder to run in come in; the engine is driven through repair, run and refusal, and the outcome
goes out with its timeline. `ops.up` does it to real hosts, `ops.rehearse` to the rack.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from config.checks import check_stack
from config.derive import how_to_set, missing_secrets
from config.load import Stack, read_stack, stack_files
from config.model import Settings
from config.tree import Tree, read_tree
from errors import Declined, Problem
from manifests.boundary import LIMITS
from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from ops.check import check_images
from ops.engine import Engine, Outcome, refuse_failures
from ops.show import count, elapsed
from ops.timeline import Timeline

DEFAULT_STACK = "homelab"


def stack_arguments(parser: argparse.ArgumentParser) -> None:
    """Take which stack, and how to print."""
    parser.add_argument("--stack", default=DEFAULT_STACK, metavar="NAME", help=f"the stack (default: {DEFAULT_STACK})")
    parser.add_argument("--json", action="store_true", help="print the result for machines")


def checked(root: Path, name: str) -> tuple[Stack, Settings]:
    """Read a stack and refuse it with everything that is wrong, before anything is touched."""
    stack = read_stack(file_of(root, name))
    tree = read_tree(root)
    return stack, stack.require(
        lambda stack: [
            *check_stack(root, stack, tree),
            *check_images(stack),
            *tree.problems,
            *_beyond_limits(root, tree),
        ]
    )


def _beyond_limits(root: Path, tree: Tree) -> Iterator[Problem]:
    """Yield what an app would run or read on this machine: the seeds render folders that no check has rendered."""
    reader = CheckoutReader(root.resolve())
    overlays = (app for apps in tree.environments.values() for app in apps.values())
    for app in (*tree.apps, *overlays):
        yield from (one for one in contents_of(reader, app.path).problems if one.check in LIMITS)


def file_of(root: Path, name: str) -> Path:
    """Find a stack's file."""
    files = stack_files(root)
    if name not in files:
        known = f"the stacks are {', '.join(files)}" if files else "there is none yet: ./homelab init writes one"
        raise Declined(f"there is no stack {name!r}; {known}")
    return files[name]


def secrets_set(name: str, settings: Settings) -> None:
    """Refuse to go to real hosts without the secrets that this needs."""
    missing = missing_secrets(settings)
    if missing:
        raise Declined(f"Pulumi.{name}.yaml: still to set: {how_to_set(name, missing)}; docs/start/go-live.md")


def owners(settings: Settings) -> dict[str, str]:
    """Say for every node where it runs, to name it in a refusal."""
    return {node.name: f"{node.name}, {node.address}, on {node.host}" for node in settings.cluster.nodes}


def drive(
    folder: Path,
    settings: Settings,
    name: str,
    timeline: Timeline,
    act: Callable[[Engine], Outcome],
    purpose: Literal["change", "read"] = "change",
) -> tuple[Engine, Outcome]:
    """Repair, run, and refuse what failed; an engine that reads repairs nothing and writes no file."""
    file = folder / f"Pulumi.{name}.yaml"
    before = file.read_bytes()
    try:
        engine = Engine(folder, name, timeline.hear, timeline.say, purpose)
        for said in engine.repair() if purpose == "change" else ():
            timeline.say(said)
        outcome = act(engine)
    finally:
        if purpose == "read" and file.read_bytes() != before:
            file.write_bytes(before)
        if folder == Path.cwd() and file.read_bytes() != before:
            timeline.say(f"pulumi has written to {file.name}: its salt, and what it makes of blank lines; commit it")
    refuse_failures(outcome, owners(settings))
    return engine, outcome


def report(options: argparse.Namespace, timeline: Timeline, outcome: Outcome, seconds: float, **more: Any) -> None:
    """Print how it went: a table for people, everything for machines."""
    if options.json:
        phases = {
            phase.name: {"seconds": round(phase.ended - phase.began, 3), **phase.done}
            for phase in timeline.phases.values()
        }
        result = {"stack": options.stack, "seconds": round(seconds, 3), "changes": outcome.changes, "phases": phases}
        print(json.dumps({**result, **more}, indent=2))
        return
    print(timeline.summary())
    print(f"{count(outcome.changed, 'change')} in {elapsed(seconds)}")

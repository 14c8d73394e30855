"""Destroy a stack; while a resource is protected, refuse before anything is changed."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from errors import Declined
from ops.engine.engine import Engine, Outcome
from ops.engine.run import drive, facts, summary
from ops.engine.timeline import Timeline
from ops.rehearsal.entry import folder_of, rehearsal_argument
from ops.result import Result
from ops.stack import checked, stack_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    stack_argument(parser)
    parser.add_argument("--yes", action="store_true", help="skip the confirmation")
    parser.add_argument(
        "--unprotect", action="store_true", help="also protected resources: control planes, data disks, cluster secrets"
    )
    rehearsal_argument(parser)


def run(options: argparse.Namespace) -> Result:
    """Refuse protected resources, ask for confirmation, destroy, and report."""
    root, began = Path.cwd(), time.monotonic()
    settings = checked(root, options.stack).settings
    folder = folder_of(root, options, settings)
    resources = Engine(folder, options.stack, purpose="read").state().get("resources", [])
    protected = sorted(one["urn"].rsplit("::", 1)[-1] for one in resources if one.get("protect"))
    if protected and not options.unprotect:
        raise Declined(
            f"protected, and nothing was changed: {', '.join(protected)}; "
            f"to destroy them too: ./homelab destroy --stack {options.stack} --unprotect"
        )
    _confirm(options, len(resources))

    def act(engine: Engine) -> Outcome:
        if protected:
            engine.unprotect()
        return engine.destroy()

    with Timeline() as timeline:
        _, outcome = drive(folder, settings, options.stack, timeline, act)
    seconds = time.monotonic() - began
    return Result(summary(timeline, outcome, seconds), facts(options.stack, timeline, outcome, seconds))


def _confirm(options: argparse.Namespace, resources: int) -> None:
    if options.yes:
        return
    question = f"this deletes {resources} resources of {options.stack}; type the stack's name to go on: "
    if not sys.stdin.isatty() or input(question).strip() != options.stack:
        raise Declined("aborted, nothing was destroyed; pass --yes to skip the confirmation")

"""Take a stack away; refuses before touching anything while something is protected."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from errors import Declined
from ops.engine.engine import Engine, Outcome
from ops.engine.run import drive, report
from ops.engine.timeline import Timeline
from ops.rehearsal import entry
from ops.stack import checked, stack_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stack and what the person is sure of."""
    stack_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--unprotect", action="store_true", help="also what is protected: control planes, data disks")
    parser.add_argument("--rehearsal", action="store_true", help="of the rehearsal on this machine, not the real one")


def run(options: argparse.Namespace) -> int:
    """Refuse, ask, destroy, report."""
    root, began = Path.cwd(), time.monotonic()
    _, settings = checked(root, options.stack)
    folder = entry.place(root, options, settings)
    guarded = Engine(folder, options.stack, purpose="read")
    protected = guarded.protected()
    if protected and not options.unprotect:
        raise Declined(
            f"protected, and nothing was touched: {', '.join(protected)}; "
            f"to destroy them too: ./homelab destroy --stack {options.stack} --unprotect"
        )
    _confirm(options, len(guarded.state().get("resources", [])))

    def act(engine: Engine) -> Outcome:
        if protected:
            engine.unprotect()
        return engine.destroy()

    with Timeline() as timeline:
        _, outcome = drive(folder, settings, options.stack, timeline, act)
    report(options, timeline, outcome, time.monotonic() - began)
    return 0


def _confirm(options: argparse.Namespace, resources: int) -> None:
    if options.yes:
        return
    question = f"this deletes {resources} resources of {options.stack}; type the stack's name to go on: "
    if not sys.stdin.isatty() or input(question).strip() != options.stack:
        raise Declined("nothing was destroyed; --yes does not ask")

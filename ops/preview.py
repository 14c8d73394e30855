"""Say what `up` would do, the changes of machine configurations in clear."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ops import rehearse
from ops.drive import checked, drive, report, stack_arguments
from ops.timeline import Timeline


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stack."""
    stack_arguments(parser)
    parser.add_argument("--rehearsal", action="store_true", help="of the rehearsal on this machine, not the real one")


def run(options: argparse.Namespace) -> int:
    """Check, ask the engine, print what would change."""
    root, began = Path.cwd(), time.monotonic()
    _, settings = checked(root, options.stack)
    folder = rehearse.place(root, options, settings)
    with Timeline(planned=True) as timeline:
        _, outcome = drive(folder, settings, options.stack, timeline, lambda engine: engine.preview())
    said = [text for severity, text in outcome.said if severity == "info"]
    if not options.json and said:
        print("\n".join(said))
    report(options, timeline, outcome, time.monotonic() - began, said=said)
    return 0

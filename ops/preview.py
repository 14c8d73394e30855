"""Say what `up` would do, the changes of machine configurations in clear."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ops.drive import checked, drive, report, stack_arguments
from ops.timeline import Timeline
from ops.up import prepare_path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stack."""
    stack_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Check, ask the engine, print what would change."""
    root, began = Path.cwd(), time.monotonic()
    _, settings = checked(root, options.stack)
    prepare_path()
    with Timeline() as timeline:
        _, outcome = drive(root, settings, options.stack, timeline, lambda engine: engine.preview())
    said = [text for severity, text in outcome.said if severity == "info"]
    if not options.json and said:
        print("\n".join(said))
    report(options, timeline, outcome, time.monotonic() - began, said=said)
    return 0

"""Bring a stack to what is written: machines, cluster, platform, handover, until all is there."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from ops.drive import checked, drive, report, stack_arguments
from ops.timeline import Timeline
from ops.toolchain import ensure

PROGRAMS = ("pulumi", "pulumi-language-python", "talosctl", "kubectl")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stack."""
    stack_arguments(parser)
    parser.add_argument("--refresh", action="store_true", help="look at the real state of every resource first")


def run(options: argparse.Namespace) -> int:
    """Check, run the engine, report."""
    root, began = Path.cwd(), time.monotonic()
    _, settings = checked(root, options.stack)
    prepare_path()
    with Timeline() as timeline:
        _, outcome = drive(root, settings, options.stack, timeline, lambda engine: engine.up(refresh=options.refresh))
    report(options, timeline, outcome, time.monotonic() - began)
    return 0


def prepare_path() -> None:
    """Put the project's Python and the pinned programs first on the PATH."""
    os.environ.update(ensure(PROGRAMS).env())
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

"""Say how a rehearsal stands: its processes and its nodes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from errors import Declined
from lab import processes
from lab.places import Lab
from ops.drive import stack_arguments
from ops.show import elapsed, table


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take which rehearsal."""
    stack_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print processes and nodes; 0 when every node is Ready."""
    lab = Lab.of(Path.cwd(), options.stack)
    if not lab.root.exists():
        raise Declined(f"{options.stack}: there is no rehearsal; ./homelab rehearse --stack {options.stack}")
    alive = processes.alive(lab)
    print(
        json.dumps([vars(one) for one in alive])
        if options.json
        else table(
            ("process", "pid", "memory", "up"),
            [(one.name, str(one.pid), f"{one.resident >> 20} MiB", elapsed(one.uptime)) for one in alive],
        )
    )
    return 0

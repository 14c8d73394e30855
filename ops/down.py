"""End a rehearsal: stop its processes and remove its files."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from lab.layout import Lab
from lab.running import servers
from ops.stack import DEFAULT_STACK
from ops.terminal import count


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take which rehearsal, and what to keep."""
    parser.add_argument("--stack", default=DEFAULT_STACK, metavar="NAME", help=f"default: {DEFAULT_STACK}")
    parser.add_argument("--all", action="store_true", help="every rehearsal of this checkout")
    parser.add_argument("--keep-logs", action="store_true", help="leave the logs")


def run(options: argparse.Namespace) -> int:
    """Stop and remove; what is not there is no error."""
    root = Path.cwd()
    place = root / ".lab"
    labs = [Lab(path) for path in sorted(place.glob("*"))] if options.all else [Lab.of(root, options.stack)]
    if options.all:
        labs = [lab for lab in labs if lab.root.is_symlink() or lab.is_ours]
    if not labs:
        print(f"there is no rehearsal in {place}")
    for lab in labs:  # each before the first is touched
        lab.require_ours()
    for lab in labs:
        name = lab.root.name
        if not lab.root.exists():
            print(f"{name}: there is no rehearsal")
            continue
        running = servers.alive(lab)
        servers.stop_all(lab)
        # The marker goes last: a removal that is interrupted can be run again.
        for path in sorted(lab.root.iterdir(), key=lambda path: path == lab.marker):
            if options.keep_logs and path in (lab.logs, lab.marker):
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if not options.keep_logs:
            lab.root.rmdir()
        print(f"{name}: stopped {count(len(running), 'process', 'processes')}")
    return 0

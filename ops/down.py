"""End a rehearsal: stop its processes and remove its files."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from lab import processes
from lab.places import Lab
from ops.drive import DEFAULT_STACK
from ops.show import count


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take which rehearsal, and what to keep."""
    parser.add_argument("--stack", default=DEFAULT_STACK, metavar="NAME", help=f"default: {DEFAULT_STACK}")
    parser.add_argument("--all", action="store_true", help="every rehearsal of this checkout")
    parser.add_argument("--keep-logs", action="store_true", help="leave the logs")


def run(options: argparse.Namespace) -> int:
    """Stop and remove; what is not there is no error."""
    root = Path.cwd()
    place = root / ".lab"
    names = [path.parent.name for path in place.glob("*/run")] if options.all else [options.stack]
    for name in names:
        lab = Lab.of(root, name)
        if not lab.root.exists():
            print(f"{name}: there is no rehearsal")
            continue
        running = processes.alive(lab)
        processes.stop_all(lab)
        for path in lab.root.iterdir():
            if options.keep_logs and path == lab.logs:
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if not options.keep_logs:
            lab.root.rmdir()
        print(f"{name}: stopped {count(len(running), 'process', 'processes')}")
    return 0

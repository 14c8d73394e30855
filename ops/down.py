"""End a rehearsal: stop its processes and remove its files."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from lab.layout import Lab
from lab.running import servers
from ops.result import Result
from ops.stack import stack_argument
from ops.terminal import count


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    stack_argument(parser)
    parser.add_argument("--all", action="store_true", help="every rehearsal of this checkout")
    parser.add_argument("--keep-logs", action="store_true", help="keep the logs")


def run(options: argparse.Namespace) -> Result:
    """Stop and remove rehearsals; a rehearsal that does not exist is no error."""
    root = Path.cwd()
    folder = root / ".lab"
    labs = [Lab(path) for path in sorted(folder.glob("*"))] if options.all else [Lab.of(root, options.stack)]
    if options.all:
        labs = [lab for lab in labs if lab.root.is_symlink() or lab.is_ours]
    if not labs:
        return Result(f"there is no rehearsal in {folder}", {"stopped": {}})
    for lab in labs:  # all are checked before the first is changed
        lab.require_ours()
    stopped = {lab.root.name: _end(lab, keep_logs=options.keep_logs) for lab in labs if lab.root.exists()}
    lines = [
        f"{name}: stopped {count(stopped[name], 'process', 'processes')}"
        if name in stopped
        else f"{name}: there is no rehearsal"
        for name in (lab.root.name for lab in labs)
    ]
    return Result("\n".join(lines), {"stopped": stopped})


def _end(lab: Lab, *, keep_logs: bool) -> int:
    """Stop the processes of a rehearsal and remove its files; return the number of processes."""
    running = servers.alive(lab)
    servers.stop_all(lab)
    kept = (lab.logs, lab.marker) if keep_logs else ()
    # The marker is removed last: an interrupted removal can be repeated.
    for path in sorted(lab.root.iterdir(), key=lambda path: path == lab.marker):
        if path in kept:
            continue
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not keep_logs:
        lab.root.rmdir()
    return len(running)

"""A run of the engine that leaves nothing behind: neither processes nor credentials in temporary folders.

    with contained(folder, log) as environment: ...    # the engine's children get this environment

Official plugins leave both. The plugin `kubernetes` writes the administrator's kubeconfig into TMPDIR at every start,
and a cancelled plugin `command` kills only the shell of a script: no trap runs, and the programs of the script live on.
So a run has a TMPDIR of its own, and all its processes carry a mark in their environment. When the run ends, or when
the next one begins after a `kill -9`, the marked processes are ended and the folder is removed. The kernel's lock on
the folder is held while its run is alive. `ops.engine.engine` runs inside; `local.process_table` finds marks,
`local.termination` ends their processes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from local import process_table, termination
from local.cache import cache_folder, digest, locked
from local.files import private_folder
from local.termination import GRACE, Process

PREFIX = "engine-"
LOCK = ".lock"  # held while a run begins or dead ones are cleared
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_BETWEEN_SEARCHES = 0.5
SECONDS_TO_END = 5
STOPPING = "the engine stops and records its state; a second Ctrl-C kills all its processes at once"

RUNS = "HOMELAB_RUNS"  # the folder of the runs, where it is not in the user's cache
Log = Callable[[str], None]


def runs_of(folder: Path, stack: str) -> Path:
    """Return the folder for the runs of a stack: that of HOMELAB_RUNS, as a rehearsal sets it, or one in the cache."""
    chosen = os.environ.get(RUNS)
    if chosen:
        return Path(chosen)
    return cache_folder() / "runs" / f"{stack}-{digest(str(folder.resolve()))[:16]}"


def clear(runs: Path) -> list[str]:
    """End the processes and remove the folders of dead runs; return lines that report it."""
    if not runs.exists():
        return []
    with locked(runs / LOCK):
        folders = {folder.name: folder for folder in runs.glob(f"{PREFIX}*") if _is_dead(folder)}
        living = {folder.name for folder in runs.glob(f"{PREFIX}*")} - folders.keys()
        marked = {name for name in process_table.marked(runs) if name.startswith(PREFIX)}
        ended = _end(runs, marked - living)
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
    lines = [f"ended {ended} processes that an interrupted run had left"] if ended else []
    return [*lines, *(["removed the temporary files of an interrupted run"] if folders else [])]


@contextmanager
def contained(runs: Path, log: Log) -> Iterator[dict[str, str]]:
    """Yield the environment of one run; afterwards end its processes and remove its temporary folder."""
    private_folder(runs)
    with locked(runs / LOCK):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=runs))
        living = os.open(folder, os.O_RDONLY)
        fcntl.flock(living, fcntl.LOCK_EX)
    try:
        with _stoppable(runs, folder.name, log):
            yield {"TMPDIR": str(folder), process_table.MARK: process_table.mark(runs, folder.name)}
    finally:
        _end(runs, {folder.name})
        shutil.rmtree(folder, ignore_errors=True)
        os.close(living)


@contextmanager
def _stoppable(runs: Path, name: str, log: Log) -> Iterator[None]:
    """End the engine's run after the first signal, and kill all its processes after the second."""
    over, received = threading.Event(), list[int]()

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            for pid in process_table.marked(runs).get(name, []):
                termination.send(pid, signal.SIGKILL)
            return
        threading.Thread(target=_end_orphans, args=(runs, name, over, log), daemon=True).start()
        if number != signal.SIGINT or not _at_a_terminal():  # the terminal has sent SIGINT to the engine as well
            for pid in process_table.marked(runs).get(name, []):
                if process_table.parent(pid) == os.getpid():
                    termination.send(pid, signal.SIGINT)

    here = threading.current_thread() is threading.main_thread()
    handlers = {one: signal.getsignal(one) for one in SIGNALS if here and signal.getsignal(one) != signal.SIG_IGN}
    for one in handlers:
        signal.signal(one, stop)
    try:
        yield
    finally:
        over.set()
        for one, handler in handlers.items():
            signal.signal(one, handler)
    if received:
        raise KeyboardInterrupt


def _end_orphans(runs: Path, name: str, over: threading.Event, log: Log) -> None:
    """End the programs of a script whose shell is gone: the engine waits for them without a timeout."""
    with suppress(OSError):
        log(STOPPING)
    asked: dict[tuple[int, str | None], int] = {}
    while not over.wait(SECONDS_BETWEEN_SEARCHES):
        pids = set(process_table.marked(runs).get(name, []))
        for pid in (pid for pid in pids if process_table.parent(pid) not in {*pids, os.getpid(), None}):
            process = (pid, process_table.started(pid))
            asked[process] = asked.get(process, 0) + 1
            waited = asked[process] * SECONDS_BETWEEN_SEARCHES
            termination.send(pid, signal.SIGTERM if waited < SECONDS_TO_END else signal.SIGKILL)


def _end(runs: Path, names: set[str]) -> int:
    """End all processes of these runs, and return how many there were."""

    def find() -> dict[Process, float]:
        marks = process_table.marked(runs) if names else {}
        pids = {pid for name in names for pid in marks.get(name, [])} - {os.getpid()}
        return {Process(pid, born): GRACE for pid in pids if (born := process_table.started(pid))}

    return termination.end(find, ", ".join(sorted(names)))


def _at_a_terminal() -> bool:
    """Return whether a terminal sends its signals to our whole process group."""
    with suppress(OSError), Path("/dev/tty").open("rb") as terminal:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return False


def _is_dead(folder: Path) -> bool:
    """Return whether the run of a folder has ended: its lock is free then."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(opened)
    return True

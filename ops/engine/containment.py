"""A run of the engine that leaves nothing behind: neither processes nor credentials in temporary folders.

    with contained(place, say) as environment: ...    # what the engine starts gets this environment

Official plugins leave both. The plugin `kubernetes` writes the administrator's kubeconfig into TMPDIR at every start,
and a cancelled plugin `command` kills only the shell of a script: no trap runs, and the programs of the script live on.
So a run has a TMPDIR of its own, and everything that it starts carries a mark in its environment. When the run ends, or
when the next one begins after a `kill -9`, the marked processes are ended and the folder is removed. The kernel's lock
on the folder says whether its run lives. `ops.engine.engine` runs inside; `local.process_table` finds marks,
`lab.running.servers` ends them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from lab.layout import VARIABLE, Lab
from lab.running import servers
from local import process_table
from local.cache import cache_folder
from local.files import private_folder

PREFIX = "engine-"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END = 5
STOPPING = "the engine stops what it does and records the rest; once more (Ctrl-C) ends everything at once"

Say = Callable[[str], None]


def place_of(folder: Path, stack: str) -> Path:
    """Return where the runs of a stack have their folders: in its rehearsal, or in the user's cache."""
    rehearsal = os.environ.get(VARIABLE)
    if rehearsal:
        return Path(rehearsal)
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return cache_folder() / "runs" / f"{stack}-{digest}"


def clear(place: Path) -> list[str]:
    """End what dead runs left, and report it."""
    if not place.exists():
        return []
    with _locked(place):
        folders = {folder.name: folder for folder in place.glob(f"{PREFIX}*") if _is_dead(folder)}
        living = {folder.name for folder in place.glob(f"{PREFIX}*")} - folders.keys()
        marked = {name for name in process_table.marked(place) if name.startswith(PREFIX)}
        ended = servers.end(Lab(place), marked - living)
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
    said = [f"ended {ended} processes that an interrupted run had left"] if ended else []
    return [*said, *(["removed the temporary files of an interrupted run"] if folders else [])]


@contextmanager
def contained(place: Path, say: Say) -> Iterator[dict[str, str]]:
    """Yield the environment of one run; afterwards end its processes and remove its temporary folder."""
    private_folder(place)
    with _locked(place):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        living = os.open(folder, os.O_RDONLY)
        fcntl.flock(living, fcntl.LOCK_EX)
    try:
        with _stoppable(place, folder.name, say):
            yield {"TMPDIR": str(folder), process_table.MARK: process_table.mark(place, folder.name)}
    finally:
        servers.end(Lab(place), [folder.name])
        shutil.rmtree(folder, ignore_errors=True)
        os.close(living)


@contextmanager
def _stoppable(place: Path, name: str, say: Say) -> Iterator[None]:
    """Let the engine end its run after the first signal, and end everything after the second."""
    over, heard = threading.Event(), list[int]()

    def stop(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) > 1:
            _kill(process_table.marked(place).get(name, []))
            return
        threading.Thread(target=_end_orphans, args=(place, name, over, say), daemon=True).start()
        if number != signal.SIGINT or not _at_a_terminal():  # which has sent it to the engine as well
            ours = [
                pid for pid in process_table.marked(place).get(name, []) if process_table.parent(pid) == os.getpid()
            ]
            _kill(ours, signal.SIGINT)

    here = threading.current_thread() is threading.main_thread()
    kept = {one: signal.getsignal(one) for one in SIGNALS if here and signal.getsignal(one) != signal.SIG_IGN}
    for one in kept:
        signal.signal(one, stop)
    try:
        yield
    finally:
        over.set()
        for one, handler in kept.items():
            signal.signal(one, handler)
    if heard:
        raise KeyboardInterrupt


def _end_orphans(place: Path, name: str, over: threading.Event, say: Say) -> None:
    """End what scripts had started whose shell is gone: the engine waits for it, however long it takes."""
    with suppress(OSError):
        say(STOPPING)
    asked: dict[tuple[int, str | None], int] = {}
    while not over.wait(SECONDS_BETWEEN_LOOKS):
        pids = set(process_table.marked(place).get(name, []))
        for pid in (pid for pid in pids if process_table.parent(pid) not in {*pids, os.getpid(), None}):
            process = (pid, process_table.started(pid))
            asked[process] = asked.get(process, 0) + 1
            _kill([pid], signal.SIGTERM if asked[process] * SECONDS_BETWEEN_LOOKS < SECONDS_TO_END else signal.SIGKILL)


def _kill(pids: Iterable[int], how: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, how)


def _at_a_terminal() -> bool:
    """Return whether a terminal sends its signals to our whole process group."""
    with suppress(OSError), Path("/dev/tty").open("rb") as terminal:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return False


def _is_dead(folder: Path) -> bool:
    """Return whether the run of a folder has ended: its lock is free."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(opened)
    return True


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Let one process at a time begin or clear runs; the kernel frees the lock of a dead one."""
    opened = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)

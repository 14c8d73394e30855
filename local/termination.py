"""The end of processes: SIGTERM first, SIGKILL after each one's grace period, until none is left.

A search for processes comes in, the number of processes that were ended goes out. `lab.running.servers` ends the
servers of a rehearsal here, `ops.engine.containment` the processes of a run.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from errors import Bug, TookTooLong

GRACE = 5.0
POLL = 0.02


class Process(NamedTuple):
    """A process: its id alone may be used again later."""

    pid: int
    born: str


def end(find: Callable[[], Mapping[Process, float]], subject: str) -> int:
    """End all processes that `find` returns with their grace periods in seconds; return how many there were."""
    asked: dict[Process, float] = {}
    killed: set[Process] = set()
    began = time.monotonic()
    # Searched again in every round: a process that has to end may have started another.
    while found := find():
        waited = time.monotonic() - began
        for process, grace in found.items():
            if process not in asked and grace:
                asked[process] = waited
                send(process.pid, signal.SIGTERM)
            elif process not in killed and waited - asked.get(process, waited) >= grace:
                killed.add(process)
                send(process.pid, signal.SIGKILL)
        if waited > max(found.values()) + 2 * GRACE:
            left = ", ".join(str(process.pid) for process in found)
            raise TookTooLong(f"{subject}: still there after SIGKILL: pid {left}")
        time.sleep(POLL)
    return len(asked.keys() | killed)


def send(pid: int, which: signal.Signals) -> None:
    """Send a signal to a process of ours; one that has ended already is no error."""
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise Bug(f"pid {pid}: carries our mark and belongs to another user") from error

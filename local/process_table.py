"""The table of processes: when a process started, how much memory it holds, and which mark it carries.

A process id or a folder comes in, facts go out. `lab.running.servers` and `ops.engine.containment` continue from here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

MARK = "HOMELAB_PROCESS"
TICKS = os.sysconf("SC_CLK_TCK")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def mark(root: Path, name: str) -> str:
    """Return the value of the variable that marks a process as a server of a rehearsal."""
    return f"{root}:{name}"


def started(pid: int) -> str | None:
    """Return when a process started, or None if it has ended: a pid is used again, a pid with its start is not."""
    try:
        process = psutil.Process(pid)
        if process.status() in ENDED and process.num_threads() <= 1:
            return None
        if sys.platform != "linux":
            return str(process.create_time())
        # Since boot, as setting the clock moves the time of day, and psutil adds that. After the next boot the same
        # number belongs to another process.
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (psutil.Error, FileNotFoundError, ProcessLookupError):
        return None
    return f"{int(facts[19]) / TICKS:.2f}@{BOOT_ID.read_text(encoding='utf-8').strip()}"


def parent(pid: int) -> int | None:
    """Return the process that has to reap this one, or None if it has ended."""
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None


def is_ending(pid: int) -> bool:
    """Report whether the main thread has ended, also while other threads still hold ports and files."""
    try:
        return psutil.Process(pid).status() in ENDED
    except psutil.Error:
        return True


def resident_memory(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has ended."""
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def marked(root: Path) -> dict[str, list[int]]:
    """Return the processes that carry the mark of a rehearsal, by the names of its servers."""
    found: dict[str, list[int]] = {}
    for pid in psutil.pids():
        try:
            value = psutil.Process(pid).environ().get(MARK, "")
        except psutil.Error:
            continue  # it has ended, or belongs to another user
        if value.startswith(mark(root, "")):
            found.setdefault(value.removeprefix(mark(root, "")), []).append(pid)
    return found

"""The table of processes: when a process started, how much memory it holds, and which mark it carries.

A process id or a folder comes in, facts go out. On Linux they come from /proc, elsewhere from `ps`.
`lab.running.servers` and `ops.engine.containment` continue from here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import programs
from errors import ProgramFailed

MARK = "HOMELAB_PROCESS"
PROC = Path("/proc")
# Fields behind the program's name, which is the second; counting begins with one.
STATE, PARENT, THREADS, BIRTH = 3 - 3, 4 - 3, 20 - 3, 22 - 3
GONE = ("Z", "X")


def mark(root: Path, name: str) -> str:
    """Return the value of the variable that marks a process as a server of a rehearsal."""
    return f"{root}:{name}"


def born(pid: int) -> str | None:
    """Return when a process started, or None if it has ended: a pid is used again, a pid with its start is not."""
    if not _has_proc():
        said = _ps("-o", "stat=", "-o", "lstart=", "-p", str(pid)).strip()
        return None if not said or said.startswith(GONE) else said.partition(" ")[2].strip()
    fields = _fields(pid)
    if not fields or (fields[STATE] in GONE and int(fields[THREADS]) <= 1):
        return None
    # Ticks since boot: after the next boot the same number belongs to another process.
    boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return f"{fields[BIRTH]}@{boot}"


def parent(pid: int) -> int | None:
    """Return the process that has to reap this one, or None if it has ended."""
    if not _has_proc():
        return int(said) if (said := _ps("-o", "ppid=", "-p", str(pid)).strip()) else None
    fields = _fields(pid)
    return int(fields[PARENT]) if fields else None


def is_ending(pid: int) -> bool:
    """Report whether the main thread has ended while other threads still hold ports and files."""
    if not _has_proc():
        return False
    fields = _fields(pid)
    return not fields or fields[STATE] in GONE


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has ended."""
    if not _has_proc():
        return int(_ps("-o", "rss=", "-p", str(pid)).strip() or 0) * 1024
    try:
        pages = int((PROC / str(pid) / "statm").read_text(encoding="utf-8").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def marked(root: Path) -> dict[str, list[int]]:
    """Return the processes that carry the mark of a rehearsal, by the names of its servers."""
    found: dict[str, list[int]] = {}
    wanted = f"{MARK}={root}:"
    for pid, environment in _environments():
        for variable in environment:
            if variable.startswith(wanted):
                found.setdefault(variable.removeprefix(wanted), []).append(pid)
    return found


def _fields(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _has_proc() -> bool:
    return (PROC / "self/stat").exists()


def _environments() -> Iterator[tuple[int, list[str]]]:
    if not _has_proc():
        # `ps` prints command and environment in one line: a folder's name with a space in it would be cut.
        for line in _ps("axeww", "-o", "pid=", "-o", "command=").splitlines():
            pid, _, rest = line.strip().partition(" ")
            yield int(pid), re.split(r" (?=\w+=)", rest)
        return
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue  # it has ended, or belongs to another user
            yield int(folder.name), environment.decode(errors="replace").split("\0")


def _ps(*arguments: str) -> str:
    try:
        return programs.run("ps", *arguments).stdout
    except ProgramFailed:
        return ""

"""Servers that outlive whoever starts them, and that are found again whatever happened in between.

    start(lab, "etcd", "etcd", ["--data-dir", ...], env)    a no-op while the same thing runs
    stop(lab, "etcd", "kube-apiserver")
    stop_all(lab)

What flows in is a name, a program with its arguments, its environment and the files it reads; what flows out is a
running process and `run/<name>.json`, its record. Before anything starts there is a mark: every server carries its name
and its lab in its environment. So one that was started by somebody who died before writing the record is found by its
mark, by the next `start` as well as by `stop`. `local.process_table` knows how to ask for marks and times of birth;
`lab.control_plane.kubernetes` continues from here.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import programs
from errors import Bug, MachineNotReady, ProgramMissing, TookTooLong
from lab.layout import Lab
from local import process_table
from local.files import keep, private_folder

PATIENCE = 5.0
POLL = 0.02
# Below what systems hand out to outgoing connections, so that nobody takes a port by chance while its server restarts.
PORTS = range(20000, 30000)
LAST_LINES = 15


@dataclass(frozen=True)
class Record:
    """What is remembered of a server."""

    name: str
    pid: int
    born: str
    digest: str
    command: list[str]
    began: float
    patience: float


@dataclass(frozen=True)
class Alive:
    """A server that runs."""

    name: str
    pid: int
    resident: int
    uptime: float


def start(
    lab: Lab,
    name: str,
    program: str,
    arguments: Sequence[str],
    env: Mapping[str, str],
    *,
    files: Iterable[Path] = (),
    patience: float = PATIENCE,
    before: Callable[[], None] = lambda: None,
) -> Record:
    """Have exactly this server run: the same one that runs, or a new one in its place.

    `files` are those whose content it reads when it starts: with other content it is another server. `patience` is how
    long it may take to end when asked; 0 is for those whose data nobody wants. `before` is called when the old one has
    gone, unless the same one runs.
    """
    found = programs.find(program, env)
    if found is None:
        raise ProgramMissing(f"{program}: not on the PATH; build it: ./homelab tools")
    digest = _digest([str(found), *arguments], env, files)
    with lock(lab, name) as held:
        record = _running(lab, name)
        if record and record.digest == digest and not process_table.is_ending(record.pid):
            return record
        end(lab, [name])
        before()
        log = _fresh_log(lab, name)
        marked = {**env, process_table.MARK: process_table.mark(lab.root, name)}
        pid = programs.start(str(found), *arguments, cwd=lab.root, env=marked, log=log, held=held)
        command = [str(found), *arguments]
        record = Record(name, pid, process_table.born(pid) or "", digest, command, time.time(), patience)
        keep(_file(lab, name), json.dumps(asdict(record), indent=1) + "\n")
        return record


def stop(lab: Lab, *names: str) -> None:
    """End these servers together, and whatever they have started."""
    with ExitStack() as locks:
        for name in sorted(set(names)):
            locks.enter_context(lock(lab, name))
        end(lab, names)


def stop_all(lab: Lab, order: Sequence[str] = ()) -> None:
    """End every server of the lab: the named ones one after another, then all others together."""
    for name in order:
        stop(lab, name)
    stop(lab, *(record.name for record in _records(lab)), *process_table.marked(lab.root))


def end(lab: Lab, names: Iterable[str]) -> int:
    """End servers whose locks are held, recorded or not, with what they have started; return how many processes."""
    wanted = set(names)
    asked: dict[tuple[int, str], float] = {}
    killed: set[tuple[int, str]] = set()
    began = time.monotonic()
    # Looked for anew in every round: what is asked to end may just have started something.
    while found := _found(lab, wanted):
        waited = time.monotonic() - began
        for process, patience in found.items():
            if process not in asked and patience:
                asked[process] = waited
                _signal(process[0], signal.SIGTERM)
            elif process not in killed and waited - asked.get(process, waited) >= patience:
                killed.add(process)
                _signal(process[0], signal.SIGKILL)
        if waited > max(found.values()) + 2 * PATIENCE:
            left = ", ".join(str(pid) for pid, _ in found)
            raise TookTooLong(f"{', '.join(sorted(wanted))}: still there after SIGKILL: pid {left}")
        time.sleep(POLL)
    for name in wanted:
        _file(lab, name).unlink(missing_ok=True)
    return len(asked.keys() | killed)


def runs(lab: Lab, name: str) -> bool:
    """Whether a server runs."""
    record = _running(lab, name)
    return record is not None and not process_table.is_ending(record.pid)


def alive(lab: Lab) -> list[Alive]:
    """List what runs."""
    now = time.time()
    running = [record for record in _records(lab) if _running(lab, record.name)]
    sizes = {record.name: process_table.resident(record.pid) for record in running}
    return [Alive(record.name, record.pid, sizes[record.name], now - record.began) for record in running]


def log_of(lab: Lab, name: str) -> Path:
    """Where a server's output goes."""
    return lab.logs / f"{name}.log"


def last_lines(lab: Lab, name: str) -> str:
    """Quote the end of a server's output, and say where the rest is."""
    log = log_of(lab, name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    quoted = "".join(f"    {_plain(line)[:500]}\n" for line in lines[-LAST_LINES:])
    return f"{quoted}    whole output: {log}"


def port(lab: Lab, name: str, purpose: str = "") -> int:
    """Give the port of a server: the one it had before, unless somebody else has taken it."""
    key = f"{name}/{purpose}" if purpose else name
    with lock(lab, "ports"):
        try:
            ports: dict[str, int] = json.loads(lab.ports.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            ports = {}
        if key not in ports or not (_running(lab, name) or _is_free(ports[key])):
            ports[key] = free_port(taken=ports.values())
            keep(lab.ports, json.dumps(ports, indent=1, sort_keys=True) + "\n")
        return ports[key]


def free_port(taken: Iterable[int] = ()) -> int:
    """Find a port on loopback that nobody listens on."""
    avoided = set(taken)
    for candidate in random.sample(PORTS, 1000):
        if candidate not in avoided and _is_free(candidate):
            return candidate
    raise MachineNotReady(f"no free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")


def listens(port_number: int) -> bool:
    """Whether somebody answers on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port_number)) == 0


@contextmanager
def lock(lab: Lab, name: str) -> Iterator[TextIO]:
    """Let one process at a time decide about something; the kernel takes the lock from those who die."""
    private_folder(lab.run)
    with (lab.run / f"{name}.lock").open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield opened


def _plain(line: str) -> str:
    """Give what a person reads in a line that was written for machines."""
    if not line.startswith("{"):
        return line
    try:
        said = json.loads(line)
    except ValueError:
        return line
    error = said.get("err") or said.get("error") or ""
    return ": ".join(str(part) for part in (said.get("level"), said.get("msg"), error) if part) or line


def _file(lab: Lab, name: str) -> Path:
    return lab.run / f"{name}.json"


def _digest(command: Sequence[str], env: Mapping[str, str], files: Iterable[Path]) -> str:
    """Say in one word what would be started."""
    digest = hashlib.sha256(json.dumps([list(command), sorted(env.items())]).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _fresh_log(lab: Lab, name: str) -> Path:
    """Keep what the one before said, and begin anew."""
    private_folder(lab.logs)
    log = log_of(lab, name)
    if log.exists():
        log.replace(log.with_suffix(".log.before"))
    log.touch(mode=0o600)
    return log


def _read(file: Path) -> Record | None:
    try:
        return Record(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _records(lab: Lab) -> list[Record]:
    return [record for file in sorted(lab.run.glob("*.json")) if (record := _read(file))]


def _running(lab: Lab, name: str) -> Record | None:
    """Give the record of a server that has not ended; a pid whose time of birth differs belongs to somebody else."""
    record = _read(_file(lab, name))
    return record if record and record.born and process_table.born(record.pid) == record.born else None


def _found(lab: Lab, names: set[str]) -> dict[tuple[int, str], float]:
    """Give what runs under these names, as pid and time of birth, and how patient one has to be with each."""
    marks = process_table.marked(lab.root) if names else {}
    found: dict[tuple[int, str], float] = {}
    for name in names:
        record = _running(lab, name)
        pids = {*marks.get(name, []), *([record.pid] if record else [])} - {os.getpid()}
        patience = record.patience if record else PATIENCE
        found |= {(pid, born): patience for pid in pids if (born := process_table.born(pid))}
    return found


def _signal(pid: int, which: signal.Signals) -> None:
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise Bug(f"pid {pid}: carries our mark and is not ours") from error


def _is_free(candidate: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections that wait for their end do not occupy a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", candidate))
        except OSError:
            return False
    return True

"""Servers that outlive their starter, and that every later process finds again.

    start(lab, "etcd", "etcd", ["--data-dir", ...], env)    a no-op while the same server runs
    stop(lab, "etcd", "kube-apiserver")
    stop_all(lab)

A name comes in, a program with its arguments, its environment and the files that it reads. A running process goes out,
and `run/<name>.json`, its record. Every server carries a mark, its name and its lab, in its environment. So `start` and
`stop` find a server by its mark even if its starter was killed before it wrote the record. `local.process_table` reads
marks and starts; `lab.control_plane.kubernetes` continues from here.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import programs
from errors import MachineNotReady, ProgramMissing
from lab.layout import Lab
from lab.running import sockets
from lab.running.locks import lock
from local import process_table, termination
from local.files import private_folder, write_private
from local.termination import GRACE, Process

# Below the range for outgoing connections, so that no other program takes a port by chance while its server restarts.
PORTS = range(20000, 30000)
LAST_LINES = 15


@dataclass(frozen=True)
class ServerRecord:
    """The record of a server."""

    name: str
    pid: int
    started: str
    digest: str
    command: list[str]
    began: float
    grace: float


@dataclass(frozen=True)
class RunningServer:
    """A server that runs."""

    name: str
    pid: int
    resident: int


def start(
    lab: Lab,
    name: str,
    program: str,
    arguments: Sequence[str],
    env: Mapping[str, str],
    *,
    files: Iterable[Path] = (),
    grace: float = GRACE,
    before: Callable[[], None] = lambda: None,
) -> ServerRecord:
    """Run exactly this server: keep the same one if it runs, or start a new one in its place.

    `files` are those that it reads when it starts: with other content it is another server. `grace` is the time that
    it may take to end after SIGTERM; 0 kills it at once, if its data is useless. `before` is called after the old one
    has ended, unless the same one runs.
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
        record = ServerRecord(name, pid, process_table.started(pid) or "", digest, command, time.time(), grace)
        write_private(_file(lab, name), json.dumps(asdict(record), indent=1) + "\n")
        return record


def stop(lab: Lab, *names: str) -> None:
    """Stop these servers together, and all processes that they have started."""
    with ExitStack() as locks:
        for name in sorted(set(names)):
            locks.enter_context(lock(lab, name))
        end(lab, names)


def stop_all(lab: Lab, order: Sequence[str] = ()) -> None:
    """Stop every server of the lab: those in `order` one after another, then all others together with their sockets."""
    for name in order:
        stop(lab, name)
    stop(lab, *(record.name for record in _records(lab)), *process_table.marked(lab.root))
    sockets.remove(lab)


def end(lab: Lab, names: Iterable[str]) -> int:
    """Stop servers whose locks are held, recorded or not, with their children; return the number of processes."""
    wanted = set(names)
    ended = termination.end(lambda: _processes_of(lab, wanted), ", ".join(sorted(wanted)))
    for name in wanted:
        _file(lab, name).unlink(missing_ok=True)
    return ended


def runs(lab: Lab, name: str) -> bool:
    """Report whether a server runs."""
    record = _running(lab, name)
    return record is not None and not process_table.is_ending(record.pid)


def alive(lab: Lab) -> list[RunningServer]:
    """Return the servers that run."""
    running = [record for record in _records(lab) if _running(lab, record.name)]
    return [RunningServer(one.name, one.pid, process_table.resident_memory(one.pid)) for one in running]


def log_of(lab: Lab, name: str) -> Path:
    """Return the file of a server's output."""
    return lab.logs / f"{name}.log"


def last_lines(lab: Lab, name: str) -> str:
    """Return the end of a server's output, and the path of the rest."""
    log = log_of(lab, name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    quoted = "".join(f"    {_readable(line)[:500]}\n" for line in lines[-LAST_LINES:])
    return f"{quoted}    whole output: {log}"


def port(lab: Lab, name: str, purpose: str = "") -> int:
    """Return the port of a server: its last one, unless another program has taken it."""
    key = f"{name}/{purpose}" if purpose else name
    with lock(lab, "ports"):
        try:
            ports: dict[str, int] = json.loads(lab.ports.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            ports = {}
        if key not in ports or not (_running(lab, name) or _is_free(ports[key])):
            ports[key] = free_port(taken=ports.values())
            write_private(lab.ports, json.dumps(ports, indent=1, sort_keys=True) + "\n")
        return ports[key]


def free_port(taken: Iterable[int] = ()) -> int:
    """Return a port on loopback that is free."""
    avoided = set(taken)
    for candidate in random.sample(PORTS, 1000):
        if candidate not in avoided and _is_free(candidate):
            return candidate
    raise MachineNotReady(f"no free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")


def listens(port_number: int) -> bool:
    """Report whether a program listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port_number)) == 0


def _readable(line: str) -> str:
    """Return the readable part of a log line that was written for machines."""
    if not line.startswith("{"):
        return line
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    error = fields.get("err") or fields.get("error") or ""
    return ": ".join(str(part) for part in (fields.get("level"), fields.get("msg"), error) if part) or line


def _file(lab: Lab, name: str) -> Path:
    return lab.run / f"{name}.json"


def _digest(command: Sequence[str], env: Mapping[str, str], files: Iterable[Path]) -> str:
    """Return the digest of a server to start."""
    digest = hashlib.sha256(json.dumps([list(command), sorted(env.items())]).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _fresh_log(lab: Lab, name: str) -> Path:
    """Rename the last output, and begin a new one."""
    private_folder(lab.logs)
    log = log_of(lab, name)
    if log.exists():
        log.replace(log.with_suffix(".log.before"))
    log.touch(mode=0o600)
    return log


def _read(file: Path) -> ServerRecord | None:
    try:
        return ServerRecord(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _records(lab: Lab) -> list[ServerRecord]:
    return [record for file in sorted(lab.run.glob("*.json")) if (record := _read(file))]


def _running(lab: Lab, name: str) -> ServerRecord | None:
    """Return the record of a server that has not ended; a pid with another start belongs to another process."""
    record = _read(_file(lab, name))
    return record if record and record.started and process_table.started(record.pid) == record.started else None


def _processes_of(lab: Lab, names: set[str]) -> dict[Process, float]:
    """Return the processes of these servers, each with its grace period."""
    marks = process_table.marked(lab.root) if names else {}
    found: dict[Process, float] = {}
    for name in names:
        record = _running(lab, name)
        pids = {*marks.get(name, []), *([record.pid] if record else [])} - {os.getpid()}
        grace = record.grace if record else GRACE
        found |= {Process(pid, started): grace for pid in pids if (started := process_table.started(pid))}
    return found


def _is_free(candidate: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections that wait for their end do not occupy a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", candidate))
        except OSError:
            return False
    return True

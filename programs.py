"""The only module that starts external programs, except GitPython's.

`lab.delivery.commits` and `ops.promotion.git_store` use GitPython. A program's bare name and its arguments come in; it
is looked up on the PATH of the given environment, so that a rehearsal's PATH alone decides which `talosctl` runs. The
program's output goes out, or an error of this project with the command, the folder, the exit code and the last lines.
`manifests`, `lab` and `ops` continue from here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from errors import Declined, ProgramFailed, ProgramMissing, TookTooLong

LAST_LINES = 15
POLL = 0.2
LONGEST = 6 * 3600.0  # the default timeout; a build on a slow machine takes an hour
WHERE_FROM = {
    "git": "install it: apt install git, dnf install git, pacman -S git, brew install git",
    "go": "install Go 1.27 or newer: https://go.dev/dl, or apt, dnf install golang, pacman -S, brew install go",
}


_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()


@dataclass(frozen=True)
class Finished:
    """The result of a successful program."""

    stdout: str
    stderr: str
    seconds: float


def find(program: str, env: Mapping[str, str] | None = None) -> Path | None:
    """Return the path of a program on the PATH."""
    found = shutil.which(program, path=(env or os.environ).get("PATH"))
    return Path(found) if found else None


def fingerprint(program: str, env: Mapping[str, str] | None = None) -> str:
    """Return the identity of the program's file, for caches of its output: another build is another program."""
    file = _found(program, env).resolve()
    about = file.stat()
    return f"{file} {about.st_size} {about.st_mtime_ns}"


def run(
    program: str,
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 60,
) -> Finished:
    """Run a program and return its output, or raise an error that explains the failure."""
    command = [str(_found(program, env)), *map(str, arguments)]
    began = time.monotonic()
    with _opened(
        command,
        cwd=cwd,
        env=dict(env) if env is not None else None,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        with _lock:
            _running.add(process)
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            _end_group(process)
            raise TookTooLong(f"{_said(command, cwd)}: no end after {timeout:.0f} s") from None
        except BaseException:
            _end_group(process)
            raise
        finally:
            with _lock:
                _running.discard(process)
    if process.returncode != 0:
        raise _failure(command, cwd, process.returncode, stderr.strip() or stdout.strip())
    return Finished(stdout, stderr, time.monotonic() - began)


def on_checkout(checkout: Path) -> tuple[str | Path, ...]:
    """Return the options for git on a checkout that may hold a stranger's branch.

    Git looks for its repository in the folder where it runs and in those above. A folder with the files of a bare
    repository counts as one, and a branch can contain such files: their configuration would run a command as
    `core.fsmonitor` or as a filter. So such a folder is refused here, and by git 2.38 or newer itself; older versions
    ignore that option. fsmonitor and hooks are off. Filters stay on, because an encrypted file looks changed without
    its filter: a branch can name a filter in .gitattributes, and only the operator's own configuration defines it.
    """
    for folder in (checkout.resolve(), *checkout.resolve().parents):
        if (folder / ".git").exists():
            break
        if _is_bare_repository(folder):
            raise Declined(f"{folder}: is a bare Git repository, and git would obey its configuration; delete its HEAD")
    off = ("core.fsmonitor=false", f"core.hooksPath={os.devnull}", "safe.bareRepository=explicit")
    return ("-C", checkout, *(part for setting in off for part in ("-c", setting)))


def _is_bare_repository(folder: Path) -> bool:
    """Check for the files by which git recognizes a repository; `commondir` names another folder with the objects.

    HEAD can be a symbolic link to a branch that does not exist.
    """
    found = {name for name in ("HEAD", "commondir", "objects", "refs") if os.path.lexists(folder / name)}
    return "HEAD" in found and ("commondir" in found or found >= {"objects", "refs"})


def end_running() -> None:
    """Stop the programs of other threads: Ctrl-C reaches the main thread alone."""
    with _lock:
        processes = list(_running)
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def follow(
    program: str,
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path,
    on_line: Callable[[str], None] = lambda line: None,
    timeout: float = LONGEST,
) -> None:
    """Run a long program, write every line to a log and pass each line on."""
    command = [str(_found(program, env)), *map(str, arguments)]
    with log.open("w", encoding="utf-8") as kept:
        process = _opened(
            command,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert process.stdout is not None
        too_long = threading.Event()
        # Reading a line blocks, so another thread enforces the timeout: stopping the program closes the pipe.

        def end() -> None:
            too_long.set()
            _kill_group(process)

        timer = threading.Timer(timeout, end)
        timer.daemon = True
        timer.start()
        try:
            with process.stdout:
                for line in process.stdout:
                    kept.write(line)
                    on_line(line.rstrip("\n"))
            process.wait()
        except BaseException:
            _end_group(process)
            raise
        finally:
            timer.cancel()
    if too_long.is_set():
        raise TookTooLong(f"{_said(command, cwd)}: no end after {timeout:.0f} s\n    whole output: {log}")
    if process.returncode != 0:
        raise _failure(command, cwd, process.returncode, log.read_text(encoding="utf-8").strip(), log)


@dataclass(frozen=True)
class Said:
    """The output of a program that ended, successful or not: each stream, and both in order of arrival."""

    stdout: str
    stderr: str
    together: str
    exit_code: int


def converse(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    on_line: Callable[[str, str], None] = lambda stream, line: None,
    kill_when: Callable[[], bool] | None = None,
    timeout: float = LONGEST,
) -> Said:
    """Run a program whose failure the caller interprets, and pass each line on.

    With `kill_when` the program stays in this process group, and is stopped as Go's `exec.CommandContext` stops one:
    SIGKILL for the program alone, and a wait until its children have closed its pipes.
    """
    program, *arguments = command
    heard: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray(), "together": bytearray()}
    with _opened(
        [str(_found(program, env)), *arguments],
        cwd=cwd,
        env=dict(env) if env is not None else None,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=kill_when is None,
    ) as process:
        try:
            until = time.monotonic() + timeout
            for stream, data in _listen(process, stdin.encode(), kill_when or (lambda: False), until):
                lines = (heard[stream][heard[stream].rfind(b"\n") + 1 :] + data).split(b"\n")
                heard[stream] += data
                heard["together"] += data
                for line in lines[:-1] if data else filter(None, lines):
                    on_line(stream, line.decode(errors="replace"))
        except TimeoutError:
            _end_group(process) if kill_when is None else process.kill()
            raise TookTooLong(f"{_said(command, cwd)}: no end after {timeout:.0f} s") from None
        except BaseException:
            if kill_when is None:
                _end_group(process)
            process.kill()
            raise
    stdout, stderr, together = (bytes(part).decode(errors="replace") for part in heard.values())
    return Said(stdout, stderr, together, process.returncode)


def pipe(
    program: str,
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    timeout: float = 300,
) -> bytes:
    """Run a program with bytes as input and return the bytes of its output."""
    command = [str(_found(program, env)), *map(str, arguments)]
    given = dict(env) if env is not None else None
    try:
        done = subprocess.run(command, env=given, input=stdin, capture_output=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise TookTooLong(f"{_said(command, None)}: no end after {timeout:.0f} s") from None
    if done.returncode != 0:
        raise _failure(command, None, done.returncode, done.stderr.decode(errors="replace").strip())
    return done.stdout


def _listen(
    process: subprocess.Popen[bytes], stdin: bytes, kill: Callable[[], bool], until: float
) -> Iterator[tuple[str, bytes]]:
    """Yield the data of either stream as it arrives, empty at its end; write the input until the timeout."""
    with selectors.DefaultSelector() as waiting:
        for stream in ("stdout", "stderr"):
            waiting.register(getattr(process, stream), selectors.EVENT_READ, stream)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            waiting.register(process.stdin, selectors.EVENT_WRITE)
        while waiting.get_map():
            if kill():
                process.kill()
            elif time.monotonic() >= until:
                raise TimeoutError
            for key, _ in waiting.select(POLL):
                if key.data is None:
                    stdin = _feed(key.fd, stdin)
                    data = stdin
                else:
                    data = os.read(key.fd, 65536)
                    yield key.data, data
                if not data:
                    waiting.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr] # the process's own pipes


def _feed(place: int, data: bytes) -> bytes:
    """Write as much as the pipe accepts and return the rest; a program need not read its input."""
    try:
        return data[os.write(place, data[:65536]) :]
    except BrokenPipeError:
        return b""


def start(
    program: str,
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path,
    held: TextIO | None = None,
) -> int:
    """Start a server that outlives this process, its output in a log, and return its process id.

    A shell in between ends at once, so that the server has no parent that must reap it. A `held` file with a lock on it
    stays open until the server runs in its own environment, even if this process is killed meanwhile: the next owner of
    the lock finds the server.
    """
    command = [str(_found(program, env)), *map(str, arguments)]
    shell = subprocess.run(
        ["/bin/sh", "-c", '"$@" </dev/null >>"$0" 2>&1 & echo $!', str(log), *command],
        cwd=cwd,
        env=dict(env) if env is not None else None,
        stdin=held or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
    )
    return int(shell.stdout)


def _found(program: str, env: Mapping[str, str] | None) -> Path:
    found = find(program, env)
    if found is None:
        advice = WHERE_FROM.get(program, "get it: ./homelab tools")
        raise ProgramMissing(f"{program}: not on the PATH; {advice}")
    return found


def _opened(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a process; report a truncated file, as after a power cut, in one line."""
    try:
        return subprocess.Popen(command, **options)
    except OSError as error:
        if error.errno not in (errno.ENOEXEC, errno.EACCES) or not Path(command[0]).is_file():
            raise
        advice = "remove its folder, and build it anew: ./homelab tools"
        raise ProgramMissing(f"{command[0]}: cannot be run: {error.strerror}; {advice}") from None


def _kill_group(process: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _end_group(process: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)
        os.killpg(process.pid, signal.SIGKILL)  # also its children, and processes that ignored SIGTERM
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _said(command: Sequence[str], cwd: Path | None) -> str:
    name = Path(command[0]).name
    return f"{shlex.join([name, *command[1:]])[:300]} (in {cwd or Path.cwd()})"


def _failure(
    command: Sequence[str], cwd: Path | None, code: int, output: str, log: Path | None = None
) -> ProgramFailed:
    last = "\n".join(f"    {line}" for line in output.splitlines()[-LAST_LINES:])
    kept = f"\n    whole output: {log}" if log else ""
    return ProgramFailed(f"{_said(command, cwd)}: exit code {code}\n{last}{kept}", status=code, output=output)

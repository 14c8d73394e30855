"""The building of pinned tools: each in a folder of its own that appears complete or not at all.

A tool of `ops.toolchain.catalogue` comes in; a folder in the user's cache goes out. Its name is derived from all inputs
of the build, go.mod and go.sum among them, so that every checkout with the same pins uses the same build.
`ops.toolchain.installation` decides which tools are built; `ops.toolchain.progress` shows the reports of a build.
`ops.toolchain.downloads` and `ops.toolchain.compiler` place their folders with the same mechanism.

The remains of a dead process do no harm: the kernel releases its locks, unfinished files lie in a `.building-` sibling
until it is renamed, and Go's own caches tolerate an interruption.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import programs
from errors import BuildFailed, ProgramFailed
from local.cache import cache_folder
from manifests.rules.schemas import FORMAT
from ops.toolchain import extraction, releases
from ops.toolchain.catalogue import FOLDER, Shipped, Tool, pinned

# Debug tables cost a tenth of the compiler's work and a fifth of its cache, and these programs are never debugged.
FLAGS = ("-v", "-gcflags=all=-dwarf=false")
ENVIRONMENT = {
    "GOTOOLCHAIN": "local",
    "GOFLAGS": "-mod=readonly -modcacherw -trimpath -buildvcs=false",
    "GOWORK": "off",
    "CGO_ENABLED": "0",
}
# Builds are for this machine, even where the user's environment prepares Go for another one.
FOREIGN = ("GOOS", "GOARCH", "GOBIN", "GOEXPERIMENT")
DIGITS = 16
MANIFESTS = "manifests"
NOTE = "built.json"
BIN = "bin"
SIZES = "sizes"
LAST_LINES = 15
# Other checkouts and branches may have other pins: a replaced build is removed only after this time without use.
SECONDS_TO_KEEP = 60 * 24 * 3600

Update = Callable[[str], None]


class Listener(Protocol):
    """The receiver of a build's reports."""

    def update(self, text: str) -> None:
        """Receive the current activity."""

    def announce(self, text: str) -> None:
        """Receive a report that the user must see at once."""


def build(tool: Tool, go: Path, env: Mapping[str, str], listener: Listener) -> Path:
    """Return the folder of a tool's programs, built by this run or by another one that was quicker."""
    return place(
        tool.name,
        built_folder(tool),
        lambda fresh: _fill(tool, fresh, _environment(go, env), listener.update),
        listener,
    )


def place(name: str, made: Path, fill: Callable[[Path], None], listener: Listener) -> Path:
    """Return a folder of the cache, filled by this run or by another one that was quicker: complete or not at all."""
    with _lock(made.parent / f".lock-{name}", listener):
        if is_damaged(made):
            listener.update("its copy in the cache is damaged: making it again")
            _remove([made])
        if not made.exists():
            _remove(made.parent.glob(f".building-{name}-[0-9]*"))
            fresh = made.parent / f".building-{name}-{os.getpid()}"
            (fresh / BIN).mkdir(parents=True)
            try:
                fill(fresh)
                note(fresh, {**noted(fresh), SIZES: _sizes(fresh)})
                os.sync()  # otherwise a power cut could leave the renamed folder with empty files
                fresh.rename(made)
            finally:
                _remove([fresh])
            _remove(_unused(name, made.parent))
    return made


def use(folder: Path) -> Path | None:
    """Return a folder of the cache if it exists and is not damaged, and record its use."""
    if is_damaged(folder):
        return None
    try:
        os.utime(folder)
    except FileNotFoundError:
        return None
    except PermissionError:
        return folder
    return folder


def is_damaged(folder: Path) -> bool:
    """Report whether a program of a folder is empty or truncated."""
    if not folder.exists():
        return False
    known, found = noted(folder).get(SIZES), _sizes(folder)
    return 0 in found.values() or (isinstance(known, dict) and known != found)


def _sizes(folder: Path) -> dict[str, int]:
    programs_of = (folder / BIN).iterdir() if (folder / BIN).is_dir() else ()
    return {one.name: one.stat().st_size if one.exists() else 0 for one in programs_of}


def built_folder(tool: Tool) -> Path:
    """Return the folder of a tool's build, whether it exists or not."""
    place = releases.here()
    recipe = [f"{place.os}/{place.arch}", *FLAGS, tool.stamped(), *ENVIRONMENT.values()]
    recipe += [f"{program.name}={program.package}={program.links}" for program in tool.programs]
    if tool.shipped:
        recipe += [f"{tool.shipped.file}@{pinned(FOLDER / tool.shipped.folder, tool.shipped.module)}"]
    recipe += [f"{one.name}={one.folder}={'whole' if one.whole else 'short'}" for one in tool.files]
    recipe += [f"{one.name}={one.packages}={extraction.OPTIONS}={extraction.KUSTOMIZATION}" for one in tool.generated]
    recipe += [f"{one.name}={one.file}={FORMAT}" for one in tool.schemas]
    digest = hashlib.sha256("\n".join(recipe).encode())
    for folder in tool.by_folder:
        for file in sorted([folder / "go.mod", folder / "go.sum", *folder.glob("*.go")]):
            digest.update(file.read_bytes())
    return folder_of(tool.name, digest.hexdigest())


def folder_of(name: str, digest: str) -> Path:
    """Return the folder of a tool in the cache, by the digest of everything that it is made from."""
    return cache_folder() / "tools" / f"{name}-{digest[:DIGITS]}"


def note(folder: Path, kept: Mapping[str, Any]) -> None:
    """Write a note into a folder of the cache: its content, and the time that it took."""
    (folder / NOTE).write_text(json.dumps(kept) + "\n", encoding="utf-8")


def noted(folder: Path) -> dict[str, Any]:
    """Return the note of a folder of the cache, empty where none can be read."""
    try:
        kept: dict[str, Any] = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept


@contextmanager
def go_cache(update: Update) -> Iterator[Path]:
    """Yield the folder of Go's caches, and remove it when the last run that uses it has built everything.

    The caches grow to several gigabytes and have no use afterwards. After an interruption or a failure they stay, so
    that the next run continues where this one stopped.
    """
    folder = cache_folder() / "go"
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / ".lock-go").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        yield folder
    # The shared lock is released first: otherwise two runs that end together would prevent each other's removal.
    tidy(update)


def tidy(update: Update) -> None:
    """Remove Go's caches unless a build uses them.

    The removal of half a million files takes a minute or two: the folder is renamed at once and removed in the
    background. The next call also removes the rest of an interrupted removal.
    """
    folder = cache_folder() / "go"
    if folder.exists():
        with (cache_folder() / ".lock-go").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            # Another run that ended at the same time may have renamed it already.
            with contextlib.suppress(FileNotFoundError):
                folder.rename(cache_folder() / f".removed-go-{os.getpid()}-{time.monotonic_ns()}")
    if removed := list(cache_folder().glob(".removed-go-*")):
        update("removing Go's caches in the background")
        programs.start("nice", "-n", "19", "rm", "-rf", *removed, log=Path(os.devnull))


def _fill(tool: Tool, folder: Path, env: Mapping[str, str], update: Update) -> None:
    began = time.monotonic()
    log = cache_folder() / "logs" / f"{tool.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ["build", *FLAGS, f"-ldflags={tool.stamped()}", "-o", f"{folder / 'bin'}{os.sep}"]
    try:
        for pins, built in tool.by_folder.items():
            packages = [program.package for program in built]
            if not packages:
                continue
            programs.follow("go", *command, *packages, cwd=pins, env=env, log=log, on_line=_Reader(update))
        for program in tool.programs:
            (folder / BIN / program.built_as).rename(folder / BIN / program.name)
            for link in program.links:
                (folder / BIN / link).symlink_to(program.name)
        if tool.shipped:
            _copy(tool.shipped, folder / BIN, env)
        if tool.files or tool.schemas:
            extraction.fill(tool, folder / MANIFESTS, env, update)
    except (ProgramFailed, OSError) as error:
        raise BuildFailed(_why(tool, error, log)) from error
    seconds = round(time.monotonic() - began, 1)
    note(folder, {"tool": tool.name, "version": str(tool.version), "seconds": seconds})


def _environment(go: Path, env: Mapping[str, str]) -> Mapping[str, str]:
    places = {"GOPATH": go, "GOCACHE": go / "build", "GOMODCACHE": go / "mod", "GOTMPDIR": go / "tmp"}
    kept = {name: value for name, value in env.items() if name not in FOREIGN}
    return kept | ENVIRONMENT | {name: str(place) for name, place in places.items()}


class _Reader:
    """A reader of the output of `go build -v` that reports the progress to the user."""

    def __init__(self, update: Update) -> None:
        """Start with no module and no package."""
        self.update = update
        self.downloaded = 0
        self.compiled = 0

    def __call__(self, line: str) -> None:
        """Read one line."""
        if line.startswith("go: downloading "):
            self.downloaded += 1
            self.update(f"downloading modules ({self.downloaded})")
        elif _is_package(line):
            self.compiled += 1
            self.update(f"compiling ({self.compiled} packages)")


def _is_package(line: str) -> bool:
    return re.fullmatch(r"[\w.~/+-]+", line) is not None


def _copy(shipped: Shipped, into: Path, env: Mapping[str, str]) -> None:
    (module,) = extraction.downloaded(FOLDER / shipped.folder, [shipped.module], env).values()
    copied = into / Path(shipped.file).name
    shutil.copy(Path(module["Dir"]) / shipped.file, copied)
    copied.chmod(0o755)


def _why(tool: Tool, error: ProgramFailed | OSError, log: Path) -> str:
    if isinstance(error, OSError):
        return f"{tool.name}: not built: {error}"
    lines = [line for line in error.output.splitlines() if not line.startswith("go: downloading ")]
    telling = [line for line in lines if not _is_package(line)]
    last = "\n".join(f"    {line}" for line in telling[-LAST_LINES:])
    return f"{tool.name}: not built, go ended with exit code {error.status}\n{last}\n    whole output: {log}"


@contextmanager
def _lock(file: Path, listener: Listener) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            listener.announce("another run is bringing it: waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unused(name: str, tools: Path) -> list[Path]:
    digest = "[0-9a-f]" * DIGITS
    others = tools.glob(f"{name}-{digest}")
    return [folder for folder in others if folder.stat().st_mtime < time.time() - SECONDS_TO_KEEP]


def _remove(folders: Iterable[Path]) -> None:
    for folder in folders:
        # An orphaned process may still write: the next build removes the files that remain now.
        shutil.rmtree(folder, ignore_errors=True)

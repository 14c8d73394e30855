"""Find the pinned programs on the PATH or in the cache, build what is missing, and say where each is."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ops import building, toolchain
from ops.pinned import BY_PROGRAM, TOOLS, Tool
from ops.show import elapsed, table

TO_BE_BUILT = "to be built"


@dataclass(frozen=True)
class Row:
    """What there is to say about one tool."""

    tool: str
    programs: tuple[str, ...]
    version: str
    where: str
    folder: str
    built_in_seconds: float | None


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be asked for."""
    parser.add_argument("--only", metavar="NAME,NAME", help="these tools or programs; by default all")
    parser.add_argument("--dry-run", action="store_true", help="say what would be built, build nothing")
    parser.add_argument("--json", action="store_true", help="print the table for machines")


def run(options: argparse.Namespace) -> int:
    """Find or build, then print the table."""
    names = options.only.split(",") if options.only else [tool.name for tool in TOOLS]
    chosen, unknown = choose([name.strip() for name in names if name.strip()])
    if unknown:
        print("\n".join(unknown), file=sys.stderr)
        return 1
    wanted = [name for tool in chosen for name in tool.names]
    if not options.dry_run:
        _, missing = toolchain.locate(wanted)
        toolchain.ensure(wanted)
        if not missing and not options.only:
            # Every tool is there: what an interrupted build left serves nobody any more.
            building.tidy(lambda text: print(text, file=sys.stderr))
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
    """Say where a tool is now."""
    here, missing = toolchain.locate(tool.names)
    if missing:
        return Row(tool.name, tool.names, str(tool.version), TO_BE_BUILT, "", None)
    place = next(iter(here.places.values()))
    built = building.seconds_built(tool) if place.origin is toolchain.Origin.CACHE else None
    return Row(tool.name, tool.names, str(place.version), place.origin.value, str(place.file.parent), built)


def as_table(rows: Sequence[Row], tools: Sequence[Tool]) -> str:
    """Write the rows for people."""
    absent = {each.tool for each in rows if each.where == TO_BE_BUILT}
    expected = toolchain.estimates(tool for tool in tools if tool.name in absent)
    cells = []
    for each in rows:
        if each.where == TO_BE_BUILT:
            took = f"about {elapsed(expected[each.tool])}"
        else:
            took = elapsed(each.built_in_seconds) if each.built_in_seconds else "-"
        where = f"{each.where}: {each.folder}" if each.folder else each.where
        cells.append((each.tool, each.version, took, where))
    return table(("tool", "version", "built in", "where"), cells)


def _unknown(name: str, known: dict[str, Tool]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(tool.name for tool in TOOLS)}"
    return f"--only: there is no tool {name!r}; {meant}"

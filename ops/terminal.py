"""Text for a terminal: aligned tables, durations, colours, lines of progress, and paths as the user means them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

TENTHS_MATTER_BELOW, MINUTE = 10, 60
COLOURS = {"red": 31, "green": 32, "yellow": 33, "grey": 90, "bold": 1}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows aligned under their heads; the last column has no fixed width."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return "\n".join(padded)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: 1 stack, 2 stacks."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def elapsed(seconds: float) -> str:
    """Return a duration in words: 3.2 s, 48 s, 3 min 45 s."""
    if seconds < TENTHS_MATTER_BELOW:
        return f"{seconds:.1f} s"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    return f"{minutes} min {rest:02d} s"


def coloured(text: str, colour: str) -> str:
    """Return a text in colour where stdout is a terminal and NO_COLOR is not set."""
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if on_terminal() and "NO_COLOR" not in os.environ else text


def on_terminal(stream: TextIO | None = None) -> bool:
    """Return whether a stream, stdout by default, is a terminal that shows colours and can be redrawn."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM", "dumb") != "dumb"


def progress(text: str) -> None:
    """Print a line of progress to stderr at once."""
    print(text, file=sys.stderr, flush=True)


def path(text: str) -> Path:
    """Return the path of an option, relative to the folder that the launcher was called from."""
    return Path(os.environ.get("HOMELAB_CALLED_FROM", ""), text)

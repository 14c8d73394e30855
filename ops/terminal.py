"""What people see: aligned tables, elapsed times, and colour on a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

TENTHS_MATTER_BELOW, MINUTE = 10, 60
COLOURS = {"red": 31, "green": 32, "yellow": 33, "grey": 90, "bold": 1}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align rows under their heads; the last column is as wide as it needs to be."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
    return "\n".join(padded)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun: 1 stack, 2 stacks."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def elapsed(seconds: float) -> str:
    """Write a duration as people say it: 3.2 s, 48 s, 3 min 45 s."""
    if seconds < TENTHS_MATTER_BELOW:
        return f"{seconds:.1f} s"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    return f"{minutes} min {rest:02d} s"


def coloured(text: str, colour: str) -> str:
    """Colour a text where it goes to a terminal and the person has not said NO_COLOR."""
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if on_terminal() and "NO_COLOR" not in os.environ else text


def on_terminal() -> bool:
    """Whether a person watches."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def path(text: str) -> Path:
    """Return the path of an option, which the user means from where the launcher was called."""
    return Path(os.environ.get("HOMELAB_CALLED_FROM", ""), text)

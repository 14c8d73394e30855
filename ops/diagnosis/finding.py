"""One row of the table that `ops.doctor` prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The state of one thing that the project needs or can use, and how to mend it."""

    thing: str
    state: str
    found: str
    todo: str = ""

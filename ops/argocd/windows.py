"""The sync windows that block an Application now, and the moment at which they let a sync through.

The live AppProjects come in: Argo CD writes into no status that a window holds an automatic sync back. A requested sync
that a window blocks stays `Running` until the window opens, so that `ops.sync` refuses to request it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from pydantic_core import PydanticCustomError

from config.gates import offset_of
from config.schedule import Schedule, Window, is_closed, opens_at
from manifests.objects import Object

PART = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
UNITS = {"h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class Closed:
    """Windows that hold an Application back."""

    until: datetime | None
    """The moment at which Argo CD may sync it; nothing where none was found."""
    refuses_manual: bool
    """Whether a requested sync is blocked too."""

    def __str__(self) -> str:
        """Return the reason with its end."""
        end = f"until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else "and none of the next ones opens"
        return f"a sync window is closed {end}"


def closed(found: Object, projects: Sequence[Object], now: datetime | None = None) -> Closed | None:
    """Return the windows that block an Application, nothing where it can sync."""
    project = found["spec"].get("project")
    specs = [one["spec"].get("syncWindows") or () for one in projects if one["metadata"]["name"] == project]
    moment = now or datetime.now(UTC)
    listed = [one for spec in specs for one in spec if _holds(one, found)]
    windows = [_window(one, moment) for one in listed]
    if None in windows:
        return Closed(None, refuses_manual=True)  # Argo CD blocks each sync while it cannot read one of them
    known = [one for one in windows if one]
    if not is_closed(known, moment):
        return None
    return Closed(_end(tuple(known), moment.replace(second=0, microsecond=0)), is_closed(known, moment, by_hand=True))


@lru_cache(maxsize=64)
def _end(windows: tuple[Window, ...], minute: datetime) -> datetime | None:
    """Return the end of closed windows: the same for all Applications, and for all reports of a minute."""
    return opens_at(windows, minute)


def _holds(spec: Mapping[str, Any], found: Object) -> bool:
    """Return whether a window is one of an Application: by its name, its cluster or its namespace."""
    destination = found["spec"].get("destination") or {}
    values = (
        ("applications", (found["metadata"]["name"],)),
        ("clusters", (destination.get("name"), destination.get("server"))),
        ("namespaces", (destination.get("namespace"),)),
    )
    matches = [
        any(fnmatchcase(value, pattern) for pattern in spec[key] for value in named if value)
        for key, named in values
        if spec.get(key)
    ]
    return bool(matches) and (all(matches) if spec.get("andOperator") else any(matches))


def _window(spec: Mapping[str, Any], moment: datetime) -> Window | None:
    """Return a window of an AppProject, nothing where Argo CD cannot read it."""
    parts = PART.findall(spec.get("duration", ""))
    schedule = _schedule(str(spec.get("schedule")))
    if schedule is None or not parts or "".join(map("".join, parts)) != spec["duration"]:
        return None
    duration = timedelta(seconds=sum(float(number) * UNITS[unit] for number, unit in parts))
    try:
        offset = offset_of(spec.get("timeZone") or "UTC", moment)
    except (KeyError, OSError, ValueError):
        offset = timedelta()  # as Argo CD does, with a warning in its log
    return Window(spec.get("kind") == "allow", schedule, duration, offset, bool(spec.get("manualSync")))


@lru_cache(maxsize=64)
def _schedule(text: str) -> Schedule | None:
    """Return a schedule, nothing where it is malformed."""
    try:
        return Schedule.parse(text)
    except PydanticCustomError:
        return None

"""Schedules of sync windows, as Argo CD's cron parser reads them.

The five fields of a schedule come in as text; whether a window is open at a moment, and the moment of the next change,
go out. `config.gates` validates with it, `ops.argocd.windows` computes the end of a closed window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from config.rules import rule
from config.values import refuse

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
YEARS = 5  # the parser of Argo CD searches no further
EXAMPLE = 'write minute, hour, day, month and weekday, such as "0 2 * * sat"'


@dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()


FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("weekday", 0, 6, WEEKDAYS),
)


@dataclass(frozen=True)
class Schedule:
    """The moments of a cron schedule: clock times of its zone, which all values here have as if they were UTC."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either: bool
    """Whether a day matches that fulfils one of day and weekday: both are restricted."""

    @classmethod
    @rule(
        "schedule-malformed",
        scope="file",
        why="Argo CD takes a window that it cannot read, or that never begins, for one that is always active.",
    )
    def parse(cls, value: Any) -> Schedule:
        """Parse "0 2 * * sat"."""
        if isinstance(value, Schedule):
            return value
        if not isinstance(value, str):
            refuse("schedule-malformed", "is not a schedule", EXAMPLE)
        if value.startswith(("TZ=", "CRON_TZ=")):
            refuse("schedule-malformed", "has a time zone", "write it as `timeZone` of the window")
        if value.startswith("@"):
            refuse("schedule-malformed", "is a name, and Argo CD reads fields only", EXAMPLE)
        parts = value.split()
        if len(parts) != len(FIELDS):
            refuse("schedule-malformed", f"has {len(parts)} of {len(FIELDS)} fields", EXAMPLE)
        found = [_values(part, field) for part, field in zip(parts, FIELDS, strict=True)]
        minutes, hours, days, months, weekdays = (frozenset(values) for values, _ in found)
        either = not found[2][1] and not found[4][1]
        made = cls(value, tuple(sorted(minutes)), tuple(sorted(hours)), days, months, weekdays, either)
        if made.after(datetime(2024, 1, 1, tzinfo=UTC)) is None:
            refuse("schedule-malformed", "never begins", "choose a day that the month has")
        return made

    def after(self, moment: datetime) -> datetime | None:
        """Return the first moment of the schedule after another one, nothing where there is none for years."""
        day = moment.date()
        for _ in range(YEARS * 366):
            if self._is_on(day):
                earliest = moment.hour if day == moment.date() else 0
                for hour in (one for one in self.hours if one >= earliest):
                    for minute in self.minutes:
                        found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                        if found > moment:
                            return found
            day += timedelta(days=1)
        return None

    def _is_on(self, day: date) -> bool:
        fits = day.day in self.days, (day.isoweekday() % 7) in self.weekdays
        return day.month in self.months and (any(fits) if self.is_either else all(fits))

    def __str__(self) -> str:
        """Return the schedule in the form of the stack file."""
        return self.text


def _values(text: str, field: _Field) -> tuple[set[int], bool]:
    """Return the values of a field, and whether it is unrestricted."""
    found, is_any = set(), False
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, field, part) if slash else 1
        if step == 0:
            refuse("schedule-malformed", f"has the step 0 in {field.name} {text!r}", "write a step of at least 1")
        if span in ("*", "?"):
            first, last, is_any = field.least, field.most, is_any or step == 1
        else:
            begin, dash, end = span.partition("-")
            first = _named(begin, field, part)
            last = _named(end, field, part) if dash else field.most if slash else first
        if not field.least <= first <= last <= field.most:
            sunday = ", and 0 is Sunday" if field.name == "weekday" else ""
            rule = f"has {part!r} as {field.name}, outside of {field.least}-{field.most}"
            fix = f"write {field.least} to {field.most}, the smaller one first{sunday}"
            refuse("schedule-malformed", rule, fix)
        found |= set(range(first, last + 1, step))
    return found, is_any


def _named(text: str, field: _Field, part: str) -> int:
    if text.lower() in field.names:
        return field.names.index(text.lower()) + field.least
    return _number(text, field, part)


def _number(text: str, field: _Field, part: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len("59")):
        names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
        fix = f"write {field.least} to {field.most}{names}"
        refuse("schedule-malformed", f"has {part!r} as {field.name}", fix)
    return int(text)


@dataclass(frozen=True)
class Window:
    """One sync window, with its zone's offset from the clock that it is compared with."""

    allows: bool
    schedule: Schedule
    duration: timedelta
    offset: timedelta
    admits_manual: bool

    def is_active(self, moment: datetime) -> bool:
        """Return whether the window is active, by the comparison that Argo CD makes."""
        local = moment + self.offset
        begins = self.schedule.after(local - self.duration)
        return begins is not None and begins < local

    def next_change(self, moment: datetime) -> datetime | None:
        """Return the next moment at which the window can begin or end."""
        local = moment + self.offset
        begin = self.schedule.after(local)
        last = self.schedule.after(local - self.duration)
        ends = [last + self.duration] if last is not None and last < local else []
        changes = [one - self.offset for one in (begin, *ends) if one is not None and one > local]
        return min(changes, default=None)


def is_closed(windows: Sequence[Window], moment: datetime, *, by_hand: bool = False) -> bool:
    """Return whether the windows of an app block a sync: an active deny, or allows of which none is active."""
    active = [one for one in windows if one.is_active(moment)]
    denying = [one for one in active if not one.allows]
    if not denying and any(one.allows for one in active):
        return False
    blocking = denying or [one for one in windows if one.allows]
    return bool(blocking) and not (by_hand and all(one.admits_manual for one in blocking))


CHANGES = 2000  # of windows, after which no end is searched for


def opens_at(windows: Sequence[Window], moment: datetime, *, by_hand: bool = False) -> datetime | None:
    """Return the moment at which closed windows let a sync through, nothing where none is found."""
    for _ in range(CHANGES):
        changes = [found for one in windows if (found := one.next_change(moment))]
        if not changes:
            return None
        moment = min(changes)
        # Argo CD takes a window for active after its first moment, and for inactive at its last one.
        if not is_closed(windows, moment + timedelta(seconds=1), by_hand=by_hand):
            return moment
    return None

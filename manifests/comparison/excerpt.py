"""The parts of two aligned sides that a difference shows: equal parts are shortened, too large ones are cut.

Two values come in, two smaller copies go out. Redaction reads each value with two hundred patterns: of a definition
with twenty thousand values in which one differs, it gets a few. A map keeps all its plain values, because a name
decides whether the value beside it is a secret. `manifests.comparison.difference` redacts and compares the copies.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import groupby
from typing import Any

from manifests.comparison.alignment import partners
from manifests.comparison.line_matching import matches
from manifests.fields import text

UNCHANGED_VALUES, UNCHANGED_TEXT = 20, 2_000  # larger values that both sides have are not repeated
KEPT_ENTRIES = 3  # of equal entries of a list, before and behind a different one
MOST_VALUES = 5_000  # of one side
MOST_PLAIN_VALUES = 50_000
LONGEST_TEXT = 500_000  # characters; redaction reads about a million in a second
MOST_CHARACTERS = 600_000  # of one side


_LEFT_OUT = object()


class Excerpt:
    """Copies of two sides, made for one difference."""

    def __init__(self, before: Any, after: Any) -> None:
        """Make the copies; raise OverflowError where a side cannot be redacted in a bounded time."""
        self.cut = 0
        """Values that are in neither copy although they may differ."""
        self._numbers: dict[Hashable, int] = {}
        self._known: dict[int, tuple[int, int]] = {}
        self._left = [_Budget(), _Budget()]
        for side in (before, after):
            self._count(side)
        self.before, self.after = self._both(before, after)

    def _count(self, value: Any) -> tuple[int, int]:
        """Return a number that only equal values share, and how many values there are in it."""
        if isinstance(value, dict):
            inner = {key: self._count(one) for key, one in value.items()}
            form: Hashable = ("map", frozenset((key, number) for key, (number, _) in inner.items()))
            size = 1 + sum(count for _, count in inner.values())
        elif isinstance(value, list):
            found = [self._count(one) for one in value]
            form, size = ("list", *(number for number, _ in found)), 1 + sum(count for _, count in found)
        else:
            form, size = (type(value), str(value)), 1
        result = self._numbers.setdefault(form, len(self._numbers)), size
        if isinstance(value, (dict, list)):
            self._known[id(value)] = result
        return result

    def _of(self, value: Any) -> tuple[int, int]:
        return self._known[id(value)] if isinstance(value, (dict, list)) else self._count(value)

    def _both(self, before: Any, after: Any) -> tuple[Any, Any]:
        """Return the copies of two values that belong together."""
        (number, size), (other, _) = self._of(before), self._of(after)
        if number == other:
            shown = _unchanged(before, size)
            return (shown, shown) if shown else (self._copy(before, 0), self._copy(after, 1))
        if isinstance(before, dict) and isinstance(after, dict):
            return self._maps(before, after)
        if isinstance(before, list) and isinstance(after, list):
            return self._lists(before, after)
        if isinstance(before, str) and isinstance(after, str):
            return self._text(before, 0, after), self._text(after, 1, before)
        return self._copy(before, 0), self._copy(after, 1)

    def _maps(self, before: dict[str, Any], after: dict[str, Any]) -> tuple[Any, Any]:
        pairs = {key: self._both(before[key], after[key]) for key in sorted(before.keys() & after.keys())}
        one = {key: pairs[key][0] if key in pairs else self._copy(before[key], 0) for key in sorted(before)}
        other = {key: pairs[key][1] if key in pairs else self._copy(after[key], 1) for key in sorted(after)}
        return one, other

    def _lists(self, before: list[Any], after: list[Any]) -> tuple[Any, Any]:
        """Shorten equal entries in equal order; an entry that moved is shown in full on both sides."""
        ones, others = ([self._of(one)[0] for one in side] for side in (before, after))
        equal = matches(ones, others)
        # Of plain entries none is left out: an argument such as --password decides about the entry behind it.
        left, right = _repeated([(i, j) for i, j in equal if isinstance(before[i], dict)])
        for i, j in equal:
            if i not in left:
                left[i], right[j] = self._both(before[i], after[j])
        for i, j in partners(before, after):
            if ones[i] != others[j]:
                left[i], right[j] = self._both(before[i], after[j])
        copies = (
            [found[place] if place in found else self._copy(entry, side) for place, entry in enumerate(entries)]
            for side, (entries, found) in enumerate(((before, left), (after, right)))
        )
        one, other = ([entry for entry in each if entry is not _LEFT_OUT] for each in copies)
        return one, other

    def _copy(self, value: Any, side: int) -> Any:
        """Return a value of one side, cut where the budget ends."""
        left = self._left[side]
        if isinstance(value, str):
            return self._text(value, side)
        left.values -= 1
        if not isinstance(value, (dict, list)):
            left.spend_plain()
            return value
        if left.values < 0 and value:
            size = self._of(value)[1]
            self.cut += size
            return f"(cut: {size:,} values)"
        if isinstance(value, dict):
            return {key: self._copy(value[key], side) for key in sorted(value)}
        return [self._copy(inner, side) for inner in value]

    def _text(self, value: str, side: int, beside: str = "") -> str:
        left = self._left[side]
        left.spend_plain()
        if len(value) > min(LONGEST_TEXT, left.characters):
            self.cut += 1
            return f"(too long to compare: {_measure(value)}{_first_difference(value, beside)})"
        left.characters -= len(value)
        return value


class _Budget:
    def __init__(self) -> None:
        self.values, self.plain, self.characters = MOST_VALUES, MOST_PLAIN_VALUES, MOST_CHARACTERS

    def spend_plain(self) -> None:
        self.plain -= 1
        if self.plain < 0:
            raise OverflowError


def _repeated(equal: Sequence[tuple[int, int]]) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return the replacements, in both lists, for the middle of a long row of equal entries."""
    left: dict[int, Any] = {}
    right: dict[int, Any] = {}
    rows = groupby(enumerate(equal), lambda found: (found[1][0] - found[0], found[1][1] - found[0]))
    for _, row in rows:
        middle = [pair for _, pair in row][KEPT_ENTRIES:-KEPT_ENTRIES]
        if len(middle) > 1:
            left |= {i: _LEFT_OUT for i, _ in middle}
            right |= {j: _LEFT_OUT for _, j in middle}
            left[middle[0][0]] = right[middle[0][1]] = f"(unchanged: {len(middle):,} entries)"
    return left, right


def _unchanged(value: Any, size: int) -> str:
    """Return a short text for a large value that both sides have, empty for a small one."""
    if isinstance(value, str):
        return f"(unchanged: {_measure(value)})" if len(value) > UNCHANGED_TEXT else ""
    name = text(value, "name")
    return f"({name + ', ' if name else ''}unchanged: {size:,} values)" if size > UNCHANGED_VALUES else ""


def _measure(value: str) -> str:
    lines = value.count("\n") + 1
    return f"{len(value):,} characters in {lines:,} line{'s' if lines > 1 else ''}"


def _first_difference(value: str, beside: str) -> str:
    lines: Sequence[tuple[str, str]] = [*zip(value.split("\n"), beside.split("\n"), strict=False)]
    first = next((place for place, (one, other) in enumerate(lines, 1) if one != other), len(lines) + 1)
    return f"; the first difference is in line {first:,}" if beside else ""

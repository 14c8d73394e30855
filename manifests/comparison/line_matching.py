"""Lines that two texts have in common, found in time that grows with the texts and not with their product.

Two lists of lines come in, the pairs of equal lines go out, in order. Lines that occur once on each side divide the
texts; the rest between them is compared in full as long as a budget lasts. `difflib` needs minutes for two long texts
of similar lines, and a report must not wait for a stranger's file. `manifests.comparison.difference` shows the result.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeAlias

Match: TypeAlias = "tuple[int, int]"
Segment: TypeAlias = "tuple[int, int, int, int]"
DEEPEST = 16
BUDGET = 1_000_000  # steps of comparisons in full: less than a second


def matches(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[Match]:
    """Return the places of lines that stay, as pairs that increase on both sides."""
    numbers: dict[Hashable, int] = {}
    one = [numbers.setdefault(line, len(numbers)) for line in before]
    other = [numbers.setdefault(line, len(numbers)) for line in after]
    return sorted(_Matching(one, other).all())


class _Matching:
    """One comparison of two lists of numbers."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        self.before, self.after, self.budget = before, after, BUDGET

    def all(self) -> Iterator[Match]:
        waiting = [((0, len(self.before), 0, len(self.after)), DEEPEST)]
        while waiting:
            segment, depth = waiting.pop()
            start, end, other, other_end = segment
            while start < end and other < other_end and self.before[start] == self.after[other]:
                yield start, other
                start, other = start + 1, other + 1
            while start < end and other < other_end and self.before[end - 1] == self.after[other_end - 1]:
                end, other_end = end - 1, other_end - 1
                yield end, other_end
            if start == end or other == other_end:
                continue
            anchors = self._anchors((start, end, other, other_end)) if depth else []
            if not anchors:
                yield from self._shortest((start, end, other, other_end))
                continue
            for i, j in anchors:
                yield i, j
                waiting.append(((start, i, other, j), depth - 1))
                start, other = i + 1, j + 1
            waiting.append(((start, end, other, other_end), depth - 1))

    def _anchors(self, segment: Segment) -> list[Match]:
        """Return the longest increasing row of lines that occur once on each side."""
        start, end, other, other_end = segment
        counts, others = Counter(self.before[start:end]), Counter(self.after[other:other_end])
        places = {self.after[j]: j for j in range(other, other_end)}
        found = [
            (i, places[line])
            for i, line in enumerate(self.before[start:end], start)
            if counts[line] == 1 and others[line] == 1
        ]
        ends: list[int] = []  # the smallest end of a row of each length, and its index
        at: list[int] = []
        previous: list[int] = []
        for index, (_, j) in enumerate(found):
            place = bisect_left(ends, j)
            previous.append(at[place - 1] if place else -1)
            ends[place : place + 1], at[place : place + 1] = [j], [index]
        row, index = [], at[-1] if at else -1
        while index >= 0:
            row.append(found[index])
            index = previous[index]
        return row[::-1]

    def _shortest(self, segment: Segment) -> Iterator[Match]:
        """Yield the matches of the shortest edit of a segment (Myers), none once the budget is used up."""
        start, end, other, other_end = segment
        length, width = end - start, other_end - other
        reached: dict[int, int] = {1: 0}
        history: list[dict[int, int]] = []
        for edits in range(length + width + 1):
            history.append(dict(reached))
            self.budget -= edits + len(reached)
            if self.budget < 0:
                return
            for diagonal in range(-edits, edits + 1, 2):
                down = _is_down(reached, diagonal, edits)
                x = reached[diagonal + 1] if down else reached[diagonal - 1] + 1
                y, from_x = x - diagonal, x
                while x < length and y < width and self.before[start + x] == self.after[other + y]:
                    x, y = x + 1, y + 1
                self.budget -= x - from_x
                reached[diagonal] = x
                if x >= length and y >= width:
                    yield from self._back(history, length, width, start, other)
                    return

    @staticmethod
    def _back(history: list[dict[int, int]], x: int, y: int, start: int, other: int) -> Iterator[Match]:
        """Yield the matches on the way back from the end of a segment."""
        for edits in range(len(history) - 1, -1, -1):
            reached, diagonal = history[edits], x - y
            before = diagonal + 1 if _is_down(reached, diagonal, edits) else diagonal - 1
            from_x = reached[before]
            from_y = from_x - before
            while x > from_x and y > from_y:
                x, y = x - 1, y - 1
                yield start + x, other + y
            x, y = from_x, from_y


def _is_down(reached: dict[int, int], diagonal: int, edits: int) -> bool:
    """Report whether a diagonal is entered by a line of the side after, not by one of the side before."""
    if abs(diagonal) == edits:
        return diagonal == -edits
    return reached[diagonal - 1] < reached[diagonal + 1]

"""One changed object as the lines of a unified difference, without secrets and without noise.

A pair comes in, lines go out: YAML of both sides, aligned by `manifests.comparison.alignment` and redacted by
`manifests.redact`. A secret that changed is marked on both sides; no digest of it is shown, since a short secret can be
found from one. Size and time are bounded, and the lines name each cut. `ops.review.assemble` makes a part of the report
of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from manifests.comparison.alignment import Path, aligned
from manifests.comparison.excerpt import MOST_PLAIN_VALUES, Excerpt
from manifests.comparison.line_matching import matches
from manifests.comparison.pairs import Pair
from manifests.object_text import as_yaml
from manifests.objects import Object
from manifests.redact import covered_object

CONTEXT = 3
MOST_LINES = 2_000
LONGEST_LINE = 400
AROUND = 80  # characters beside the change in a line that is too long
ANY_WIDTH = 2**31 - 1
REDACTED, CHANGED = "(redacted)", "(redacted, changed)"
COVERED_ONLY = "(the sides differ in redacted values only)"

LABELS = ("app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart")
CHECKSUM = re.compile(r"(?:.*[./-])?checksums?(?:[./-].*)?\Z")
LABELLED = {(one, other) for one in ("metadata", "podMetadata") for other in ("labels", "annotations")}

# Marks stand for a secret or for a text until the lines are compared. Their characters belong to no script, so that
# no secret is a part of a mark.
SECRET, BLOCK, END, ZERO = "\ue0f0", "\ue0f1", "\ue0f2", 0xE100
OWN = re.compile("[\ue0f0-\ue0f2\ue100-\ue109]")
SECRET_MARK = re.compile(f"{SECRET}[^{END}]*{END}")
BLOCK_MARK = re.compile(f"(?P<before>.*){BLOCK}(?P<number>[^{END}]*){END}\\Z")
INDENT = re.compile(r" *(?:- )*")
KEY = re.compile(r"(?:[^\s'\"]|'[^']*'|\"(?:[^\"\\]|\\.)*\")[^:]*(?=:(?: |\Z))")
PLAIN = re.compile(r"[ -~\t]*\Z")
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@dataclass(frozen=True)
class Difference:
    """The lines of a unified difference, and the number of differences that are noise."""

    lines: tuple[str, ...] = ()
    folded: int = 0


def difference(pair: Pair) -> Difference:
    """Return a pair as redacted lines; a pair that differs in noise alone has no lines."""
    before, after, folded = pair.before, pair.after, 0
    if before is not None and after is not None:
        found = aligned(before, after, lambda path, one, other: is_noise(pair, path, one, other))
        if found.is_equal:
            return Difference(folded=found.folded)
        before, after, folded = found.before, found.after, found.folded
    try:
        excerpt = Excerpt(before, after)
    except OverflowError:
        return Difference((f"(too large to compare: more than {MOST_PLAIN_VALUES:,} values)",), folded)
    numbers: dict[str, int] = {}

    def hide(value: str) -> str:
        return _mark(SECRET, numbers.setdefault(value, len(numbers)))

    one, other = (
        _Lines.of(covered_object(_without_marks(side), hide) if side else None)
        for side in (excerpt.before, excerpt.after)
    )
    lines = [*_unified(one, other)] or [COVERED_ONLY]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"(cut: {len(lines) - MOST_LINES:,} more lines)"]
    if excerpt.cut:
        lines.append(f"(cut: {excerpt.cut:,} values are not shown)")
    return Difference(tuple(lines), folded)


def is_noise(pair: Pair, path: Path, before: Any, after: Any) -> bool:
    """Report whether a difference means nothing to a reader: labels of charts, checksums, names that follow content."""
    where, key = path[-3:-1], str(path[-1])
    if where in LABELLED and (key in LABELS or (where[1] == "annotations" and CHECKSUM.match(key))):
        return True
    if path == ("metadata", "name") or not isinstance(before, str) or not isinstance(after, str):
        return False
    return (before, after) in pair.renamed


def _without_marks(value: Any) -> Any:
    """Return a copy in which no text has a character of a mark."""
    if isinstance(value, dict):
        return {_without_marks(str(key)): _without_marks(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_marks(inner) for inner in value]
    return OWN.sub(lambda found: f"\\u{ord(found[0]):04x}", value) if isinstance(value, str) else value


def _mark(kind: str, number: int) -> str:
    return kind + "".join(chr(ZERO + int(digit)) for digit in str(number)) + END


def _number(digits: str) -> int:
    return int("".join(str(ord(digit) - ZERO) for digit in digits))


@dataclass
class _Lines:
    """One side as lines, each with its key and the place of the line that contains it."""

    lines: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, item: Object | None) -> _Lines:
        """Return an object as YAML, in which each text of several lines is a block, regardless of its characters."""
        found = cls()
        blocks: list[str] = []
        text = as_yaml(_with_marks(item, blocks), ANY_WIDTH) if item is not None else ""
        above: list[tuple[int, int]] = []  # column and place of the lines that contain this one
        for line in text.split("\n")[:-1]:
            indent = INDENT.match(line).end()  # type: ignore[union-attr]  # it matches an empty text
            key = KEY.match(line, indent)
            while above and above[-1][0] >= indent:
                above.pop()
            found._add(line, key[0] if key else "", above)
            if key:
                above.append((indent, len(found.lines) - 1))
            if block := BLOCK_MARK.match(line):
                found._expand(block["before"], blocks[_number(block["number"])], indent + 2 * bool(key), above)
        return found

    def _add(self, line: str, key: str, above: Sequence[tuple[int, int]]) -> None:
        self.lines.append(line)
        self.keys.append(key)
        self.parents.append(above[-1][1] if above else -1)

    def _expand(self, before: str, text: str, indent: int, above: Sequence[tuple[int, int]]) -> None:
        """Replace a mark by the lines of its text."""
        lines = text.split("\n")
        end = "-" if lines[-1] else ("+" if text.endswith("\n\n") or text == "\n" else "")
        start = "2" if text.lstrip("\n").startswith((" ", "\t")) or not text.strip("\n") else ""
        self.lines[-1] = f"{before}|{start}{end}"
        for line in lines if lines[-1] else lines[:-1]:
            self._add(f"{' ' * indent}{line}" if line else "", "", above)

    def section(self, place: int) -> str:
        """Return the keys that lead to a line."""
        found = []
        while (place := self.parents[place]) >= 0:
            found.append(self.keys[place])
        return ".".join(reversed(found))


def _with_marks(value: Any, blocks: list[str]) -> Any:
    """Return a value with a mark in place of each text of several lines: YAML would write some of them in one line."""
    if isinstance(value, dict):
        return {key: _with_marks(inner, blocks) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_marks(inner, blocks) for inner in value]
    if not isinstance(value, str) or "\n" not in value:
        return value
    blocks.append(value)
    return _mark(BLOCK, len(blocks) - 1)


def _unified(one: _Lines, other: _Lines) -> Iterator[str]:
    """Yield the lines of a unified difference; the line of a hunk has the keys that lead to it."""
    changes = [*_changes(one.lines, other.lines)]
    shown = _Shown([one.lines[i:to] for i, to, _, _ in changes], [other.lines[j:to] for _, _, j, to in changes])
    while changes:
        count = _hunk(changes)
        hunk, changes = changes[:count], changes[count:]
        (first, _, start, stop), (_, last, _, _) = hunk[0], hunk[-1]
        lead, tail = min(CONTEXT, first), min(CONTEXT, len(one.lines) - last)
        if one.lines and other.lines:
            at = other.section(start) if start < stop else one.section(first)
            yield f"@@ {_visible(SECRET_MARK.sub(REDACTED, at))} @@" if at else "@@"
        here = start - lead
        for _, _, j, to in hunk:
            yield from shown.context(other.lines[here:j])
            yield from shown.next()
            here = to
        yield from shown.context(other.lines[here : here + tail])


def _changes(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the ranges of lines that differ."""
    i = j = 0
    for x, y in [*matches(before, after), (len(before), len(after))]:
        if x > i or y > j:
            yield i, x, j, y
        i, j = x + 1, y + 1


def _hunk(changes: Sequence[tuple[int, int, int, int]]) -> int:
    """Return the number of changes that share their context."""
    pairs = enumerate(pairwise(changes), 1)
    return next((count for count, (one, other) in pairs if other[0] - one[1] > 2 * CONTEXT), len(changes))


class _Shown:
    """The changed lines as a reader may see them: without secrets, and of a bounded length."""

    def __init__(self, removed: list[list[str]], added: list[list[str]]) -> None:
        self.blocks = zip(removed, added, strict=True)
        self.sides = [{line for block in blocks for line in block if SECRET in line} for blocks in (removed, added)]
        self.marks = [_marks(side) for side in self.sides]
        self.covered = [{SECRET_MARK.sub(REDACTED, line) for line in side} for side in self.sides]

    def context(self, lines: Sequence[str]) -> Iterator[str]:
        for line in lines:
            yield f" {_visible(_window(SECRET_MARK.sub(REDACTED, line)))}"

    def next(self) -> Iterator[str]:
        """Yield the lines of the next change."""
        removed, added = next(self.blocks)
        gone, new = _marks(removed) - self.marks[1], _marks(added) - self.marks[0]
        moved = gone | new if gone and new else set()
        ones = [self._line(line, moved, 1) for line in removed]
        others = [self._line(line, moved, 0) for line in added]
        if len(ones) == len(others):
            pairs = [_windows(one, other) for one, other in zip(ones, others, strict=True)]
            ones, others = [one for one, _ in pairs], [other for _, other in pairs]
        yield from (f"-{_visible(_window(line))}" for line in ones)
        yield from (f"+{_visible(_window(line))}" for line in others)

    def _line(self, line: str, changed: set[str], beside: int) -> str:
        """Return a line with its secrets covered, marked where the other side would read the same and is not."""
        if SECRET not in line:
            return line
        alike = line not in self.sides[beside] and SECRET_MARK.sub(REDACTED, line) in self.covered[beside]
        return SECRET_MARK.sub(lambda found: CHANGED if alike or found[0] in changed else REDACTED, line)


def _marks(lines: Iterable[str]) -> set[str]:
    return {mark for line in lines for mark in SECRET_MARK.findall(line)}


def _windows(one: str, other: str) -> tuple[str, str]:
    """Return two long lines around the part in which they differ."""
    if max(len(one), len(other)) <= LONGEST_LINE:
        return one, other
    same = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(map(len, (one, other)))
    )
    return _window(one, same), _window(other, same)


def _window(line: str, same: int = 0) -> str:
    """Return a part of a long line."""
    if len(line) <= LONGEST_LINE:
        return line
    start = same - AROUND if same > LONGEST_LINE // 2 else 0
    end = start + LONGEST_LINE - 2 * AROUND
    head = f"{line[:AROUND]} … " if start else ""
    return f"{head}{line[start:end]}" + (f" … ({len(line):,} characters)" if end < len(line) else "")


def _visible(line: str) -> str:
    """Return a line without characters that a reader cannot see, or that change the order of others."""
    if PLAIN.match(line):
        return line
    return "".join(
        char if char == "\t" or unicodedata.category(char) not in UNSEEN else f"\\u{ord(char):04x}" for char in line
    )

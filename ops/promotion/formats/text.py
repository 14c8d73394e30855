"""The matrix as text for a terminal: a table of parts and apps by environment, holds, problems and one summary line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from errors import printable
from ops.promotion.formats import words
from ops.promotion.report import MatrixCell, MatrixRow, VersionMatrix
from ops.terminal import coloured, table

NOT_HERE = "-"


def text(matrix: VersionMatrix, *, in_full: bool = False) -> str:
    """Return the matrix; in full, with the commit of each pin and each version that differs."""
    return "\n".join(_lines(matrix, in_full=in_full))


def _lines(matrix: VersionMatrix, *, in_full: bool) -> Iterator[str]:
    names = [one.name for one in matrix.environments]
    for title, rows in (("infrastructure", matrix.infrastructure), ("application", matrix.applications)):
        if rows:
            cells = [
                (printable(row.name), *(_cell(matrix, cell, in_full=in_full) for cell in row.cells)) for row in rows
            ]
            yield from (table((title, *names), cells), "")
    if in_full:
        yield from _steps(words.rows(matrix), names)
    found = [
        printable(f"  {name} in {environment}: {reason}") for _, name, environment, reason in words.remarks(matrix)
    ]
    if found:
        yield from ("holds and unknown pins:", *found, "")
    yield from (printable(f"note: {note}") for note in matrix.notes)
    is_behind = any(one.behind for one in matrix.environments)
    yield coloured(printable(matrix.summary), "yellow" if is_behind else "green")


def _cell(matrix: VersionMatrix, cell: MatrixCell, *, in_full: bool) -> str:
    if not cell.version:
        return NOT_HERE
    facts = words.facts(cell, matrix.at, is_first=words.is_first(matrix, cell.environment), with_pin=in_full)
    listed = ", ".join(filter(None, (words.difference(cell), *facts)))
    return printable(f"{cell.version} ({listed})" if listed else cell.version)


def _steps(rows: Iterable[MatrixRow], names: Sequence[str]) -> Iterator[str]:
    """Yield the versions that a promotion would raise."""
    lines = [
        printable(f"  {row.name} in {cell.environment}: {step.name} {step.here} -> {step.before}")
        for row in rows
        for cell in row.cells
        for step in cell.steps
    ]
    if lines:
        yield from ("a promotion would bring:", *lines, "")

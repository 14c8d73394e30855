"""The matrix as Markdown that fits into a comment on a pull request.

Rows with a difference come first, all others are folded. Where that is longer than the limit, folded rows are left out
first, then the last ones of the others, and a line names their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ops.promotion.formats import words
from ops.promotion.report import MatrixCell, MatrixRow, VersionMatrix
from ops.review.formats.escaped import cell as code_in_table
from ops.review.formats.escaped import code, prose
from ops.terminal import count

LIMIT = 64_512  # as that of a preview's comment
MARKER = "<!-- homelab versions -->"


def markdown(matrix: VersionMatrix, limit: int = LIMIT) -> str:
    """Return the matrix in at most this number of bytes."""
    matrix = words.visible(matrix)
    rows = tuple(words.rows(matrix))
    shown = [_row(matrix, row) for row in rows if words.differs(row)]
    folded = [_row(matrix, row) for row in rows if not words.differs(row)]
    head = _head(matrix)
    opening = f"{MARKER}\n## Versions by environment\n\n{prose(matrix.summary)}\n"
    ending = _remarks(matrix)
    fold = _folded(head, folded)
    if _size(opening, head, *shown, fold, ending) > limit:
        fold = f"\n{count(len(folded), 'row')} without a difference.\n" if folded else ""
    kept, left_out = list(shown), ""
    while kept and _size(opening, head, *kept, left_out, fold, ending) > limit:
        kept.pop()
        left_out = f"\n**Left out**, since a comment is too small: {count(len(shown) - len(kept), 'row')}.\n"
    if _size(opening, head, left_out, fold, ending) > limit:
        ending = f"\n{count(len(tuple(words.remarks(matrix))), 'hold or problem', 'holds and problems')}.\n"
    listed = "".join((f"\n{head}", *kept)) if kept else ""
    return f"{opening}{listed}{left_out}{fold}{ending}"


def _size(*texts: str) -> int:
    return sum(len(text.encode()) for text in texts)


def _head(matrix: VersionMatrix) -> str:
    names = ["", *(code_in_table(one.name) for one in matrix.environments)]
    return f"| {' | '.join(names)} |\n|{' --- |' * len(names)}\n"


def _row(matrix: VersionMatrix, row: MatrixRow) -> str:
    return f"| {' | '.join((code_in_table(row.name), *(_cell(matrix, cell) for cell in row.cells)))} |\n"


def _cell(matrix: VersionMatrix, cell: MatrixCell) -> str:
    if not cell.version:
        return ""
    difference = words.difference(cell)
    facts = words.facts(cell, matrix.at, is_first=words.is_first(matrix, cell.environment), with_pin=True)
    parts = (code_in_table(cell.version), f"**{difference}**" if difference else "", _facts(facts))
    return " ".join(filter(None, parts))


def _facts(facts: Iterable[str]) -> str:
    return ", ".join(code_in_table(one) if one.startswith("@") else prose(one).replace("|", "\\|") for one in facts)


def _folded(head: str, rows: Sequence[str]) -> str:
    if not rows:
        return ""
    table = "".join((head, *rows))
    return f"\n<details><summary>{count(len(rows), 'row')} without a difference</summary>\n\n{table}\n</details>\n"


def _remarks(matrix: VersionMatrix) -> str:
    lines = [
        f"- {code(name)} in {code(environment)}{' is held' if kind == 'held' else ''}: {prose(text)}\n"
        for kind, name, environment, text in words.remarks(matrix)
    ]
    notes = [f"- {prose(note)}\n" for note in matrix.notes]
    return "".join(["\n", *lines, *notes]) if lines or notes else ""

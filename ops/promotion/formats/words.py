"""The words of a cell that all formats share: its difference, its age, its pin and its health.

A `MatrixCell` comes in, short texts go out. Each format escapes them; none has a control character.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from manifests.comparison.references import Jump
from ops.promotion.report import DIFFERS, MatrixCell, MatrixRow, VersionMatrix

SHORT = 8
BEHIND: dict[Jump, str] = {
    "major": "major behind",
    "minor": "minor behind",
    "patch": "patch behind",
    "downgrade": "ahead",
    "digest": "other digest",
    "other": "other version",
}
"""By the size of the step that a promotion would make, the largest first."""


def difference(cell: MatrixCell) -> str:
    """Return the difference to the environment before, nothing where there is none."""
    if cell.difference == "versions":
        return BEHIND[jump(cell)]
    return {"manifests": "other manifests", "absent": "not here"}.get(cell.difference, "")


def jump(cell: MatrixCell) -> Jump:
    """Return the largest step of a cell."""
    return next((one for one in BEHIND if one in {step.jump for step in cell.steps}), "other")


def facts(cell: MatrixCell, at: datetime, *, is_first: bool, with_pin: bool) -> list[str]:
    """Return everything else about a cell: age, pin, waiting changes, health, hold."""
    return [*_facts(cell, at, is_first=is_first, with_pin=with_pin)] if cell.version else []


def _facts(cell: MatrixCell, at: datetime, *, is_first: bool, with_pin: bool) -> Iterator[str]:
    if cell.since:
        yield age(cell.since, at)
    if cell.uncommitted:
        yield "uncommitted"
    if cell.pin and with_pin and not cell.pin.startswith(cell.version):
        yield f"@{cell.pin[:SHORT]}"
    if cell.follows and not is_first:
        yield f"follows {cell.follows}"
    if cell.own_changes:
        yield "own changes wait"
    if cell.health:
        yield health(cell, at)
    if cell.hold:
        yield "held"
    if cell.problem:
        yield "unknown pin"


def health(cell: MatrixCell, at: datetime) -> str:
    """Return the state of a cell's app in its cluster."""
    if cell.health is None:
        return ""
    if cell.health.since:
        return f"{cell.health.health} {age(cell.health.since, at)}"
    return f"{cell.health.health}, {cell.health.sync}"


def age(since: datetime, at: datetime) -> str:
    """Return the time between two times in one unit."""
    seconds = max(int((at - since).total_seconds()), 0)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def differs(row: MatrixRow) -> bool:
    """Return whether a row has a difference, a hold or a problem that a reader must see."""
    return any(cell.difference in DIFFERS or cell.hold or cell.problem or cell.own_changes for cell in row.cells)


def remarks(matrix: VersionMatrix) -> Iterator[tuple[str, str, str, str]]:
    """Yield the kind, the row, the environment and the text of each hold and each problem."""
    for row in rows(matrix):
        for cell in row.cells:
            if cell.hold:
                yield "held", row.name, cell.environment, cell.hold
            if cell.problem:
                yield "problem", row.name, cell.environment, cell.problem


def visible(matrix: VersionMatrix) -> VersionMatrix:
    """Return a copy in which every control character of every text is an escape."""
    from ops.review.formats.summary import visible_values  # noqa: PLC0415 - the report of the preview is slow to import

    return VersionMatrix.model_validate(visible_values(matrix.model_dump()))


def rows(matrix: VersionMatrix) -> Iterable[MatrixRow]:
    """Return all rows."""
    return (*matrix.infrastructure, *matrix.applications)


def is_first(matrix: VersionMatrix, environment: str) -> bool:
    """Return whether an environment follows its branch by design: the first, and without a chain each one."""
    return environment == next(iter(matrix.chain), environment)

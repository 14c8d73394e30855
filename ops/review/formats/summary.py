"""The parts that all formats share: texts without control characters, counts in words, and links that are safe.

A `Report` comes in; each format calls `visible` first, so that no text of a checkout can move a cursor or turn the
direction of the text around it, in no format and in no field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from errors import printable
from ops.review.report import (
    ApplicationChange,
    Danger,
    Infrastructure,
    ManifestChange,
    ObjectChange,
    Observation,
    Report,
    VersionChange,
)
from ops.terminal import count

ORDER = ("dangers", "broken", "apps", "objects", "versions", "resources", "nodes", "mended")
HEADER = 2  # lines of a unified difference before its first hunk
SHORT = 8  # characters of a commit
LINK = re.compile(r"https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9._~/+%@:=-]*)?(?:#[A-Za-z0-9._~-]*)?")
AGAINST = {
    "state": "compared with the state of the stack",
    "empty state": "compared with an empty state: everything is new",
    "base": "desired resources of both revisions, without the state",
    "rehearsal": "compared with the state of the rehearsal",
    "unaffected": "the engine reads no changed file",
    "not run": "not compared",
}


def visible(report: Report) -> Report:
    """Return a copy in which every control character of every text is an escape."""
    return Report.model_validate(visible_values(report.model_dump()))


def visible_values(value: Any) -> Any:
    """Return data in which every control character of every text is an escape."""
    if isinstance(value, str):
        # A file name that is no UTF-8 has lone surrogates, which no format can encode.
        return printable(value.expandtabs(4).encode("utf-8", "backslashreplace").decode())
    if isinstance(value, dict):
        return {visible_values(name): visible_values(inner) for name, inner in value.items()}
    return tuple(map(visible_values, value)) if isinstance(value, list | tuple) else value


def verdict_line(report: Report) -> str:
    """Return the verdict with its counts in one line of plain text, such as for the status of a commit."""
    counted = totals(report)
    return printable(f"{report.verdict}: {', '.join(counted) or 'no changes'}")


def totals(report: Report) -> list[str]:
    """Return each count with its noun, the most important first and without zeros."""
    names = sorted(report.counts, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [count(report.counts[name], name.removesuffix("s"), name) for name in names if report.counts[name]]


def boxes(report: Report) -> list[tuple[Danger, list[Danger]]]:
    """Return the dangers with one rule, reason and certainty together, behind the first of them."""
    found: dict[tuple[str, str, str], list[Danger]] = {}
    for danger in report.dangers:
        found.setdefault((danger.rule, danger.reason, danger.certainty), []).append(danger)
    return [(same[0], same) for same in found.values()]


def operations(objects: Iterable[ObjectChange]) -> str:
    """Return the number of objects by operation: 2 changed, 1 added."""
    found = [one.operation for one in objects]
    numbers = ((found.count(name), name) for name in ("changed", "added", "removed"))
    return ", ".join(f"{number} {name}" for number, name in numbers if number)


def manifest_totals(change: ManifestChange) -> str:
    """Return the summary of one app's manifests."""
    failed = f"does not render, {count(change.not_compared, 'object')} not compared" if change.error else ""
    return ", ".join(part for part in (failed, operations(change.objects)) if part) or "no objects"


def object_counts(change: ApplicationChange) -> str:
    """Return the objects of an Application as signed numbers: +1 ~2 -3."""
    numbers = (("+", change.added), ("~", change.changed), ("-", change.removed))
    return " ".join(f"{sign}{number}" for sign, number in numbers if number) or "none"


def plan(part: Infrastructure) -> str:
    """Return the engine's counts in words: 1 replace, 2 update."""
    counted = ", ".join(f"{number} {name}" for name, number in part.counts.items() if number)
    return "-" if part.against == "not run" else counted or "no changes"


def versions_of(change: VersionChange) -> tuple[str, str]:
    """Return both versions, with the beginning of a digest where the versions alone are equal."""
    sides = ((change.before, change.digest_before), (change.after, change.digest_after))
    if change.before != change.after:
        return change.before or "(none)", change.after or "(none)"
    before, after = (f"{version}@{digest.removeprefix('sha256:')[:12] or 'no digest'}" for version, digest in sides)
    return before, after


def disagreements(seen: Observation) -> str:
    """Return the objects in which this report and Argo CD disagree."""
    return ", ".join(seen.differences) or ("" if seen.error else "none")


def link(address: str) -> str:
    """Return an address if a click on it can only open a page; otherwise an empty text."""
    return address if LINK.fullmatch(address) else ""


def body(difference: Sequence[str]) -> tuple[str, ...]:
    """Return the lines of a unified difference without the names of its files."""
    named = len(difference) >= HEADER and difference[0].startswith("--- ") and difference[1].startswith("+++ ")
    return tuple(difference[HEADER:] if named else difference)


def folded(change: ObjectChange) -> str:
    """Return the note about lines that are noise."""
    return f"{count(change.folded, 'line')} of checksums and chart labels folded" if change.folded else ""

"""A report as text for a terminal: the verdict, dangers, tables, and the beginning of each difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ops.review.formats import summary
from ops.review.report import Danger, ObjectChange, Report
from ops.terminal import coloured, count, table

COLOURS = {"routine": "green", "review": "yellow", "dangerous": "red"}
SHOWN = 20  # lines of one difference
OBJECTS = 60  # objects with a difference


def text(report: Report) -> str:
    """Return the report without its long differences."""
    return "\n".join(_lines(summary.visible(report)))


def _lines(report: Report) -> Iterator[str]:
    yield coloured(summary.verdict_line(report), COLOURS[report.verdict])
    yield from (f"  {reason}" for reason in report.because)
    for name, side in (("base", report.base), ("head", report.head)):
        changed = f" and {count(side.changed_files, 'changed file')}" if side.changed_files else ""
        yield f"  {name}: {side.commit[: summary.SHORT] or 'no commit'} {side.subject}{changed}".rstrip()
    yield f"  stacks: {', '.join(report.stacks)}"
    for danger, same in summary.boxes(report):
        certainty = "" if danger.certainty == "certain" else f" ({danger.certainty})"
        yield ""
        yield coloured(f"DANGER {danger.rule}{certainty}: {danger.reason}", "red")
        yield from (f"  {text}" for text in (danger.why,) if text)
        yield from (f"  {place}" for one in same for place in _places(one) if place)
    for title, head, rows in _tables(report):
        yield from _part(title, head, rows)
    yield from _details(report)
    yield from _manifests(report)
    if report.notes:
        yield from ("", *(f"note: {note}" for note in report.notes))


def _places(danger: Danger) -> tuple[str, str]:
    return f"{danger.where} in {', '.join(danger.stacks)}" if danger.stacks else danger.where, danger.file


def _part(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    filled = list(rows)
    if filled:
        yield from ("", coloured(title, "bold"), table(head, filled))


def _tables(report: Report) -> Iterator[tuple[str, Sequence[str], Iterable[Sequence[str]]]]:
    """Yield each table with its title and head."""
    yield (
        "infrastructure",
        ("stack", "resources", "compared", "note"),
        ((one.stack, summary.plan(one), summary.AGAINST[one.against], one.note) for one in report.infrastructure),
    )
    yield (
        "machine configurations",
        ("stack", "node", "cost", "why"),
        ((one.stack, one.node, one.cost, one.why) for one in report.machines),
    )
    yield (
        "applications",
        ("app", "stacks", "change", "objects", "sync"),
        (
            (one.app, ", ".join(one.stacks), one.operation, summary.object_counts(one), one.sync)
            for one in report.applications
        ),
    )
    yield (
        "removed objects",
        ("app", "object", "what Argo CD does", "why"),
        ((app.app, one.object, one.fate, one.why) for app in report.applications for one in app.removed_objects),
    )
    yield (
        "versions",
        ("app", "stacks", "kind", "name", "before", "after", "jump"),
        (
            (one.app, ", ".join(one.stacks), one.kind, one.name, *summary.versions_of(one), one.jump)
            for one in report.versions
        ),
    )
    changes = (("broken", report.checks.broken), ("mended", report.checks.mended))
    yield (
        "checks",
        ("", "place", "rule", "fix", "check"),
        ((word, one.where, one.rule, one.fix, one.check) for word, found in changes for one in found),
    )
    yield (
        "Argo CD in a rehearsal",
        ("stack", "app", "objects", "differs from this report", "error"),
        (
            (one.stack, one.app, str(one.objects), summary.disagreements(one), one.error)
            for one in (report.rehearsed.observations if report.rehearsed else ())
        ),
    )


def _details(report: Report) -> Iterator[str]:
    """Yield resources, messages and machine configurations."""
    for part in report.infrastructure:
        for component in part.components:
            yield from ("", coloured(f"{part.stack}: {component.component}", "bold"))
            for resource in component.resources:
                yield f"  {resource.operation} {resource.type} {resource.name}"
                yield from (f"    {one.path}: {one.before or '-'} -> {one.after or '-'}" for one in resource.properties)
        yield from (f"  {message}" for message in part.messages)
    for node in report.machines:
        if node.difference:
            yield from ("", coloured(f"{node.stack}: {node.node}", "bold"), *_difference(node.difference))
    notes = (report.checks.note, report.rehearsed.note if report.rehearsed else "")
    yield from (f"\n{note}" for note in notes if note)


def _manifests(report: Report) -> Iterator[str]:
    room = OBJECTS
    for app in report.manifests:
        title = f"{app.app} in {', '.join(app.stacks)}: {summary.manifest_totals(app)}"
        yield from ("", coloured(title, "red" if app.error else "bold")) if room > 0 else (title,)
        if app.error:
            yield f"  {app.error}"
        for change in app.objects[: max(0, room)]:
            yield from _object(change)
        room -= len(app.objects)
    if room < 0:
        yield f"\n{count(-room, 'object')} without their differences: --format html has all of it"


def _object(change: ObjectChange) -> Iterator[str]:
    noise = summary.folded(change)
    yield f"  {change.operation} {change.object}{f' ({noise})' if noise else ''}"
    yield from _difference(change.difference)


def _difference(difference: Sequence[str]) -> Iterator[str]:
    lines = summary.body(difference)
    for line in lines[:SHOWN]:
        colour = {"+": "green", "-": "red", "@": "grey"}.get(line[:1], "")
        yield f"    {coloured(line, colour) if colour else line}"
    if len(lines) > SHOWN:
        yield f"    … {count(len(lines) - SHOWN, 'line')} more: --format html has all of it"

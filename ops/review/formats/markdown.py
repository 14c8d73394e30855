"""A report as Markdown that fits into a comment on a pull request.

The comment begins with a hidden mark, by which the next run finds it. Where the report is longer than the limit, the
least important blocks take a shorter form, one after another, and a line names the content that was left out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ops.review.formats import summary
from ops.review.formats.escaped import cell, cells, code, codes, fenced, prose
from ops.review.formats.escaped import summary as html_name
from ops.review.formats.summary import verdict_line, visible
from ops.review.report import Danger, ManifestChange, ObjectChange, Report, ResourceChange, Revision
from ops.terminal import count

__all__ = ["LIMIT", "MARKER", "markdown", "verdict_line"]

MARKER = "<!-- homelab preview -->"
LIMIT = 64_512  # GitHub's 65,536 without the lines that .github/scripts/comment.py adds
ROWS = 20
PLACES = 10
SIGN = {"routine": "🟢", "review": "🟡", "dangerous": "🔴"}
# Blocks with a lower rank take their shorter form first.
ADDED, REMOVED, CHANGED, COMPONENT, NODE, OBJECTS, TABLE, APP, ROWLESS, HEAD, DANGER = range(11)


@dataclass(frozen=True, eq=False)
class Block:
    """A part of the comment with its shorter forms; each step to the next form has a rank and leaves something out.

    The closing follows the blocks inside, and only where the first form opened it.
    """

    forms: Sequence[str]
    steps: Sequence[tuple[float, str]] = ()
    inside: Sequence[Block] = ()
    closing: str = ""

    def all(self) -> Iterator[Block]:
        """Yield this block and those inside of it."""
        yield self
        for one in self.inside:
            yield from one.all()

    def size(self, form: int) -> int:
        """Return the bytes of a form without the blocks inside."""
        return _size(self.forms[form]) + (0 if form else _size(self.closing))

    def text(self, taken: Mapping[Block, int]) -> str:
        """Return the forms that were taken."""
        form = taken.get(self, 0)
        inside = "".join(one.text(taken) for one in self.inside)
        return f"{self.forms[form]}{inside}{'' if form else self.closing}"


def markdown(report: Report, limit: int = LIMIT) -> str:
    """Return the report in at most this number of bytes, and so of characters."""
    parts = [*_blocks(visible(report))]
    blocks = [block for part in parts for block in part.all()]
    taken: dict[Block, int] = {}
    size = sum(block.size(0) for block in blocks)
    left_out: Counter[str] = Counter()
    steps = (
        (rank, block.size(form + 1) - block.size(form), number, form + 1, noun)
        for number, block in enumerate(blocks)
        for form, (rank, noun) in enumerate(block.steps)
    )
    for _, change, number, form, noun in sorted(steps) if size > limit else ():
        taken[blocks[number]] = form
        size += change
        left_out[noun] += 1
        if size + _size(_left_out(left_out)) <= limit:
            break
    return "".join((*(part.text(taken) for part in parts), _left_out(left_out)))


def _size(text: str) -> int:
    return len(text.encode())


def _left_out(nouns: Counter[str]) -> str:
    listed = ", ".join(count(number, noun, _plural(noun)) for noun, number in nouns.items() if noun)
    return f"\n**Left out**, since a comment is too small: {listed}. The HTML report has all of it.\n" if nouns else ""


def _plural(noun: str) -> str:
    first, of, rest = noun.partition(" of ")
    return f"{first}s{of}{rest}"


def _blocks(report: Report) -> Iterator[Block]:
    counts = prose(", ".join(summary.totals(report)) or "no changes")
    yield Block([f"{MARKER}\n## {SIGN[report.verdict]} {report.verdict}: {counts}\n"])
    if report.because:
        yield Block(["\n" + _list(report.because), ""], [(HEAD, "list of reasons")])
    where = f"stacks {codes(report.stacks)}" if report.stacks else "no stack"
    line = f"\nFrom {_revision(report.base)} to {_revision(report.head)}; {where}.\n"
    yield Block([line, ""], [(HEAD, "line of revisions")])
    yield from _dangers(report)
    yield from _infrastructure(report)
    yield from _machines(report)
    yield from _applications(report)
    yield from _versions(report)
    yield from _checks(report)
    yield from _rehearsed(report)
    yield from _manifests(report)
    if report.notes:
        yield Block(["\n### Notes\n\n" + _list(report.notes), ""], [(HEAD, "list of notes")])


def _revision(side: Revision) -> str:
    commit = f"{code(side.commit[: summary.SHORT])} {code(side.subject)}".strip() or "no commit"
    return f"{commit} with {count(side.changed_files, 'changed file')}" if side.changed_files else commit


def _list(texts: Iterable[str]) -> str:
    return "".join(f"- {prose(text)}\n" for text in texts)


def _dangers(report: Report) -> Iterator[Block]:
    """Yield a box for each danger; the last ones are left out first."""
    boxes = summary.boxes(report)
    for number, (danger, same) in enumerate(boxes):
        certainty = "" if danger.certainty == "certain" else f" ({danger.certainty})"
        why = f">\n> {prose(danger.why)}\n" if danger.why else ""
        head = f"\n> [!CAUTION]\n> **{prose(danger.rule)}**{certainty}: {prose(danger.reason)}\n{why}>\n"
        places = [f"> {'- ' if len(same) > 1 else ''}{_place(one)}\n" for one in same]
        more = f">\n> … and {count(len(same) - PLACES, 'place')} more\n" if len(same) > PLACES else ""
        forms = [head + "".join(places), head + "".join(places[:PLACES]) + more, ""]
        yield Block(forms, [(TABLE, "list of places" if more else ""), (DANGER - number / len(boxes), "danger")])


def _place(danger: Danger) -> str:
    place = ", ".join(part for part in (code(danger.where), code(danger.file)) if part)
    return f"{place} in {codes(danger.stacks)}" if danger.stacks else place


def _table(title: str, noun: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Block]:
    """Yield a table that can be cut to its first rows, then to their number."""
    lines = [f"| {' | '.join(row)} |\n" for row in rows]
    if not lines:
        return
    opening = f"\n### {title}\n\n" if title else "\n"
    columns = f"| {' | '.join(head)} |\n|{' --- |' * len(head)}\n"
    full, counted = opening + columns + "".join(lines), f"{opening}{count(len(lines), noun)}.\n"
    if len(lines) <= ROWS:
        yield Block([full, counted], [(ROWLESS, "table")])
        return
    more = f"\n… and {count(len(lines) - ROWS, noun)} more.\n"
    cut = opening + columns + "".join(lines[:ROWS]) + more
    yield Block([full, cut, counted], [(TABLE, "end of a table"), (ROWLESS, "table")])


def _infrastructure(report: Report) -> Iterator[Block]:
    rows = (
        (cell(one.stack), prose(summary.plan(one)), prose(summary.AGAINST[one.against]), prose(one.note))
        for one in report.infrastructure
    )
    yield from _table("Infrastructure", "stack", ("stack", "resources", "compared", "note"), rows)
    for part in report.infrastructure:
        for component in part.components:
            name = f"{html_name(part.stack)} {html_name(component.component)}"
            head = f"{name}: {count(len(component.resources), 'resource')}"
            changed = itertools.chain.from_iterable(map(_resource, component.resources))
            table = _rows(("operation", "resource", "property", "before", "after"), changed)
            yield Block([_details(head, table), ""], [(COMPONENT, "component")])
        if part.messages:
            yield Block(["\n" + _list(part.messages), ""], [(COMPONENT, "list of messages")])


def _resource(resource: ResourceChange) -> Iterator[tuple[str, ...]]:
    name = f"{cell(resource.name)} {cell(resource.type)}"
    yield (resource.operation, name, "", "", "")
    for one in resource.properties:
        yield ("", "", cell(one.path), cell(one.before), cell(one.after))


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _details(head: str, content: str) -> str:
    return f"\n<details><summary>{head}</summary>\n\n{content}\n\n</details>\n"


def _machines(report: Report) -> Iterator[Block]:
    rows = ((cell(one.stack), cell(one.node), f"**{one.cost}**", prose(one.why)) for one in report.machines)
    yield from _table("Machine configurations", "node", ("stack", "node", "cost", "why"), rows)
    for node in report.machines:
        if node.difference:
            name = f"{html_name(node.stack)} {html_name(node.node)}"
            yield Block([_details(name, fenced(summary.body(node.difference))), ""], [(NODE, "machine configuration")])


def _applications(report: Report) -> Iterator[Block]:
    rows = (
        (cell(one.app), cells(one.stacks), one.operation, cell(summary.object_counts(one)), prose(one.sync))
        for one in report.applications
    )
    head = ("app", "stacks", "change", "objects", "sync")
    yield from _table("Applications", "app", head, rows)
    yield from _table("", "row", ("app", "removed objects", "what Argo CD does", "why"), _removed(report))


def _removed(report: Report) -> Iterator[Sequence[str]]:
    """Yield a row for all objects of an app that share a fate and its reason."""
    for app in report.applications:
        same: dict[tuple[str, str], list[str]] = {}
        for one in app.removed_objects:
            same.setdefault((one.fate, one.why), []).append(one.object)
        for (fate, why), objects in same.items():
            more = f" and {len(objects) - ROWS} more" if len(objects) > ROWS else ""
            yield (cell(app.app), f"{cells(objects[:ROWS])}{more}", f"**{fate}**", prose(why))


def _versions(report: Report) -> Iterator[Block]:
    rows = []
    for one in report.versions:
        before, after = summary.versions_of(one)
        address = summary.link(one.release_notes)
        notes = f"[notes](<{address}>)" if address else ""
        jump = f"**{one.jump}**" if one.jump in ("major", "downgrade") else one.jump
        moved = f"{cell(before)} → {cell(after)}"
        rows.append((cell(one.app), cells(one.stacks), f"{one.kind} {cell(one.name)}", moved, jump, notes))
    head = ("app", "stacks", "name", "versions", "jump", "release")
    yield from _table("Versions", "version", head, rows)


def _checks(report: Report) -> Iterator[Block]:
    rows = [
        (word, cell(one.where), prose(one.rule), prose(one.fix), cell(one.check))
        for word, changes in (("**broken**", report.checks.broken), ("mended", report.checks.mended))
        for one in changes
    ]
    yield from _table("Checks", "finding", ("", "place", "rule", "fix", "check"), rows)
    if report.checks.note:
        yield Block([f"\n{prose(report.checks.note)}\n", ""], [(HEAD, "note")])


def _rehearsed(report: Report) -> Iterator[Block]:
    if report.rehearsed is None:
        return
    rows = (
        (
            cell(one.stack),
            cell(one.app),
            str(one.objects),
            cells(one.differences) or summary.disagreements(one),
            prose(one.error),
        )
        for one in report.rehearsed.observations
    )
    head = ("stack", "app", "objects", "differs from this report", "error")
    yield from _table("Argo CD in a rehearsal", "app", head, rows)
    if report.rehearsed.note:
        yield Block([f"\n{prose(report.rehearsed.note)}\n", ""], [(HEAD, "note")])


def _manifests(report: Report) -> Iterator[Block]:
    if report.manifests:
        yield Block([f"\n### Manifests\n\n{count(len(report.manifests), 'app')}.\n"])
    for app in report.manifests:
        head = f"{html_name(app.app)}: {summary.manifest_totals(app)} ({html_name(', '.join(app.stacks))})"
        if app.error:
            yield Block([_failed(app), f"\n{head}\n", ""], [(OBJECTS, "error"), (APP, "app")])
        if app.objects:
            forms = [f"\n<details><summary>{head}</summary>\n", f"\n{head}\n", ""]
            steps = [(OBJECTS + 0.5, ""), (APP, "app")]
            yield Block(forms, steps, [_object(one) for one in app.objects], "\n</details>\n")


def _failed(app: ManifestChange) -> str:
    left = f"{count(app.not_compared, 'object')} not compared"
    return f"\n{code(app.app)} in {codes(app.stacks)} does not render, {left}: {prose(app.error)}\n"


def _object(change: ObjectChange) -> Block:
    lines, noise = summary.body(change.difference), summary.folded(change)
    name = f"\n**{change.operation}** {code(change.object)}"
    full = f"{name}{': ' + noise if noise else ''}\n" + (f"\n{fenced(lines)}\n" if lines else "")
    short = f"{name}: {count(len(lines), 'line')}\n"
    rank = {"added": ADDED, "removed": REMOVED, "changed": CHANGED}[change.operation]
    if not lines:
        return Block([full, ""], [(OBJECTS, "object")])
    return Block([full, short, ""], [(rank, "difference"), (OBJECTS, "object")])

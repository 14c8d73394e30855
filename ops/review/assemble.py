"""The report of a change, from the span in Git and the names of stacks.

The base is laid out in a temporary folder, both sides are rendered and checked, and every part is made of them.
`ops.preview` prints the report in the format that the user chose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from config import derive
from config.tree import APPS
from errors import Declined
from manifests.pinned import PinnedTrees
from ops.review import changes, machines
from ops.review.applications import applications
from ops.review.dangers.context import Context
from ops.review.dangers.register import dangers
from ops.review.dangers.rules import REGISTER
from ops.review.dangers.verdicts import Verdicts, judged
from ops.review.redaction import without_secrets
from ops.review.report import Infrastructure, NodeConfiguration, Rehearsed, Report
from ops.review.revisions import Span
from ops.review.sides import AppPair, Pairs, Side, pairs_of, side_of
from ops.review.verdict import with_verdict

Log = Callable[[str], None]
Engine = Callable[[Side, Side, str], Infrastructure]
"""Returns the changes of one stack's resources, from both sides and the name of the stack."""
Judges = Callable[[Context], Verdicts]
"""Returns the verdicts of API servers on the objects of a change."""
Rehearsals = Callable[[Side, Sequence[AppPair]], Rehearsed | None]
"""Returns the renders of a change by rehearsed Argo CDs, from the side after it and the apps that differ."""


def report_of(
    span: Span,
    before: Path,
    names: Sequence[str],
    engine: Engine,
    log: Log,
    *,
    offline: str = "",
    judges: Judges = lambda context: {},
    rehearsals: Rehearsals = lambda after, apps: None,
) -> Report:
    """Return the report of a change to these stacks; `before` is the folder of the base."""
    log("rendering and checking the base")
    pinned = PinnedTrees(span.root)
    old = side_of(before, names, offline=offline, pinned=pinned)
    log("rendering and checking the working tree")
    new = side_of(span.root, names, old, offline, pinned)
    pairs = pairs_of(old, new, names)
    infrastructure = tuple(engine(old, new, name) for name in names)
    report, context = _report(span, old, new, pairs, infrastructure)
    found = [
        danger.model_copy(update={"why": REGISTER[danger.rule].why})
        for danger in judged(report.dangers, judges(context))
    ]
    report = report.model_copy(update={"dangers": tuple(found), "rehearsed": rehearsals(new, pairs.apps)})
    return without_secrets(with_verdict(report, pairs.apps))


def _report(
    span: Span, before: Side, after: Side, pairs: Pairs, infrastructure: tuple[Infrastructure, ...]
) -> tuple[Report, Context]:
    """Return the report without its verdict, and everything that its dangers were read from."""
    names = [one.stack for one in infrastructure]
    moved = changes.versions(pairs.apps, before, after)
    unread: list[str] = []
    nodes = tuple(node for name in names for node in _nodes(span, before, after, name, unread))
    applied = applications(pairs.apps, before, after)
    context = Context(pairs.apps, before, after, moved, applied, infrastructure, nodes)
    report = Report(
        verdict="review",
        base=span.base,
        head=span.head,
        stacks=tuple(names),
        dangers=dangers(context),
        infrastructure=infrastructure,
        machines=nodes,
        applications=applied,
        versions=moved,
        manifests=changes.manifests(pairs.apps),
        checks=changes.checks(before, after),
        notes=tuple(dict.fromkeys([*span.notes, *pairs.notes, *unread, *_stand_ins(pairs, before, after)])),
    )
    return report, context


def _nodes(span: Span, before: Side, after: Side, stack: str, notes: list[str]) -> Sequence[NodeConfiguration]:
    one, other = before.stack(stack), after.stack(stack)
    old, new = one.settings if one else None, other.settings if other else None
    # A removed stack file changes no node: `./homelab destroy` does.
    if (one and old is None) or new is None:
        return ()
    patches = {*derive.patch_files(new), *(derive.patch_files(old) if old else ())}
    if all(file.startswith(f"{APPS}/") and file not in patches for file in span.files):
        return ()  # no node reads another file of an app
    try:
        return machines.configurations(stack, old, new, before.root, after.root)
    except Declined as reason:  # a change that mends the patch of the base has a report, too
        notes.append(f"{stack}: the machine configurations are not compared: {reason}")
        return ()


def _stand_ins(pairs: Pairs, before: Side, after: Side) -> Iterator[str]:
    """Yield a note about the charts of changed apps that stand-ins replace: the report lacks what is new in a chart."""
    sides = ((before, "before"), (after, "after"))
    places = [(side, place) for app in pairs.apps for side, at in sides if (place := getattr(app, at))]
    names = sorted({name for side, place in places for name in side.validation.stand_ins_of(place.app.path)})
    if names:
        why = f" ({after.absent or before.absent})" if after.absent or before.absent else ""
        yield f"rendered from stand-ins, so that changes inside of charts are not shown: {', '.join(names)}{why}"

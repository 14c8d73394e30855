"""The report about a cluster's Applications: what Argo CD has made of the checkout, once or until all is good.

A client and the categories of a stack come in, a `Report` goes out, as an object, for machines or as a table.
`ops.status` prints it; `ops.up`, `ops.rehearse` and `ops.argocd.syncing` wait with it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from config.model import Settings
from config.tree import CategoryFolder, read_tree
from errors import Declined, TryAgain
from lab.delivery import git_server
from ops.argocd.applications import (
    NO_SET,
    UNPUSHED,
    Application,
    absent,
    age,
    applications,
    closed,
    edits,
    expected_applications,
    followed,
    missing,
    waiting_for_up,
)
from ops.argocd.client import Cluster
from ops.terminal import coloured, count, elapsed, table

PAUSE = 2.0
EDITS = "live edits, undone by the next sync where Git says otherwise"
LOOK: dict[str, str | None] = {"argocd.argoproj.io/refresh": "normal"}
# A wish that is left from a look that failed is none: it goes before it comes anew.
LOOK_AT_SET: tuple[dict[str, str | None], ...] = tuple(
    {"argocd.argoproj.io/application-set-refresh": wish} for wish in (None, "true")
)


@dataclass
class Report:
    """Everything that `status` says."""

    expected: str
    applications: list[Application]
    edits: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Applications that a folder of this checkout asks for and that are not there, and why."""
    closed: list[str] = field(default_factory=list)
    waiting_for_up: list[str] = field(default_factory=list)

    @property
    def counted(self) -> list[Application]:
        """Those that have to be good: a retired one waits for a person, not for Argo CD."""
        return [one for one in self.applications if not one.retired]

    @property
    def strangers(self) -> list[str]:
        """Those that Git makes and this checkout does not know of: they count, whoever made them."""
        return [one.name for one in self.counted if not one.here]

    @property
    def unfinished(self) -> list[Application]:
        """Those that are not where they have to be."""
        return [one for one in self.counted if not one.is_good(self.expected)]

    @property
    def waiting_for_sync(self) -> list[Application]:
        """Those that differ from Git until a person syncs them."""
        return [one for one in self.unfinished if one.manual and one.sync == "OutOfSync" and not one.running]

    @property
    def moving(self) -> set[tuple[str, ...]]:
        """What changes as long as something moves; retries alone are no movement."""
        states = {(one.name, one.sync, one.health, one.revision, one.progress) for one in self.counted}
        return {*states, *((name, why) for name, why in self.absent.items())}

    @property
    def is_good(self) -> bool:
        """Whether everything is synced, and known to be what Git is at."""
        there = not self.missing and not self.absent
        return bool(self.counted) and there and not self.unfinished and bool(self.expected)

    @property
    def waits_for_a_person(self) -> bool:
        """Whether Argo CD has done its part: what is left is a sync by hand, a push, or a way to ask Git."""
        unpushed = all(why.endswith(UNPUSHED) for why in self.absent.values())
        left = self.waiting_for_sync == self.unfinished
        return not self.is_good and bool(self.counted) and left and not self.missing and unpushed


def refuse_strangers(cluster: Cluster, settings: Settings, stack: str) -> None:
    """Refuse a cluster that follows something else: what this checkout expects would all be missing or retired."""
    own, environment = settings.delivery.repository, settings.delivery.environment
    expected = (git_server.served_as(own) if cluster.lab else own, environment)
    others = followed(cluster.argocd()["ApplicationSet"]) - {expected}
    for repository, other in sorted(others):
        raise Declined(
            f"this cluster follows {other} of {repository}, and stack {stack} is {environment} of {expected[0]}; "
            "name the cluster's own stack with --stack, or, where this one has changed: ./homelab up"
        )


def look(cluster: Cluster, settings: Settings, categories: Sequence[CategoryFolder], *, edited: bool = True) -> Report:
    """Look once; live edits are asked for one by one."""
    found = cluster.argocd()
    rows = applications(found["Application"], expected_applications(categories))
    expected, names = cluster.head(settings), {row.name for row in rows}
    folders = [app.path for category in categories for app in category.apps if app.full_name not in names]
    shown = rows if edited else []
    drifted = cluster.things([thing for row in shown for thing in row.drifted])
    deleted = [f"{kind} {namespace}/{name}: deleted" for row in shown for _, kind, namespace, name in row.deleted]
    return Report(
        expected=expected,
        applications=rows,
        edits=[*(said for thing in drifted for said in _edits(thing)), *deleted],
        missing=missing(categories, found["ApplicationSet"], found["AppProject"]),
        absent=absent(categories, names, found["ApplicationSet"], cluster.holds(settings, expected, folders)),
        closed=closed(
            [*found["Application"], *found["ApplicationSet"]], _credentials(cluster, settings), cluster.has_secret
        ),
        waiting_for_up=waiting_for_up(categories, found["ApplicationSet"]),
    )


def _credentials(cluster: Cluster, settings: Settings) -> dict[str, str]:
    """Say which Secret holds what opens a repository."""
    own = settings.delivery.repository
    urls = {git_server.served_as(own) if cluster.lab else own: "homelab"}
    urls |= {repository.url: repository.name for repository in settings.platform.repositories}
    return {url: f"argocd/repository-{name}" for url, name in urls.items()}


def chosen(settings: Settings, root: Path) -> Sequence[CategoryFolder]:
    """Give the categories that a stack runs."""
    return read_tree(root).chosen(settings.delivery.categories, settings.delivery.exclude)


class Stall:
    """How long nothing new has happened: a state that was there before is not new, as to and fro is no progress."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._seen: set[object] = set()
        self._changed = time.monotonic()

    def seconds(self, states: Iterable[object] = ()) -> float:
        """Take what is seen now; return for how long nothing has been new."""
        fresh = set(states) - self._seen
        if fresh:
            self._seen |= fresh
            self._changed = time.monotonic()
        return time.monotonic() - self._changed


def wait(
    cluster: Cluster,
    settings: Settings,
    categories: Sequence[CategoryFolder],
    mend: Callable[[Report], None] | None = None,
) -> Report:
    """Look until all is good, only a person can go on, or nothing moves any more; report now and then what is left.

    `mend` is called with what was seen, as often as that is reported.
    """
    began = time.monotonic()
    told, stall, timeout = began - 5 * PAUSE, Stall(), settings.delivery.stall_timeout.seconds
    report: Report | None = None
    while True:
        try:
            report = look(cluster, settings, categories, edited=False)
        except TryAgain as error:
            if report is None or stall.seconds() > timeout:
                raise
            print(f"[{elapsed(time.monotonic() - began)}] no answer: {error}", file=sys.stderr, flush=True)
            time.sleep(PAUSE)
            continue
        if report.is_good:
            return report
        stalled = stall.seconds(report.moving) > timeout
        if stalled:
            said = f"nothing has changed for {settings.delivery.stall_timeout} (delivery.stallTimeout): the wait ends"
            print(said, file=sys.stderr, flush=True)
        if report.waits_for_a_person or stalled:
            return look(cluster, settings, categories)
        if time.monotonic() - told > 5 * PAUSE:
            if mend is not None:
                mend(report)
            told = time.monotonic()
            waits = [f"{one.name} ({one.state(report.expected)})" for one in report.unfinished]
            waits += [f"{name} (missing)" for name in report.absent]
            said = f"[{elapsed(told - began)}] {len(waits)} to go: {', '.join(waits[:4])}"
            print(said, file=sys.stderr, flush=True)
            _ask_to_look(cluster, report, categories)
        time.sleep(PAUSE / 2)


def _ask_to_look(cluster: Cluster, report: Report, categories: Sequence[CategoryFolder]) -> None:
    """Have a rehearsed Argo CD look at Git again: no webhook reaches it, and what is asked while it looks is lost."""
    if cluster.lab is None:
        return
    for one in report.unfinished:
        if one.state(report.expected) == "behind":
            cluster.patch(one.name, {"metadata": {"annotations": LOOK}})
    unmade = {name for name, why in report.absent.items() if why != NO_SET}
    for category in categories:
        if any(app.full_name in unmade for app in category.apps):
            for wish in LOOK_AT_SET:
                cluster.patch(category.name, {"metadata": {"annotations": wish}}, "applicationset")


def as_dict(report: Report) -> dict[str, Any]:
    """Give machines all of it."""
    return {"good": report.is_good, **asdict(report)}


def written(report: Report) -> str:
    """Write the table, what else there is to know, and one line that sums it up."""
    lines: list[str] = []
    for layer in dict.fromkeys(one.layer for one in report.applications):
        rows = [_row(one, report.expected) for one in report.applications if one.layer == layer]
        lines += [
            coloured(layer or "others", "bold"),
            table(("application", "sync", "health", "revision", "age", ""), rows),
            "",
        ]
    for title, items in (
        (EDITS, report.edits),
        ("missing", [*report.missing, *_absent(report)]),
        ("repositories that do not open", report.closed),
        ("category.yaml that waits for up", report.waiting_for_up),
        ("not of this checkout (pull?) or of this stack (delivery.categories, delivery.exclude?)", report.strangers),
        ("retired: the folder left Git, the objects stay", [one.name for one in report.applications if one.retired]),
    ):
        if items:
            lines += [f"{title}:", *(f"  {item}" for item in items), ""]
    good = len(report.counted) - len(report.unfinished)
    at = f" at {report.expected[:8]}" if report.expected else " (Git could not be asked for the expected revision)"
    said = f"{good} of {count(len(report.counted) + len(report.absent), 'application')} Synced and Healthy{at}"
    return "\n".join([*lines, coloured(said, "green" if report.is_good else "red")])


def _absent(report: Report) -> list[str]:
    """Name the Applications that are not there; those of a set that is missing itself are counted."""
    lines = [f"Application {name}: {why}" for name, why in report.absent.items() if why != NO_SET]
    without = len(report.absent) - len(lines)
    return [*lines, *([f"{count(without, 'Application')} of what is missing above"] if without else [])]


def _row(one: Application, expected: str) -> tuple[str, ...]:
    behind = " (behind)" if one.state(expected) == "behind" else ""
    kept = " retired" if one.retired else " manual" if one.manual else ""
    said = (one.error or one.waits)[:100]
    return (one.name, one.sync + kept, one.health, one.revision[:8] + behind, age(one.synced_at), said)


def _edits(thing: dict[str, object]) -> list[str]:
    metadata = thing["metadata"]
    assert isinstance(metadata, dict)
    owner = f"{thing['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
    return [f"{owner}: {path} (by {who}, {age(when)} ago)" for path, who, when in edits(thing)]

"""The report on a cluster's Applications: read once, or repeatedly until all of them are good.

A client and the categories of a stack come in, a `SyncReport` goes out. `ops.status` prints it; `ops.up`,
`ops.rehearse` and `ops.argocd.syncing` wait with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from config.gates import Gates
from config.model import Settings
from config.tree import CategoryFolder
from errors import Declined, TryAgain
from manifests.objects import Object, identity
from ops.argocd.applications import (
    NO_SET,
    UNPUSHED,
    Application,
    absent,
    age,
    applications,
    edits,
    expected_applications,
    followed,
    inaccessible,
    missing,
    waiting_for_up,
)
from ops.argocd.client import ArgoCDClient
from ops.argocd.windows import closed
from ops.terminal import coloured, count, elapsed, progress, table

PAUSE = 2.0
SHOWN = 4
EDITS = "live edits, undone by the next sync where Git has another value"
REFRESH: dict[str, str | None] = {"argocd.argoproj.io/refresh": "normal"}
# After a failed refresh the annotation stays, and setting it again has no effect: it is removed first.
REFRESH_SET: tuple[dict[str, str | None], ...] = tuple(
    {"argocd.argoproj.io/application-set-refresh": value} for value in (None, "true")
)


@dataclass
class SyncReport:
    """The state of all Applications of a stack."""

    revision: str
    """The commit that all of them must be at; nothing where Git did not answer."""
    applications: list[Application]
    edits: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Applications that do not exist although this checkout has their folder, and the reason."""
    inaccessible: list[str] = field(default_factory=list)
    waiting_for_up: list[str] = field(default_factory=list)
    closed: dict[str, str] = field(default_factory=dict)
    """Applications that are OutOfSync while their sync windows are closed, each with the end."""
    refusing: list[str] = field(default_factory=list)
    """Those of them that a requested sync does not reach either."""
    gates: str = ""
    """The gates of the stack, in words; nothing without any."""

    @property
    def counted(self) -> list[Application]:
        """Return the Applications that must be good: a retired one waits for the operator, not for Argo CD."""
        return [one for one in self.applications if not one.retired]

    @property
    def foreign(self) -> list[str]:
        """Return the Applications that come from Git and have no folder in this checkout; they count as well."""
        return [one.name for one in self.counted if not one.expected]

    @property
    def unfinished(self) -> list[Application]:
        """Return the Applications that are not good."""
        return [one for one in self.counted if not one.is_good(self.revision)]

    @property
    def waiting_for_sync(self) -> list[Application]:
        """Return the Applications that are OutOfSync until the operator syncs them."""
        return [one for one in self.unfinished if one.manual and one.sync == "OutOfSync" and not one.running]

    @property
    def waiting_for_window(self) -> list[Application]:
        """Return the Applications that Argo CD syncs once a sync window is open."""
        return [one for one in self.unfinished if one.name in self.closed and (one.blocked or not one.running)]

    @property
    def states(self) -> set[tuple[str, ...]]:
        """Return states that change while there is progress; retries alone are no progress."""
        states = {(one.name, one.sync, one.health, one.revision, one.progress) for one in self.counted}
        return {*states, *((name, reason) for name, reason in self.absent.items())}

    @property
    def is_good(self) -> bool:
        """Return whether everything is synced, and known to be at Git's commit."""
        exists = not self.missing and not self.absent
        return bool(self.counted) and exists and not self.unfinished and bool(self.revision)

    @property
    def waits_for_operator(self) -> bool:
        """Return whether Argo CD has done its part: what is left is a sync, a window, a promotion or a push."""
        return self.has_come_to_rest and not any(one.is_aborted for one in self.unfinished)

    @property
    def has_come_to_rest(self) -> bool:
        """Return whether nothing happens any more without the operator, also after an aborted Rollout."""
        unpushed = all(reason.endswith(UNPUSHED) for reason in self.absent.values())
        waiting = {one.name for one in (*self.waiting_for_sync, *self.waiting_for_window)}
        left = all(one.name in waiting or one.awaits_promotion or one.is_aborted for one in self.unfinished)
        return not self.is_good and bool(self.counted) and left and not self.missing and unpushed

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON output."""
        return {"good": self.is_good, **asdict(self)}


def refuse_other_stack(client: ArgoCDClient, settings: Settings, stack: str) -> None:
    """Refuse a cluster that follows another repository or environment: its Applications would seem retired."""
    expected = client.repository(settings), settings.delivery.environment
    others = followed(client.argocd()["ApplicationSet"]) - {expected}
    for repository, environment in sorted(others):
        raise Declined(
            f"this cluster follows {environment} of {repository}, and stack {stack} is {expected[1]} of {expected[0]}; "
            "choose the cluster's own stack with --stack, or, where the stack has changed: ./homelab up"
        )


def current_report(
    client: ArgoCDClient, settings: Settings, categories: Sequence[CategoryFolder], *, with_edits: bool = True
) -> SyncReport:
    """Read the cluster once; live edits cost a request for each object."""
    found = client.argocd()
    revision = client.head(settings)
    pins = client.pins(settings, revision)
    rows = applications(found["Application"], expected_applications(categories), pins)
    names = {row.name for row in rows}
    folders = [app.path for category in categories for app in category.apps if app.full_name not in names]
    report = SyncReport(
        revision=revision,
        applications=rows,
        missing=missing(categories, found["ApplicationSet"], found["AppProject"]),
        absent=absent(categories, names, found["ApplicationSet"], client.holds(settings, revision, folders)),
        inaccessible=inaccessible(
            [*found["Application"], *found["ApplicationSet"]], _credentials(client, settings), client.has_secret
        ),
        waiting_for_up=waiting_for_up(categories, found["ApplicationSet"]),
        gates="" if settings.delivery.gates == Gates() else settings.delivery.gates.as_text(),
    )
    _add_windows(report, found)
    if with_edits:
        drifted = client.objects([one for row in rows for one in row.drifted])
        deleted = [one for row in rows for one in row.deleted]
        report.edits = [line for live in drifted for line in _edits(live)]
        report.edits += [f"{one.kind} {one.namespace}/{one.name}: deleted" for one in deleted]
    return report


def _add_windows(report: SyncReport, found: Mapping[str, Sequence[Object]]) -> None:
    """Add the closed sync windows: no status of Argo CD has them."""
    waiting = {one.name for one in report.unfinished if one.sync == "OutOfSync"}
    for one in found["Application"]:
        name = one["metadata"]["name"]
        if name in waiting and (windows := closed(one, found["AppProject"])):
            report.closed[name] = str(windows)
            report.refusing += [name] if windows.refuses_manual else []


def _credentials(client: ArgoCDClient, settings: Settings) -> dict[str, str]:
    """Return the Secret with the credentials of each repository."""
    urls = {client.repository(settings): "homelab"}
    urls |= {repository.url: repository.name for repository in settings.platform.repositories}
    return {url: f"argocd/repository-{name}" for url, name in urls.items()}


class Stall:
    """The time without a new state; a state that occurred before is not new, so that an oscillation is no progress."""

    def __init__(self) -> None:
        """Start the clock."""
        self._seen: set[object] = set()
        self._changed = time.monotonic()

    def seconds(self, states: Iterable[object] = ()) -> float:
        """Return the seconds since the last new state, the given ones included."""
        fresh = set(states) - self._seen
        if fresh:
            self._seen |= fresh
            self._changed = time.monotonic()
        return time.monotonic() - self._changed


def wait(
    client: ArgoCDClient,
    settings: Settings,
    categories: Sequence[CategoryFolder],
    repair: Callable[[SyncReport], None] = lambda report: None,
) -> SyncReport:
    """Wait until all is good, only the operator can continue, or nothing has changed for the timeout.

    The unfinished Applications are reported every few seconds, and each time `repair` is called with the report.
    """
    began = time.monotonic()
    reported, stall, timeout = began - 5 * PAUSE, Stall(), settings.delivery.stall_timeout.seconds
    report: SyncReport | None = None
    while True:
        try:
            report = current_report(client, settings, categories, with_edits=False)
        except TryAgain as error:
            if report is None or stall.seconds() > timeout:
                raise
            progress(f"[{elapsed(time.monotonic() - began)}] no answer: {error}")
            time.sleep(PAUSE)
            continue
        if report.is_good:
            return report
        stalled = stall.seconds(report.states) > timeout
        if stalled:
            progress(
                f"nothing has changed for {settings.delivery.stall_timeout} (delivery.stallTimeout): stopped waiting"
            )
        if report.has_come_to_rest or stalled:
            if held := report.waiting_for_window:
                progress(f"stopped waiting: {count(len(held), 'application')}: {report.closed[held[0].name]}")
            return current_report(client, settings, categories)
        if time.monotonic() - reported > 5 * PAUSE:
            repair(report)
            reported = time.monotonic()
            progress(f"[{elapsed(reported - began)}] {_unfinished(report)}")
            _refresh(client, report, categories)
        time.sleep(PAUSE / 2)


def _unfinished(report: SyncReport) -> str:
    names = [f"{one.name} ({one.state(report.revision)})" for one in report.unfinished]
    names += [f"{name} (missing)" for name in report.absent]
    return f"{len(names)} to go: {', '.join(names[:SHOWN])}"


def _refresh(client: ArgoCDClient, report: SyncReport, categories: Sequence[CategoryFolder]) -> None:
    """Refresh a rehearsed Argo CD: it receives no webhooks, and it ignores a request that arrives during a refresh."""
    if not client.is_rehearsed:
        return
    for one in report.unfinished:
        if one.state(report.revision) == "behind":
            client.patch(one.name, {"metadata": {"annotations": REFRESH}})
    unmade = {name for name, reason in report.absent.items() if reason != NO_SET}
    unmade |= {one.name for one in report.unfinished if one.waits_for_set}
    for category in categories:
        if any(app.full_name in unmade for app in category.apps):
            for annotations in REFRESH_SET:
                client.patch(category.name, {"metadata": {"annotations": annotations}}, "applicationset")


def as_text(report: SyncReport) -> str:
    """Return the table, the other facts, and one line that sums it up."""
    lines: list[str] = []
    for layer in dict.fromkeys(one.layer for one in report.applications):
        rows = [
            _row(one, report.revision, report.closed.get(one.name, ""))
            for one in report.applications
            if one.layer == layer
        ]
        head = ("application", "sync", "health", "revision", "age", "")
        lines += [coloured(layer or "others", "bold"), table(head, rows), ""]
    for title, items in (
        (EDITS, report.edits),
        ("missing", [*report.missing, *_absent(report)]),
        ("repositories that Argo CD cannot read", report.inaccessible),
        ("category.yaml that waits for up", report.waiting_for_up),
        ("not of this checkout (pull?) or of this environment (delivery.environment?)", report.foreign),
        ("retired: the folder left Git, the objects stay", [one.name for one in report.applications if one.retired]),
    ):
        if items:
            lines += [f"{title}:", *(f"  {item}" for item in items), ""]
    if report.gates:
        lines += [f"gates: {report.gates}", ""]
    good = len(report.counted) - len(report.unfinished)
    at = f" at {report.revision[:8]}" if report.revision else " (Git did not answer with the expected revision)"
    summary = f"{good} of {count(len(report.counted) + len(report.absent), 'application')} Synced and Healthy{at}"
    return "\n".join([*lines, coloured(summary, "green" if report.is_good else "red")])


def _absent(report: SyncReport) -> list[str]:
    """Return a line for each absent Application; those of a missing ApplicationSet share one."""
    lines = [f"Application {name}: {reason}" for name, reason in report.absent.items() if reason != NO_SET]
    without_set = len(report.absent) - len(lines)
    return [*lines, f"{count(without_set, 'Application')} of the ApplicationSets above"] if without_set else lines


def _row(one: Application, revision: str, window: str) -> tuple[str, ...]:
    behind = " (behind)" if one.state(revision) == "behind" else ""
    mode = " retired" if one.retired else " manual" if one.manual else ""
    reason = (one.error or window or one.waiting_for)[:100]
    return (one.name, one.sync + mode, one.health, one.revision[:8] + behind, age(one.synced_at), reason)


def _edits(live: Object) -> list[str]:
    owner = identity(live)
    name = f"{owner.kind} {owner.namespace}/{owner.name}"
    return [f"{name}: {edit.path} (by {edit.manager}, {age(edit.time)} ago)" for edit in edits(live)]

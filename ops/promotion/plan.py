"""The decisions of a promotion of apps: the pin that each one gets, and every reason to refuse it.

Facts come in: the tree, the history, the evidence of the source environment. Moves, apps without a change, apps that
are left out and problems go out; nothing is written. `ops.promotion.commits` writes the moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from config.chain import Chain
from config.promotion import HOLD, REVISION
from config.rules import rule
from config.tree import App, Tree
from errors import Problem
from ops.promotion.charts import LOCK, charts_at, raised
from ops.promotion.contents import Written, folder_files, with_annotations
from ops.promotion.evidence import AppEvidence, Evidence
from ops.promotion.history import History
from ops.promotion.names import Passage
from ops.promotion.versions import versions_at, versions_in

SHORT = 8
MOST_COMMITS = 20
OVERRIDE = "or give a reason that is recorded: --reason TEXT"
# A reason on the command line does not override these.
FIRM = frozenset({"promotion-foreign", "promotion-too-young"})
# `--all` leaves an app out for these reasons, and promotes the others.
WAITING = frozenset(
    {"promotion-held", "promotion-unhealthy", "promotion-soaking", "promotion-foreign", "promotion-too-young"}
)


@dataclass(frozen=True)
class Move:
    """One app, or one part of the infrastructure, that gets another pin or version."""

    label: str
    verb: str
    """The first word of the commit's subject: Promote, Revert, Lift."""
    was: str
    now: str
    """The pin or the version, before and after; empty for none."""
    files: Mapping[str, Written]
    revision: str = ""
    """The commit that the source environment runs."""
    evidence: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()
    versions: tuple[tuple[str, str, str], ...] = ()
    """The versions of images and charts that change: name, before, after."""
    commits: tuple[str, ...] = ()
    """The commits that arrive with it."""


@dataclass
class PromotionPlan:
    """Everything that a promotion does and does not do."""

    moves: list[Move] = field(default_factory=list)
    unchanged: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class PlanInputs:
    """The facts that a plan is made from."""

    tree: Tree
    chain: Chain
    history: History
    evidence: Evidence
    passage: Passage
    now: datetime
    reason: str = ""
    limit: str = ""
    """The newest commit that a pin can name, beside those that an environment runs: others may never be merged."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Commits that were named for single apps, by their labels."""


def plan_apps(inputs: PlanInputs, labels: Sequence[str], *, every: bool = False) -> PromotionPlan:
    """Return the plan for apps; with `every`, those that must wait are left out and do not stop the others."""
    plan = PromotionPlan()
    by_label = {(app.label, app.environment): app for app in inputs.tree.apps}
    is_unreachable = bool(labels and inputs.evidence.problem and not inputs.reason)
    plan.problems += [_unreachable(inputs)] if is_unreachable else []
    for label in labels:
        source = by_label.get((label, inputs.passage.source))
        target = by_label.get((label, inputs.passage.target))
        if source is None:
            plan.problems.append(_absent(inputs, label, target))
            continue
        if is_unreachable:
            continue
        if target is None and every:
            plan.left_out[label] = f"has no folder in {inputs.passage.target}; name it to make one"
            continue
        found = _promotion(inputs, source, target)
        if isinstance(found, _Unchanged) and every and found.left:
            plan.left_out[label] = "; ".join(found.left)
        elif isinstance(found, _Unchanged):
            plan.unchanged[label] = "; ".join((found.reason, *found.left))
        elif isinstance(found, Move):
            plan.moves.append(found)
        elif every and {one.check for one in found} <= WAITING:
            plan.left_out[label] = "; ".join(one.rule for one in found)
        else:
            plan.problems += found
    return plan


@rule("promotion-unreachable", scope="program", why="Nobody knows whether the version works that would be promoted.")
def _unreachable(inputs: PlanInputs) -> Problem:
    problem = " ".join(inputs.evidence.problem.split())
    rule = f"does not answer: {problem}"
    fix = f"reach it, {OVERRIDE}"
    return Problem(f"environment {inputs.passage.source}", 0, "", "", rule, fix, "promotion-unreachable")


@rule("promotion-absent", scope="program", why="An environment can only take a version that the one before it runs.")
def _absent(inputs: PlanInputs, label: str, target: App | None) -> Problem:
    source, place = inputs.passage.source, target.path if target else f"apps/{label}"
    rule, fix = f"has no folder in {source}, so that there is no version to promote", f"add apps/{label}/{source} first"
    return Problem(place, 0, "", label, rule, fix, "promotion-absent")


class _Unchanged(NamedTuple):
    """An app whose pin stays."""

    reason: str
    left: tuple[str, ...]
    """Versions of the source that a pin does not move."""


def _promotion(inputs: PlanInputs, source: App, target: App | None) -> Move | _Unchanged | list[Problem]:
    """Return the move of one app, the reason why there is nothing to do, or problems."""
    found = inputs.evidence.of(source)
    revision, problems = _revision(inputs, source, found)
    if problems:
        return problems
    app = target or replace(source, environment=inputs.passage.target, revision="", hold="")
    pin, charts = _pin(inputs, source, app, revision) if target else ("", {})
    young = list(_too_young(inputs, source, app, revision, pin))
    if pin and app.revision and not young and inputs.history.is_same(app, app.revision, pin):
        reason = f"{inputs.passage.target} has this version already, at {app.revision[:SHORT]}"
        return _Unchanged(reason, tuple(_own_versions(inputs, source, app, revision, pin)))
    problems = [
        *_held(inputs, app),
        *young,
        *_lowers(inputs, app, pin),
        *_lowered_charts(inputs, app, charts),
        *_unfit(inputs, source, revision, found),
    ]
    left = [one for one in problems if one.check in FIRM or not inputs.reason]
    if left:
        return left
    overridden = tuple(f"{one.rule}; promoted for this reason: {inputs.reason}" for one in problems)
    if target is None:
        return _new(inputs, source, app, revision, overridden)
    if charts:
        return _raised(inputs, source, app, revision, charts, overridden)
    notes = (*overridden, *_notes(inputs, app, pin), *_own_versions(inputs, source, app, revision, pin))
    return _pinned(inputs, app, revision, pin, notes)


@rule("promotion-foreign", scope="program", why="A pin must name a commit that the repository has for good.")
def _revision(inputs: PlanInputs, source: App, found: AppEvidence | None) -> tuple[str, list[Problem]]:
    """Return the commit whose version is promoted: the pin of the source, else the commit that it runs."""
    given = inputs.revisions.get(source.label, "")
    revision = given or source.revision or (found.revision if found else "")
    if not revision:
        if inputs.reason:
            return inputs.limit or inputs.history.store.head, []
        rule = f"is no Application in {inputs.passage.source}, or was never compared with Git"
        fix = f"./homelab status; wait for its first sync, {OVERRIDE}"
        return "", [Problem(source.file, 0, "", source.label, rule, fix, "promotion-unhealthy")]
    store = inputs.history.store
    place = (source.file, 0, "", f"{source.label} at {revision[:SHORT]}")
    if not store.exists(revision):
        rule, fix = "is a commit that this checkout does not have", "git fetch, then git merge --ff-only"
        return "", [Problem(*place, rule, fix, "promotion-foreign")]
    if revision != store.head and not store.is_ancestor(revision, store.head):
        rule = "is a commit outside of the history of HEAD: another branch has it"
        return "", [Problem(*place, rule, "git pull, or git switch to the branch that has it", "promotion-foreign")]
    return revision, []


def _charts(inputs: PlanInputs, source: App, app: App, revision: str) -> Mapping[str, str]:
    """Return the versions of charts that the target's own folder must have, and has not."""
    store = inputs.history.store
    wanted, present = charts_at(store, source, revision), charts_at(store, app, store.head)
    return {name: wanted[name] for name, version in present.items() if wanted.get(name, version) != version}


def _pin(inputs: PlanInputs, source: App, app: App, revision: str) -> tuple[str, Mapping[str, str]]:
    """Return the commit to pin, or the charts that the target's own folder must have before there is one.

    It is the last commit that changed an input, up to the newest one that has the promoted version and its charts.
    """
    history = inputs.history
    newest = _newest(inputs, app, revision)
    wanted = charts_at(history.store, source, revision)
    for commit in history.states(app, newest, revision):
        present = charts_at(history.store, app, commit)
        if all(wanted.get(name, version) == version for name, version in present.items()):
            return history.last_change(app, commit), {}
    charts = _charts(inputs, source, app, revision)
    return "" if charts else history.last_change(app, newest), charts


def _newest(inputs: PlanInputs, app: App, revision: str) -> str:
    """Return the newest commit with the shared part of the promoted version, among those that are merged."""
    history = inputs.history
    newest = history.newest_like(app, revision)
    limit, place = history.place(inputs.limit), history.place(newest)
    if limit is not None and place is not None and place < limit:
        # Commits after the limit are not merged: a squash or a rebase would replace them.
        own = history.place(revision)
        return history.commits[min(limit, own) if own is not None else limit]
    return newest


@rule("promotion-held", scope="program", why="A hold stays until its reason is gone, or the next promotion undoes it.")
def _held(inputs: PlanInputs, app: App) -> Iterator[Problem]:
    if app.hold:
        fix = f"lift it: ./homelab promote --lift {app.label} --to {app.environment}, {OVERRIDE}"
        yield Problem(
            app.file, 0, HOLD, app.hold, f"{app.label} is held in {app.environment}: {app.hold}", fix, "promotion-held"
        )


@rule("promotion-too-young", scope="program", why="At the pinned commit the environment has no folder to render.")
def _too_young(inputs: PlanInputs, source: App, app: App, revision: str, pin: str) -> Iterator[Problem]:
    if not pin:
        return
    store = inputs.history.store
    wanted, there = charts_at(store, source, revision), charts_at(store, app, pin)
    if old := [name for name in there if wanted.get(name, there[name]) != there[name]]:
        rule = (
            f"has {old[0]} {there[old[0]]} at {pin[:SHORT]}, and {wanted[old[0]]} in a later commit that changes more"
        )
        fix = f"let {inputs.passage.source} sync that commit, then promote it"
        yield Problem(app.file, 0, "", app.label, rule, fix, "promotion-too-young")
    if not inputs.history.has(app, pin):
        rule = f"has no folder in {app.environment} at {pin[:SHORT]}, the commit with the version of "
        rule += inputs.passage.source
        fix = f"let {inputs.passage.source} sync a commit that has the folder, then promote that"
        yield Problem(app.file, 0, "", app.label, rule, fix, "promotion-too-young")


@rule("promotion-lowers", scope="program", why="A database that a newer version has migrated may not start again.")
def _lowers(inputs: PlanInputs, app: App, pin: str) -> Iterator[Problem]:
    if pin and app.revision and inputs.history.is_newer(app.revision, pin):
        rule = f"is newer than {pin[:SHORT]}, the version of {inputs.passage.source}"
        fix = f"undo a promotion with ./homelab promote --revert {app.label} --to {app.environment}, {OVERRIDE}"
        yield Problem(app.file, 0, REVISION, app.revision[:SHORT], rule, fix, "promotion-lowers")


def _lowered_charts(inputs: PlanInputs, app: App, charts: Mapping[str, str]) -> Iterator[Problem]:
    present = charts_at(inputs.history.store, app, inputs.history.store.head)
    for name, version in charts.items():
        if _numbers(version) < _numbers(present[name]):
            rule = f"is newer than {version}, the version of {inputs.passage.source}"
            fix = f"raise it in {inputs.passage.source} first, {OVERRIDE}"
            yield Problem(app.file, 0, name, present[name], rule, fix, "promotion-lowers")


def _numbers(version: str) -> list[int]:
    return [int(one) for one in re.findall(r"\d+", version)]


@rule("promotion-unhealthy", scope="program", why="The next environment would get the same failure.")
@rule("promotion-soaking", scope="program", why="Some failures need time: a leak of memory, a nightly job.")
def _unfit(inputs: PlanInputs, source: App, revision: str, found: AppEvidence | None) -> Iterator[Problem]:
    """Yield the reasons why the source does not prove the version."""
    where = inputs.passage.source
    if inputs.evidence.problem:
        yield _unreachable(inputs)
        return
    if found is None:
        rule, fix = f"is no Application in {where}", f"./homelab status; wait for its first sync, {OVERRIDE}"
        yield Problem(source.file, 0, "", source.label, rule, fix, "promotion-unhealthy")
        return
    if not found.is_good:
        detail = f" ({found.detail})" if found.detail else ""
        rule, fix = f"is {found.state} in {where}{detail}", f"mend it there, {OVERRIDE}"
        yield Problem(source.file, 0, "", source.label, rule, fix, "promotion-unhealthy")
        return
    if found.is_edited:
        rule, fix = (
            f"was rehearsed in {where} with files that are not committed",
            "commit them, rehearse again, and wait",
        )
        yield Problem(source.file, 0, "", source.label, rule, f"{fix}, {OVERRIDE}", "promotion-unhealthy")
        return
    if not inputs.history.is_same(source, found.revision, revision):
        rule = f"runs {found.revision[:SHORT]} in {where}, whose content differs from {revision[:SHORT]}"
        fix = f"wait until {where} has synced it, {OVERRIDE}"
        yield Problem(source.file, 0, "", source.label, rule, fix, "promotion-unhealthy")
        return
    since = since_of(inputs, source, revision, found)
    soak = timedelta(seconds=inputs.chain.soak_of(where, source.label).seconds)
    if since is None or inputs.now - since < soak:
        rule = f"is Healthy in {where} {_age(inputs, since)}, and the soak is {in_words(soak)}"
        wait = f"wait until {since + soak:%Y-%m-%d %H:%M} UTC" if since else "wait for its next change of health"
        yield Problem(source.file, 0, "", source.label, rule, f"{wait}, {OVERRIDE}", "promotion-soaking")


def since_of(inputs: PlanInputs, source: App, revision: str, found: AppEvidence) -> datetime | None:
    """Return since when the source has run the version and was Healthy."""
    return found.since(lambda synced: inputs.history.is_same(source, synced, revision))


def _age(inputs: PlanInputs, since: datetime | None) -> str:
    return f"for {in_words(inputs.now - since)}" if since else "since an unknown time"


def in_words(duration: timedelta) -> str:
    """Return a duration in its two largest units: 2d 3h, 1h, 12m."""
    left, parts = max(int(duration.total_seconds()), 0), []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts[:2]) or "0s"


def _own_versions(inputs: PlanInputs, source: App, app: App, revision: str, pin: str) -> Iterator[str]:
    """Yield the versions in the own folders of both environments that differ: a pin does not move them."""
    store = inputs.history.store
    wanted, there = versions_in(store, source.path, revision), versions_in(store, app.path, pin)
    for name, was, now in differences(there, wanted):
        if now:
            where = f"{inputs.passage.source} has {name} {now} in its own folder, and {app.environment} {was or 'not'}"
            yield f"{where}: no promotion moves that, move it to {app.folder}/base"


def _notes(inputs: PlanInputs, app: App, pin: str) -> Iterator[str]:
    history = inputs.history
    if not app.revision:
        differs = not history.is_same(app, pin, history.store.head)
        back = f"; HEAD has other content, which {app.environment} loses until it is promoted" if differs else ""
        yield f"followed the branch until now, and is pinned from here on{back}"
    elif not history.store.exists(app.revision):
        yield f"the present pin {app.revision[:SHORT]} is no commit of this repository"
    if later := history.changes_after(app, pin):
        yield (
            f"{len(later)} later change{'s' if len(later) > 1 else ''} of {app.environment}'s own files or settings "
            "wait for the next promotion"
        )


def _pinned(inputs: PlanInputs, app: App, revision: str, pin: str, notes: tuple[str, ...]) -> Move | list[Problem]:
    """Return the move that writes a pin, and removes a hold that a reason overrides."""
    values: dict[str, str | None] = {REVISION: pin} | ({HOLD: None} if app.hold else {})
    content = with_annotations(inputs.history.store, app, values)
    if isinstance(content, Problem):
        return [content]
    older = app.revision if inputs.history.store.exists(app.revision) else ""
    before = versions_at(inputs.history.store, app, older or inputs.history.store.head)
    return Move(
        app.label,
        "Promote",
        app.revision,
        pin,
        {app.file: content},
        revision,
        evidence_line(inputs, app, revision),
        inputs.reason,
        notes,
        tuple(differences(before, versions_at(inputs.history.store, app, pin))),
        _arriving(inputs, app, older, pin) if older else (),
    )


def _arriving(inputs: PlanInputs, app: App, older: str, pin: str) -> tuple[str, ...]:
    found = inputs.history.arriving(app, older, pin, MOST_COMMITS + 1)
    lines = [f"{commit[:SHORT]} {inputs.history.store.subject(commit)}" for commit in found[:MOST_COMMITS]]
    return (*lines, *(["and older ones"] if len(found) > MOST_COMMITS else []))


def _raised(
    inputs: PlanInputs, source: App, app: App, revision: str, charts: Mapping[str, str], notes: tuple[str, ...]
) -> Move | list[Problem]:
    """Return the move that raises the charts of an environment; its pin follows once the commit has a name."""
    store = inputs.history.store
    files = raised(store, app, charts, store.text(revision, f"{source.path}/{LOCK}"))
    if isinstance(files, Problem):
        return [files]
    later = "takes effect with the merge: the app follows the branch there"
    if app.revision:
        later = "takes effect once the pin names this commit: promote it again after the merge"
    present = charts_at(store, app, store.head)
    return Move(
        app.label,
        "Promote",
        app.revision,
        app.revision,
        files,
        revision,
        evidence_line(inputs, app, revision),
        inputs.reason,
        (*notes, f"raises the chart in the folder of {app.environment}, and {later}"),
        tuple((name, present[name], version) for name, version in charts.items()),
    )


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the versions that differ."""
    for name in sorted({*before, *after}):
        was, now = before.get(name, ""), after.get(name, "")
        if was != now:
            yield name, was, now


def evidence_line(inputs: PlanInputs, app: App, revision: str) -> str:
    """Return the evidence for a version in one line, as the commit records it."""
    source = replace(app, environment=inputs.passage.source)
    found = inputs.evidence.of(source)
    if found is None:
        return "none"
    since = since_of(inputs, source, revision, found) if found.is_good else None
    time = f" since {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if since else ""
    return f"{found.state}{time} at {found.revision[:SHORT]}, {inputs.evidence.origin}"


def _new(inputs: PlanInputs, source: App, app: App, revision: str, notes: tuple[str, ...]) -> Move:
    """Return the move that copies the folder of the source, without a pin: its commit has no name yet."""
    note = (
        f"is new in {app.environment}: it follows the branch there until the next promotion pins it, because a pin"
        " names a commit that has the folder"
    )
    return Move(
        app.label,
        "Promote",
        "",
        "",
        folder_files(inputs.history.store, inputs.tree, source, app),
        revision,
        evidence_line(inputs, app, revision),
        inputs.reason,
        (*notes, note),
    )

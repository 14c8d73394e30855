"""The end of a promotion: its pin is put back and held, and a hold is lifted.

The tree and its history come in, moves go out. A hold is the reason why promotions leave an app where it is: without
it, the next `--all` would bring back the version that was reverted. `ops.promote` calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from config.promotion import HOLD, REVISION, pin_of
from config.rules import rule
from config.source import parse
from config.tree import App, Tree
from errors import Problem, printable
from ops.promotion.contents import with_annotations
from ops.promotion.history import History
from ops.promotion.plan import SHORT, Move, PromotionPlan, differences
from ops.promotion.versions import versions_at


def revert(tree: Tree, history: History, labels: Sequence[str], environment: str, reason: str) -> PromotionPlan:
    """Return the plan that puts back the pins before the last promotions, and holds the apps there."""
    return _undone(tree, labels, environment, partial(_reverted, history, reason))


def lift(tree: Tree, history: History, labels: Sequence[str], environment: str, reason: str) -> PromotionPlan:
    """Return the plan that removes the holds of apps."""
    return _undone(tree, labels, environment, partial(_lifted, history, reason))


def _undone(
    tree: Tree, labels: Sequence[str], environment: str, undo: Callable[[App], Move | Problem | str]
) -> PromotionPlan:
    """Return the plan of what is decided for each app: a move, a problem, or the reason why there is nothing to do."""
    plan = PromotionPlan()
    apps = {app.label: app for app in tree.apps_in(environment)}
    for label in labels:
        found = undo(apps[label]) if label in apps else _not_there(label, environment)
        if isinstance(found, Move):
            plan.moves.append(found)
        elif isinstance(found, Problem):
            plan.problems.append(found)
        else:
            plan.unchanged[label] = found
    return plan


@rule("promotion-absent", scope="program")
def _not_there(label: str, environment: str) -> Problem:
    rule, fix = f"has no folder in {environment}", f"./homelab promote {label} --to {environment} makes one"
    return Problem(f"apps/{label}", 0, "", label, rule, fix, "promotion-absent")


def _lifted(history: History, reason: str, app: App) -> Move | Problem | str:
    if not app.hold:
        return "is not held"
    content = with_annotations(history.store, app, {HOLD: None})
    if isinstance(content, Problem):
        return content
    note, pin = (f"was held: {app.hold}",), app.revision
    return Move(app.label, "Lift", pin, pin, {app.file: content}, reason=reason, notes=note)


@rule("promotion-unpromoted", scope="program", why="There is no earlier version to go back to.")
def _reverted(history: History, reason: str, app: App) -> Move | Problem | str:
    if app.hold:
        return f"is held already: {app.hold}"
    older = _older_pin(history, app) if app.revision else ""
    if not older:
        rule = "has no pin" if not app.revision else "has no older version in its history"
        fix = "revert the commit that changed it, with git revert"
        return Problem(app.file, 0, REVISION, app.revision[:SHORT], rule, fix, "promotion-unpromoted")
    hold = printable(" ".join(reason.split())) or f"reverted from {app.revision[:SHORT]}"
    content = with_annotations(history.store, app, {REVISION: older, HOLD: hold})
    if isinstance(content, Problem):
        return content
    store = history.store
    return Move(
        app.label,
        "Revert",
        app.revision,
        older,
        {app.file: content},
        reason=reason,
        notes=(f"held from here on: {hold}; ./homelab promote --lift {app.label} --to {app.environment} ends it",),
        versions=tuple(differences(versions_at(store, app, app.revision), versions_at(store, app, older))),
    )


def _older_pin(history: History, app: App) -> str:
    """Return the pin before the last promotion; before the first one, the commit before the pinned change.

    A pin that is not older is no earlier version: it was reverted itself.
    """
    store = history.store
    texts = (store.text(commit, app.file) for commit in store.history_of(app.file, store.head))
    pins = [pin_of(parse(text.encode(), app.file))[0] for text in texts if text is not None]
    place = history.place(app.revision)
    if place is not None and place + 1 < len(history.commits):
        pins.append(history.last_change(app, history.commits[place + 1]))
    known = (pin for pin in pins if store.exists(pin) and history.has(app, pin))
    older = (pin for pin in known if not history.is_newer(pin, app.revision))
    return next((pin for pin in older if not history.is_same(app, pin, app.revision)), "")

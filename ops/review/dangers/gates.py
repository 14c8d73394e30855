"""Dangers of a stack's gates: a change of Git takes effect with fewer conditions than before."""

from __future__ import annotations

from collections.abc import Iterator

from config.gates import Gates
from ops.review.dangers.context import SettingsPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger

STATES = (
    ("sync", "manual", "changes take effect with the merge"),
    ("approval", "required", "the owners of a category review changes of the environment alone"),
    ("signatures", "required", "commits without a signature take effect"),
)


@rule(
    "gate-weakened", reads="settings", why="Changes take effect with fewer conditions, or at other times, than before."
)
@rule("gate-keys-added", reads="settings", why="More people can approve or sign a change of the environment.")
def gates(subject: SettingsPair) -> Iterator[Danger]:
    """Yield gates that are given up, windows that differ, and approvers and keys that are new."""
    old, new = (settings.delivery.gates for settings in subject.settings)
    for key, strict, effect in STATES:
        if getattr(old, key) == strict != getattr(new, key):
            yield _danger(subject, "gate-weakened", key, f"{strict} → {getattr(new, key)}: {effect}")
    for text in _windows(old, new):
        yield _danger(subject, "gate-weakened", "windows", text)
    for key, state, was, now in (
        ("approvers", "approval", old.approvers, new.approvers),
        ("signingKeys", "signatures", old.signing_keys, new.signing_keys),
    ):
        added = [one for one in now if one not in was]
        if added and getattr(old, state) == getattr(new, state) == "required":
            yield _danger(subject, "gate-keys-added", key, f"new: {', '.join(added)}")


def _windows(old: Gates, new: Gates) -> Iterator[str]:
    """Yield what lets through syncs that were blocked: a new allow does where there was one before."""
    for window in old.windows:
        if window in new.windows:
            continue
        stricter = window.model_copy(update={"manual_sync": "allowed"})
        if window.manual_sync == "refused" and stricter in new.windows:
            yield f"{window} admits `./homelab sync`"
        elif window.kind == "deny" or not any(one.kind == "allow" for one in new.windows):
            yield f"{window} is removed"
    allowed_before = any(one.kind == "allow" for one in old.windows)
    known = [one.model_copy(update={"manual_sync": "refused"}) for one in old.windows]
    for window in new.windows if allowed_before else ():
        if window.kind == "allow" and window.model_copy(update={"manual_sync": "refused"}) not in known:
            yield f"{window} is added: syncs are allowed at further times"


def _danger(subject: SettingsPair, name: str, key: str, reason: str) -> Danger:
    return Danger(rule=name, where=f"delivery.gates.{key}", reason=reason, file=subject.file)

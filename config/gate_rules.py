"""Rules of the gates against the chain of environments and the apps of the stack.

`config.checks` registers them; see there.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from config.chain import FILE, read_chain
from config.explain import nearest
from config.facts import Facts, SettingFinding
from config.gates import never_opens
from config.rules import rule

GATES = ("delivery", "gates")


@rule("gate-open", scope="settings", why="A promotion to the last environment would take effect by an accident.")
def stated(facts: Facts) -> Iterator[SettingFinding]:
    """Check that the last environment of the chain states its gates: any value is right if it was decided."""
    environment = facts.settings.delivery.environment
    if not facts.stated((*GATES, "sync")) and read_chain(facts.root, facts.tree).is_last(environment):
        rule = f"is missing, and {environment} is the last environment of {FILE}"
        fix = "write `gates: {sync: manual, approval: required}` below `delivery`, or `gates: {sync: automatic}`"
        yield SettingFinding("gate-open", (*GATES, "sync"), None, rule, fix)


@rule("signing-key-missing", scope="settings", why="No commit would be accepted, and nothing synced any more.")
@rule("gate-unused", scope="settings", why="The file promises a gate that is not there.")
def complete(facts: Facts) -> Iterator[SettingFinding]:
    """Check that a required signature has its keys, and that approvers and keys are required."""
    gates = facts.settings.delivery.gates
    if gates.signatures == "required" and not gates.signing_keys:
        rule, fix = "is empty, and signatures are required", "add the ids of the keys that sign commits"
        yield SettingFinding("signing-key-missing", (*GATES, "signingKeys"), None, rule, fix)
    for key, names, other, value in (
        ("approvers", gates.approvers, "approval", gates.approval),
        ("signingKeys", gates.signing_keys, "signatures", gates.signatures),
    ):
        if names and value == "none" and not (key == "signingKeys" and facts.stated((*GATES, other))):
            fix = f"write `{other}: required`, or remove the list"
            yield SettingFinding("gate-unused", (*GATES, key), None, f"has no effect while {other} is none", fix)


@rule("window-never-opens", scope="settings", why="Nothing would be synced any more.")
@rule("application-unknown", scope="settings", why="The window would hold for no Application.")
def windows(facts: Facts) -> Iterator[SettingFinding]:
    """Check that windows hold for Applications of this stack, and that each of these is synced at some time."""
    listed = facts.settings.delivery.gates.windows
    names = sorted(app.full_name for app in facts.tree.apps_in(facts.settings.delivery.environment))
    for index, window in enumerate(listed):
        for place, pattern in enumerate(window.applications):
            if not any(fnmatchcase(name, pattern) for name in names):
                path = (*GATES, "windows", index, "applications", place)
                fix = nearest(pattern, names, "write the name that `status` shows")
                yield SettingFinding("application-unknown", path, pattern, "is no Application of this stack", fix)
    holding = {tuple(one for one in listed if _holds(one.applications, name)): name for name in reversed(names)}
    for of_one, name in holding.items():
        if never_opens(of_one):
            rule = f"never lets a sync of {name} through"
            fix = "shorten a deny, or move the schedule of one of the windows"
            yield SettingFinding("window-never-opens", (*GATES, "windows"), None, rule, fix)


def _holds(patterns: tuple[str, ...], name: str) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)

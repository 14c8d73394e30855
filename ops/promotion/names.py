"""The names on the command line: the step between two environments, and the apps and versions that take it.

Options, the chain and the tree come in; a `Passage` and labels go out, or problems. An app is `media/immich`, its
Application's name `media-immich`, or `immich` where one category alone has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from config.chain import FILE, Chain
from config.explain import nearest
from config.rules import rule
from config.tree import Tree
from errors import Problem

COMMAND = "./homelab promote"
TALOS, KUBERNETES, EXTENSIONS = "talos", "kubernetes", "extensions"
INFRASTRUCTURE = (TALOS, KUBERNETES, EXTENSIONS)


@dataclass(frozen=True)
class Passage:
    """The step of the chain that a promotion takes."""

    source: str
    target: str
    is_last: bool = False
    """Whether the target is the last environment of the chain."""


@rule("chain-missing", scope="program", why="Without an order no environment comes before another.")
@rule("environment-unknown", scope="program")
@rule("promotion-skips", scope="program", why="A change that skips an environment was never tried there.")
def passage(chain: Chain, source: str, target: str) -> tuple[Passage | None, list[Problem]]:
    """Return the step between two environments, one of which can be left out."""
    known = chain.environments
    if not known:
        rule, fix = "no chain of environments is declared", "write `chain: [dev, staging, production]` into it"
        return None, [Problem(FILE, 0, "", "", rule, fix, "chain-missing")]
    in_order = " -> ".join(known)
    problems = [
        Problem(COMMAND, 0, option, name, "is no environment of the chain", nearest(name, known, in_order), check)
        for option, name, check in (
            ("--from", source, "environment-unknown"),
            ("--to", target, "environment-unknown"),
        )
        if name and name not in known
    ]
    if problems:
        return None, problems
    if not source and not target:
        rule, fix = "is missing, and so is --from", f"name one of them: the chain is {in_order}"
        return None, [Problem(COMMAND, 0, "--to", "", rule, fix, "promotion-skips")]
    if not target:
        if source == known[-1]:
            rule, fix = "is the last environment of the chain", f"the chain is {in_order}"
            return None, [Problem(COMMAND, 0, "--from", source, rule, fix, "promotion-skips")]
        target = known[known.index(source) + 1]
    before = chain.before(target)
    if not before:
        rule, fix = "is the first environment of the chain, and follows its branch", "merge the change into the branch"
        return None, [Problem(COMMAND, 0, "--to", target, rule, fix, "promotion-skips")]
    if source and source != before:
        rule = f"gets its changes from {before}, and not from {source}: the chain is {in_order}"
        fix = f"{COMMAND} --from {before} --to {target}"
        if known.index(source) < known.index(before):
            fix = f"promote to {known[known.index(source) + 1]} first"
        return None, [Problem(COMMAND, 0, "--to", target, rule, fix, "promotion-skips")]
    return Passage(before, target, target == known[-1]), []


@rule("promotion-unknown", scope="program", why="A misspelt name would leave the app that was meant where it is.")
def labels_of(tree: Tree, names: Sequence[str], command: str = COMMAND) -> tuple[list[str], list[Problem]]:
    """Return the labels of named apps, and of the parts of the infrastructure, in the order of the names."""
    known: dict[str, list[str]] = {one: [one] for one in INFRASTRUCTURE}
    for app in sorted(tree.apps, key=lambda one: one.label):
        for name in (app.label, app.full_name, app.name):
            labels = known.setdefault(name, [])
            if app.label not in labels and labels != [name]:
                labels.append(app.label)
    found: dict[str, None] = {}
    problems = []
    for name in names:
        labels = known.get(name, [])
        if len(labels) == 1:
            found[labels[0]] = None
            continue
        rule = f"is an app of several categories: {', '.join(labels)}" if labels else "is no app, and no part"
        fix = "write category/app" if labels else nearest(name, list(known), f"{', '.join(INFRASTRUCTURE)} are parts")
        rule += "" if labels else " of the infrastructure"
        problems.append(Problem(command, 0, "", name, rule, fix, "promotion-unknown"))
    return list(found), problems

"""Report every problem in the settings of all stacks and in the apps tree, without Pulumi and without a cluster.

Every app is rendered as each stack would run it and compared with rules and schemas; renders are cached. `--shape`
skips that and checks only settings and the shape of the tree, in less than a second.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.app_settings import folder_of
from config.derive import how_to_set, missing_secrets
from config.load import Stack, read_stack
from config.stacks import environments_aside
from config.tree import Tree, read_tree
from errors import Declined, Problem, printable
from ops import terminal
from ops.checking.annotations import annotated
from ops.checking.changed_since import Changed, commit
from ops.checking.pins import check_pins
from ops.checking.settings import are_all, chosen_files, committed, problems_of
from ops.result import Result
from ops.terminal import coloured, count
from ops.upstream import offline

if TYPE_CHECKING:
    from ops.checking.online import Online
    from ops.checking.validation import Validation

NO_REQUEST = "no request was sent to a registry: mend the settings or the shape of the tree first"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--stack", action="append", metavar="NAME", help="only this stack; may be repeated")
    parser.add_argument(
        "--since", metavar="REF", help="the commit that the cluster runs now (default: HEAD, if there is one)"
    )
    parser.add_argument(
        "--changed-since",
        metavar="REF",
        help="report problems in apps changed since REF, and problems that these changes cause elsewhere",
    )
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument(
        "--shape", action="store_true", help="render nothing: check only settings and the shape of the tree"
    )
    depth.add_argument(
        "--online", action="store_true", help="check in the registries that every image and chart version exists"
    )
    parser.add_argument(
        "--write-digests", action="store_true", help="with --online: write digests and commits behind versions"
    )
    offline.offline_argument(parser)
    parser.add_argument("--root", type=terminal.path, default=Path.cwd(), help="the checkout (default: this one)")


def run(options: argparse.Namespace) -> Result:
    """Check, and report all problems at once; good means that there is none."""
    root: Path = options.root
    if options.write_digests and not options.online:
        raise Declined("--write-digests: sends requests to registries; add --online")
    if options.online:
        offline.require_online(options, "--online")
    stacks = [read_stack(path) for path in chosen_files(root, options.stack)]
    since = commit(root, "--since", options.since)
    changed_since = commit(root, "--changed-since", options.changed_since)
    tree = read_tree(root)
    now = since or changed_since or "HEAD"
    before = {stack.name: committed(root, stack, now) for stack in stacks}
    problems = problems_of(root, stacks, tree, before)
    of_pins, not_compared = check_pins(root, tree)
    problems += of_pins
    validation = None if options.shape else _validation(root, stacks, tree, changed_since)
    # Objects of a stack with problems would be guesses.
    online: Online | None = None
    reason, written = "", list[str]()
    if validation and not any(stack.problems for stack in stacks) and not tree.problems:
        reason = validation.fetch(offline.forbidden(options))
        # A render of an unknown pin has the same problem, without its line.
        told = {(one.file, one.check) for one in of_pins}
        problems += [one for one in _validated(validation) if (one.file, one.check) not in told]
        if options.online:
            online = _online(validation)
            problems += online.problems
        if options.write_digests and online:
            written, differing = _written(validation, online)
            problems += differing
    notes = list(_notes(stacks, tree if are_all(root, stacks) else None, validation, reason, in_full=options.json))
    notes += [not_compared] if not_compared else []
    notes += [NO_REQUEST] if options.online and not online else []
    found = sorted(set(problems))
    for line in () if options.json else annotated(found, os.environ):
        print(line)
    return _result(found, [*notes, *written], _summary(stacks, tree, validation), online)


def _online(validation: Validation) -> Online:
    from ops.checking.online import ask  # noqa: PLC0415 - HTTP is slow to import

    return ask(validation)


def _written(validation: Validation, online: Online) -> tuple[list[str], list[Problem]]:
    from ops.checking.digest_writer import write  # noqa: PLC0415 - HTTP is slow to import

    return write(validation, online)


def _validation(root: Path, stacks: list[Stack], tree: Tree, since: str | None) -> Validation:
    from ops.checking.validation import Validation  # noqa: PLC0415 - rendering takes a third of `--shape` to import

    changed = Changed(root, since).takes if since else None
    return Validation(root, stacks, tree, changed)


def _validated(validation: Validation) -> list[Problem]:
    from ops.checking.validation import validate  # noqa: PLC0415 - rendering is slow to import

    return validate(validation)


def _result(problems: list[Problem], notes: list[str], summary: str, online: Online | None) -> Result:
    data: dict[str, Any] = {"problems": [problem.as_dict() for problem in problems], "notes": notes}
    lines = [*map(str, problems), *(coloured(note, "yellow") for note in notes)]
    if online:
        data["online"] = online.as_dicts
        lines.insert(0, str(online))
    found = count(len(problems), "problem") if problems else "no problem"
    lines.append(f"{coloured(found, 'red' if problems else 'green')} in {summary}")
    return Result("\n".join(lines), data, good=not problems)


def _summary(stacks: list[Stack], tree: Tree, validation: Validation | None) -> str:
    parts = (
        count(len(stacks), "stack"),
        count(len(tree.categories), "category", "categories"),
        count(len({app.label for app in tree.apps}), "app"),
    )
    return f"{', '.join(parts)}{f'; {validation.summary}' if validation and validation.rendered else ''}"


def _notes(
    stacks: list[Stack], tree: Tree | None, validation: Validation | None, reason: str, *, in_full: bool
) -> Iterator[str]:
    """Yield notes that are not errors: unset secrets, unused environments, stand-ins, and missing digests."""
    for stack in stacks:
        missing = missing_secrets(stack.settings) if stack.settings else ()
        if missing:
            yield f"{stack.places.file}: still to set before `up`: {how_to_set(stack.name, missing)}"
    yield from (
        f"{printable(folder)}: runs in no environment; a folder for one starts it"
        for folder in (tree.unused if tree else ())
    )
    unused = environments_aside(stacks, tree) if tree else ()
    aside = (printable(folder_of(name)) for name, intended in unused if not intended)
    yield from (f"{folder}: no stack has this environment" for folder in aside)
    if validation and not validation.rendered and (validation.changed is None or validation.wanted):
        yield "no app was rendered: mend the settings or the shape of the tree first"
    stand_ins = validation.stand_ins if validation and validation.rendered else ()
    if stand_ins:
        counted = count(len(stand_ins), "chart or base is a stand-in", "charts and bases are stand-ins")
        names = f": {', '.join(stand_ins)}" if in_full else "; --json lists them"
        yield f"{counted}{f' ({reason})' if reason else ''}{names}"
    if validation and validation.rendered and validation.changed is None:
        from ops.checking.digests import line  # noqa: PLC0415 - HTTP is slow to import

        yield from filter(None, [line(validation)])

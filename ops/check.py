"""Find every mistake in the settings of all stacks and in the apps tree, without Pulumi and without a cluster.

Every app is rendered as each stack would run it and held against rules and schemas; what was rendered before is not
rendered again. `--shape` leaves that out and looks at settings and the shape of the tree alone, in less than a second.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from config.derive import how_to_set, missing_secrets
from config.load import Stack, read_stack, stack_files
from config.rules import rule
from config.stacks import environments_aside
from config.tree import ENVIRONMENTS, Tree, read_tree
from errors import Declined, Problem, Refused
from ops import terminal
from ops.checking.changed_since import Changed, commit
from ops.checking.settings import are_all, committed, problems_of
from ops.terminal import coloured, count
from ops.upstream import offline

if TYPE_CHECKING:
    from ops.checking.online import Online
    from ops.checking.validation import Validation

UNASKED = "no registry was asked: what is wrong with the settings or the shape of the tree comes first"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to check and how to print it."""
    parser.add_argument("--stack", action="append", metavar="NAME", help="only this stack; may be repeated")
    parser.add_argument("--since", metavar="REF", help="the commit that runs now (default: HEAD, where there is one)")
    parser.add_argument(
        "--changed-since", metavar="REF", help="tell what is wrong with apps that changed since, or no longer fits them"
    )
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--shape", action="store_true", help="render nothing: settings and the tree's shape alone")
    depth.add_argument(
        "--online", action="store_true", help="ask registries whether every image and chart version exists"
    )
    parser.add_argument(
        "--write-digests", action="store_true", help="with --online: write digests and commits behind versions"
    )
    offline.offline_argument(parser)
    parser.add_argument("--json", action="store_true", help="print for machines")
    parser.add_argument("--root", type=terminal.path, default=Path.cwd(), help="the checkout to look at")


def run(options: argparse.Namespace) -> int:
    """Check, print every problem at once, and give 1 where there is one."""
    root: Path = options.root
    if options.write_digests and not options.online:
        raise Declined("--write-digests: asks registries; add --online")
    if options.online:
        offline.require(options, "--online")
    stacks = [read_stack(path) for path in _chosen(root, options.stack)]
    since, changed_since = (
        commit(root, option, said) if said is not None else None
        for option, said in (("--since", options.since), ("--changed-since", options.changed_since))
    )
    tree = read_tree(root)
    now = since or changed_since or "HEAD"
    before = {stack.name: committed(root, stack, now) for stack in stacks}
    problems = problems_of(root, stacks, tree, before)
    validation = None if options.shape else _validation(root, stacks, tree, changed_since)
    # Objects of a stack that is not acceptable would be made of guesses.
    online: Online | None = None
    why, written = "", list[str]()
    if validation and not any(stack.problems for stack in stacks) and not tree.problems:
        why = _bring(validation, offline.forbidden(options))
        problems += _validated(validation)
        if options.online:
            online = _online(validation)
            problems += online.problems
        if options.write_digests and online:
            written, differing = _written(validation, online)
            problems += differing
    return _told(
        options,
        sorted(set(problems)),
        _summary(stacks, tree, validation),
        [
            *_notes(stacks, tree if are_all(root, stacks) else None, validation, why, in_full=options.json),
            *([UNASKED] if options.online and not online else []),
            *written,
        ],
        online,
    )


def _bring(validation: Validation, forbidden: str) -> str:
    """Fetch the charts and bases that the cache lacks, and return why some are not there."""
    from manifests.fetch import Wants  # noqa: PLC0415 - as below
    from ops.upstream.originals import bring, private_of  # noqa: PLC0415 - as below

    if not validation.wanted:
        return ""
    settings = [stack.settings for stack in validation.stacks if stack.settings]
    wants, env = Wants(validation.reader), validation.tools.env()
    brought = bring(wants, sorted(validation.wanted), env, forbidden=forbidden, private=private_of(*settings))
    validation.not_fetched = brought.problems
    return brought.why


def _online(validation: Validation) -> Online:
    from ops.checking.online import ask  # noqa: PLC0415 - what asks over HTTP takes as long to import as all the rest

    return ask(validation)


def _written(validation: Validation, online: Online) -> tuple[list[str], list[Problem]]:
    from ops.checking.digest_writer import write  # noqa: PLC0415 - as above

    return write(validation, online)


def _validation(root: Path, stacks: list[Stack], tree: Tree, since: str | None) -> Validation:
    from ops.checking.validation import Validation  # noqa: PLC0415 - what renders and judges takes a third of `--shape` to import

    every = [read_stack(path) for path in stack_files(root).values()]
    changed = Changed(root, since).takes if since else None
    return Validation(root, stacks, tree, every, changed)


def _validated(validation: Validation) -> list[Problem]:
    from ops.checking.validation import validate  # noqa: PLC0415 - as above

    return validate(validation)


def _told(
    options: argparse.Namespace, problems: list[Problem], summary: str, notes: Iterable[str], online: Online | None
) -> int:
    if options.json:
        said = {"problems": [problem.as_dict() for problem in problems], "notes": list(notes)}
        print(json.dumps(said | ({"online": online.as_dicts} if online else {}), indent=2))
        return 1 if problems else 0
    if online:
        print(online)
    for problem in problems:
        print(problem)
    for note in notes:
        print(coloured(note, "yellow"))
    found = count(len(problems), "problem") if problems else "no problem"
    print(f"{coloured(found, 'red' if problems else 'green')} in {summary}")
    return 1 if problems else 0


def _summary(stacks: list[Stack], tree: Tree, validation: Validation | None) -> str:
    parts = (
        count(len(stacks), "stack"),
        count(len(tree.categories), "category", "categories"),
        count(len(tree.apps), "app"),
    )
    return f"{', '.join(parts)}{f'; {validation.summary}' if validation and validation.rendered else ''}"


@rule("stack-missing", scope="program", why="Without a stack file there is nothing to check.")
def _chosen(root: Path, names: list[str] | None) -> list[Path]:
    files = stack_files(root)
    if not files:
        rule, fix = "there is no stack file (Pulumi.<stack>.yaml)", "./homelab init writes one"
        raise Refused([Problem(str(root), 0, "", "", rule, fix, "stack-missing")])
    unknown = [name for name in names or () if name not in files]
    if unknown:
        fix = f"the stacks are {', '.join(files)}"
        raise Refused(
            [Problem(f"Pulumi.{name}.yaml", 0, "", "", "does not exist", fix, "stack-missing") for name in unknown]
        )
    return [path for name, path in files.items() if not names or name in names]


def _notes(
    stacks: list[Stack], tree: Tree | None, validation: Validation | None, why: str, *, in_full: bool
) -> Iterator[str]:
    """Say which secrets `up` will ask for, what nobody runs, and what was not the real thing; none is a mistake."""
    for stack in stacks:
        missing = missing_secrets(stack.settings) if stack.settings else ()
        if missing:
            yield f"{stack.places.file}: still to set before `up`: {how_to_set(stack.name, missing)}"
    for name, meant in environments_aside(stacks, tree) if tree else ():
        if not meant:
            yield f"{ENVIRONMENTS}/{name}: no stack has this environment"
    if validation and not validation.rendered and (validation.changed is None or validation.wanted):
        yield "no app was rendered: what is wrong with the settings or the shape of the tree comes first"
    stand_ins = validation.stand_ins if validation and validation.rendered else ()
    if stand_ins:
        said = count(len(stand_ins), "chart or base is a stand-in", "charts and bases are stand-ins")
        names = f": {', '.join(stand_ins)}" if in_full else "; --json names them"
        yield f"{said}{f' ({why})' if why else ''}{names}"
    if validation and validation.rendered and validation.changed is None:
        from ops.checking.digests import line  # noqa: PLC0415 - as above

        yield from filter(None, [line(validation)])

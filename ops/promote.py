"""Promote apps, and versions of the infrastructure, from one environment to the next of the chain.

The version that the source environment runs gets pinned in the target: one commit for each app, on a branch of its own,
with the evidence in its message. docs/how-to/promote.md explains it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from config.chain import FILE as CHAIN
from config.chain import Chain, read_chain
from config.code_owners import requires_approval
from config.load import read_stacks
from config.rules import rule
from config.tree import APPS, GENERATED_BY, Tree, read_apps
from errors import Declined, Problem, Refused
from ops import terminal
from ops.promotion.commits import Branch, alone, default_branch, write_branch, write_in_place
from ops.promotion.evidence import evidence_for
from ops.promotion.git_store import GitStore
from ops.promotion.history import History
from ops.promotion.infrastructure import parts_of_all, plan_infrastructure, undo_infrastructure
from ops.promotion.names import COMMAND, INFRASTRUCTURE, Passage, labels_of, passage
from ops.promotion.output import branch_line, plan_data, plan_lines
from ops.promotion.plan import Move, PlanInputs, PromotionPlan, plan_apps
from ops.promotion.pushing import push
from ops.promotion.requested import requests_of
from ops.promotion.tags import release, require_merged, tag
from ops.promotion.undoing import lift, revert
from ops.result import Result
from ops.review.revisions import MAIN

MALFORMED = ("pin-malformed", "annotations-malformed")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="APP",
        help="an app, as category/app or by its name; or talos, kubernetes, extensions",
    )
    parser.add_argument("--from", dest="source", default="", metavar="ENV", help="the environment that has the version")
    parser.add_argument("--to", dest="target", default="", metavar="ENV", help="the environment that gets it")
    parser.add_argument("--from-file", type=terminal.path, metavar="FILE", help="promote the list in this file")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--all", dest="every", action="store_true", help="promote everything that differs and is ready")
    how.add_argument("--revert", action="store_true", help="put back the versions before, and hold them")
    how.add_argument("--lift", action="store_true", help="lift holds")
    how.add_argument("--tag", action="store_true", help="tag HEAD as a release of the environment --to")
    parser.add_argument("--reason", default="", metavar="TEXT", help="override refusals, and record the reason")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and write nothing")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--branch", default="", metavar="NAME", help="the branch to make (default: promote/ENV-APP)")
    where.add_argument("--in-place", action="store_true", help="commit on the present branch")
    parser.add_argument("--push", action="store_true", help="push the branch, and open its pull request")
    parser.add_argument("--root", type=terminal.path, default=Path.cwd(), help=argparse.SUPPRESS)


@dataclass(frozen=True)
class _Checkout:
    """The checkout that a promotion reads, and the step of the chain that it takes."""

    tree: Tree
    chain: Chain
    store: GitStore
    passage: Passage
    labels: tuple[str, ...]

    @property
    def apps(self) -> list[str]:
        return [label for label in self.labels if label not in INFRASTRUCTURE]

    @property
    def parts(self) -> list[str]:
        return [label for label in self.labels if label in INFRASTRUCTURE]


def run(options: argparse.Namespace) -> Result:
    """Plan the promotion, refuse it with every reason at once, or write its commits."""
    root: Path = options.root.resolve()
    if options.tag:
        return _tagged(options, root)
    if options.push and (options.in_place or options.dry_run):
        raise Declined("--push: pushes a branch of its own; leave out --in-place and --dry-run, or push yourself")
    if [options.every, bool(options.names), bool(options.from_file)].count(True) != 1:
        raise Declined(f"{COMMAND}: needs either names of apps, --from-file or --all; {COMMAND} --help")
    with GitStore.of(root) as store, alone(store):
        checkout, revisions = _checkout(options, root, store)
        undoes = options.revert or options.lift
        plan = _undone(options, checkout) if undoes else _promoted(options, checkout, revisions)
        problems = [*plan.problems, *_dirty(checkout, plan.moves), *_unapproved(options, checkout)]
        if problems:
            raise Refused(problems)
        branch = None if options.dry_run or not plan.moves else _written(options, checkout, plan.moves)
        lines = [*plan_lines(plan, checkout.passage.target, every=options.every)]
        lines += [branch_line(branch)] if branch else ["nothing was written (--dry-run)"] if options.dry_run else []
        if branch and options.push:
            target = checkout.passage.target
            lines[-1:] = push(store, branch, store.branch or "main", target, plan.moves)
        if branch and options.in_place and checkout.passage.is_last:
            lines.append(f"once it is pushed: {COMMAND} --tag --to {checkout.passage.target}")
        data = plan_data(plan, checkout.passage.source, checkout.passage.target, branch)
        return Result("\n".join(lines), data)


def _tagged(options: argparse.Namespace, root: Path) -> Result:
    """Tag HEAD as a release of an environment."""
    if options.push:
        raise Declined(f"{COMMAND} --tag: a tag is published by git push origin TAG; leave out --push")
    if options.names or options.from_file or options.source or not options.target:
        raise Declined(f"{COMMAND} --tag: needs --to ENVIRONMENT and no app: a tag records the whole environment")
    with GitStore.of(root) as store, alone(store):
        tree = read_apps(root)
        _, problems = passage(read_chain(root, tree), "", options.target)
        if problems:
            raise Refused(problems)
        require_merged(store, store.merged(MAIN))
        if options.dry_run:
            data = {"release": vars(release(store, tree, options.target))}
            return Result(f"would tag {store.head[:8]}; nothing was written (--dry-run)", data)
        name, is_new = tag(store, tree, options.target, datetime.now(UTC))
        text = f"tagged {store.head[:8]} as {name}; next: git push origin {name}"
        return Result(text if is_new else f"{store.head[:8]} is {name} already", {"tag": name, "new": is_new})


def _checkout(options: argparse.Namespace, root: Path, store: GitStore) -> tuple[_Checkout, dict[str, str]]:
    """Read the checkout, and refuse names and environments that do not exist."""
    source, target, names = options.source, options.target, options.names
    named: Mapping[str, str] = {}
    if options.from_file:
        listed = requests_of(options.from_file, source, target)
        source, target, names, named = listed.source, listed.target, listed.names, listed.revisions
    tree = read_apps(root)
    chain = read_chain(root, tree)
    taken, problems = passage(chain, source, target)
    labels, unknown = labels_of(tree, names)
    problems += [*chain.problems, *unknown, *(one for one in tree.problems if one.check in MALFORMED)]
    if problems or taken is None:
        raise Refused(problems)
    if options.every:
        labels = sorted({app.label for app in tree.apps_in(taken.source)})
        labels += parts_of_all(root, (taken.source, taken.target))
    revisions = {labels_of(tree, [name])[0][0]: commit for name, commit in named.items()}
    undoes = options.revert or options.lift
    if ignored := sorted(revisions if undoes else {*revisions} & {*INFRASTRUCTURE}):
        what = "--revert and --lift" if undoes else "versions of the infrastructure"
        raise Declined(f"{ignored[0]}: revision is for promotions of apps, and not for {what}; remove it")
    return _Checkout(tree, chain, store, taken, tuple(labels)), revisions


def _promoted(options: argparse.Namespace, checkout: _Checkout, revisions: dict[str, str]) -> PromotionPlan:
    taken, store = checkout.passage, checkout.store
    inputs = PlanInputs(
        checkout.tree,
        checkout.chain,
        History(store),
        evidence_for(store.root, taken.source),
        taken,
        datetime.now(UTC),
        options.reason,
        store.merged(MAIN),
        revisions,
    )
    plan = plan_apps(inputs, checkout.apps, every=options.every)
    return plan_infrastructure(inputs, checkout.parts, plan, every=options.every)


def _undone(options: argparse.Namespace, checkout: _Checkout) -> PromotionPlan:
    store, target = checkout.store, checkout.passage.target
    undo = lift if options.lift else revert
    plan = undo(checkout.tree, History(store), checkout.apps, target, options.reason)
    return undo_infrastructure(store, checkout.parts, target, options.reason, plan, lift=options.lift)


@rule("promotion-dirty", scope="program", why="A commit of a promotion must contain the promotion alone.")
def _dirty(checkout: _Checkout, moves: Sequence[Move]) -> Iterator[Problem]:
    """Yield files with changes that are not committed, among those that the plan reads and writes."""
    if not moves:
        return
    source = checkout.passage.source
    read = {CHAIN, *(f"{APPS}/{move.label}/{source}/{name}" for move in moves for name in GENERATED_BY)}
    copied = tuple(f"{APPS}/{move.label}/{source}/" for move in moves if move.verb == "Promote" and not move.now)
    written = {path for move in moves for path in move.files}
    if any(move.label in INFRASTRUCTURE for move in moves):
        read |= {path.name for path in checkout.store.root.glob("Pulumi.*.yaml")}
    dirty = checkout.store.dirty(["."])
    for name in sorted(dirty & (read | written) | {one for one in dirty if copied and one.startswith(copied)}):
        rule, fix = "has changes that are not committed", "git commit them, or git stash"
        yield Problem(name, 0, "", "", rule, fix, "promotion-dirty")


@rule("promotion-approval", scope="program", why="A commit on the branch itself has no review before it takes effect.")
def _unapproved(options: argparse.Namespace, checkout: _Checkout) -> Iterator[Problem]:
    """Yield the stacks of the target whose owners must review a promotion that has no pull request."""
    if not options.in_place or options.reason:
        return
    for stack in read_stacks(checkout.store.root):
        settings = stack.settings
        if settings and settings.delivery.environment == checkout.passage.target and requires_approval(settings):
            broken = f"is required by delivery.gates of {checkout.passage.target}, and --in-place makes no pull request"
            fix = "leave out --in-place and add --push, or give a reason that is recorded: --reason TEXT"
            gate = ("delivery", "gates", "approval")
            yield stack.places.problem("promotion-approval", gate, "", broken, fix)


def _written(options: argparse.Namespace, checkout: _Checkout, moves: Sequence[Move]) -> Branch:
    store, taken = checkout.store, checkout.passage
    if options.in_place:
        return write_in_place(store, moves, taken.source, taken.target)
    verb = moves[0].verb.lower()
    name = options.branch or default_branch(taken.target, moves, verb)
    return write_branch(store, moves, taken.source, taken.target, name)

"""List the entries of the secret store that the chosen apps need, and make those that need no person."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from config.load import Stack, read_stack, stack_files
from config.tree import read_tree
from errors import Declined, ProgramFailed, TookTooLong, TreeRefused
from manifests.objects import Object
from manifests.secret_entries import StoreEntry
from ops.argocd.client import Cluster
from ops.argocd.report import refuse_strangers
from ops.checking.validation import Validation, places_of
from ops.stack import checked, stack_arguments
from ops.store_entries import Needed, make, needed, states
from ops.terminal import count, table

UNKNOWN = "not asked"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stack, and whether to make entries."""
    stack_arguments(parser)
    parser.add_argument("--create", action="store_true", help="make what is missing and can be made; print no value")


def run(options: argparse.Namespace) -> int:
    """Print each entry with its origin, its readers and its state; return 0 where none is missing."""
    root = Path.cwd()
    stack, settings = checked(root, options.stack)
    wanted = needed(_objects(root, stack))
    cluster, why = _cluster(root, options.stack)
    if cluster is not None:
        refuse_strangers(cluster, settings, options.stack)
    elif options.create:
        raise Declined(f"entries are made by the cluster's own External Secrets, and it cannot be asked: {why}")
    made: list[str] = []
    if cluster is not None and options.create:
        known = states(cluster, settings, wanted)
        made = make(cluster, settings, [one for one in wanted if one.is_made and known[one.entry.name] != "there"])
    known = states(cluster, settings, wanted) if cluster is not None else {}
    rows = [(one, "sent" if one.entry.name in made else known.get(one.entry.name, UNKNOWN)) for one in wanted]
    missing = [one for one, state in rows if state not in ("there", "sent")]
    if options.json:
        print(json.dumps({"store": settings.platform.secret_store.kind, "entries": [_as_dict(*row) for row in rows]}))
    else:
        print(table(("entry", "value", "read by", "state"), [_row(*row) for row in rows]))
        print(f"\n{count(len(wanted), 'entry', 'entries')} in a store of kind {settings.platform.secret_store.kind}")
        print(_summary(missing, why, options.stack))
    return 1 if missing and cluster is not None else 0


def _objects(root: Path, stack: Stack) -> Iterator[tuple[str, Object]]:
    """Yield every object of the stack's apps with the name of its app."""
    tree = read_tree(root)
    validation = Validation(root, [stack], tree, [read_stack(path) for path in stack_files(root).values()])
    validation.render()
    if validation.problems:
        raise TreeRefused(validation.problems)
    for place in places_of(stack, tree):
        for item in validation.objects_of(stack, place.app.path):
            yield f"{place.base.category}/{place.base.name}", item


def _cluster(root: Path, stack: str) -> tuple[Cluster | None, str]:
    """Return a cluster that answers, or the reason why there is none."""
    try:
        cluster = Cluster.of(root, stack)
        cluster.kubectl("get", "--raw", "/readyz", timeout=15)
    except (Declined, ProgramFailed, TookTooLong) as error:
        return None, str(error)
    return cluster, ""


def _row(one: Needed, state: str) -> tuple[str, str, str, str]:
    first, *others = one.readers
    return one.entry.name, _origin(one.entry), first + (f" and {len(others)} more" if others else ""), state


def _origin(entry: StoreEntry) -> str:
    if entry.origin == "random":
        return f"random, {entry.length} {'hexadecimal digits' if entry.hexadecimal else 'characters'}"
    if entry.origin == "text":
        return f"text {entry.detail}"
    return f"given{' or none' if entry.optional else ''}: {entry.detail}"


def _as_dict(one: Needed, state: str) -> dict[str, object]:
    return {"name": one.entry.name, "origin": one.entry.origin, "readers": one.readers, "state": state}


def _summary(missing: list[Needed], why: str, stack: str) -> str:
    if why:
        return f"which of them are missing is not known: {why}"
    made = [one.entry.name for one in missing if one.is_made]
    given = [one.entry.name for one in missing if not one.is_made]
    lines = [f"to make: {', '.join(made)}: ./homelab secrets --stack {stack} --create"] if made else []
    lines += [f"to give by hand: {', '.join(given)}; docs/understanding/secrets.md"] if given else []
    return "\n".join(lines) or "none is missing"

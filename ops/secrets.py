"""List the entries of the secret store that the stack's apps need, and with --create make random and fixed ones."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from config.load import Stack
from config.model import Settings
from config.tree import Tree
from errors import Declined, ProgramFailed, TookTooLong
from manifests.objects import Object
from manifests.pinned import PinnedTrees
from manifests.secret_entries import StoreEntry
from ops.argocd.client import ArgoCDClient
from ops.argocd.report import refuse_other_stack
from ops.checking.validation import Validation
from ops.rehearsal.client import client_of
from ops.result import Result
from ops.stack import checked, stack_argument
from ops.store_entries import Needed, make, needed, states
from ops.terminal import count, table

UNKNOWN = "unknown"
COMPLETE = ("there", "sent")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    stack_argument(parser)
    parser.add_argument("--create", action="store_true", help="make missing random and fixed entries; print no value")


def run(options: argparse.Namespace) -> Result:
    """List each entry with its origin, its readers and its state; good means that none is missing."""
    root = Path.cwd()
    stack, settings, tree = checked(root, options.stack)
    entries = needed(_objects(root, stack, tree))
    client, reason = _client(root, options.stack)
    known: Mapping[str, str] = {}
    if client is not None:
        refuse_other_stack(client, settings, options.stack)
        known = _states(client, settings, entries, create=options.create)
    elif options.create:
        raise Declined(f"entries are made by the External Secrets of the cluster, which does not answer: {reason}")
    rows = [(one, known.get(one.entry.name, UNKNOWN)) for one in entries]
    missing = [one for one, state in rows if state not in COMPLETE]
    kind = settings.platform.secret_store.kind
    text = (
        table(("entry", "value", "read by", "state"), [_row(*row) for row in rows]),
        f"\n{count(len(entries), 'entry', 'entries')} in a store of kind {kind}",
        _summary(missing, reason, options.stack),
    )
    data = {"store": kind, "entries": [_as_dict(*row) for row in rows]}
    return Result("\n".join(text), data, good=client is None or not missing)


def _states(client: ArgoCDClient, settings: Settings, entries: Sequence[Needed], *, create: bool) -> dict[str, str]:
    """Return the state of each entry; make those that can be made and are missing, if requested."""
    known = states(client, settings, entries)
    if not create:
        return known
    made = make(client, settings, [one for one in entries if one.is_made and known[one.entry.name] != "there"])
    return states(client, settings, entries) | dict.fromkeys(made, "sent")


def _objects(root: Path, stack: Stack, tree: Tree) -> Iterator[tuple[str, Object]]:
    """Yield every object of the stack's apps with the name of its app."""
    for place, objects in Validation(root, [stack], tree, pinned=PinnedTrees(root)).objects_by_app(stack):
        for item in objects:
            yield place.app.label, item


def _client(root: Path, stack: str) -> tuple[ArgoCDClient | None, str]:
    """Return the client of a cluster that answers, or the reason why there is none."""
    try:
        client = client_of(root, stack)
        client.kubectl("get", "--raw", "/readyz", timeout=15)
    except (Declined, ProgramFailed, TookTooLong) as error:
        return None, str(error)
    return client, ""


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


def _summary(missing: list[Needed], reason: str, stack: str) -> str:
    if reason:
        return f"the missing entries are not known: {reason}"
    made = [one.entry.name for one in missing if one.is_made]
    given = [one.entry.name for one in missing if not one.is_made]
    lines = [f"to make: {', '.join(made)}: ./homelab secrets --stack {stack} --create"] if made else []
    lines += [f"to give by hand: {', '.join(given)}; docs/understanding/secrets.md"] if given else []
    return "\n".join(lines) or "none is missing"

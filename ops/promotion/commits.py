"""The commits of a promotion: one for each move, on a branch of its own or on the present one.

Moves come in, a branch goes out. Each object is written before the branch moves, in one step, so that an interrupted
run leaves the repository as it was. `ops.promote` calls it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from errors import Declined, printable
from ops.promotion.git_store import GitStore
from ops.promotion.names import COMMAND
from ops.promotion.plan import SHORT, Move

LOCK = "homelab-promote.lock"
SUBJECT = 72
OURS = re.compile(r"^Homelab-(?:Promote|Revert|Lift): ", re.MULTILINE)
FROM, TO, REVISION, WAS, EVIDENCE, REASON = (
    f"Homelab-{word}" for word in ("From", "To", "Revision", "Was", "Evidence", "Reason")
)


@dataclass(frozen=True)
class Branch:
    """A branch with the commits of a promotion."""

    name: str
    commit: str
    base: str
    state: str
    """What happened to it: made, rebuilt, kept."""


@contextmanager
def alone(store: GitStore) -> Iterator[None]:
    """Hold the lock of promotions in a repository; the kernel releases the lock of a run that was killed."""
    file = store.git_folder / LOCK
    number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(number, "r+", encoding="utf-8") as opened:  # noqa: PTH123 - os.open gives a number
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = opened.read().strip() or "unknown"
            raise Declined(
                f"{file}: another promotion of this repository runs, as process {other}; wait until it has ended"
            ) from None
        opened.truncate(0)
        opened.write(f"{os.getpid()}\n")
        opened.flush()
        yield


def default_branch(target: str, moves: Sequence[Move], verb: str = "promote") -> str:
    """Return the name of the branch of some moves: the app's where there is one, else a digest of all names."""
    names = sorted(move.label for move in moves)
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:SHORT]
    short = names[0].replace("/", "-") if len(names) == 1 else digest
    return f"{verb}/{target}-{short}"


def write_branch(store: GitStore, moves: Sequence[Move], source: str, target: str, name: str) -> Branch:
    """Write the commits on a branch that begins at HEAD; the files of the checkout stay as they are."""
    _refuse_name(store, name)
    before = store.branch_commit(name)
    if before:
        _refuse_other(store, name, before)
    commit = _commits(store, moves, source, target)
    if before and store.is_ancestor(store.head, before) and store.entries(before) == store.entries(commit):
        return Branch(name, before, store.head, "kept")
    store.move_branch(name, commit, before)
    return Branch(name, commit, store.head, "rebuilt" if before else "made")


def write_in_place(store: GitStore, moves: Sequence[Move], source: str, target: str) -> Branch:
    """Write the commits on the branch of the checkout, and its files."""
    if not store.branch:
        raise Declined("--in-place: HEAD is detached, so that no branch would have the commits; git switch BRANCH")
    commit = _commits(store, moves, source, target)
    store.fast_forward(commit)
    return Branch(store.branch, commit, store.head, "moved")


def _commits(store: GitStore, moves: Sequence[Move], source: str, target: str) -> str:
    commit = store.head
    for move in moves:
        files = {path: (one.mode, store.write_blob(one.content)) for path, one in move.files.items()}
        commit = store.write_commit(commit, files, message_of(move, source, target))
    return commit


def _refuse_name(store: GitStore, name: str) -> None:
    """Refuse a name that Git does not take, and a branch whose files would seem changed once it has moved."""
    if not store.is_branch_name(name):
        raise Declined(f"{COMMAND} --branch {name}: is no name of a branch; choose another one, such as promote/next")
    if place := store.checked_out().get(name):
        raise Declined(
            f"branch {name}: is checked out in {place}, whose files would stay behind; git switch another branch "
            f"there, use --in-place, or choose another name: {COMMAND} --branch NAME"
        )


def _refuse_other(store: GitStore, name: str, commit: str) -> None:
    """Refuse to replace a branch with a commit that no promotion has made."""
    for one in store.commits_between(store.head, commit):
        if not OURS.search(store.message(one)):
            subject = store.message(one).partition("\n")[0]
            raise Declined(
                f"branch {name}: has the commit {one[:SHORT]} ({subject}), which no promotion made; merge it, delete "
                f"the branch, or choose another name: {COMMAND} --branch NAME"
            )


def message_of(move: Move, source: str, target: str) -> str:
    """Return the message of a move's commit: its subject, what changes, and trailers for programs."""
    subject = f"{move.verb} {move.label} {'in' if move.verb in ('Revert', 'Lift') else 'to'} {target}"
    trailers = [
        (f"Homelab-{move.verb}", move.label),
        (FROM, source if move.verb == "Promote" else ""),
        (TO, target),
        (REVISION, move.now),
        (WAS, move.was),
        (EVIDENCE, move.evidence),
        (REASON, printable(" ".join(move.reason.split()))),
    ]
    parts = [
        subject if len(subject) <= SUBJECT else f"{subject[: SUBJECT - 1]}…",
        "\n".join(body_of(move)),
        "\n".join(f"{key}: {value}" for key, value in trailers if value),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def body_of(move: Move) -> Iterator[str]:
    """Yield the lines about a move: pins or versions before and after, notes, and the commits that arrive."""
    if move.was or move.now:
        yield f"{short(move.was)} -> {short(move.now)}"
    yield from (
        f"{printable(name)}: {printable(was) or 'none'} -> {printable(now) or 'none'}"
        for name, was, now in move.versions
    )
    yield from (f"Note: {printable(' '.join(note.split()))}" for note in move.notes)
    if move.commits:
        yield ""
        yield from (f"    {printable(one)}" for one in move.commits)


def short(pin: str) -> str:
    """Return a pin as people read it; a version stays as it is."""
    if not pin:
        return "no pin"
    return pin[:SHORT] if len(pin) == 40 else pin  # noqa: PLR2004 - of a SHA-1

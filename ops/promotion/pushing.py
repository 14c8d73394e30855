"""The push of a promotion's branch, and its pull request with the evidence and the verdict of the preview.

A branch and its moves come in; lines about the push go out. `ops.promote --push` calls it.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import programs
from errors import Declined, ProgramFailed, TookTooLong, printable
from manifests.sources import is_loopback
from ops.promotion.commits import Branch, short
from ops.promotion.forges import forge_of
from ops.promotion.git_store import GitStore
from ops.promotion.names import COMMAND
from ops.promotion.output import preposition
from ops.promotion.plan import Move
from ops.review.formats.escaped import cell, prose
from ops.terminal import count
from ops.upstream import offline

REMOTE = "origin"
PROGRAM = Path(__file__).parents[2]
PUSH_SECONDS, PREVIEW_SECONDS = 300.0, 1800.0


def push(store: GitStore, branch: Branch, base: str, target: str, moves: Sequence[Move]) -> Iterator[str]:
    """Push a branch and yield lines about it and its pull request; the commits stay here if a part fails."""
    url = remote_of(store)
    # git and not GitPython, whose push has no timeout. A lease: a commit that another person pushed stays.
    name = f"refs/heads/{branch.name}"
    pushed = ("push", "--quiet", "--force-with-lease", REMOTE, f"{name}:{name}")
    programs.run("git", *programs.on_checkout(store.root), *pushed, timeout=PUSH_SECONDS)
    yield f"pushed {branch.name} to {REMOTE}"
    main = store.resolved(f"refs/remotes/{REMOTE}/{base}")
    if main and (ahead := store.commits_between(main, branch.base)):
        yield f"it also contains {count(len(ahead), 'commit')} of {base} that {REMOTE}/{base} lacks: merge those first"
    forge = forge_of(url, os.environ)
    if forge is None:
        yield f"{_public(url)}: is at no forge that is known here; open the pull request of {branch.name} there"
        return
    if not forge.token:
        yield f"no token for {forge.kind} is set; open the pull request: {forge.link(branch.name, base)}"
        return
    made = forge.request(branch.name, base, title_of(moves, target), text_of(moves, verdict(store, branch)))
    yield f"pull request {made.state}: {made.url}"


def remote_of(store: GitStore) -> str:
    """Return the URL of the remote, or refuse a push without one, and one that requests may not reach."""
    url = store.remote(REMOTE)
    if not url:
        raise Declined(f"{COMMAND} --push: there is no remote {REMOTE}; git remote add {REMOTE} URL")
    is_here = url.startswith(("/", "file://")) or is_loopback(url)
    if (reason := offline.forbidden()) and not is_here:
        raise Declined(f"{COMMAND} --push: needs {_public(url)}, and {reason} forbids requests to other hosts")
    return url


def _public(url: str) -> str:
    """Return a URL without the credentials in it."""
    return re.sub(r"//[^/]*@", "//", url)


def title_of(moves: Sequence[Move], target: str) -> str:
    """Return the title of a pull request."""
    first = moves[0]
    what = first.label if len(moves) == 1 else f"{len(moves)} apps and versions"
    return f"{first.verb} {what} {preposition(first)} {target}"


def text_of(moves: Sequence[Move], preview: str) -> str:
    """Return the text of a pull request: a table of the moves with their evidence, then the preview."""
    rows = ["| app | before | after | versions | evidence |", "| --- | --- | --- | --- | --- |"]
    for move in moves:
        versions = ", ".join(
            f"{_name(name)} {_name(was) or 'none'} → {_name(now) or 'none'}" for name, was, now in move.versions
        )
        evidence = f"{_name(move.evidence) or 'none'}{f' (reason: {_text(move.reason)})' if move.reason else ''}"
        cells = (_name(move.label), _name(short(move.was)), _name(short(move.now)), versions, evidence)
        rows.append(f"| {' | '.join(cells)} |")
    notes = [f"- {_name(move.label)}: {_text(note)}" for move in moves for note in move.notes]
    return "\n\n".join(part for part in ("\n".join(rows), "\n".join(notes), preview) if part)


def _name(text: str) -> str:
    return cell(_visible(text))


def _text(text: str) -> str:
    """Return a text that notifies and formats nothing: holds and rules have texts of the checkout."""
    return prose(_visible(text))


def _visible(text: str) -> str:
    return printable(" ".join(text.split()))


def verdict(store: GitStore, branch: Branch) -> str:
    """Return the preview of a branch as Markdown; its files are in a work tree of their own for that time."""
    with tempfile.TemporaryDirectory(prefix="homelab-promote-") as name:
        place = Path(name).resolve() / "checkout"
        store.repository.git.worktree("add", "--detach", "--quiet", str(place), branch.commit)
        try:
            root = place.joinpath(*store.prefix)
            preview = ("-m", "ops", "preview", "--all-stacks", "--root", root, "--base", branch.base, "--format", "md")
            env = {**os.environ, "PYTHONPATH": str(PROGRAM)}
            return programs.run(sys.executable, *preview, cwd=PROGRAM, env=env, timeout=PREVIEW_SECONDS).stdout
        except (ProgramFailed, TookTooLong) as error:
            last = str(error).splitlines()[-1].strip()
            return f"The preview failed; run it on the branch: `./homelab preview`\n\n    {last}"
        finally:
            store.repository.git.worktree("remove", "--force", str(place))

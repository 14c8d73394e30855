"""The pins of apps compared with Git: each is a commit of HEAD's history that has the folder of its app.

A checkout and its tree come in, problems go out; for all pins together they cost three commands. `ops.check` prints
them, also with `--shape`, `ops.review.sides` reports those of a change, and `ops.stack` refuses them before a stack is
applied or rehearsed: a commit outside of the history has no review.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import programs
from config.promotion import ABOVE, REVISION
from config.rules import rule
from config.source import read
from config.tree import App, Tree
from errors import Problem, ProgramFailed, ProgramMissing

NOT_COMPARED = "the pins of apps were not compared with Git: this is no repository"


def check_pins(root: Path, tree: Tree, repository: Path | None = None) -> tuple[list[Problem], str]:
    """Return the problems of all pins, and a note where there is no repository to compare them with.

    The files are those below `root`, the commits those of `repository`, or of the one that `root` is in.
    """
    pinned = [app for app in tree.apps if app.revision]
    if not pinned:
        return [], ""
    try:
        asked = ("rev-parse", "--is-shallow-repository", "--show-prefix")
        shallow, prefix = _git(repository or root, *asked).decode().splitlines()
    except (ProgramFailed, ProgramMissing):
        return [], NOT_COMPARED
    return list(_compared(root, repository or root, pinned, prefix, is_shallow=shallow == "true")), ""


@rule("pin-unknown", scope="program")
@rule(
    "pin-outside",
    scope="program",
    why="Git deletes a commit that no branch has: Argo CD could no longer render the app, not even to restore it.",
)
@rule("pin-without-folder", scope="program", why="Argo CD would find nothing to render, and report an error.")
def _compared(
    root: Path, repository: Path, pinned: Sequence[App], prefix: str, *, is_shallow: bool
) -> Iterator[Problem]:
    """Yield the problems of pins in the order of their apps."""
    commits = _types(repository, [f"{app.revision}^{{commit}}" for app in pinned])
    folders = _types(repository, [f"{app.revision}:{prefix}{app.path}" for app in pinned])
    known = {app.revision for app, found in zip(pinned, commits, strict=True) if found == "commit"}
    outside = _outside(repository, known)
    for app, folder in zip(pinned, folders, strict=True):
        again = f"promote the app again: ./homelab promote {app.label} --to {app.environment}"
        if app.revision not in known:
            clone, fix = (
                ("shallow clone", "git fetch --unshallow") if is_shallow else ("repository", f"git fetch, or {again}")
            )
            yield _problem(root, app, f"is no commit of this {clone}", fix, "pin-unknown")
        elif folder != "tree":
            yield _problem(root, app, f"is a commit without the folder {app.path}", again, "pin-without-folder")
        elif app.revision in outside:
            rule, fix = "is no ancestor of HEAD: a squash, a rebase or a force push left it behind", again
            if is_shallow:
                rule, fix = "is no ancestor of HEAD in this shallow clone", "git fetch --unshallow"
            yield _problem(root, app, rule, fix, "pin-outside")


def _types(root: Path, names: Sequence[str]) -> list[str]:
    """Return the type of each object that has a name; empty where there is none."""
    asked = "".join(f"{name}\n" for name in names).encode(errors="surrogateescape")
    lines = _git(root, "cat-file", "--batch-check=%(objecttype)", stdin=asked).decode(errors="replace").splitlines()
    return ["" if line.endswith((" missing", " ambiguous")) else line for line in lines]


def _outside(root: Path, commits: set[str]) -> frozenset[str]:
    """Return those of some commits that are no ancestors of HEAD."""
    if not commits:
        return frozenset()
    try:
        _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except ProgramFailed:
        return frozenset(commits)
    listed = _git(root, "rev-list", "--stdin", stdin="\n".join((*sorted(commits), "^HEAD", "")).encode())
    return frozenset(commits) & frozenset(listed.decode().split())


def _git(root: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    # git and not GitPython, whose import takes longer than these commands.
    return programs.pipe("git", *programs.on_checkout(root), *arguments, stdin=stdin)


def _problem(root: Path, app: App, rule: str, fix: str, check: str) -> Problem:
    path = (*ABOVE[app.file.rpartition("/")[2]], REVISION)
    line = read(root / app.file, app.file).first.line(path)
    return Problem(app.file, line, ".".join(map(str, path)), app.revision, rule, fix, check)

"""The two sides of a change in Git: the commit that the change started from, and the working tree.

A checkout and a reference come in; the commit to compare with, the changed files and a folder with the files of that
commit go out. The repository is only read: the folder is a temporary one. `ops.review.sides` continues.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import programs
from config.rules import rule
from config.tree import APPS
from errors import Problem, ProgramFailed, ProgramMissing, Refused
from manifests.pinned import write_commit
from ops.review.report import Revision

COMMAND = "./homelab preview"
# The main branch, as the remote has it first: a local one may be behind.
MAIN = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master", "main", "master")
NO_COMMIT = "there is no commit yet: everything counts as new"
SUBMODULE = "160000"


@dataclass(frozen=True)
class Span:
    """The commit before the change, and the files that differ from it in the working tree."""

    root: Path
    base: Revision
    head: Revision
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @contextmanager
    def before(self) -> Iterator[Path]:
        """Yield a folder with the files of the base, as a checkout would write them; without a commit, an empty one."""
        with tempfile.TemporaryDirectory(prefix="homelab-base-") as name:
            folder = Path(name).resolve() / "base"
            folder.mkdir()
            if self.base.commit:
                write_commit(self.root, self.base.commit, folder, Path(name) / "index")
            yield folder


@rule("base-unknown", scope="program", why="Without the commit that a change started from, its effect is unknown.")
@rule("repository-missing", scope="program", why="The state before a change is in Git's history.")
def span_of(root: Path, reference: str | None) -> Span:
    """Return the span from the merge base with the main branch, or with a reference, to the working tree."""
    try:
        _git(root, "rev-parse", "--git-dir")
    except ProgramMissing:
        raise
    except ProgramFailed:
        rule, fix = "is no checkout of a Git repository", "run it in a checkout: git clone, or git init and git commit"
        raise Refused([Problem(str(root), 0, "", "", rule, fix, "repository-missing")]) from None
    head = _commit(root, "HEAD")
    notes = [*_submodules(root), *_unmerged(root)]
    if not head and not reference:
        files = tuple(_names(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z"))
        return Span(
            root, Revision(commit=""), Revision(commit="", changed_files=len(files)), files, (NO_COMMIT, *notes)
        )
    base = _merge_base(root, reference, head)
    untracked = _names(root, "ls-files", "--others", "--exclude-standard", "-z")
    differs = ("diff", "--name-only", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "-z", "--relative")
    files = tuple(sorted({*_names(root, *differs, base, "--"), *untracked}))
    edited = {*_names(root, *differs, "HEAD", "--"), *untracked} if head else set(files)
    now = Revision(commit=head, subject=_subject(root, head), changed_files=len(edited))
    return Span(root, Revision(commit=base, subject=_subject(root, base)), now, files, tuple(notes))


def _merge_base(root: Path, reference: str | None, head: str) -> str:
    """Return the commit that the change started from, or refuse a reference and a history that do not show it."""
    if reference is not None and not _commit(root, reference):
        raise _unknown(reference, "is no commit here", "git fetch, or choose a branch, a tag or a commit of git log")
    ends = [reference] if reference is not None else [one for one in MAIN if _commit(root, one)]
    if not ends:
        return head  # without a main branch the change is what is not committed
    end = _commit(root, ends[0])
    try:
        return _git(root, "merge-base", end, head or end).strip()
    except ProgramFailed:
        shallow = _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
        rule = "has no common ancestor with HEAD" + (" in this shallow clone" if shallow else "")
        fix = "git fetch --unshallow" if shallow else "choose a branch with the same history with --base"
        raise _unknown(ends[0].removeprefix("refs/remotes/"), rule, fix) from None


def _unknown(reference: str, rule: str, fix: str) -> Refused:
    return Refused([Problem(COMMAND, 0, "--base", reference, rule, fix, "base-unknown")])


def _commit(root: Path, reference: str) -> str:
    """Return the full name of a commit, empty where there is none."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
    try:
        return _git(root, *asked).strip()
    except ProgramFailed:
        return ""


def _subject(root: Path, commit: str) -> str:
    return _git(root, "log", "-1", "--format=%s", "--end-of-options", commit).strip() if commit else ""


def _submodules(root: Path) -> Iterator[str]:
    """Yield a note about each submodule among the apps: its files are in another repository."""
    for entry in _names(root, "ls-files", "--stage", "-z", "--", APPS):
        mode, _, name = entry.partition("\t")
        if mode.startswith(SUBMODULE):
            yield f"{name}: is a submodule, and its files are not compared"


def _unmerged(root: Path) -> Iterator[str]:
    """Yield a note about each file with a conflict that is not resolved."""
    names = {entry.partition("\t")[2] for entry in _names(root, "ls-files", "--unmerged", "-z")}
    yield from (f"{name}: has a conflict of a merge that is not resolved" for name in sorted(names))


def _names(root: Path, *arguments: str) -> list[str]:
    return [name for name in _git(root, *arguments).split("\0") if name]


def _git(root: Path, *arguments: str) -> str:
    # git and not GitPython, which starts the same commands without a timeout.
    return programs.run("git", *programs.on_checkout(root), *arguments).stdout

"""The files of a pinned app: its commit in Git, written into the user's cache.

A checkout comes in; for an app with a pin, a reader of the tree at its commit goes out. A commit is immutable, so that
its folder in the cache is written once, appears whole, and serves every checkout at the same path of a repository.
`ops.checking.validation` renders from it, `ops.rehearsal.pins` and `ops.up` copy it for the rehearsed Git and for the
seeds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import programs
from config import files
from config.promotion import REVISION
from config.rules import rule
from config.tree import APPS, SETTINGS, SHARED, App
from errors import Problem, ProgramFailed, TreeRefused
from local.cache import cache_folder
from manifests.checkout import CheckoutReader
from manifests.contents import Contents

MOST = 200  # commits in the cache, of about a megabyte each
SECONDS_OF_A_RUN = 6 * 3600.0  # a run reads the files of each pinned app's commit at any time until its end
PARTS = (APPS, ".gitattributes")
FETCH = "git fetch --unshallow, or promote the app again"


def write_commit(repository: Path, commit: str, folder: Path, index: Path, parts: tuple[str, ...] = ()) -> None:
    """Write the files of a commit as a checkout would write them, or those below some of its paths."""
    prefix = _git(repository, "rev-parse", "--show-prefix").rstrip("\n")
    # With the folder as work tree, .gitattributes are those of the commit: the checkout may have other ones.
    env = {
        **os.environ,
        "GIT_DIR": _git(repository, "rev-parse", "--absolute-git-dir").rstrip("\n"),
        "GIT_INDEX_FILE": str(index),
        "GIT_WORK_TREE": str(folder),
    }
    _git(folder, "read-tree", f"{commit}^{{commit}}:{prefix}", env=env)
    for part in parts:
        names = _git(folder, "ls-files", "-z", "--", part, env=env)
        arguments = (*programs.on_checkout(folder), "checkout-index", "-z", "--stdin", "--quiet")
        # git and not GitPython, which obeys no .gitattributes.
        programs.pipe("git", *arguments, env=env, stdin=names.encode())
    if not parts:
        _git(folder, "checkout-index", "--all", "--quiet", env=env)


@dataclass
class PinnedTrees:
    """The apps trees of commits of one repository."""

    repository: Path
    home: Path = field(default_factory=lambda: cache_folder() / "revisions")
    _readers: dict[str, CheckoutReader] = field(default_factory=dict)
    _missing: set[str] = field(default_factory=set)
    """Commits that the repository turned out not to have."""

    @cached_property
    def above(self) -> str:
        """Return the path of the checkout in its repository: a commit has other files for each."""
        try:
            return _git(self.repository, "rev-parse", "--show-prefix").strip()
        except ProgramFailed:
            return ""  # without a repository there is no commit either

    def folder(self, commit: str) -> Path | None:
        """Return the folder with apps/ at a commit; None where the repository does not have the commit."""
        place = self.home / self._name(commit)
        if commit in self._missing:
            return None
        if not place.is_dir():
            self.home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".writing-", dir=self.home) as temporary:
                fresh = Path(temporary) / commit
                fresh.mkdir()
                try:
                    write_commit(self.repository, commit, fresh, Path(temporary) / "index", PARTS)
                except ProgramFailed:
                    if self._has(commit):  # such as a full disk, or a filter of Git that fails
                        raise
                    self._missing.add(commit)
                    return None
                with contextlib.suppress(OSError):  # another process was faster, with the same files
                    fresh.rename(place)
            self._prune()
        os.utime(place)
        return place

    def copy(self, app: App, target: Path) -> None:
        """Copy everything that an app is rendered from at its commit, and nothing that a link leads to.

        Parts that are there stay: apps with the same pin share some. A missing commit is refused.
        """
        commit = self.folder(app.revision)
        if commit is None:
            raise TreeRefused([unknown(app)])
        beside = (str(part.relative_to(commit)) for part in commit.glob(f"{APPS}/{app.category}/_*"))
        for part in (app.folder, f"{APPS}/{SETTINGS}/{app.environment}", f"{APPS}/{SHARED}", *beside):
            if (commit / part).is_dir() and not (target / part).exists() and not files.leaves(commit, commit / part):
                shutil.copytree(commit / part, target / part, symlinks=True)

    def reader(self, app: App) -> CheckoutReader:
        """Return the reader of an app's commit; of a missing one, a reader in which the app's folder has a problem."""
        key = app.revision
        folder = self.folder(key)
        if folder is None:
            reader = CheckoutReader(self.home / key)
            refused = Contents("manifests", problems=[unknown(app)])
            reader.closures |= {(app.path, True): refused, (app.path, False): refused}
            return reader
        if key not in self._readers:
            self._readers[key] = CheckoutReader(folder.resolve())
        return self._readers[key]

    def readers(self, apps: tuple[App, ...]) -> Mapping[str, CheckoutReader]:
        """Return the readers of pinned apps by the paths of their folders."""
        return {app.path: self.reader(app) for app in apps if app.revision}

    def _has(self, commit: str) -> bool:
        try:
            _git(self.repository, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}:{self.above}")
        except ProgramFailed:
            return False
        return True

    def _name(self, commit: str) -> str:
        return f"{commit}-{hashlib.sha256(self.above.encode()).hexdigest()[:16]}" if self.above else commit

    def _prune(self) -> None:
        """Remove the least recently used commits above the limit, but none that a run may still read."""
        found = []
        for one in self.home.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                found += [] if one.name.startswith(".") else [(one.stat().st_mtime, one)]
        unused_since = time.time() - SECONDS_OF_A_RUN
        for used, one in sorted(found)[:-MOST]:
            if used < unused_since:
                shutil.rmtree(one, ignore_errors=True)


@rule("pin-unknown", scope="tree", why="Argo CD cannot render a commit that the repository does not have.")
def unknown(app: App) -> Problem:
    """Return the problem of a pin whose commit this repository does not have."""
    broken = "is no commit of this repository, so that the app cannot be rendered"
    return Problem(app.file, 0, REVISION, app.revision, broken, FETCH, "pin-unknown")


def _git(root: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    # git and not GitPython, which starts the same commands without a timeout.
    return programs.run("git", *programs.on_checkout(root), *arguments, env=env).stdout

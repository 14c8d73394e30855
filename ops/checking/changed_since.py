"""The folders that a change affects: the files that Git reports as changed, compared with the inputs of each render.

A checkout and a commit come in; `Changed.takes` returns whether a file among a folder's contents differs from the
commit. `ops.checking.validation` reports the problems of those folders, and those that the change causes elsewhere.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import programs
from config.rules import rule
from config.tree import APPS
from errors import Problem, ProgramFailed, Refused
from manifests.contents import Contents

ELSEWHERE = (
    "README.md",
    "docs/",
    "tests/",
    "bench/",
    ".ci/",
    ".github/",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "zensical.toml",
)


@dataclass(frozen=True)
class Changed:
    """The differences between a checkout and a commit; untracked files count too."""

    root: Path
    since: str

    @cached_property
    def files(self) -> frozenset[str]:
        """Return every file that was added, changed or removed."""
        asked = (
            ("diff", "--name-only", "--no-renames", "-z", "--relative", self.since, "--"),
            ("ls-files", "--others", "--exclude-standard", "-z"),
        )
        # git and not GitPython, which starts the same commands without a timeout.
        said = [programs.run("git", *programs.on_checkout(self.root), *one).stdout for one in asked]
        return frozenset(name for text in said for name in text.split("\0") if name)

    @cached_property
    def everything(self) -> bool:
        """Return whether a change affects all folders: of settings, categories or rules, or a folder was removed."""
        ours = f"{APPS}/"
        if any(name.endswith("/category.yaml") or not name.startswith((ours, *ELSEWHERE)) for name in self.files):
            return True
        # The remaining files do not show which folders built on the removed one or had references to its objects.
        return any(name.startswith(ours) and not (self.root / name).parent.is_dir() for name in self.files)

    def takes(self, contents: Contents) -> bool:
        """Return whether a file that goes into a folder has changed."""
        if self.everything or not self.files.isdisjoint(contents.files):
            return True
        # A removed file is in no contents; it was in or below a folder that has a file among them.
        folders = {posixpath.dirname(file) for file in contents.files}
        return any(above in folders for name in self.files for above in _above(name))


@rule("commit-unknown", scope="program", why="Changes since a commit that is not here are unknown.")
def commit(root: Path, option: str, reference: str | None) -> str | None:
    """Return the full name of an option's commit, or refuse a reference to none; return nothing without the option."""
    if reference is None:
        return None
    try:
        asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
        # git and not GitPython, whose own parser of revisions knows neither @{upstream} nor dates.
        return programs.run("git", *programs.on_checkout(root), *asked).stdout.strip()
    except ProgramFailed:
        fix = "git fetch, or name a branch, a tag or a commit that git log shows"
        raise Refused(
            [Problem("./homelab check", 0, option, reference, "is no commit here", fix, "commit-unknown")]
        ) from None


def _above(name: str) -> list[str]:
    """Return every folder above a file."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:size]) for size in range(1, len(parts) + 1)]

"""Which folders a change touches: what Git says has changed, against what goes into each folder's render.

A checkout and a commit come in; `Changed.takes` says of a folder's contents whether any of it is not as it was.
`ops.checking.validation` tells what is wrong with those folders, and what no longer fits them elsewhere.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import programs
from config.rules import rule
from config.tree import APPS, ENVIRONMENTS
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
    """What is not as it was in a commit; files that Git does not know yet count too."""

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
        """Whether something changed that all depends on: settings, categories, rules, or a folder that is gone."""
        ours = (f"{APPS}/", f"{ENVIRONMENTS}/")
        if any(name.endswith("/category.yaml") or not name.startswith((*ours, *ELSEWHERE)) for name in self.files):
            return True
        # Whoever built on it, or named what was in it, cannot be known from what is there.
        return any(name.startswith(ours) and not (self.root / name).parent.is_dir() for name in self.files)

    def takes(self, contents: Contents) -> bool:
        """Whether anything that goes into a folder is not as it was."""
        if self.everything or not self.files.isdisjoint(contents.files):
            return True
        # A file that is gone is in no contents; it lay in or below a folder that goes in.
        folders = {posixpath.dirname(file) for file in contents.files}
        return any(above in folders for name in self.files for above in _above(name))


@rule("commit-unknown", scope="program", why="Changes since a commit that is not here are unknown.")
def commit(root: Path, option: str, reference: str | None) -> str | None:
    """Return the full name of an option's commit, or refuse a reference that is none; nothing without the option."""
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

"""Make a Git repository of a folder, regardless of the user's name, branch and signature in Git's configuration."""

from __future__ import annotations

from pathlib import Path

import programs

AUTHOR = (
    *("-c", "user.name=a", "-c", "user.email=a@example.com"),
    *("-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"),
)


def commit_all(root: Path) -> None:
    """Commit all files of a folder to the branch main of a repository there."""
    for words in (("init", "--initial-branch", "main"), ("add", "--all"), ("commit", "--message", "all")):
        programs.run("git", *AUTHOR, *words, cwd=root, timeout=300)

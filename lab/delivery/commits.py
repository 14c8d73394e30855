"""Commits of the rehearsal's own repository, read and written in Python.

The tree that git has staged comes in, the commit of the branch goes out. GitPython writes objects and references
itself, and reads objects through one `git cat-file`; `lab.delivery.git_server` stages the files with git, which alone
obeys .gitattributes.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath

from git import Actor, Commit, Head, Repo
from git.objects.fun import tree_to_stream
from gitdb import IStream  # type: ignore[import-untyped] # GitPython's own database, without types

AUTHOR = Actor("rehearsal", "rehearsal@lab.invalid")
MESSAGE = "The tree as it is rehearsed"


def commit(bare: Path, environment: Mapping[str, str], revision: str, tree: str, path: str) -> str:
    """Commit a staged tree below a path of the repository, unless the branch has it already; return the commit's id."""
    with Repo(bare) as repository:
        repository.git.update_environment(**environment)
        # The user's own configuration must not change a commit.
        repository.config_level = ("repository",)  # type: ignore[assignment] # declared as all four levels
        whole = repository.tree(_below(repository, bytes.fromhex(tree), path).hex())
        branch = Head(repository, f"refs/heads/{revision}")
        head = branch.commit if branch.is_valid() else None
        if head is not None and head.tree == whole:
            return head.hexsha
        parents = [] if head is None else [head]
        now = f"{int(time.time())} +0000"
        made = Commit.create_from_tree(
            repository, whole, MESSAGE, parents, author=AUTHOR, committer=AUTHOR, author_date=now, commit_date=now
        )
        Head.create(repository, revision, made, force=True)
        return made.hexsha


def _below(repository: Repo, tree: bytes, path: str) -> bytes:
    """Return a tree that contains another one at a path."""
    for name in reversed([part for part in PurePosixPath(path).parts if part not in (".", "/")]):
        stream = BytesIO()
        tree_to_stream([(tree, stat.S_IFDIR, name)], stream.write)
        size = stream.tell()
        stream.seek(0)
        tree = bytes(repository.odb.store(IStream("tree", size, stream)).binsha)
    return tree

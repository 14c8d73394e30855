"""Objects of a Git repository by their hashes, each read once and many by one command.

A checkout comes in; trees and blobs go out, those of the working tree too: git itself stages them in an index and in a
folder for objects that end with the run, so that filters, line ends and .gitignore count as in a commit and the
repository stays as it was. Without a repository there is the working tree alone: `ops.promotion.app_contents` goes on.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import programs
from config.tree import APPS
from errors import ProgramFailed

FOLDER, LINK, SUBMODULE = 0o040000, 0o120000, 0o160000
# One entry of a tree, by the size of its hash.
ENTRY = {size: re.compile(rb"(\d+) ([^\0]+)\0(.{%d})" % size, re.DOTALL) for size in (20, 32)}
ADVICE = ("-c", "advice.addEmbeddedRepo=false", "-c", "core.safecrlf=false")


class TreeEntry(NamedTuple):
    """One name in a tree."""

    mode: int
    hash: str

    @property
    def is_folder(self) -> bool:
        """Return whether it is a tree."""
        return self.mode == FOLDER


class CommittedChange(NamedTuple):
    """One commit of the first-parent history, with the blobs of each file before and after it."""

    commit: str
    time: int
    files: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class GitObjects:
    """The objects of the repository of a checkout."""

    root: Path
    environment: Mapping[str, str] = field(repr=False)
    head: str
    """The commit of HEAD, empty without one."""
    prefix: str
    """The path of the checkout inside of its repository, with a slash at its end."""
    is_shallow: bool
    has_repository: bool
    working: str
    """The tree of the folder `apps` as it is in the working tree, empty without such a folder."""
    error: str = ""
    """Git's error about files of the working tree that are left out."""
    _contents: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    _trees: dict[str, Mapping[str, TreeEntry]] = field(default_factory=dict, repr=False, compare=False)
    _folders: dict[tuple[str, str], str] = field(default_factory=dict, repr=False, compare=False)

    def resolve(self, names: Sequence[str]) -> list[str]:
        """Return the hash of each object that has a name, such as COMMIT:PATH; empty where there is none."""
        if not names:
            return []
        asked = "".join(f"{name}\n" for name in names).encode(errors="surrogateescape")
        lines = self._git("cat-file", "--batch-check=%(objectname)", stdin=asked).split(b"\n")
        return ["" if line.endswith((b" missing", b" ambiguous")) else line.decode() for line in lines[: len(names)]]

    def commits(self, revisions: Iterable[str]) -> frozenset[str]:
        """Return those of some hashes that are commits of this repository."""
        names = sorted(set(revisions))
        found = self.resolve([f"{name}^{{commit}}" for name in names]) if self.head else [""] * len(names)
        return frozenset(name for name, here in zip(names, found, strict=True) if here == name)

    def read(self, hashes: Iterable[str]) -> None:
        """Read trees and blobs by one command; an empty hash is an empty tree."""
        names = sorted({one for one in hashes if one and one not in self._contents})
        if not names:
            return
        data = self._git("cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode())
        at = 0
        for name in names:
            end = data.index(b"\n", at)
            _, _, size = data[at:end].rpartition(b" ")
            at = end + 1
            if not size.isdigit():  # missing: a partial clone that cannot reach its remote
                message = f"git cat-file: object {name} is not in this repository; git fetch, or git fsck"
                raise ProgramFailed(message, status=1, output="")
            self._contents[name] = data[at : at + int(size)]
            at += int(size) + 1

    def blob(self, name: str) -> bytes:
        """Return the content of a blob."""
        if name not in self._contents:
            self.read([name])
        return self._contents[name]

    def tree(self, name: str) -> Mapping[str, TreeEntry]:
        """Return the entries of a tree by name."""
        if name not in self._trees:
            entries = ENTRY[len(name) // 2].findall(self.blob(name)) if name else ()
            self._trees[name] = {
                file.decode(errors="surrogateescape"): TreeEntry(int(mode, 8), found.hex())
                for mode, file, found in entries
            }
        return self._trees[name]

    def folder(self, tree: str, name: str) -> str:
        """Return the tree of a folder in a tree, empty where there is none; other entries are not even parsed."""
        key = tree, name
        if key not in self._folders:
            content, size = self.blob(tree) if tree else b"", len(tree) // 2
            wanted = f"{FOLDER:o} {name}\0".encode(errors="surrogateescape")
            # No hash of 20 bytes contains these by chance: a name has a mode before it and a zero behind it.
            at = content.find(wanted) + len(wanted)
            self._folders[key] = content[at : at + size].hex() if at >= len(wanted) else ""
        return self._folders[key]

    def read_below(self, hashes: Iterable[str]) -> None:
        """Read trees with all trees below them, a level with each command."""
        ahead = {one for one in hashes if one}
        while ahead:
            self.read(ahead)
            ahead = {entry.hash for one in ahead for entry in self.tree(one).values() if entry.is_folder}

    def files(self, tree: str, above: str = "") -> Iterator[tuple[str, str]]:
        """Yield the path and the blob of every file below a tree; links and submodules have no content here."""
        for name, entry in self.tree(tree).items():
            if entry.is_folder:
                yield from self.files(entry.hash, f"{above}{name}/")
            elif entry.mode not in (LINK, SUBMODULE):
                yield f"{above}{name}", entry.hash

    def history(self) -> Iterator[CommittedChange]:
        """Yield the commits that changed apps or stack files, the newest first.

        Where a shallow clone ends, every file seems to be added: this commit is left out.
        """
        if not self.head:
            return
        asked = ("--first-parent", "-m", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "-z", "--relative")
        listed = self._git(
            *("-c", "log.showRoot=true", "log", *asked, "--format=%x01%H%x00%ct%x00%P"),
            *(self.head, "--", APPS, ":(glob)Pulumi.*.yaml"),
        ).decode(errors="surrogateescape")
        ahead = iter(listed.split("\0"))
        commit = next(ahead)
        while commit:
            time, parents, files = next(ahead), next(ahead), dict[str, tuple[str, str]]()
            while record := next(ahead, "").lstrip("\n"):
                if not record.startswith(":"):
                    break
                files[next(ahead)] = _sides(record.split())
            if parents or not self.is_shallow:
                yield CommittedChange(commit.lstrip("\x01"), int(time), files)
            commit = record

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        # git and not GitPython, which asks its `git cat-file` for one object after the other.
        return programs.pipe("git", *programs.on_checkout(self.root), *arguments, env=self.environment, stdin=stdin)


def _sides(record: Sequence[str]) -> tuple[str, str]:
    """Return the blobs before and after a change; a submodule has none."""
    (mode_before, mode_after, before, after), nothing = record[:4], "0" * len(record[2])
    return (
        nothing if mode_before == f":{SUBMODULE:o}" else before,
        nothing if mode_after == f"{SUBMODULE:o}" else after,
    )


@contextmanager
def git_objects(root: Path) -> Iterator[GitObjects]:
    """Yield the objects of a checkout's repository and of its working tree."""
    with tempfile.TemporaryDirectory(prefix="homelab-git-") as name:
        folder = Path(name)
        (folder / "objects").mkdir()
        options = programs.on_checkout(root)
        if not _has_repository(root):
            environment = {
                **os.environ,
                "LC_ALL": "C",
                "GIT_DIR": str(folder / "git"),
                "GIT_WORK_TREE": str(root.resolve()),
            }
            # git and not GitPython, as below.
            programs.run("git", "init", "--quiet", "--bare", folder / "git")
            environment["GIT_INDEX_FILE"] = str(folder / "index")
            yield GitObjects(root, environment, "", "", False, False, *_working(root, environment))
            return
        # git and not GitPython, which starts the same commands without a timeout.
        asked = ("--show-prefix", "--is-shallow-repository", "--git-path", "objects", "--git-path", "index")
        prefix, shallow, objects, index = programs.run("git", *options, "rev-parse", *asked).stdout.splitlines()
        environment = {
            **os.environ,
            "LC_ALL": "C",  # the matrix shows git's errors
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(
                filter(None, (str((root / objects).resolve()), os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")))
            ),
        }
        if (root / index).is_file():
            # With it, git reads changed files only; by its time, git knows the files that may have changed after it.
            shutil.copy2(root / index, folder / "index")
        working = _working(root, environment, prefix)
        yield GitObjects(root, environment, head_of(root), prefix, shallow == "true", True, *working)


def head_of(root: Path) -> str:
    """Return the commit of HEAD, empty where there is none yet."""
    try:
        # git and not GitPython, as above.
        return programs.run(
            "git", *programs.on_checkout(root), "rev-parse", "--verify", "--quiet", "HEAD"
        ).stdout.strip()
    except ProgramFailed:
        return ""


def _has_repository(root: Path) -> bool:
    return any(os.path.lexists(folder / ".git") for folder in (root.resolve(), *root.resolve().parents))


def _working(root: Path, environment: Mapping[str, str], prefix: str = "") -> tuple[str, str]:
    """Return the tree of the folder `apps` of the working tree, and an error about files that git could not add."""
    if not (root / APPS).is_dir():
        return "", ""
    written = ("write-tree", "--missing-ok", f"--prefix={prefix}{APPS}/")
    error = _added(root, environment)
    try:
        return _run(root, environment, *written), error
    except ProgramFailed:
        # An index with conflicts elsewhere makes no tree, and an empty one has none.
        _run(root, environment, "read-tree", "--empty")
        error = _added(root, environment)
        return _run(root, environment, *written), error


def _added(root: Path, environment: Mapping[str, str]) -> str:
    """Add all files to the index; return git's error about those that it left out, such as a nested repository."""
    try:
        _run(root, environment, "add", "--all", "--ignore-errors", "--", APPS)
    except ProgramFailed as failure:
        return next(iter(failure.output.splitlines()), "").strip() or str(failure).splitlines()[-1].strip()
    return ""


def _run(root: Path, environment: Mapping[str, str], *words: str) -> str:
    # git and not GitPython: git alone applies filters and .gitignore.
    return programs.run("git", *programs.on_checkout(root), *ADVICE, *words, env=environment).stdout.strip()

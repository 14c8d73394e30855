"""Git as promotions use it: entries of trees by commit, the history of a branch, and new commits without a work tree.

A checkout comes in; hashes, texts and names of commits go out. A hash stands for a content: two commits whose folders
have one hash have the same files there, and no file is read. `ops.promotion.history` and `ops.promotion.commits`
continue.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Self

from git import GitCommandError, InvalidGitRepositoryError, NoSuchPathError, Repo
from git.objects.fun import tree_entries_from_data, tree_to_stream
from gitdb import IStream, LooseObjectDB  # type: ignore[import-untyped] # GitPython's own database, without types
from gitdb.exc import BadName, BadObject  # type: ignore[import-untyped] # as above

import programs
from config.pins import IS_COMMIT
from errors import Declined, ProgramFailed
from ops.promotion.git_objects import FOLDER, TreeEntry

FILE, EXECUTABLE = 0o100644, 0o100755
NONE = "0" * 40
BETWEEN = "\x1e"


@dataclass
class GitStore:
    """The repository of a checkout; paths are relative to the checkout, also where it is below the repository's top."""

    root: Path
    repository: Repo
    prefix: tuple[str, ...]
    _trees: dict[str, Mapping[str, TreeEntry]] = field(default_factory=dict)
    _roots: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> GitStore:
        """Open the repository of a checkout, or refuse a folder without one and one without a commit."""
        programs.on_checkout(root)  # refuses a folder that Git would take for a repository of its own
        try:
            repository = Repo(root, search_parent_directories=True)
        except (InvalidGitRepositoryError, NoSuchPathError):
            raise Declined(
                f"{root}: is no checkout of a Git repository, and a promotion is a commit; git clone, or git init"
            ) from None
        top = Path(repository.working_tree_dir or repository.git_dir).resolve()
        prefix = root.resolve().relative_to(top).parts
        # No program that the checkout's own files could choose takes part.
        off = ["core.fsmonitor=false", f"core.hooksPath={os.devnull}"]
        repository.git.set_persistent_git_options(c=off)
        store = cls(root, repository, prefix)
        if not repository.head.is_valid():
            repository.close()
            raise Declined(f"{root}: has no commit yet, and a promotion begins with one; git add, then git commit")
        return store

    def __enter__(self) -> Self:
        """Return the open repository."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the processes of Git that read objects."""
        self.repository.close()

    @cached_property
    def head(self) -> str:
        """The commit that promotions begin with."""
        return self.repository.head.commit.hexsha

    @property
    def branch(self) -> str:
        """The branch of the checkout, empty where HEAD is detached."""
        return "" if self.repository.head.is_detached else self.repository.active_branch.name

    @property
    def git_folder(self) -> Path:
        """The folder of the repository that all its work trees share."""
        return Path(self.repository.common_dir)

    def commits(self) -> list[str]:
        """Return the commits of HEAD's first-parent history, the newest first."""
        listed: str = self.repository.git.rev_list("--first-parent", self.head)
        return listed.split()

    def commits_between(self, older: str, newer: str) -> list[str]:
        """Return the commits of one history that another one lacks."""
        listed: str = self.repository.git.rev_list(newer, f"^{older}")
        return listed.split()

    def changes(self, folder: str) -> Iterator[tuple[str, list[str]]]:
        """Yield the commits of that history that change files below a folder, with the changed files."""
        how = ("--first-parent", "-m", "--name-only", "--no-renames", "--no-ext-diff", "-z", f"--format={BETWEEN}%H")
        listed: str = self.repository.git.log(*how, self.head, "--", self._full(folder))
        above = "".join(f"{part}/" for part in self.prefix)
        for entry in listed.split(BETWEEN)[1:]:
            commit, *names = entry.split("\0")
            yield commit, [name.lstrip("\n").removeprefix(above) for name in names if name.strip("\n")]

    def exists(self, commit: str) -> bool:
        """Report whether a commit is in this repository."""
        try:
            return bool(IS_COMMIT.match(commit)) and bool(self._root(commit))
        except ValueError:
            return False

    def resolved(self, name: str) -> str:
        """Return the commit of a name, such as a branch; empty where there is none."""
        try:
            return self.repository.commit(name).hexsha
        except (BadName, BadObject, ValueError, GitCommandError):
            return ""

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Report whether a commit is an ancestor of another one."""
        return (
            self.exists(older)
            and self.exists(newer)
            and bool(self.repository.is_ancestor(self.repository.commit(older), self.repository.commit(newer)))
        )

    def merged(self, references: Sequence[str]) -> str:
        """Return the newest commit of HEAD that is also in the first existing branch; HEAD without such a branch."""
        for one in references:
            if found := self.resolved(one):
                bases = self.repository.merge_base(self.head, found)
                if not bases:
                    raise Declined(
                        f"{one}: shares no commit with HEAD, so that the commits that are merged are not known; in a "
                        "shallow clone, git fetch --unshallow"
                    )
                return bases[0].hexsha
        return self.head

    def time(self, commit: str) -> int:
        """Return the time of a commit in seconds."""
        return int(self.repository.commit(commit).committed_date)

    def message(self, commit: str) -> str:
        """Return the message of a commit."""
        return self.blob(commit).partition(b"\n\n")[2].decode(errors="replace")

    def subject(self, commit: str) -> str:
        """Return the first line of a commit's message."""
        return self.message(commit).partition("\n")[0]

    def history_of(self, path: str, commit: str) -> list[str]:
        """Return the commits that change a file, the newest first, up to a commit."""
        listed: str = self.repository.git.log("--first-parent", "-m", "--format=%H", commit, "--", self._full(path))
        return listed.split()

    def entries(self, commit: str, path: str = "") -> Mapping[str, TreeEntry]:
        """Return the names in a folder at a commit with mode and hash; none where it does not exist there."""
        found = self.entry(commit, path) if path else None
        if path and (found is None or found[0] != FOLDER):
            return {}
        return self.tree(found[1] if found else self._below(commit))

    def entry(self, commit: str, path: str) -> TreeEntry | None:
        """Return mode and hash of a file or folder at a commit."""
        tree = self._below(commit)
        *above, name = path.split("/")
        for part in above:
            found = self.tree(tree).get(part)
            if found is None or found[0] != FOLDER:
                return None
            tree = found[1]
        return self.tree(tree).get(name)

    def blob(self, name: str) -> bytes:
        """Return the content of an object by its hash."""
        content: bytes = self.repository.odb.stream(bytes.fromhex(name)).read()
        return content

    def text(self, commit: str, path: str) -> str | None:
        """Return the text of a file at a commit, None where there is none."""
        found = self.entry(commit, path)
        if found is None or found[0] not in (FILE, EXECUTABLE):
            return None
        try:
            return self.blob(found[1]).decode()
        except UnicodeDecodeError:
            return None

    def tree(self, name: str) -> Mapping[str, TreeEntry]:
        """Return the entries of a tree by its hash; an empty hash is an empty tree."""
        if name not in self._trees:
            found = tree_entries_from_data(self.blob(name)) if name else []
            self._trees[name] = {str(file): TreeEntry(mode, sha.hex()) for sha, mode, file in found}
        return self._trees[name]

    def folder(self, tree: str, name: str) -> str:
        """Return the tree of a folder in a tree, empty where there is none."""
        found = self.tree(tree).get(name)
        return found.hash if found and found.is_folder else ""

    def dirty(self, paths: Sequence[str]) -> set[str]:
        """Return the files that are not as in HEAD, in index or work tree, among and below some paths."""
        listed: str = self.repository.git.status(
            "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", *map(self._full, paths)
        )
        above = "".join(f"{part}/" for part in self.prefix)
        return {entry[3:].removeprefix(above) for entry in listed.split("\0") if entry}

    def write_blob(self, content: bytes) -> str:
        """Write the content of a file, and return its hash."""
        return self._store("blob", content)

    def write_tree(self, tree: str, files: Mapping[str, tuple[int, str] | None]) -> str:
        """Write a tree with other files, None removes one, and return its hash; a folder without files goes too."""
        here: dict[str, tuple[int, str]] = dict(self.tree(tree))
        below: dict[str, dict[str, tuple[int, str] | None]] = {}
        for path, found in files.items():
            name, _, rest = path.partition("/")
            if rest:
                below.setdefault(name, {})[rest] = found
            elif found is None:
                here.pop(name, None)
            else:
                here[name] = found
        for name, inner in below.items():
            known = here.get(name)
            written = self.write_tree(known[1] if known and known[0] == FOLDER else "", inner)
            if self.tree(written):
                here[name] = (FOLDER, written)
            else:
                here.pop(name, None)
        stream = BytesIO()
        # Git sorts a folder as if its name ended with a slash.
        ordered = sorted(here.items(), key=lambda one: one[0] + ("/" if one[1][0] == FOLDER else ""))
        tree_to_stream([(bytes.fromhex(sha), mode, name) for name, (mode, sha) in ordered], stream.write)
        return self._store("tree", stream.getvalue())

    def write_commit(self, parent: str, files: Mapping[str, tuple[int, str] | None], message: str) -> str:
        """Write a commit on a parent with other files, signed where Git is configured to sign."""
        tree = self.write_tree(self._root(parent), {self._full(path): found for path, found in files.items()})
        if self._signs:
            # GitPython's own commit has no signature; this command reads the user's key.
            try:
                signed: str = self.repository.git.commit_tree(tree, "-S", "-p", parent, "-m", message)
            except GitCommandError as failure:
                raise Declined(
                    f"git commit-tree -S: {_last(failure)}; mend the key of user.signingkey, or set commit.gpgsign to "
                    "false: nothing was changed"
                ) from None
            return signed
        author, committer = self._identities
        head = f"tree {tree}\nparent {parent}\nauthor {author}\ncommitter {committer}\n"
        return self._store("commit", f"{head}\n{message}".encode())

    def tags(self, pattern: str) -> list[str]:
        """Return the names of tags, the newest first."""
        listed: str = self.repository.git.tag("--list", "--sort=-creatordate", pattern)
        return listed.splitlines()

    def tag_message(self, name: str) -> str:
        """Return the message of an annotated tag, empty for another one."""
        reference = self.repository.tag(f"refs/tags/{name}")
        return str(reference.tag.message) if reference.tag else ""

    def write_tag(self, name: str, message: str) -> None:
        """Tag HEAD, signed where Git is configured to sign tags."""
        try:
            self.repository.git.tag("--annotate", "--cleanup=verbatim", "--message", message, name, self.head)
        except GitCommandError as failure:
            raise Declined(f"git tag {name}: {_last(failure)}; mend that, then tag again: no tag was made") from None

    def remote(self, name: str) -> str:
        """Return the URL of a remote, empty where there is none."""
        return next((str(one.url) for one in self.repository.remotes if one.name == name), "")

    def is_branch_name(self, name: str) -> bool:
        """Report whether Git takes a name for a branch."""
        try:
            self.repository.git.check_ref_format("--branch", name)
        except GitCommandError:
            return False
        return name != "HEAD"

    def checked_out(self) -> Mapping[str, str]:
        """Return the work trees of the repository by the branches that are checked out there."""
        listed: str = self.repository.git.worktree("list", "--porcelain")
        found: dict[str, str] = {}
        place = ""
        for line in listed.splitlines():
            key, _, value = line.partition(" ")
            place = value if key == "worktree" else place
            if key == "branch":
                found[value.removeprefix("refs/heads/")] = place
        return found

    def branch_commit(self, branch: str) -> str:
        """Return the commit of a branch, empty where there is none."""
        return self.resolved(f"refs/heads/{branch}")

    def move_branch(self, branch: str, commit: str, before: str) -> None:
        """Move a branch in one step, unless another program has moved it meanwhile."""
        try:
            self.repository.git.update_ref("-m", "promote", f"refs/heads/{branch}", commit, before or NONE)
        except GitCommandError as failure:
            raise ProgramFailed(
                f"git update-ref refs/heads/{branch}: {_last(failure)}; run the same command again",
                status=failure.status if isinstance(failure.status, int) else 1,
                output=str(failure.stderr),
            ) from None

    def fast_forward(self, commit: str) -> None:
        """Move the branch of the checkout, its index and its files to a commit that follows HEAD."""
        try:
            self.repository.git.merge("--ff-only", "--quiet", commit)
        except GitCommandError as failure:
            raise Declined(f"git merge --ff-only {commit}: {_last(failure)}; nothing was changed") from None

    @cached_property
    def _signs(self) -> bool:
        # Git's own reader: GitPython's takes `no` for true, and does not read the configuration in the environment.
        value: str = self.repository.git.config("--type=bool", "--default=false", "--get", "commit.gpgsign")
        return value == "true"

    @cached_property
    def _identities(self) -> tuple[str, str]:
        """Return author and committer with the time, as Git itself would write them."""
        try:
            return self.repository.git.var("GIT_AUTHOR_IDENT"), self.repository.git.var("GIT_COMMITTER_IDENT")
        except GitCommandError as failure:
            raise Declined(
                f"git var GIT_AUTHOR_IDENT: {_last(failure)}; git config --global user.email ADDRESS, and user.name"
            ) from None

    def _root(self, commit: str) -> str:
        """Return the hash of a commit's whole tree."""
        if commit not in self._roots:
            try:
                found = self.repository.odb.stream(bytes.fromhex(commit))
            except (BadName, BadObject):
                raise ValueError(commit) from None
            if found.type != b"commit":
                raise ValueError(commit)
            self._roots[commit] = found.read().split(b"\n", 1)[0].partition(b" ")[2].decode()
        return self._roots[commit]

    def _below(self, commit: str) -> str:
        """Return the hash of the checkout's folder at a commit, empty where the commit or the folder is unknown."""
        try:
            tree = self._root(commit)
        except ValueError:
            return ""
        for part in self.prefix:
            found = self.tree(tree).get(part)
            if found is None:
                return ""
            tree = found[1]
        return tree

    def _full(self, path: str) -> str:
        return "/".join((*self.prefix, path))

    def _store(self, kind: str, content: bytes) -> str:
        # GitPython's own database would start a process for each object.
        stored = LooseObjectDB.store(self.repository.odb, IStream(kind, len(content), BytesIO(content)))
        return str(stored.hexsha.decode())


def _last(failure: GitCommandError) -> str:
    lines = [line for line in str(failure.stderr or "").strip().strip("'").splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {failure.status}"

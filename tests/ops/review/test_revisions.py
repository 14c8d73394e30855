"""The commit that a change is compared with, in each state that a repository can be in."""

from __future__ import annotations

from pathlib import Path

import pytest

import programs
from errors import ProgramFailed, Refused
from ops.review.revisions import NO_COMMIT, span_of
from tests.repository import AUTHOR, commit_all


def git(root: Path, *words: str) -> str:
    return programs.run("git", *AUTHOR, *words, cwd=root).stdout.strip()


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")


def commit(root: Path, message: str, **files: str) -> str:
    write(root, **files)
    git(root, "add", "--all")
    git(root, "commit", "--allow-empty", "--message", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a repository with a commit on main, and one more on the branch that is checked out."""
    root = tmp_path / "checkout"
    root.mkdir()
    write(root, one="1", two="2")
    commit_all(root)
    git(root, "switch", "--create", "change")
    commit(root, "Raise one", one="11")
    return root


def test_a_branch_is_compared_with_its_start_and_not_with_the_end_of_main(checkout: Path) -> None:
    start = git(checkout, "rev-parse", "main")
    git(checkout, "switch", "main")
    commit(checkout, "Go on", two="22")
    git(checkout, "switch", "change")
    span = span_of(checkout, None)
    assert (span.base.commit, span.base.subject) == (start, "all")
    assert (span.head.subject, span.head.changed_files) == ("Raise one", 0)
    assert span.files == ("one",)
    with span.before() as folder:
        assert (folder / "one").read_text() == "1"


def test_the_working_tree_counts_with_files_that_git_does_not_know_yet(checkout: Path) -> None:
    write(checkout, three="3", two="changed")
    span = span_of(checkout, None)
    assert span.files == ("one", "three", "two")
    assert span.head.changed_files == 2


def test_on_main_without_a_remote_the_change_is_what_is_not_committed(checkout: Path) -> None:
    git(checkout, "switch", "main")
    write(checkout, two="22")
    span = span_of(checkout, None)
    assert span.base.commit == span.head.commit
    assert span.files == ("two",)


def test_a_clone_is_compared_with_the_main_branch_of_its_remote(checkout: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(checkout), str(clone))
    git(clone, "switch", "--detach", "--quiet", "origin/change")
    assert span_of(clone, "origin/main").files == ("one",)


def test_a_detached_head_is_compared_like_a_branch(checkout: Path) -> None:
    git(checkout, "switch", "--detach", "--quiet", "change")
    assert span_of(checkout, None).files == ("one",)


def test_the_base_is_laid_out_as_it_was_and_nothing_is_written_to_the_repository(checkout: Path) -> None:
    (checkout / "link").symlink_to("/etc/hostname")
    (checkout / ".gitattributes").write_text("one export-ignore\n")
    commit(checkout, "Add a link")
    base = git(checkout, "rev-parse", "HEAD")
    (checkout / "link").unlink()
    before = {file: file.stat().st_mtime_ns for file in checkout.rglob("*")}
    with span_of(checkout, base).before() as folder:
        assert (folder / "one").exists()
        assert (folder / "link").readlink() == Path("/etc/hostname")
    assert {file: file.stat().st_mtime_ns for file in checkout.rglob("*")} == before
    assert not folder.exists()


def test_the_attributes_of_a_change_do_not_reach_its_base(checkout: Path) -> None:
    write(checkout, **{"crlf.txt": "1\n2\n", ".gitattributes": "*.txt text eol=crlf\n"})
    commit(checkout, "Convert lines")
    base = git(checkout, "rev-parse", "HEAD")
    (checkout / "one").write_bytes("11".encode("utf-16-le"))
    commit(checkout, "Convert other lines", **{".gitattributes": "*.txt -text\none working-tree-encoding=UTF-16LE\n"})
    with span_of(checkout, base).before() as folder:
        assert (folder / "crlf.txt").read_bytes() == b"1\r\n2\r\n"
        assert (folder / "one").read_bytes() == b"11"


def test_a_checkout_in_a_folder_of_a_repository_has_its_own_files_alone(checkout: Path) -> None:
    below = checkout / "lab"
    below.mkdir()
    commit(checkout, "Add a folder", **{"lab/apps": "before"})
    git(checkout, "branch", "--force", "main")
    write(below, apps="after")
    write(checkout, one="elsewhere")
    span = span_of(below, None)
    assert span.files == ("apps",)
    with span.before() as folder:
        assert [file.name for file in folder.iterdir()] == ["apps"]


def test_without_a_commit_everything_is_new(tmp_path: Path) -> None:
    git(tmp_path, "init", "--initial-branch", "main")
    write(tmp_path, one="1")
    span = span_of(tmp_path, None)
    assert (span.base.commit, span.files, span.notes) == ("", ("one",), (NO_COMMIT,))
    with span.before() as folder:
        assert list(folder.iterdir()) == []


def test_a_submodule_and_a_conflict_are_notes(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(other, file="1")
    commit_all(other)
    git(checkout, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "apps/media")
    commit(checkout, "Add a submodule")
    git(checkout, "switch", "--quiet", "--create", "other", "main")
    commit(checkout, "Conflict", one="12")
    with pytest.raises(ProgramFailed):
        git(checkout, "merge", "change")
    notes = span_of(checkout, None).notes
    assert notes == (
        "apps/media: is a submodule, and its files are not compared",
        "one: has a conflict of a merge that is not resolved",
    )


def refused(root: Path, reference: str | None) -> str:
    with pytest.raises(Refused) as caught:
        span_of(root, reference)
    return str(caught.value).splitlines()[0]


def test_an_unknown_base_is_refused(checkout: Path) -> None:
    assert refused(checkout, "mian") == (
        "./homelab preview: --base = mian: is no commit here; "
        "git fetch, or choose a branch, a tag or a commit of git log [base-unknown]"
    )
    assert "--base = --output=x: is no commit here" in refused(checkout, "--output=x")


def test_a_shallow_clone_without_the_base_is_refused(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "switch", "--quiet", "main")
    commit(checkout, "Go on", two="22")
    clone = tmp_path / "clone"
    one_commit = ("--depth", "1", "--no-single-branch", "--branch", "change")
    git(tmp_path, "clone", "--quiet", *one_commit, f"file://{checkout}", str(clone))
    assert refused(clone, "origin/main") == (
        "./homelab preview: --base = origin/main: has no common ancestor with HEAD in this shallow clone; "
        "git fetch --unshallow [base-unknown]"
    )


def test_branches_without_a_common_history_are_refused(checkout: Path) -> None:
    git(checkout, "switch", "--quiet", "--orphan", "alone")
    commit(checkout, "Begin again", one="1")
    assert "has no common ancestor with HEAD; choose a branch with the same history" in refused(checkout, None)


def test_a_folder_outside_of_git_is_refused(tmp_path: Path) -> None:
    assert "is no checkout of a Git repository; run it in a checkout" in refused(tmp_path, None)

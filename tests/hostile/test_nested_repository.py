"""A branch that contains the files of a bare repository runs nothing: git would obey the configuration in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import programs
from config.load import read_stack
from errors import Declined
from lab.delivery.prepared_tree import prepare
from lab.layout import Lab
from ops.checking.changed_since import Changed, commit
from ops.checking.settings import committed
from tests.config.scenario import prepare as lay_out

PERSON = ("-c", "user.name=a", "-c", "user.email=a@example.com")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a project in a folder of a cloned repository, with an attack among its files."""
    home = tmp_path / "written" / "home"
    home.mkdir(parents=True)
    lay_out({}, home)
    for name in ("objects", "refs"):
        (home / name).mkdir()
        (home / name / "kept").touch()
    (home / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    lines = ("repositoryformatversion = 0", "bare = false", "worktree = .")
    config = "\n".join(("[core]", *lines, f'fsmonitor = "touch {tmp_path}/witness; false"', ""))
    (home / "config").write_text(config, encoding="utf-8")
    for arguments in (("init", "--quiet"), ("add", "--all"), (*PERSON, "commit", "--quiet", "--message", "all")):
        programs.run("git", *arguments, cwd=home.parent)
    programs.run("git", "clone", "--quiet", home.parent, tmp_path / "cloned")
    return tmp_path / "cloned" / "home"


def test_git_alone_obeys_the_nested_configuration(checkout: Path) -> None:
    programs.run("git", "ls-files", "--others", cwd=checkout)
    assert (checkout.parents[1] / "witness").exists()


USES: dict[str, Callable[[Path], object]] = {
    "changed files": lambda root: Changed(root, "HEAD").files,
    "a commit": lambda root: commit(root, "--changed-since", "HEAD"),
    "a committed stack": lambda root: committed(root, read_stack(root / "Pulumi.base.yaml"), "HEAD"),
    "a rehearsal's tree": lambda root: prepare(Lab(root / ".lab/base"), root, "base"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_nested_repository_is_refused(use: Callable[[Path], object], checkout: Path) -> None:
    with pytest.raises(Declined) as refused:
        use(checkout)
    rule = "is a bare Git repository, and git would obey its configuration; delete its HEAD"
    assert str(refused.value) == f"{checkout.resolve()}: {rule}"
    assert not (checkout.parents[1] / "witness").exists()


def test_linked_worktree_and_own_repository_are_accepted(tmp_path: Path) -> None:
    main = tmp_path / "main"
    (main / "home").mkdir(parents=True)
    (main / "home" / "a.txt").touch()
    for arguments in (("init", "--quiet"), ("add", "--all"), (*PERSON, "commit", "--quiet", "--message", "all")):
        programs.run("git", *arguments, cwd=main)
    programs.run("git", "worktree", "add", "--quiet", tmp_path / "linked", cwd=main)
    for root in (main, tmp_path / "linked"):
        listed = programs.run("git", *programs.on_checkout(root / "home"), "ls-files").stdout
        assert listed.split() == ["a.txt"]

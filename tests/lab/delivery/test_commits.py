"""The rehearsal's repository gets one commit per change, at the path that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

import programs
from lab.delivery import git_server
from lab.layout import Lab

REPOSITORY = "https://git.example.com/me/homelab.git"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path / "lab")
    for folder in ("apps/media", "apps/_settings/dev"):
        (lab.tree / folder).mkdir(parents=True)
    (lab.tree / "apps/media/app.yaml").write_text("kind: ConfigMap\r\n", encoding="utf-8")
    (lab.tree / "apps/_settings/dev/README.md").touch()
    (lab.tree / ".gitattributes").write_text("* text=auto\n", encoding="utf-8")
    (lab.tree / "Pulumi.dev.yaml").touch()
    return lab


def git(lab: Lab, *arguments: str) -> str:
    bare = git_server.bare_repository(lab, REPOSITORY)
    return programs.run("git", "--git-dir", bare, *arguments).stdout


@pytest.mark.parametrize(("path", "prefix"), [(".", ""), ("home/lab", "home/lab/"), ("./home/", "home/")])
def test_tree_is_committed_below_its_path(path: str, prefix: str, lab: Lab) -> None:
    made = git_server.publish(lab, REPOSITORY, "main", path)
    files = [".gitattributes", "apps/_settings/dev/README.md", "apps/media/app.yaml"]
    assert git(lab, "ls-tree", "-r", "--name-only", made).split() == [f"{prefix}{file}" for file in files]
    assert git(lab, "log", "--format=%an <%ae>, %cn <%ce>: %s", "main") == (
        "rehearsal <rehearsal@lab.invalid>, rehearsal <rehearsal@lab.invalid>: The tree as it is rehearsed\n"
    )
    assert git(lab, "fsck", "--strict", "--no-dangling") == ""


def test_attributes_of_the_tree_are_obeyed(lab: Lab) -> None:
    made = git_server.publish(lab, REPOSITORY, "main", ".")
    bare = git_server.bare_repository(lab, REPOSITORY)
    content = programs.pipe("git", "--git-dir", bare, "cat-file", "blob", f"{made}:apps/media/app.yaml")
    assert content == b"kind: ConfigMap\n"


def test_only_a_changed_tree_makes_a_commit(lab: Lab) -> None:
    first = git_server.publish(lab, REPOSITORY, "main", "home")
    (lab.tree / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    assert git_server.publish(lab, REPOSITORY, "main", "home") == first
    (lab.tree / "apps/media/app.yaml").write_text("kind: Secret\n", encoding="utf-8")
    second = git_server.publish(lab, REPOSITORY, "main", "home")
    assert git(lab, "rev-list", "main").split() == [second, first]
    assert git_server.head_of(lab, REPOSITORY, "main") == second
    assert git_server.head_of(lab, REPOSITORY, "other") == ""


def test_configuration_of_the_user_changes_no_commit(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitconfig").write_text("this is no configuration\n[user]\nname = other\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    made = git_server.publish(lab, REPOSITORY, "feature/one", ".")
    monkeypatch.undo()
    assert git(lab, "show", "--no-patch", "--format=%an", "feature/one") == "rehearsal\n"
    assert git_server.head_of(lab, REPOSITORY, "feature/one") == made


@pytest.mark.parametrize(("path", "prefix"), [(".", ""), ("home/lab", "home/lab/")])
def test_a_side_of_a_change_is_offered_below_a_ref_that_nothing_follows(
    path: str, prefix: str, lab: Lab, tmp_path: Path
) -> None:
    published = git_server.publish(lab, REPOSITORY, "main", path)
    side = tmp_path / "side"
    (side / "apps/media").mkdir(parents=True)
    (side / "apps/media/app.yaml").write_text("kind: Secret\n", encoding="utf-8")
    (side / "Pulumi.dev.yaml").touch()
    (side / ".gitignore").write_text("apps\n", encoding="utf-8")
    with git_server.offered(lab, REPOSITORY, side, path) as commit:
        assert git(lab, "ls-tree", "-r", "--name-only", commit).split() == [
            f"{prefix}.gitignore",
            f"{prefix}apps/media/app.yaml",
        ]
        refs = {f"{published} refs/heads/main", f"{commit} refs/homelab-preview/{commit}"}
        assert set(git(lab, "for-each-ref", "--format=%(objectname) %(refname)").splitlines()) == refs
    assert git(lab, "for-each-ref", "--format=%(refname)") == "refs/heads/main\n"
    with git_server.offered(lab, REPOSITORY, side, path) as again:
        assert again == commit
    assert git_server.publish(lab, REPOSITORY, "main", path) == published


def test_a_side_that_fails_leaves_no_ref(lab: Lab, tmp_path: Path) -> None:
    git_server.publish(lab, REPOSITORY, "main", ".")
    (tmp_path / "side").mkdir()
    with pytest.raises(KeyboardInterrupt), git_server.offered(lab, REPOSITORY, tmp_path / "side", "."):
        raise KeyboardInterrupt
    assert git(lab, "for-each-ref", "--format=%(refname)") == "refs/heads/main\n"


def test_a_pinned_commit_is_served_as_it_was_and_once(lab: Lab, tmp_path: Path) -> None:
    git_server.prepare(lab, REPOSITORY, "main")
    folder = tmp_path / "old"
    (folder / "apps/media").mkdir(parents=True)
    (folder / "apps/media/app.yaml").write_text("kind: Old\n", encoding="utf-8")
    made = [git_server.pin(lab, REPOSITORY, folder, "home", "a" * 40) for _ in range(2)]
    assert made[0] == made[1]
    git_server.publish(lab, REPOSITORY, "main", "home")
    assert git(lab, "show", f"{made[0]}:home/apps/media/app.yaml") == "kind: Old\n"
    assert git(lab, "log", "--format=%s", made[0]) == f"The files of {'a' * 40}, as they are rehearsed\n"
    assert git(lab, "branch", "--contains", made[0]) == "", "no Application follows it by a branch"
    assert made[0] in git(lab, "for-each-ref", "--format=%(objectname)")

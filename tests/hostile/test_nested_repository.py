"""A branch that contains the files of a bare repository runs nothing: git would obey the configuration in them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

import programs
from config.load import read_stack
from errors import Declined, ProgramFailed
from lab.delivery.prepared_tree import prepare
from lab.layout import Lab
from manifests.contents import WantedBase
from ops.argocd.client import _head
from ops.checking.changed_since import Changed, commit
from ops.checking.settings import committed
from ops.upstream.git_tags import ask
from tests.config.scenario import prepare as lay_out
from tests.repository import commit_all

GIT = tuple(int(part) for part in programs.run("git", "--version").stdout.split()[2].split(".")[:2])


CORE = "[core]\nrepositoryformatversion = 0\nbare = false\nworktree = .\n"
FSMONITOR = CORE + 'fsmonitor = "touch {witness}; false"\n'
FILTER = CORE + '[filter "hostile"]\nclean = "touch {witness}; cat"\n'


def _with_objects(folder: Path) -> None:
    for name in ("objects", "refs"):
        (folder / name).mkdir(parents=True)
        (folder / name / "kept").touch()


def lay_bare_repository(home: Path, witness: Path) -> None:
    _with_objects(home)
    (home / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (home / "config").write_text(FSMONITOR.format(witness=witness), encoding="utf-8")


def lay_dangling_head(home: Path, witness: Path) -> None:
    lay_bare_repository(home, witness)
    (home / "HEAD").unlink()
    (home / "HEAD").symlink_to("refs/heads/main")


def lay_common_folder(home: Path, witness: Path) -> None:
    _with_objects(home / "x")
    (home / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (home / "commondir").write_text("x\n", encoding="utf-8")
    common = "[core]\nrepositoryformatversion = 1\n[extensions]\nworktreeConfig = true\n"
    (home / "x" / "config").write_text(common, encoding="utf-8")
    (home / "config.worktree").write_text(FILTER.format(witness=witness), encoding="utf-8")
    (home / ".gitattributes").write_text("filtered.txt filter=hostile\n", encoding="utf-8")
    (home / "filtered.txt").touch()


# Each attack, and the options and the command with which git runs its witness.
ATTACKS: dict[str, tuple[Callable[[Path, Path], None], tuple[str, ...]]] = {
    "a bare repository": (lay_bare_repository, ("ls-files", "--others")),
    "a dangling HEAD": (lay_dangling_head, ("ls-files", "--others")),
    "a common folder": (lay_common_folder, ("-c", "core.fsmonitor=false", "hash-object", "filtered.txt")),
}


@pytest.fixture(params=ATTACKS)
def attack(request: pytest.FixtureRequest) -> str:
    """Return the name of an attack."""
    return str(request.param)


@pytest.fixture
def checkout(attack: str, tmp_path: Path) -> Path:
    """Return a project in a folder of a cloned repository, with an attack among its files."""
    home = tmp_path / "written" / "home"
    home.mkdir(parents=True)
    lay_out({}, home)
    lay, _ = ATTACKS[attack]
    lay(home, tmp_path / "witness")
    commit_all(home.parent)
    programs.run("git", "clone", "--quiet", home.parent, tmp_path / "cloned")
    assert not (tmp_path / "witness").exists()
    return tmp_path / "cloned" / "home"


def test_git_alone_obeys_the_nested_configuration(attack: str, checkout: Path) -> None:
    _, command = ATTACKS[attack]
    programs.run("git", *command, cwd=checkout)
    assert (checkout.parents[1] / "witness").exists()


@pytest.mark.skipif(GIT < (2, 38), reason="git before 2.38 does not know safe.bareRepository")
def test_git_itself_refuses_it_too(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_is_bare_repository", lambda folder: False)
    with pytest.raises(ProgramFailed, match=r"safe\.bareRepository"):
        programs.run("git", *programs.on_checkout(checkout), "status")
    assert not (checkout.parents[1] / "witness").exists()


BASE = WantedBase("https://host.invalid/owner/repository//folder?ref=v1", "kustomization.yaml", ())


def _inside(folder: Path, call: Callable[[], object]) -> None:
    """Call a function with a folder as the current one."""
    with contextlib.chdir(folder):
        call()


USES: dict[str, Callable[[Path], object]] = {
    "changed files": lambda root: Changed(root, "HEAD").files,
    "a commit": lambda root: commit(root, "--changed-since", "HEAD"),
    "a committed stack": lambda root: committed(root, read_stack(root / "Pulumi.base.yaml"), "HEAD"),
    "a rehearsal's tree": lambda root: prepare(Lab(root / ".lab/base"), root, "base"),
    "a revision of a repository": lambda root: _inside(root, lambda: _head("https://host.invalid/x.git", "main")),
    "a tag of a base": lambda root: _inside(root, lambda: ask(BASE)),
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
    commit_all(main)
    programs.run("git", "worktree", "add", "--quiet", tmp_path / "linked", cwd=main)
    for root in (main, tmp_path / "linked"):
        listed = programs.run("git", *programs.on_checkout(root / "home"), "ls-files").stdout
        assert listed.split() == ["a.txt"]

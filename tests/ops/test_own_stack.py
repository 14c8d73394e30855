"""`./homelab init` on this checkout: each answer makes a stack without a problem, and adding one edits no base."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import programs
from config.load import read_stack, stack_files
from config.tree import APPS, read_tree
from ops.__main__ import main
from ops.checking.validation import Validation
from tests.config.scenario import prepare
from tests.repository import commit_all

ROOT = Path(__file__).parents[2]
ME = ("--repository", "https://github.com/me/homelab.git")
BITWARDEN = (
    *("--store", "bitwarden", "--organization", "11111111-0000-4000-8000-000000000001"),
    *("--project", "11111111-0000-4000-8000-000000000002"),
)
ANSWERS = {
    "one node": (*ME, "--profile", "one-node", "--domain", "home.mine.org"),
    "two hosts": (*ME, "--profile", "small", "--domain", "home.mine.org", "--hosts", "a=10.0.0.2,b=10.0.0.3"),
    "high availability": (
        *(*ME, "--profile", "ha", "--domain", "home.mine.org", "--hosts", "a=10.0.0.2,b=10.0.0.3,c=10.0.0.4"),
        *(*BITWARDEN, "--issuer", "letsencrypt-staging", "--email", "me@mine.org"),
        *("--backup", "https://s3.mine.org/backups"),
    ),
    "other network, Vault, internal CA": (
        *(*ME, "--profile", "small", "--domain", "lab.other.net", "--subnet", "172.16.4.0/24"),
        *("--store", "vault", "--server", "https://vault.other.net:8200", "--issuer", "internal"),
    ),
    "ssh, a few applications": (
        *("--repository", "git@git.mine.org:me/homelab.git", "--profile", "small", "--domain", "home.mine.org"),
        *("--apps", "media,selfhosted/whoami,selfhosted/homepage"),
    ),
}
QA = (*ME, "--stack", "qa", "--like", "staging", "--domain", "qa.example.com", "--subnet", "10.0.30.0/24")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in (APPS, "patches"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in (ROOT / "Pulumi.yaml", *stack_files(ROOT).values()):
        shutil.copy(file, tmp_path)
    commit_all(tmp_path)
    return tmp_path


def changed(root: Path) -> list[str]:
    """Return the files that differ from the commit."""
    listed = programs.run("git", "status", "--porcelain", "--untracked-files=all", cwd=root).stdout
    return [one[3:] for one in listed.splitlines()]


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_make_a_stack_without_a_problem(name: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--replace", "--only", *ANSWERS[name], "--root", str(checkout)]) == 0
    capsys.readouterr()
    assert main(["check", "--shape", "--root", str(checkout)]) == 0, capsys.readouterr().out


@pytest.mark.nightly
@pytest.mark.parametrize("name", ANSWERS)
def test_what_answers_make_renders_without_a_problem(
    name: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--replace", "--only", *ANSWERS[name], "--root", str(checkout)]) == 0
    capsys.readouterr()
    assert main(["check", "--root", str(checkout)]) == 0, capsys.readouterr().out


def test_a_second_run_with_other_answers_changes_the_stack(checkout: Path) -> None:
    assert main(["init", "--replace", "--only", *ANSWERS["one node"], "--root", str(checkout)]) == 0
    commit_all(checkout)
    again = ("--apps", "media/jellyfin,media/library", *ME, "--profile", "one-node", "--domain", "new.mine.org")
    assert main(["init", "--replace", *again, "--root", str(checkout)]) == 0
    tree = read_tree(checkout)
    assert [app.name for app in tree.apps if app.category == "media"] == ["jellyfin", "library"]
    assert read_stack(checkout / "Pulumi.homelab.yaml").require().network.domain == "new.mine.org"
    settings = (checkout / APPS / "_settings/homelab/settings.yaml").read_text(encoding="utf-8")
    assert "networkDomain: new.mine.org" in settings
    commit_all(checkout)
    assert main(["init", "--replace", *ME, *again[4:], "--like", "homelab", "--root", str(checkout)]) == 0
    assert [file for file in changed(checkout) if file.startswith(APPS)] == []


def test_an_added_stack_edits_no_base(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *QA, "--root", str(checkout)]) == 0
    own = re.compile(rf"Pulumi\.qa\.yaml|{APPS}/environments\.yaml|{APPS}/_settings/qa/.+|{APPS}/[\w-]+/[\w-]+/qa/.+")
    files = changed(checkout)
    assert [file for file in files if not own.fullmatch(file)] == []
    assert {file.split("/")[0] for file in files} == {"Pulumi.qa.yaml", APPS}
    capsys.readouterr()
    assert main(["check", "--shape", "--root", str(checkout)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--profile", "huge"), "--profile = huge: is no profile; choose one of one-node, small, ha"),
        (("--like", "stagin"), "--like = stagin: is no environment of this checkout; did you mean staging?"),
        (("--environment", "dev"), "--environment = dev: is that of Pulumi.dev.yaml; give each stack its own"),
        (
            ("--apps", "medla"),
            "--apps = medla: is no category of applications and no app of staging; did you mean media?",
        ),
        (("--backup", "s3.mine.org"), "--backup = s3.mine.org: is not https://HOST/BUCKET; write it so"),
        (("--store", "vault"), "there is no terminal for questions; give --server (./homelab init --help)"),
    ],
)
def test_a_wrong_answer_writes_nothing(
    words: tuple[str, ...], message: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *QA, *words, "--root", str(checkout)]) == 1
    assert message in capsys.readouterr().err
    assert changed(checkout) == []


def test_uncommitted_work_in_a_removed_environment_is_not_lost(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / APPS / "media/jellyfin/dev/mine.yaml").write_text("a: b\n", encoding="utf-8")
    assert main(["init", "--replace", "--only", *ANSWERS["one node"], "--root", str(checkout)]) == 1
    assert "apps/media/jellyfin/dev/mine.yaml: has uncommitted changes that would be lost" in capsys.readouterr().err
    assert changed(checkout) == ["apps/media/jellyfin/dev/mine.yaml"]


def rendered(root: Path, stack: str) -> Iterator[str]:
    """Yield every rendered object of a stack."""
    one = read_stack(root / f"Pulumi.{stack}.yaml")
    for _, objects in Validation(root, [one], read_tree(root)).objects_by_app(one):
        yield from map(str, objects)


@pytest.mark.nightly
def test_a_changed_domain_reaches_everything_and_changes_nothing_else(checkout: Path) -> None:
    before = sorted(rendered(checkout, "homelab"))
    file = checkout / "Pulumi.homelab.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("domain: home.example.com", "domain: house.test.org"), encoding="utf-8")
    assert main(["settings", "--root", str(checkout)]) == 0
    assert all(name == file.name or name.startswith(f"{APPS}/_settings/production/") for name in changed(checkout))
    after = sorted(one.replace("house.test.org", "home.example.com") for one in rendered(checkout, "homelab"))
    assert after == before
    assert not any("home.example.com" in one for one in rendered(checkout, "homelab"))


def test_a_link_is_refused_before_anything_is_written(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path_factory.mktemp("keys") / "id_ed25519"
    key.write_text("a private key\n", encoding="utf-8")
    (checkout / APPS / "system/reloader/staging/extra.yaml").symlink_to(key)
    commit_all(checkout)
    assert main(["init", *QA, "--root", str(checkout)]) == 1
    assert capsys.readouterr().err == (
        "apps/system/reloader/staging/extra.yaml: is a link, and init copies files only; replace it with a file\n"
    )
    assert changed(checkout) == []


def written(root: Path) -> dict[str, bytes]:
    """Return every file of a checkout."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


STEPS = ("write_bytes", "rename", "replace", "unlink")


def interrupt(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Raise an interruption at a step that changes the checkout."""
    count = iter(range(1, 1_000_000))

    def step(original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*words: Any, **options: Any) -> Any:
            if next(count) == last:
                raise KeyboardInterrupt
            return original(*words, **options)

        return run

    for name in STEPS:
        monkeypatch.setattr(Path, name, step(getattr(Path, name)))
    monkeypatch.setattr(shutil, "rmtree", step(shutil.rmtree))


# The small checkout has few files, and its steps reach from the first copy to the last removal.
@pytest.mark.parametrize("words", [("--like", "production"), ("--like", "production", "--apps", "media")])
def test_an_interrupted_run_can_be_run_again(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("init", "--stack", "mine", "--only", *ME, "--domain", "home.mine.org", *words, "--root")
    prepare({}, tmp_path / "whole")
    commit_all(tmp_path / "whole")
    assert main([*command, str(tmp_path / "whole")]) == 0
    for last in (*range(1, 140, 6), 1000):
        root = tmp_path / str(last)
        prepare({}, root)
        commit_all(root)
        with pytest.MonkeyPatch.context() as patch:
            interrupt(patch, last)
            code = main([*command, str(root)])
        if code == 0:
            assert last > 20
            return
        assert code == 130
        capsys.readouterr()
        again = main([*command, str(root)])
        assert again == 0, (last, capsys.readouterr().err)
        assert written(root) == written(tmp_path / "whole"), last


@pytest.mark.parametrize("last", [20, 41, 300])
def test_an_interrupted_run_on_this_tree_can_be_run_again(
    last: int, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = tmp_path_factory.mktemp("whole")
    shutil.copytree(checkout, whole, dirs_exist_ok=True)
    command = ("init", "--replace", "--only", *ANSWERS["one node"], "--root")
    assert main([*command, str(whole)]) == 0
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, last)
        assert main([*command, str(checkout)]) == 130
    assert main([*command, str(checkout)]) == 0
    assert written(checkout) == written(whole)


def test_applications_come_back_and_kept_folders_are_reported(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*ME, "--profile", "small", "--domain", "home.mine.org", "--root", str(checkout))
    assert main(["init", "--replace", "--only", "--apps", "media", *words]) == 0
    commit_all(checkout)
    capsys.readouterr()
    assert main(["init", "--replace", "--apps", "all", *words]) == 0
    printed = capsys.readouterr().out
    unable = "selfhosted/forgejo, selfhosted/nextcloud, selfhosted/whoami"
    assert f"not brought back: {unable}; git restore --source=COMMIT --staged --worktree PATH does\n" in printed
    assert "the folders apps/*/*/homelab are kept; to copy others, delete them first, and run init again\n" in printed
    found = {app.label for app in read_tree(checkout).apps_in("homelab")}
    assert {"home-automation/home-assistant", "selfhosted/paperless-ngx", "media/jellyfin"} <= found
    assert main(["check", "--shape", "--root", str(checkout)]) == 0, capsys.readouterr().out

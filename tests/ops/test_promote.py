"""`./homelab promote` as a command: its output, its refusals, and the branch that it makes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.promotion import REVISION, edited
from ops import promote as verb
from ops.__main__ import main
from ops.promotion import pushing
from ops.promotion.evidence import NoEvidence
from ops.promotion.forges import Forge, PullRequest
from ops.promotion.tags import Release, release_of
from tests.ops.promotion.conftest import first_commit, repository
from tests.ops.promotion.example import IMMICH, JELLYFIN, STAGING, Example, deployment

__all__ = ["first_commit", "repository"]
BASE = "apps/media/immich/base/deployment.yaml"
ROOT = Path(__file__).parents[2]
YEARS = 24 * 365 * 40.0
NAME = "promote/staging-media-immich"


@pytest.fixture
def ready(repository: Example, monkeypatch: pytest.MonkeyPatch) -> Example:
    """Return a repository whose staging has a pin, and whose dev runs a newer version."""
    text = edited(STAGING, repository.text(), {REVISION: repository.head})
    assert text
    repository.commit({STAGING: text}, "Pin")
    repository.commit({BASE: deployment("v2")}, "Raise immich to v2")
    for label in (IMMICH, JELLYFIN):
        repository.runs(label, hours=YEARS)
    monkeypatch.setattr(verb, "evidence_for", lambda root, environment: repository)
    return repository


def call(ready: Example, *words: str) -> int:
    return main(["promote", *words, "--root", str(ready.root)])


def test_a_promotion_is_printed_and_written(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = ready.git("rev-parse", "main~2"), ready.head
    assert call(ready, "immich", "--to", "staging") == 0
    evidence = ready.git("log", "-1", "--format=%(trailers:key=Homelab-Evidence,valueonly)", NAME)
    assert capsys.readouterr().out == (
        "Promote media/immich to staging\n"
        f"    {old[:8]} -> {new[:8]}\n"
        "    ghcr.io/immich/server: v1 -> v2\n"
        "\n"
        f"        {new[:8]} Raise immich to v2\n"
        f"    evidence: {evidence.strip()}\n"
        "1 change\n"
        f"branch {NAME} made; next: git push origin {NAME}\n"
    )
    assert call(ready, "immich", "--to", "staging") == 0
    assert capsys.readouterr().out.endswith(f"branch {NAME} is as it was; next: git push origin {NAME}\n")


def test_a_dry_run_writes_nothing(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ready, "immich", "--from", "dev", "--dry-run") == 0
    assert capsys.readouterr().out.endswith("1 change\nnothing was written (--dry-run)\n")
    assert ready.git("branch", "--format=%(refname:short)") == "main"


def test_in_place_the_present_branch_moves(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ready, "immich", "--to", "staging", "--in-place") == 0
    assert capsys.readouterr().out.endswith("1 change\ncommitted on main; next: git push\n")
    assert ready.git("log", "-1", "--format=%s") == "Promote media/immich to staging"
    assert call(ready, "immich", "--to", "staging") == 0
    out = capsys.readouterr().out
    assert out.startswith("media/immich: nothing to do: staging has this version already, at ")
    assert out.endswith("0 changes, 1 unchanged\n")


def test_a_file_that_cannot_be_edited_is_refused(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    text = edited(STAGING, ready.text(), {REVISION: None})
    assert text
    ready.commit({STAGING: f"metadata: {{name: immich}}\n{text}"}, "Add a name")
    assert call(ready, "immich", "--to", "staging") == 1
    assert capsys.readouterr().err == (
        f"{STAGING}: has a form that cannot be edited line by line; write each key of `metadata` on a line of its own "
        "[promotion-form]\n1 problem\n"
    )


def test_a_required_approval_needs_a_pull_request(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "Pulumi.staging.yaml").read_text(encoding="utf-8")
    gates = "    gates: {sync: manual, approval: required}\n"
    ready.commit({"Pulumi.staging.yaml": f"{text.rstrip()}\n{gates}"}, "Add a gate")
    before = ready.head
    assert call(ready, "immich", "--to", "staging", "--in-place") == 1
    assert capsys.readouterr().err == (
        f"Pulumi.staging.yaml:{len(text.splitlines()) + 1}: delivery.gates.approval: is required by delivery.gates of "
        "staging, and --in-place makes no pull request; leave out --in-place and add --push, or give a reason that is "
        "recorded: --reason TEXT [promotion-approval]\n1 problem\n"
    )
    assert ready.head == before
    assert call(ready, "immich", "--to", "staging") == 0, "a branch has its review later"
    assert call(ready, "immich", "--to", "staging", "--in-place", "--reason", "at night") == 0
    assert "Homelab-Reason: at night" in ready.git("log", "-1", "--format=%B")


def test_everything_that_differs_is_promoted(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    ready.runs(JELLYFIN, health="Progressing", hours=YEARS)
    assert call(ready, "--all", "--to", "staging", "--branch", "next", "--json") == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [move["name"] for move in data["moves"]] == [IMMICH]
    assert data["moves"][0]["versions"] == [{"name": "ghcr.io/immich/server", "was": "v1", "now": "v2"}]
    assert data["leftOut"] == {JELLYFIN: "is Synced and Progressing in dev"}
    assert data["branch"] == {
        "name": "next",
        "commit": ready.git("rev-parse", "next"),
        "base": ready.head,
        "state": "made",
    }


def test_every_refusal_is_printed_at_once(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ready, "imich", "--from", "dev", "--to", "production") == 1
    assert capsys.readouterr().err == (
        "./homelab promote: imich: is no app, and no part of the infrastructure; did you mean immich?"
        " [promotion-unknown]\n"
        "./homelab promote: --to = production: gets its changes from staging, and not from dev: the chain is dev ->"
        " staging -> production; promote to staging first [promotion-skips]\n"
        "2 problems\n"
    )


@pytest.mark.parametrize("words", [["--to", "staging"], ["immich", "--all", "--to", "staging"]])
def test_names_or_all_are_required(words: list[str], ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ready, *words) == 1
    assert capsys.readouterr().err == (
        "./homelab promote: needs either names of apps, --from-file or --all; ./homelab promote --help\n"
    )


def test_a_file_with_other_changes_is_refused(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    ready.write({STAGING: ready.text() + "patches: []\n", "apps/media/jellyfin/base/new.yaml": "kind: X\n"})
    assert call(ready, "immich", "--to", "staging") == 1
    assert capsys.readouterr().err == (
        f"{STAGING}: has changes that are not committed; git commit them, or git stash [promotion-dirty]\n1 problem\n"
    )


def test_an_unreachable_source_is_refused(
    ready: Example, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verb, "evidence_for", lambda root, environment: NoEvidence("no cluster"))
    assert call(ready, "immich", "--to", "staging") == 1
    assert capsys.readouterr().err == (
        "environment dev: does not answer: no cluster; reach it, or give a reason that is recorded: --reason TEXT"
        " [promotion-unreachable]\n1 problem\n"
    )
    assert call(ready, "immich", "--to", "staging", "--reason", "dev is gone") == 0
    trailers = ready.git("log", "-1", "--format=%(trailers)", NAME)
    assert "Homelab-Evidence: none\nHomelab-Reason: dev is gone" in trailers


def test_a_folder_without_a_repository_is_refused(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    outside = ready.root.parent / "outside"
    outside.mkdir()
    assert main(["promote", "immich", "--to", "staging", "--root", str(outside)]) == 1
    assert capsys.readouterr().err == (
        f"{outside}: is no checkout of a Git repository, and a promotion is a commit; git clone, or git init\n"
    )


def test_a_revert_and_its_end_are_commits_too(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    first = ready.git("rev-parse", "main~2")
    assert call(ready, "immich", "--to", "staging", "--in-place") == 0
    assert call(ready, "immich", "--revert", "--to", "staging", "--in-place", "--reason", "the migration fails") == 0
    out = capsys.readouterr().out
    assert "Revert media/immich in staging\n" in out
    assert ready.git("log", "-1", "--format=%s%n%(trailers)").splitlines() == [
        "Revert media/immich in staging",
        "Homelab-Revert: media/immich",
        "Homelab-To: staging",
        f"Homelab-Revision: {first}",
        f"Homelab-Was: {ready.git('rev-parse', 'main~2')}",
        "Homelab-Reason: the migration fails",
    ]
    assert call(ready, "--all", "--to", "staging") == 0
    assert "media/immich: left out: media/immich is held in staging: the migration fails\n" in capsys.readouterr().out
    assert call(ready, "immich", "--lift", "--to", "staging") == 0
    assert capsys.readouterr().out.endswith(
        "branch lift/staging-media-immich made; next: git push origin lift/staging-media-immich\n"
    )


def test_a_list_in_a_file_is_promoted(
    ready: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOMELAB_CALLED_FROM", raising=False)
    listed = tmp_path / "list.yaml"
    listed.write_text(
        f"- {{app: immich, to: staging, revision: {ready.git('rev-parse', 'main~2')}}}\n- {{app: jellyfin}}\n"
    )
    assert call(ready, "--from-file", str(listed), "--json") == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [move["name"] for move in data["moves"]] == [JELLYFIN]
    assert list(data["unchanged"]) == [IMMICH]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]\n", "list.yaml: is not a list of promotions; write `- {app: category/app, to: ENVIRONMENT}` for each"),
        ("- {ap: x}\n", "list.yaml:1: ap: is not a known key; did you mean app? [key-unknown]"),
        (
            "- {app: immich, to: staging}\n- {app: jellyfin, to: production}\n",
            "list.yaml:1: [0].to = production, staging: differs between the entries; write a file for each step of the",
        ),
        (
            f"- {{app: immich, to: staging, revision: {'a' * 40}}}\n- {{app: immich, revision: {'b' * 40}}}\n",
            "list.yaml:2: [1].app = immich: is in the list twice; remove one of the two [promotion-list]",
        ),
        (
            f"- {{app: talos, to: staging, revision: {'a' * 40}}}\n",
            "talos: revision is for promotions of apps, and not for versions of the infrastructure; remove it",
        ),
    ],
)
def test_a_wrong_list_is_refused(
    text: str, message: str, ready: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.yaml").write_text(text)
    assert call(ready, "--from-file", str(tmp_path / "list.yaml")) == 1
    assert message in capsys.readouterr().err


@pytest.fixture
def remote(ready: Example) -> Path:
    """Add a remote on this machine, which has the main branch."""
    bare = ready.root.parent / "remote.git"
    ready.git("init", "--quiet", "--bare", str(bare))
    ready.git("remote", "add", "origin", str(bare))
    ready.git("push", "--quiet", "origin", "main")
    return bare


@pytest.mark.usefixtures("remote")
def test_a_branch_is_pushed_and_the_page_of_its_request_is_printed(
    ready: Example, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "FORGEJO_TOKEN", "GITEA_TOKEN", "GITLAB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert call(ready, "immich", "--to", "staging", "--push") == 0
    assert capsys.readouterr().out.endswith(
        f"1 change\npushed {NAME} to origin\n{ready.root.parent}/remote.git: is at no forge that is known here; open"
        " the"
        f" pull request of {NAME} there\n"
    )
    assert ready.git("ls-remote", "origin", NAME).split()[0] == ready.git("rev-parse", NAME)
    monkeypatch.setattr(pushing, "remote_of", lambda store: "https://github.com/me/lab.git")
    assert call(ready, "immich", "--to", "staging", "--push") == 0
    assert capsys.readouterr().out.endswith(
        f"no token for github is set; open the pull request: https://github.com/me/lab/compare/main...{NAME}\n"
    )


@pytest.mark.usefixtures("remote")
def test_a_push_names_commits_that_are_no_promotion(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    ready.commit({"README.md": "x\n"})
    assert call(ready, "immich", "--to", "staging", "--push") == 0
    line = "\nit also contains 1 commit of main that origin/main lacks: merge those first\n"
    assert line in capsys.readouterr().out


@pytest.mark.usefixtures("remote")
def test_a_pull_request_has_the_evidence_and_the_preview(
    ready: Example, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[tuple[str, ...]] = []

    def request(forge: Forge, *given: str) -> PullRequest:
        made.append(given)
        return PullRequest("https://github.com/me/lab/pull/1", "opened")

    monkeypatch.setenv("GITHUB_TOKEN", "t")
    monkeypatch.setattr(pushing, "remote_of", lambda store: "https://github.com/me/lab.git")
    monkeypatch.setattr(Forge, "request", request)
    assert call(ready, "immich", "--to", "staging", "--push", "--reason", "a | b") == 0
    assert capsys.readouterr().out.endswith("pull request opened: https://github.com/me/lab/pull/1\n")
    ((branch, base, title, text),) = made
    assert (branch, base, title) == (NAME, "main", "Promote media/immich to staging")
    old, new = ready.git("rev-parse", "main~2")[:8], ready.head[:8]
    evidence = ready.git("log", "-1", "--format=%(trailers:key=Homelab-Evidence,valueonly)", NAME).strip()
    assert text.startswith(
        "| app | before | after | versions | evidence |\n| --- | --- | --- | --- | --- |\n"
        f"| `media/immich` | `{old}` | `{new}` | `ghcr.io/immich/server` `v1` → `v2` | `{evidence}`"
        " (reason: a \\| b) |\n\n"
    )
    # This repository has no stack file: the preview is refused, and the text has its reason.
    assert "The preview failed; run it on the branch: `./homelab preview`" in text
    assert ready.git("worktree", "list").count("\n") == 0


def test_a_push_needs_a_remote_that_requests_may_reach(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ready, "immich", "--to", "staging", "--push") == 1
    assert capsys.readouterr().err == (
        "./homelab promote --push: there is no remote origin; git remote add origin URL\n"
    )
    ready.git("remote", "add", "origin", "https://u:secret@git.example.com/me/lab.git")
    assert call(ready, "immich", "--to", "staging", "--push") == 1
    assert capsys.readouterr().err == (
        "./homelab promote --push: needs https://git.example.com/me/lab.git, and HOMELAB_OFFLINE=1 forbids requests to"
        " other hosts\n"
    )


def test_a_release_is_tagged_once(ready: Example, remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(ready, "--tag", "--to", "staging") == 0
    out = capsys.readouterr().out
    (name,) = ready.git("tag").splitlines()
    assert re.fullmatch(r"staging/\d{8}-\d{6}", name)
    assert out == f"tagged {ready.head[:8]} as {name}; next: git push origin {name}\n"
    found = release_of(ready.git("cat-file", "tag", name).partition("\n\n")[2])
    pins = {IMMICH: ready.git("rev-parse", "main~2"), JELLYFIN: ready.head}
    assert found == Release("staging", ready.head, pins, {})
    assert call(ready, "--tag", "--to", "staging") == 0
    assert capsys.readouterr().out == f"{ready.head[:8]} is {name} already\n"
    ready.commit({"README.md": "x\n"})
    assert call(ready, "--tag", "--to", "staging") == 1
    assert capsys.readouterr().err == (
        "./homelab promote --tag: HEAD is not in the main branch yet, and a merge can replace its commits; merge"
        " it, then"
        " git pull\n"
    )
    assert release_of("another message") is None


def test_a_release_without_all_of_its_files_is_refused(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    ready.write({STAGING: ready.text() + "patches: []\n"})
    assert call(ready, "--tag", "--to", "staging") == 1
    assert capsys.readouterr().err == (
        f"{STAGING}: has changes that are not committed, and the tag would lack them; git commit them, or git stash\n"
    )
    assert call(ready, "--tag", "immich", "--to", "staging") == 1
    assert capsys.readouterr().err == (
        "./homelab promote --tag: needs --to ENVIRONMENT and no app: a tag records the whole environment\n"
    )


def test_a_release_has_no_file_of_the_work_tree_alone(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    ready.write({"Pulumi.staging.yaml": "config: {}\n"})
    assert call(ready, "--tag", "--to", "staging") == 1
    assert "Pulumi.staging.yaml: has changes that are not committed, and the tag would lack" in capsys.readouterr().err
    ready.commit()
    assert call(ready, "--tag", "--to", "staging") == 1
    assert capsys.readouterr().err.startswith("Pulumi.staging.yaml")
    assert ready.git("tag") == ""
    ready.commit({"Pulumi.staging.yaml": None})
    ready.git("tag", "staging/mine")
    assert call(ready, "--tag", "--to", "staging") == 0
    assert len(ready.git("tag").splitlines()) == 2
    assert call(ready, "--tag", "--to", "staging", "--push") == 1


def test_a_new_folder_has_committed_files_alone(ready: Example, capsys: pytest.CaptureFixture[str]) -> None:
    folder = "apps/media/immich/dev"
    texts: dict[str, str | None] = {
        STAGING: None,
        ".gitignore": "*.env\n",
        f"{folder}/patch.yaml": "a: 1\n",
        f"{folder}/own.env": "secret\n",
    }
    ready.commit(texts)
    ready.runs(IMMICH)
    ready.write({f"{folder}/patch.yaml": "a: 2\n"})
    assert call(ready, "immich", "--to", "staging") == 1
    assert f"{folder}/patch.yaml: has changes that are not committed" in capsys.readouterr().err
    ready.git("checkout", "--", folder)
    assert call(ready, "immich", "--to", "staging") == 0
    files = ready.git("diff", "--name-only", "main", NAME).splitlines()
    assert files == [STAGING, "apps/media/immich/staging/patch.yaml"]

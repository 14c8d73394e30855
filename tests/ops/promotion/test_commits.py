"""The commits of a promotion: one for each app, on a branch that appears in one step, and nothing else changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.promotion import REVISION, edited
from errors import Declined
from ops.promotion import commits
from ops.promotion.commits import Branch, alone, default_branch, message_of, write_branch, write_in_place
from ops.promotion.git_store import GitStore
from ops.promotion.output import branch_line
from ops.promotion.plan import Move
from tests.ops.promotion.example import IMMICH, JELLYFIN, STAGING, Example, deployment

BASE = "apps/media/immich/base/deployment.yaml"
OTHER = "apps/media/jellyfin/staging/kustomization.yaml"
NAME = "promote/staging-media-immich"


@pytest.fixture
def ready(repository: Example) -> Example:
    """Return a repository with two pinned apps, each with a newer version that dev runs."""
    first = repository.head
    texts = {name: edited(name, repository.text(name), {REVISION: first}) for name in (STAGING, OTHER)}
    repository.commit(texts, "Pin")
    versions = {BASE: deployment("v2"), "apps/media/jellyfin/base/deployment.yaml": deployment("v3")}
    repository.commit(versions, "Raise both")
    for label in (IMMICH, JELLYFIN):
        repository.runs(label)
    return repository


def moves(ready: Example, *labels: str) -> list[Move]:
    plan = ready.plan(*labels)
    assert plan.problems == []
    return plan.moves


def write(ready: Example, *labels: str, name: str = NAME) -> Branch:
    return write_branch(ready.store(), moves(ready, *labels), "dev", "staging", name)


def state(ready: Example) -> tuple[str, ...]:
    """Return everything that a promotion on a branch must leave as it is."""
    files = [f"{path}: {path.read_text()}" for path in sorted(ready.root.glob("apps/**/*.yaml"))]
    return ready.head, ready.git("status", "--porcelain"), ready.git("branch", "--show-current"), *files


def test_a_branch_has_one_commit_for_each_app(ready: Example) -> None:
    before = state(ready)
    made = write(ready, IMMICH, JELLYFIN)
    assert state(ready) == before
    assert made == Branch(NAME, ready.git("rev-parse", NAME), ready.head, "made")
    assert ready.git("log", "--reverse", "--format=%s", f"main..{NAME}").splitlines() == [
        "Promote media/immich to staging",
        "Promote media/jellyfin to staging",
    ]
    assert ready.git("diff", "--name-only", "main", NAME).splitlines() == [STAGING, OTHER]
    assert ready.git("diff", "--numstat", "main", NAME) == f"1\t1\t{STAGING}\n1\t1\t{OTHER}"
    assert ready.git("fsck", "--strict") == ""


def test_the_message_has_what_moves_and_the_evidence(ready: Example) -> None:
    old, new = ready.git("rev-parse", "main~2"), ready.head
    write(ready, IMMICH)
    assert ready.git("log", "-1", "--format=%B", NAME) == (
        "Promote media/immich to staging\n\n"
        f"{old[:8]} -> {new[:8]}\n"
        "ghcr.io/immich/server: v1 -> v2\n\n"
        f"    {new[:8]} Raise both\n\n"
        "Homelab-Promote: media/immich\n"
        "Homelab-From: dev\n"
        "Homelab-To: staging\n"
        f"Homelab-Revision: {new}\n"
        f"Homelab-Was: {old}\n"
        f"Homelab-Evidence: Synced and Healthy since 2026-11-29T07:00:00Z at {new[:8]}, stack dev (rehearsal)"
    )
    parsed = ready.git("log", "-1", "--format=%(trailers:key=Homelab-Revision,valueonly)", NAME)
    assert parsed.strip() == new


def test_a_reason_is_recorded_on_one_line(ready: Example) -> None:
    ready.runs(IMMICH, health="Degraded")
    (move,) = ready.plan(IMMICH, reason="dev has\nno GPU").moves
    message = message_of(move, "dev", "staging")
    assert "\nHomelab-Reason: dev has no GPU\n" in message
    assert "\nHomelab-Evidence: Synced and Degraded at " in message


def test_a_long_subject_is_shortened(ready: Example) -> None:
    (move,) = moves(ready, IMMICH)
    subject = message_of(Move(**{**vars(move), "label": f"media/{'a' * 63}"}), "dev", "staging").partition("\n")[0]
    assert len(subject) == 72
    assert subject.endswith("…")


def test_the_same_promotion_again_keeps_the_branch(ready: Example) -> None:
    made = write(ready, IMMICH)
    assert write(ready, IMMICH) == Branch(NAME, made.commit, ready.head, "kept")


def test_a_branch_that_is_behind_is_made_again(ready: Example) -> None:
    write(ready, IMMICH)
    head = ready.commit({"README.md": "x\n"}, "Merge in between")
    ready.runs(IMMICH)
    made = write(ready, IMMICH)
    assert (made.state, made.base) == ("rebuilt", head)
    assert ready.git("rev-parse", f"{NAME}^") == head


def test_a_branch_with_the_commit_of_a_user_is_refused(ready: Example) -> None:
    write(ready, IMMICH)
    ready.git("switch", "--quiet", NAME)
    own = ready.commit({"README.md": "x\n"}, "My own work")
    ready.git("switch", "--quiet", "main")
    with pytest.raises(Declined) as refused:
        write(ready, IMMICH)
    assert str(refused.value) == (
        f"branch {NAME}: has the commit {own[:8]} (My own work), which no promotion made; merge it, delete the branch,"
        " or choose another name: ./homelab promote --branch NAME"
    )
    assert ready.git("rev-parse", NAME) == own


def test_the_present_branch_gets_the_commits_and_the_files(ready: Example) -> None:
    head = ready.head
    made = write_in_place(ready.store(), moves(ready, IMMICH), "dev", "staging")
    assert (made.name, made.commit, made.state) == ("main", ready.head, "moved")
    assert ready.git("rev-parse", "HEAD^") == head
    assert ready.git("status", "--porcelain") == ""
    assert head in ready.text()


def test_a_detached_head_is_refused_in_place(ready: Example) -> None:
    ready.git("switch", "--quiet", "--detach")
    with pytest.raises(Declined, match=r"^--in-place: HEAD is detached, so that no branch would have the commits; git"):
        write_in_place(ready.store(), moves(ready, IMMICH), "dev", "staging")


def test_two_at_once_are_refused_and_a_killed_run_leaves_no_lock(ready: Example) -> None:
    store = ready.store()
    with alone(store), pytest.raises(Declined) as refused, alone(ready.store()):
        pass
    assert re.fullmatch(
        r"\S+/\.git/homelab-promote\.lock: another promotion of this repository runs, as process \d+; wait until it has"
        r" ended",
        str(refused.value),
    )
    assert (ready.root / ".git" / commits.LOCK).exists()
    with alone(store):
        pass


@pytest.mark.parametrize("step", ["write_blob", "write_tree", "write_commit", "move_branch"])
@pytest.mark.parametrize("late", [False, True])
def test_an_interruption_leaves_nothing_half(
    step: str, late: bool, ready: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(ready)
    original: Callable[..., Any] = getattr(GitStore, step)

    def interrupted(*given: Any) -> Any:
        if late:
            original(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(GitStore, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(ready, IMMICH, JELLYFIN)
    assert state(ready) == before
    exists = NAME in ready.git("branch", "--format=%(refname:short)").splitlines()
    assert exists == (late and step == "move_branch")
    assert write(ready, IMMICH, JELLYFIN).state == ("kept" if exists else "made")
    assert len(ready.git("rev-list", f"main..{NAME}").splitlines()) == 2


def test_a_branch_that_moves_meanwhile_is_not_overwritten(ready: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    write(ready, IMMICH)
    ready.commit({"README.md": "x\n"})
    ready.runs(IMMICH)
    first = ready.git("rev-parse", "main~2")
    original = GitStore.write_commit

    def moved(self: GitStore, *given: Any) -> str:
        ready.git("update-ref", f"refs/heads/{NAME}", first)
        return original(self, *given)

    monkeypatch.setattr(GitStore, "write_commit", moved)
    with pytest.raises(Exception, match=r"update-ref refs/heads/promote/.*run the same command again"):
        write(ready, IMMICH)
    assert ready.git("rev-parse", NAME) == first


def test_commits_are_signed_where_git_signs(ready: Example, tmp_path: Path) -> None:
    program = tmp_path / "signer"
    program.write_text(
        "#!/bin/sh\ncat >/dev/null\necho '[GNUPG:] SIG_CREATED ' >&2\n"
        "printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nfake\\n-----END PGP SIGNATURE-----\\n'\n"
    )
    program.chmod(0o755)
    ready.git("config", "commit.gpgsign", "true")
    ready.git("config", "gpg.program", str(program))
    write(ready, IMMICH)
    raw = ready.git("cat-file", "commit", NAME)
    assert "gpgsig -----BEGIN PGP SIGNATURE-----" in raw
    assert "\n\nPromote media/immich to staging\n\n" in raw
    program.write_text("#!/bin/sh\necho 'no secret key' >&2\nexit 2\n")
    ready.commit({"README.md": "x\n"})
    ready.runs(IMMICH)
    with pytest.raises(
        Declined, match=r"^git commit-tree -S: .*; mend the key of user\.signingkey, or set commit\.gpg"
    ):
        write(ready, IMMICH)


def test_the_name_of_a_branch_follows_from_the_apps(ready: Example) -> None:
    assert default_branch("staging", moves(ready, IMMICH)) == NAME
    both = default_branch("staging", moves(ready, IMMICH, JELLYFIN))
    assert both == default_branch("staging", moves(ready, JELLYFIN, IMMICH))
    assert re.fullmatch(r"promote/staging-[0-9a-f]{8}", both)


def test_a_folder_below_the_top_of_the_repository_is_promoted(ready: Example) -> None:
    ready.git("mv", "-k", "apps", "deep-apps")
    (ready.root / "deep").mkdir()
    ready.git("mv", "deep-apps", "deep/apps")
    ready.commit(message="Move the checkout down")
    below = Example(ready.root / "deep", ready.evidence, stores=ready.stores)
    below.commit({BASE: deployment("v4")}, "Raise")
    below.runs(IMMICH)
    write(below, IMMICH)
    assert ready.git("diff", "--name-only", "main", NAME) == f"deep/{STAGING}"


def test_a_branch_that_is_checked_out_is_not_moved(ready: Example) -> None:
    before = state(ready)
    other = ready.root.parent / "other"
    ready.git("worktree", "add", "--quiet", "-b", "next", str(other))
    for name, place in (("main", ready.root), ("next", other)):
        with pytest.raises(Declined) as refused:
            write(ready, name=name)
        assert str(refused.value) == (
            f"branch {name}: is checked out in {place}, whose files would stay behind; git switch another branch there,"
            " use --in-place, or choose another name: ./homelab promote --branch NAME"
        )
    assert state(ready) == before


@pytest.mark.parametrize("name", ["-x", "a b", "../x", "HEAD", "a..b"])
def test_a_name_that_is_no_branch_is_refused(name: str, ready: Example) -> None:
    with pytest.raises(Declined, match=r"is no name of a branch; choose another one, such as promote/next$"):
        write(ready, name=name)


def test_a_name_is_quoted_for_the_shell() -> None:
    line = branch_line(Branch("a$(id)", "", "", "made"))
    assert line == "branch a$(id) made; next: git push origin 'a$(id)'"


def test_a_main_branch_of_another_history_is_refused(ready: Example) -> None:
    tree = ready.git("rev-parse", "HEAD^{tree}")
    ready.git("branch", "elsewhere", ready.git("commit-tree", tree, "-m", "x"))
    with pytest.raises(Declined, match=r"^elsewhere: shares no commit with HEAD, .* git fetch --unshallow$"):
        ready.store().merged(["elsewhere"])


def test_git_reads_whether_commits_are_signed(ready: Example) -> None:
    ready.git("config", "commit.gpgsign", "no")
    assert write(ready).state == "made"


def test_texts_of_strangers_have_no_line_and_no_control_character(ready: Example) -> None:
    (move,) = moves(ready, IMMICH)
    note = "promoted for this reason: a\nHomelab-Evidence: made up\x1b[31m"
    subject = "0c5a3a9d \x1b]0;title\x07"
    hostile = replace(move, notes=(note,), reason="a\n\nHomelab-Evidence: b\x1b", commits=(subject,))
    text = message_of(hostile, "dev", "staging")
    assert "Note: promoted for this reason: a Homelab-Evidence: made up\\u001b[31m\n" in text
    assert "    0c5a3a9d \\u001b]0;title\\u0007\n" in text
    assert [line for line in text.splitlines() if line.startswith("Homelab-Evidence: ")] == [
        f"Homelab-Evidence: {move.evidence}"
    ]
    assert "\x1b" not in text

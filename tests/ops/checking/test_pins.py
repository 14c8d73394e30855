"""The rules of pins: a commit of HEAD's history that has the folder of the app."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import pytest

import programs
from config.tree import read_tree
from errors import Declined, TreeRefused
from ops.check import arguments, run
from ops.checking.pins import NOT_COMPARED, check_pins
from ops.stack import require_pins
from tests.ops.promotion.promoted import SERVER, Promoted, checkout, overlay
from tests.repository import AUTHOR

FILE = f"apps/{SERVER}/staging/kustomization.yaml:4: metadata.annotations.homelab.dev/revision"
AGAIN = f"promote the app again: ./homelab promote {SERVER} --to staging"
NOWHERE = "0" * 39 + "1"


@pytest.fixture
def made(tmp_path: Path) -> Promoted:
    return checkout(tmp_path / "checkout")


def problems(root: Path) -> list[str]:
    found, note = check_pins(root, read_tree(root))
    assert note == ""
    return [str(one) for one in found]


def test_a_pin_to_an_ancestor_is_accepted(made: Promoted) -> None:
    made.pin(SERVER, "staging", made.head)
    made.server("v2.7.0")
    assert problems(made.root) == []


def test_without_pins_git_is_not_needed(tmp_path: Path) -> None:
    assert problems(checkout(tmp_path / "checkout", with_git=False).root) == []


def test_an_unknown_commit_is_refused(made: Promoted) -> None:
    made.pin(SERVER, "staging", NOWHERE)
    assert problems(made.root) == [
        f"{FILE} = {NOWHERE}: is no commit of this repository; git fetch, or {AGAIN} [pin-unknown]"
    ]


def test_the_hash_of_a_tree_is_no_commit(made: Promoted) -> None:
    tree = made.git("rev-parse", "HEAD^{tree}")
    made.pin(SERVER, "staging", tree)
    assert problems(made.root) == [
        f"{FILE} = {tree}: is no commit of this repository; git fetch, or {AGAIN} [pin-unknown]"
    ]


def test_a_shallow_clone_is_named_as_the_reason(made: Promoted, tmp_path: Path) -> None:
    first = made.head
    made.pin(SERVER, "staging", first)
    clone = tmp_path / "clone"
    programs.run("git", *AUTHOR, "clone", "--quiet", "--depth", "1", made.root.as_uri(), clone)
    assert problems(clone) == [
        f"{FILE} = {first}: is no commit of this shallow clone; git fetch --unshallow [pin-unknown]"
    ]


def test_a_commit_that_a_squash_left_behind_is_refused(made: Promoted) -> None:
    made.git("switch", "--quiet", "--create", "change")
    left = made.server("v2.7.0")
    made.git("switch", "--quiet", "main")
    made.git("merge", "--quiet", "--squash", "change")
    made.commit("Squash the change")
    made.pin(SERVER, "staging", left)
    rule = "is no ancestor of HEAD: a squash, a rebase or a force push left it behind"
    assert problems(made.root) == [f"{FILE} = {left}: {rule}; {AGAIN} [pin-outside]"]


def test_a_commit_without_the_folder_is_refused(made: Promoted) -> None:
    before = made.head
    made.put("apps/media/new/base/kustomization.yaml", "kind: Kustomization\n")
    made.put("apps/media/new/staging/kustomization.yaml", overlay("staging"))
    made.commit()
    made.pin("media/new", "staging", before)
    place = FILE.replace(SERVER, "media/new")
    rule, again = "is a commit without the folder apps/media/new/staging", AGAIN.replace(SERVER, "media/new")
    assert problems(made.root) == [f"{place} = {before}: {rule}; {again} [pin-without-folder]"]


def test_a_checkout_in_a_folder_of_its_repository_is_compared_from_there(tmp_path: Path) -> None:
    made = checkout(tmp_path / "repository" / "cluster", with_git=False)
    above = Promoted(tmp_path / "repository")
    above.git("init", "--quiet", "--initial-branch", "main")
    made.pin(SERVER, "staging", above.commit())
    assert problems(made.root) == []


def test_every_pin_is_reported_at_once(made: Promoted) -> None:
    made.pin(SERVER, "staging", NOWHERE)
    made.pin(SERVER, "production", NOWHERE)
    assert [one.rpartition("[")[2] for one in problems(made.root)] == ["pin-unknown]"] * 2


def test_without_a_repository_a_note_says_that_nothing_was_compared(tmp_path: Path) -> None:
    made = checkout(tmp_path / "checkout", with_git=False)
    made.pinned(SERVER, "staging", NOWHERE)
    assert check_pins(made.root, read_tree(made.root)) == ([], NOT_COMPARED)


def test_the_shape_of_a_checkout_includes_its_pins(made: Promoted) -> None:
    made.pin(SERVER, "staging", NOWHERE)
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    arguments(parser)
    result = run(parser.parse_args(["--shape", "--root", str(made.root)]))
    assert "[pin-unknown]" in result.text
    assert not result.good


def test_a_commit_beside_the_history_of_a_shallow_clone_is_refused(made: Promoted, tmp_path: Path) -> None:
    made.git("switch", "--quiet", "--create", "fork")
    fork = made.server("v2.7.0")
    made.git("switch", "--quiet", "main")
    made.pin(SERVER, "staging", fork)
    clone = tmp_path / "clone"
    programs.run("git", *AUTHOR, "clone", "--quiet", "--depth", "1", made.root.as_uri(), clone)
    programs.run("git", "fetch", "--quiet", "--depth", "1", "origin", "fork", cwd=clone)
    rule = "is no ancestor of HEAD in this shallow clone; git fetch --unshallow"
    assert problems(clone) == [f"{FILE} = {fork}: {rule} [pin-outside]"]


def test_no_stack_is_applied_or_rehearsed_with_a_commit_that_has_no_review(made: Promoted) -> None:
    """A Git host serves the commits of forks by their hashes."""
    made.git("switch", "--quiet", "--create", "fork")
    fork = made.server("v2.7.0")
    made.git("switch", "--quiet", "main")
    made.pin(SERVER, "staging", fork)
    tree = read_tree(made.root)
    require_pins(made.root, tree, "production")
    with pytest.raises(TreeRefused, match="is no ancestor of HEAD"):
        require_pins(made.root, tree, "staging")
    shutil.rmtree(made.root / ".git")
    with pytest.raises(Declined, match="this is no repository; run this in a clone, or remove the pins"):
        require_pins(made.root, tree, "staging")


def test_no_seed_reads_files_of_this_machine_from_a_commit(made: Promoted) -> None:
    """A later commit mended the file, so that a check of the checkout finds nothing."""
    base = f"apps/{SERVER}/base/kustomization.yaml"
    good = (made.root / base).read_text(encoding="utf-8")
    made.put(base, "kind: Kustomization\nresources:\n  - /etc/hostname.yaml\n")
    bad = made.commit()
    made.put(base, good)
    made.pin(SERVER, "staging", bad)
    assert problems(made.root) == []
    with pytest.raises(TreeRefused) as refused:
        require_pins(made.root, read_tree(made.root), "staging")
    (problem,) = refused.value.problems
    assert (problem.file, problem.check) == (f"{bad}:{base}", "reference-outside")


def test_no_seed_follows_a_link_of_a_commit(made: Promoted, tmp_path: Path) -> None:
    folder, outside = made.root / "apps" / SERVER / "base", tmp_path / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)
    bad = made.commit()
    folder.unlink()
    outside.rename(folder)
    made.pin(SERVER, "staging", bad)
    with pytest.raises(TreeRefused) as refused:
        require_pins(made.root, read_tree(made.root), "staging")
    assert {one.file.partition(":")[0] for one in refused.value.problems} == {bad}
    assert "leads out of the checkout" in str(refused.value.problems[0])

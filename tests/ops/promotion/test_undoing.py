"""A promotion is reverted and held, and its hold is lifted; both together leave each byte as it was."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from config.tree import read_tree
from ops.promotion.history import History
from ops.promotion.plan import Move, PromotionPlan
from ops.promotion.undoing import lift, revert
from tests.ops.promotion.example import IMMICH, JELLYFIN, STAGING, Example, deployment

BASE = "apps/media/immich/base/deployment.yaml"


def reverted(repository: Example, *labels: str, reason: str = "") -> PromotionPlan:
    return revert(read_tree(repository.root), History(repository.store()), labels or (IMMICH,), "staging", reason)


def lifted(repository: Example, labels: Sequence[str] = (IMMICH,)) -> PromotionPlan:
    return lift(read_tree(repository.root), History(repository.store()), labels, "staging", "")


def only(plan: PromotionPlan) -> Move:
    assert plan.problems == []
    (move,) = plan.moves
    return move


@pytest.fixture
def promoted(repository: Example) -> Example:
    """Return a repository with two promotions of one app."""
    repository.runs(IMMICH)
    repository.applied(repository.move())
    repository.commit({BASE: deployment("v2")})
    repository.runs(IMMICH)
    repository.applied(repository.move())
    return repository


def test_a_revert_puts_the_pin_back_and_holds_it(promoted: Example) -> None:
    first, second = promoted.git("rev-list", "--max-parents=0", "HEAD"), promoted.git("rev-parse", "HEAD~1")
    before = promoted.text()
    move = only(reverted(promoted, reason="the migration\nfails"))
    assert (move.verb, move.was, move.now) == ("Revert", second, first)
    assert move.versions == (("ghcr.io/immich/server", "v2", "v1"),)
    assert move.notes == (
        "held from here on: the migration fails; ./homelab promote --lift media/immich --to staging ends it",
    )
    promoted.applied(move)
    hold = '    homelab.dev/hold: "the migration fails"\n'
    assert promoted.text().replace(hold, "") == before.replace(second, first)
    assert hold in promoted.text()


def test_a_second_revert_changes_nothing(promoted: Example) -> None:
    promoted.applied(only(reverted(promoted)))
    assert reverted(promoted).moves == []
    assert reverted(promoted).unchanged[IMMICH].startswith("is held already: reverted from ")


def test_a_held_app_is_left_out_until_the_hold_is_lifted(promoted: Example) -> None:
    promoted.applied(only(reverted(promoted, reason="the migration fails")))
    promoted.runs(IMMICH)
    promoted.runs(JELLYFIN)
    plan = promoted.plan(IMMICH, JELLYFIN, every=True)
    assert plan.left_out == {IMMICH: "media/immich is held in staging: the migration fails"}
    move = only(lifted(promoted))
    assert (move.verb, move.notes) == ("Lift", ("was held: the migration fails",))
    promoted.applied(move)
    promoted.runs(IMMICH)
    assert [one.label for one in promoted.plan(IMMICH, every=True).moves] == [IMMICH]
    assert lifted(promoted).unchanged == {IMMICH: "is not held"}


def test_promote_revert_and_lift_leave_each_byte_as_it_was(promoted: Example) -> None:
    promoted.applied(only(reverted(promoted)))
    promoted.applied(only(lifted(promoted)))
    before = promoted.git("rev-parse", "HEAD:apps")
    promoted.runs(IMMICH)
    promoted.applied(promoted.move())
    assert promoted.git("rev-parse", "HEAD:apps") != before
    promoted.applied(only(reverted(promoted)))
    promoted.applied(only(lifted(promoted)))
    assert promoted.git("rev-parse", "HEAD:apps") == before


def test_a_reverted_promotion_is_no_earlier_version(promoted: Example) -> None:
    promoted.applied(only(reverted(promoted)))
    promoted.applied(only(lifted(promoted)))
    (problem,) = reverted(promoted).problems
    first = promoted.git("rev-list", "--max-parents=0", "HEAD")
    assert str(problem) == (
        f"{STAGING}: homelab.dev/revision = {first[:8]}: has no older version in its history; revert the commit that"
        " changed it, with git revert [promotion-unpromoted]"
    )


def test_before_the_first_pin_an_app_ran_the_branch(repository: Example) -> None:
    first = repository.head
    repository.commit({"README.md": "x\n"})
    repository.commit({BASE: deployment("v2")})
    repository.runs(IMMICH)
    repository.applied(repository.move())
    assert only(reverted(repository)).now == first


def test_apps_without_a_promotion_are_refused_at_once(repository: Example) -> None:
    repository.commit({"apps/media/jellyfin/staging/kustomization.yaml": None})
    assert [str(one) for one in reverted(repository, IMMICH, JELLYFIN).problems] == [
        (
            f"{STAGING}: homelab.dev/revision: has no pin; revert the commit that changed it, with git revert"
            " [promotion-unpromoted]"
        ),
        (
            "apps/media/jellyfin: media/jellyfin: has no folder in staging; ./homelab promote media/jellyfin --to"
            " staging"
            " makes one [promotion-absent]"
        ),
    ]
    assert [one.check for one in lifted(repository, [JELLYFIN]).problems] == ["promotion-absent"]

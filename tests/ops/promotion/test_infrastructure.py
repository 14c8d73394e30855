"""Versions of Talos and Kubernetes, and extensions, move from one stack file to the next."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import read_stack
from config.source import parse
from ops.promotion.evidence import NodeEvidence, node_evidence
from ops.promotion.infrastructure import parts_of_all, plan_infrastructure, undo_infrastructure
from ops.promotion.plan import Move, PromotionPlan
from ops.promotion.stack_edits import with_hold, with_value
from tests.ops.promotion.example import Example

CHECKOUT = Path(__file__).parents[3]
DEV, STAGING = "Pulumi.dev.yaml", "Pulumi.staging.yaml"
EARLY = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
PARTS = ("talos", "kubernetes", "extensions")


@pytest.fixture
def stacks(repository: Example) -> Example:
    """Return a repository with the example's stacks of dev and staging."""
    files = {name: (CHECKOUT / name).read_text(encoding="utf-8") for name in (DEV, STAGING)}
    patches = {str(one.relative_to(CHECKOUT)): one.read_text() for one in (CHECKOUT / "patches").glob("*.yaml")}
    repository.commit({**files, **patches}, "Add stacks")
    repository.machines = tuple(NodeEvidence(name, True, EARLY, "Talos (v1.13.10)", "v1.36.3") for name in ("a", "b"))
    return repository


def changed(stacks: Example, name: str, key: str, value: str, message: str = "Raise") -> str:
    before = read_stack(stacks.root / name).require().cluster
    was = {"talosVersion": before.talos_version, "kubernetesVersion": before.kubernetes_version}[key]
    text = stacks.text(name)
    assert text.count(f"{key}: {was}\n") == 1
    return stacks.commit({name: text.replace(f"{key}: {was}\n", f"{key}: {value}\n")}, message)


def plan(stacks: Example, *parts: str, every: bool = False, reason: str = "") -> PromotionPlan:
    return plan_infrastructure(stacks.ground(reason=reason), parts or ("talos",), PromotionPlan(), every=every)


def messages(stacks: Example, *parts: str, reason: str = "") -> list[str]:
    return [str(one) for one in plan(stacks, *parts, reason=reason).problems]


def only(found: PromotionPlan) -> Move:
    assert found.problems == []
    (move,) = found.moves
    return move


def undone(stacks: Example, *parts: str, lift: bool = False, reason: str = "") -> PromotionPlan:
    return undo_infrastructure(stacks.store(), parts or ("talos",), "staging", reason, PromotionPlan(), lift=lift)


def test_a_version_moves_and_each_other_byte_stays(stacks: Example) -> None:
    changed(stacks, STAGING, "talosVersion", "1.13.9")
    move = only(plan(stacks))
    assert (move.label, move.was, move.now) == ("talos", "1.13.9", "1.13.10")
    text = stacks.text(STAGING)
    assert move.files[STAGING].content.decode() == text.replace("talosVersion: 1.13.9", "talosVersion: 1.13.10")
    assert move.evidence == "2 of 2 nodes Ready since 2026-11-29T08:00:00Z, stack dev (rehearsal)"
    assert move.notes == ("takes effect with ./homelab up --stack staging",)


def test_equal_versions_are_unchanged(stacks: Example) -> None:
    assert plan(stacks, *PARTS).unchanged == {
        "talos": "staging has 1.13.10 already",
        "kubernetes": "staging has 1.36.3 already",
        "extensions": "staging has siderolabs/qemu-guest-agent already",
    }


def test_several_parts_are_one_commit_each_on_top_of_each_other(stacks: Example) -> None:
    changed(stacks, STAGING, "talosVersion", "1.13.9")
    changed(stacks, STAGING, "kubernetesVersion", "1.36.2")
    first, second = plan(stacks, "talos", "kubernetes").moves
    assert b"talosVersion: 1.13.10\n" in first.files[STAGING].content
    assert b"kubernetesVersion: 1.36.2\n" in first.files[STAGING].content
    assert b"kubernetesVersion: 1.36.3\n" in second.files[STAGING].content
    assert b"talosVersion: 1.13.10\n" in second.files[STAGING].content


def test_a_skipped_minor_version_is_refused_also_with_a_reason(stacks: Example) -> None:
    changed(stacks, STAGING, "kubernetesVersion", "1.34.1")
    line = stacks.text(STAGING)[: stacks.text(STAGING).index("kubernetesVersion")].count("\n") + 1
    expected = [
        (
            f"{STAGING}:{line}: cluster.kubernetesVersion = 1.36.3: skips a minor version after 1.34.1; go to 1.35"
            " first,"
            " then on [version-skipped]"
        )
    ]
    assert messages(stacks, "kubernetes") == expected
    assert messages(stacks, "kubernetes", reason="hurry") == expected


def test_a_pair_that_was_never_tested_is_refused(stacks: Example) -> None:
    for name in (DEV, STAGING):
        changed(stacks, name, "talosVersion", "1.13.9")
    changed(stacks, DEV, "kubernetesVersion", "1.37.2")
    stacks.machines = tuple(NodeEvidence("a", True, EARLY, "Talos (v1.13.9)", "v1.37.2") for _ in "a")
    checks = [one.check for one in plan(stacks, "kubernetes", reason="hurry").problems]
    assert checks
    assert not {one for one in checks if one.startswith("promotion-")}


def test_a_lowered_patch_is_refused(stacks: Example) -> None:
    changed(stacks, DEV, "talosVersion", "1.13.9")
    stacks.machines = (NodeEvidence("a", True, EARLY, "Talos (v1.13.9) simulated", "v1.36.3"),)
    assert messages(stacks) == [
        (
            f"{STAGING}: cluster.talosVersion = 1.13.10: is newer than 1.13.9, the version of dev; raise it in dev"
            " first,"
            " or give a reason that is recorded: --reason TEXT [promotion-lowers]"
        )
    ]
    assert only(plan(stacks, reason="1.13.10 leaks")).now == "1.13.9"


def test_nodes_that_do_not_run_the_version_are_refused(stacks: Example) -> None:
    changed(stacks, STAGING, "talosVersion", "1.13.9")
    late = NodeEvidence("b", False, EARLY, "Talos (v1.13.10)", "v1.36.3")
    stacks.machines = (NodeEvidence("a", True, EARLY, "Talos (v1.13.9)", "v1.36.3"), late)
    assert messages(stacks) == [
        (
            f"{DEV}: cluster.talosVersion = 1.13.10: is not on every node of dev: a runs Talos (v1.13.9), b is not"
            " Ready;"
            " ./homelab up there, or give a reason that is recorded: --reason TEXT [promotion-unhealthy]"
        )
    ]


def test_the_soak_begins_with_the_last_node(stacks: Example) -> None:
    changed(stacks, STAGING, "talosVersion", "1.13.9")
    last = datetime(2026, 11, 29, 11, 45, tzinfo=UTC)
    stacks.machines = (*stacks.machines, NodeEvidence("c", True, last, "Talos (v1.13.10)", "v1.36.3"))
    assert messages(stacks) == [
        (
            f"{DEV}: cluster.talosVersion = 1.13.10: has nodes that are Ready in dev for 15m, and the soak is 1h; wait"
            " until 2026-11-29 12:45 UTC, or give a reason that is recorded: --reason TEXT [promotion-soaking]"
        )
    ]
    assert plan(stacks, every=True).left_out == {
        "talos": "has nodes that are Ready in dev for 15m, and the soak is 1h",
    }


def test_an_unreachable_source_and_a_hold_are_reported_at_once(stacks: Example) -> None:
    changed(stacks, STAGING, "talosVersion", "1.13.9")
    held = with_hold(stacks.text(STAGING), "talos", "drivers")
    assert held
    stacks.commit({STAGING: held})
    stacks.problem = "no cluster"
    assert messages(stacks) == [
        (
            f"{STAGING}: delivery.holds.talos = drivers: talos is held in staging: drivers; lift it: ./homelab promote"
            " --lift talos --to staging, or give a reason that is recorded: --reason TEXT [promotion-held]"
        ),
        (
            "environment dev: does not answer: no cluster; reach it, or give a reason that is recorded: --reason TEXT"
            " [promotion-unreachable]"
        ),
    ]
    content = only(plan(stacks, reason="drivers are there")).files[STAGING].content
    assert b"holds" not in content


def test_an_environment_without_a_stack_has_no_infrastructure(repository: Example) -> None:
    found = plan_infrastructure(repository.ground(), ["talos"], PromotionPlan())
    assert [str(one) for one in found.problems] == [
        (
            f"environment {one}: has no stack file without problems; ./homelab init --environment {one} writes one"
            " [promotion-stackless]"
        )
        for one in ("dev", "staging")
    ]
    assert parts_of_all(repository.root, ("dev", "staging")) == []


def test_all_leaves_extensions_to_the_environment(stacks: Example) -> None:
    assert parts_of_all(stacks.root, ("dev", "staging")) == ["talos", "kubernetes"]


def test_all_names_the_parts_of_a_stack_file_with_problems(stacks: Example) -> None:
    stacks.commit({STAGING: stacks.text(STAGING).replace("talosVersion: ", "talosVersion: x")}, "Break it")
    parts = parts_of_all(stacks.root, ("dev", "staging"))
    found = plan(stacks, *parts, every=True)
    reason = "environment staging has no stack file without problems"
    assert (found.problems, found.left_out) == ([], {"talos": reason, "kubernetes": reason})


def test_all_leaves_out_versions_that_do_not_go_together(stacks: Example) -> None:
    changed(stacks, STAGING, "kubernetesVersion", "1.34.1")
    found = plan(stacks, "talos", "kubernetes", every=True)
    assert (found.problems, found.moves) == ([], [])
    assert found.left_out == {
        "kubernetes": "1.36.3 skips a minor version after 1.34.1",
    }


def test_revert_and_lift_leave_each_byte_as_it_was(stacks: Example) -> None:
    changed(stacks, STAGING, "talosVersion", "1.13.9")
    before = stacks.text(STAGING)
    stacks.applied(only(plan(stacks)))
    move = only(undone(stacks, reason="no network"))
    assert (move.verb, move.was, move.now) == ("Revert", "1.13.10", "1.13.9")
    assert move.notes == ("held from here on: no network; takes effect with ./homelab up --stack staging",)
    stacks.applied(move)
    assert read_stack(stacks.root / STAGING).require().delivery.holds == {"talos": "no network"}
    assert undone(stacks).unchanged == {"talos": "is held already: no network"}
    stacks.applied(only(undone(stacks, lift=True)))
    assert stacks.text(STAGING) == before
    assert undone(stacks, lift=True).unchanged == {"talos": "is not held"}


def test_a_minor_version_is_never_reverted(stacks: Example) -> None:
    changed(stacks, STAGING, "kubernetesVersion", "1.35.2")
    stacks.applied(only(plan(stacks, "kubernetes")))
    assert [one.check for one in undone(stacks, "kubernetes").problems] == ["version-lowered"]


def test_without_a_history_there_is_nothing_to_revert(stacks: Example) -> None:
    assert [str(one) for one in undone(stacks).problems] == [
        (
            f"{STAGING}: cluster.talosVersion = 1.13.10: has no other value in its history; set it in the stack file"
            " [promotion-unpromoted]"
        )
    ]


def test_extensions_are_edited_in_each_form() -> None:
    text = (CHECKOUT / STAGING).read_text(encoding="utf-8")
    inline = with_value(text, "extensions", ["siderolabs/a", "siderolabs/b"])
    assert inline
    assert inline == text.replace(
        "kubernetesVersion: 1.36.3\n", "kubernetesVersion: 1.36.3\n    extensions: [siderolabs/a, siderolabs/b]\n"
    )
    shorter = with_value(inline, "extensions", ["siderolabs/c"])
    assert shorter == inline.replace("[siderolabs/a, siderolabs/b]", "[siderolabs/c]")
    block = inline.replace(" [siderolabs/a, siderolabs/b]", "\n      - siderolabs/a # one\n      - siderolabs/b")
    assert with_value(block, "extensions", ["x/y"]) == text.replace(
        "kubernetesVersion: 1.36.3\n", "kubernetesVersion: 1.36.3\n    extensions:\n      - x/y\n"
    )


@given(
    reason=st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1),
    first=st.sampled_from(PARTS),
    second=st.sampled_from(PARTS),
)
def test_holds_come_and_go_without_a_trace(reason: str, first: str, second: str) -> None:
    text = (CHECKOUT / STAGING).read_text(encoding="utf-8")
    held = with_hold(text, first, reason)
    assert held
    both = with_hold(held, second, "x") if second != first else held
    assert both
    holds: Any = parse(both.encode(), "").first.value["config"]["homelab:delivery"]["holds"]
    assert holds[first] == reason
    without = with_hold(both, second, None) if second != first else both
    assert without == held
    assert with_hold(held, first, None) == text


def test_a_node_is_read() -> None:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-29T08:00:00Z"}
    about = {"osImage": "Talos (v1.13.10)", "kubeletVersion": "v1.36.3"}
    node = {"metadata": {"name": "a"}, "status": {"conditions": [condition], "nodeInfo": about}}
    assert node_evidence(node) == NodeEvidence("a", True, EARLY, "Talos (v1.13.10)", "v1.36.3")
    assert node_evidence({"metadata": {"name": "a"}}) == NodeEvidence("a", False, None, "", "")

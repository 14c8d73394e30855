"""Every danger of a stack's settings and of a category: a scenario that has it, and one that nearly has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.handover.application_defaults import LAYERS
from config.tree import read_tree
from ops.review.dangers.context import Context
from ops.review.dangers.register import dangers
from ops.review.report import Cost, Danger, NodeConfiguration
from ops.review.sides import Side
from tests.ops.review.dangers.changes import category, edited, side, table, uncovered

SETTINGS, CATEGORIES = table("settings.yaml"), table("categories.yaml")


def _judge(found: tuple[Danger, ...], row: dict[str, Any], file: str) -> None:
    reasons: dict[str, list[str]] = {}
    for danger in found:
        assert (danger.stacks, danger.file) == (("base",), file)
        reasons.setdefault(danger.rule, []).append(danger.reason)
    assert reasons == {name: [one] if isinstance(one, str) else one for name, one in row.get("expect", {}).items()}


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row["rule"])
def test_a_change_of_settings_has_these_dangers(row: dict[str, Any], tmp_path: Path) -> None:
    _judge(dangers(edited(row, tmp_path)), row, "Pulumi.base.yaml")


@pytest.mark.parametrize("row", CATEGORIES, ids=lambda row: row["rule"])
def test_a_change_of_a_category_has_these_dangers(row: dict[str, Any]) -> None:
    _judge(dangers(_categories(row)), row, "apps/media/category.yaml")


def _categories(row: dict[str, Any]) -> Context:
    before, after = (_category(row.get(name)) for name in ("before", "after"))
    return Context((), before, after)


def _category(value: dict[str, Any] | None) -> Side:
    made = side(category({}), None, [])
    if value and value["layer"] not in LAYERS:
        return replace(made, tree=replace(made.tree, categories=(), refused=("media",)))
    return replace(made, tree=replace(made.tree, categories=(category(value),) if value else ()))


def test_every_danger_of_settings_and_categories_has_a_scenario_and_a_near_miss() -> None:
    assert uncovered(SETTINGS, "settings") == set()
    assert uncovered(CATEGORIES, "category") == set()


def test_a_control_plane_whose_configuration_needs_a_reboot_is_touched(tmp_path: Path) -> None:
    made = edited({}, tmp_path)
    costs: dict[str, Cost] = {"cp-1": "reboot", "cp-2": "nothing", "worker-1": "reboot"}
    changed = tuple(NodeConfiguration(stack="base", node=name, cost=cost) for name, cost in costs.items())
    (danger,) = dangers(replace(made, configurations=changed))
    assert (danger.rule, danger.where) == ("control-plane-touched", "node cp-1")
    assert danger.reason == "its machine configuration changes: reboot"


def test_an_upgrade_without_a_reboot_is_no_danger_to_control_planes(tmp_path: Path) -> None:
    made = edited(
        {"before": {"Pulumi.base.yaml": {"kubernetesVersion: 1.36.3": "kubernetesVersion: 1.36.2"}}}, tmp_path
    )
    costs: dict[str, Cost] = {"cp-1": "reboot", "cp-2": "service restart", "cp-3": "replacement"}
    changed = tuple(NodeConfiguration(stack="base", node=name, cost=cost) for name, cost in costs.items())
    assert [one.where for one in dangers(replace(made, configurations=changed))] == ["node cp-1", "node cp-3"]


def test_a_changed_pair_of_cilium_and_gateway_api_is_unknown(tmp_path: Path) -> None:
    made = edited({}, tmp_path)
    file = made.after.root / "apps/kube-system/cilium/production/kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    assert "version: 1.20.1" in text
    file.write_text(text.replace("version: 1.20.1", "version: 1.99.0"), encoding="utf-8")
    found = dangers(replace(made, after=replace(made.after, tree=read_tree(made.after.root))))
    assert [(one.rule, one.where) for one in found] == [("version-pair-unknown", "platform.cni")]
    assert "was never tested here" in found[0].reason

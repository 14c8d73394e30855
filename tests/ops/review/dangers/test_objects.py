"""Every danger of an object and of a whole change: a scenario that has it, and one that nearly has."""

from __future__ import annotations

from typing import Any

import pytest

from manifests.comparison.pairs import differing
from ops.checking.validation import StackApp
from ops.review.dangers.context import Context
from ops.review.dangers.register import dangers
from ops.review.report import Danger
from ops.review.sides import AppPair
from tests.ops.review.dangers.changes import APP, category, change, side, table, uncovered

ROWS = table("objects.yaml")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["rule"])
def test_a_change_of_an_object_has_these_dangers(row: dict[str, Any]) -> None:
    found: dict[str, list[str]] = {}
    for danger in dangers(change(row)):
        assert danger.stacks == ("base",)
        assert danger.where.startswith("media/app: ")
        assert danger.certainty == ("guessed" if danger.rule == "immutable-field" else "certain")
        found.setdefault(danger.rule, []).append(danger.reason)
    expected = {name: [one] if isinstance(one, str) else one for name, one in row.get("expect", {}).items()}
    assert found == expected


def test_every_danger_of_an_object_has_a_scenario_and_a_near_miss() -> None:
    assert uncovered(ROWS, "object") == set()
    assert uncovered(ROWS, "change") == {"large-change"}


def _many(apps: int, objects: int) -> Context:
    made = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"a{n}"}} for n in range(objects)]
    sides = (side(category({}), APP, []), side(category({}), APP, list(made)))
    place = StackApp(APP, category({}))
    pairs = differing([], made, "media")
    return Context([AppPair(s, f"media/{n}", place, place, pairs) for n in range(apps) for s in ("a", "b")], *sides)


@pytest.mark.parametrize(("apps", "objects", "large"), [(9, 6, False), (10, 1, True), (1, 59, False), (1, 60, True)])
def test_a_large_change_counts_apps_and_objects_once_for_all_stacks(apps: int, objects: int, large: bool) -> None:
    found = dangers(_many(apps, objects))
    reason = f"{apps} apps with {apps * objects} objects differ"
    danger = Danger(rule="large-change", where="the whole change", reason=reason, stacks=("a", "b"))
    assert found == ((danger,) if large else ())


def test_the_same_danger_of_two_stacks_is_one() -> None:
    context = change(ROWS[0])
    twice = [*context.pairs, *(AppPair("dev", one.label, one.before, one.after, one.pairs) for one in context.pairs)]
    (danger,) = dangers(Context(twice, context.before, context.after))
    assert (danger.rule, danger.stacks) == ("removed-statefulset", ("base", "dev"))


def test_no_credential_of_a_manifest_is_part_of_a_danger() -> None:
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    pod = {"volumes": [{"name": "v", "hostPath": {"path": f"/{token}"}}], "containers": [{"name": "a"}]}
    item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": token, "namespace": "media"}, "spec": pod}
    (danger,) = dangers(change({"after": item}))
    assert danger.reason == "new: mounts /(redacted) of the node"
    assert token not in danger.model_dump_json()

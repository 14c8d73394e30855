"""Applications that a change adds, removes and changes, and the fate of each removed object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.gates import Gates
from config.load import Stack
from manifests.objects import Object
from ops.review.applications import applications
from ops.review.report import ApplicationChange, RemovedObject
from ops.review.sides import AppPair
from tests.ops.review.dangers.changes import change

DELETE: dict[str, Any] = {"removal": "delete", "removalReason": "x"}
MANUAL: dict[str, Any] = {"sync": {"mode": "manual", "reason": "x"}}
NO_PRUNE: dict[str, Any] = {"sync": {"prune": "disabled", "reason": "x"}}
OPTIONS, HOOK, HELM = "argocd.argoproj.io/sync-options", "argocd.argoproj.io/hook", "helm.sh/resource-policy"


def _map(name: str = "a", **annotations: str) -> Object:
    metadata = {"name": name, "namespace": "media", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def _claim(options: str) -> Object:
    return _map(**{OPTIONS: options})


# An object that leaves an app which stays.
LEFT: dict[str, tuple[dict[str, Any], str, str]] = {
    "automatic": ({"before": _map()}, "pruned", "the automatic sync deletes it"),
    "Prune=false": ({"before": _claim("Prune=false")}, "kept by annotation", "the live object has Prune=false"),
    "Prune=false among others": (
        {"before": _claim("Delete=confirm, Prune=false")},
        "kept by annotation",
        "the live object has Prune=false",
    ),
    "the first of two": ({"before": _claim("Prune=true,Prune=false")}, "pruned", "the automatic sync deletes it"),
    "Prune=false, manual": (
        {"before": _claim("Prune=false"), "category": MANUAL},
        "kept by annotation",
        "the live object has Prune=false",
    ),
    "Delete=false is about Applications": (
        {"before": _claim("Delete=false")},
        "pruned",
        "the automatic sync deletes it",
    ),
    "Helm's policy is about Applications": (
        {"before": _map(**{HELM: "keep"})},
        "pruned",
        "the automatic sync deletes it",
    ),
    "Prune=confirm": (
        {"before": _claim("Prune=confirm")},
        "waits for a person",
        "the live object has Prune=confirm: the sync waits until it is confirmed",
    ),
    "prune disabled": (
        {"before": _map(), "category": NO_PRUNE},
        "kept by prune",
        "the category has prune: disabled",
    ),
    "manual": (
        {"before": _map(), "category": MANUAL},
        "waits for a person",
        "the sync is manual: `./homelab sync` prunes it",
    ),
    "manual without prune": (
        {"before": _map(), "category": {"sync": {"mode": "manual", "prune": "disabled", "reason": "x"}}},
        "kept by prune",
        "the category has prune: disabled",
    ),
    "manual elsewhere": (
        {"before": _map(), "category": {"sync": {"environments": {"dev": {"mode": "manual"}}, "reason": "x"}}},
        "pruned",
        "the automatic sync deletes it",
    ),
    "a hook": (
        {"before": _map(**{HOOK: "PostSync"})},
        "kept by prune",
        "a hook is no part of a sync: its own delete policy removes it",
    ),
    "no hook": ({"before": _map(**{HOOK: "Skip"})}, "pruned", "the automatic sync deletes it"),
    "the last object": (
        {"before": _map(), "empty": True},
        "waits for a person",
        "nothing of the app is left, and an automatic sync never prunes all of it",
    ),
    "prune is disabled with the next `up`": (
        {"before": _map(), "categoryAfter": NO_PRUNE},
        "pruned",
        "the automatic sync deletes it: Argo CD has the old policy until the next `up`",
    ),
    "prune is enabled with the next `up`": (
        {"before": _map(), "category": NO_PRUNE, "categoryAfter": {}},
        "pruned",
        "the automatic sync deletes it, after the next `up`",
    ),
    "it moves to another app": (
        {"before": _map(), "others": {"media/other": _map()}},
        "pruned",
        "the automatic sync deletes it; media/other brings it too, and creates it again after that",
    ),
    "it moves, and is kept": (
        {"before": _claim("Prune=false"), "others": {"media/other": _map()}},
        "kept by annotation",
        "the live object has Prune=false; media/other brings it too, and does not sync while it is there",
    ),
}
# The same of an app that was removed.
CASCADE = "the category has removal: delete: it is deleted with its Application"
GONE: dict[str, tuple[dict[str, Any], str, str]] = {
    "keep": ({"before": _map()}, "kept by removal", "the category has removal: keep: its Application stays"),
    "delete": ({"before": _map(), "category": DELETE}, "deleted", CASCADE),
    "delete, manual": ({"before": _map(), "category": {**DELETE, **MANUAL}}, "deleted", CASCADE),
    "Prune=false is about syncs": ({"before": _claim("Prune=false"), "category": DELETE}, "deleted", CASCADE),
    "Delete=false": (
        {"before": _claim("Delete=false"), "category": DELETE},
        "kept by annotation",
        "the live object has Delete=false",
    ),
    "Helm's policy": (
        {"before": _map(**{HELM: "keep"}), "category": DELETE},
        "kept by annotation",
        "the live object has helm.sh/resource-policy: keep",
    ),
    "a CRD": (
        {"before": {**_map(), "kind": "CustomResourceDefinition"}, "category": DELETE},
        "kept by annotation",
        "Argo CD deletes no CRD with an Application",
    ),
    "Delete=confirm": (
        {"before": _claim("Delete=confirm"), "category": DELETE},
        "waits for a person",
        "ConfigMap a has Delete=confirm: nothing is deleted until it is confirmed",
    ),
    "Prune=confirm": (
        {"before": _claim("Prune=confirm"), "category": DELETE},
        "waits for a person",
        "ConfigMap a has Prune=confirm: nothing is deleted until it is confirmed",
    ),
    "the removal turns to keep": (
        {"before": _map(), "category": DELETE, "categoryAfter": {}},
        "deleted",
        f"{CASCADE}: Argo CD has the old policy until the next `up`",
    ),
    "the removal turns to delete": (
        {"before": _map(), "categoryAfter": DELETE},
        "deleted",
        f"{CASCADE}, after the next `up`",
    ),
    "its folder is renamed": (
        {"before": _map(), "category": DELETE, "others": {"media/other": _map()}},
        "deleted",
        f"{CASCADE}; media/other brings it too, and creates it again after that",
    ),
}


def _of(row: dict[str, Any]) -> ApplicationChange:
    made = change(row)
    return next(one for one in applications(made.pairs, made.before, made.after) if one.app == "media/app")


@pytest.mark.parametrize(("row", "fate", "why"), LEFT.values(), ids=LEFT)
def test_an_object_that_leaves_an_app(row: dict[str, Any], fate: str, why: str) -> None:
    found = _of(row)
    (removed,) = found.removed_objects
    assert (removed.fate, removed.why) == (fate, why)
    assert (found.operation, found.removed) == ("changed", 1)


@pytest.mark.parametrize(("row", "fate", "why"), GONE.values(), ids=GONE)
def test_an_object_of_a_removed_app(row: dict[str, Any], fate: str, why: str) -> None:
    found = _of({**row, "app": "removed"})
    (removed,) = found.removed_objects
    assert (removed.fate, removed.why) == (fate, why)
    assert (found.operation, found.removed) == ("removed", 1)


def test_one_confirmation_stops_the_deletion_of_all_objects_but_not_of_kept_ones() -> None:
    objects = [_map("a"), {**_claim("Delete=confirm"), "kind": "Secret"}, {**_claim("Delete=false"), "kind": "Service"}]
    found = _of({"before": objects, "category": DELETE, "app": "removed"})
    why = "Secret a has Delete=confirm: nothing is deleted until it is confirmed"
    assert {one.object: (one.fate, one.why) for one in found.removed_objects} == {
        "ConfigMap media/a": ("waits for a person", why),
        "Secret media/a": ("waits for a person", why),
        "Service media/a": ("kept by annotation", "the live object has Delete=false"),
    }


def test_equal_changes_of_two_stacks_are_one() -> None:
    made = change({"before": [_map("a"), _map("b")], "after": [_map("b", x="y"), _map("c")]})
    (pair,) = made.pairs
    (found,) = applications([pair, replace(pair, stack="dev")], made.before, made.after)
    removed = RemovedObject(object="ConfigMap media/a", fate="pruned", why="the automatic sync deletes it")
    assert found == ApplicationChange(
        app="media/app",
        stacks=("base", "dev"),
        operation="changed",
        added=1,
        changed=1,
        removed=1,
        removed_objects=(removed,),
        sync="automatic",
    )
    other = AppPair("dev", pair.label, None, pair.after, tuple(one for one in pair.pairs if one.before is None))
    both = applications([pair, other], made.before, made.after)
    assert [(one.operation, one.stacks) for one in both] == [("changed", ("base",)), ("added", ("dev",))]


@pytest.mark.parametrize(
    ("before", "after", "sync"),
    [
        ({}, {}, "automatic"),
        (MANUAL, MANUAL, "manual"),
        (MANUAL, {}, "manual → automatic"),
        ({}, NO_PRUNE, "automatic → automatic without prune"),
    ],
)
def test_the_sync_policy_is_shown_with_its_change(before: dict[str, Any], after: dict[str, Any], sync: str) -> None:
    assert _of({"after": _map(), "category": before, "categoryAfter": after}).sync == sync


@pytest.mark.parametrize(
    ("before", "after", "sync", "fate"),
    [
        ("manual", "manual", "manual", "waits for a person"),
        ("automatic", "manual", "automatic → manual", "pruned"),
        ("manual", "automatic", "manual → automatic", "pruned"),
    ],
)
def test_a_gate_of_the_stack_holds_the_sync_of_every_app(before: str, after: str, sync: str, fate: str) -> None:
    made = change({"before": _map()})
    sides = [
        replace(side, stacks=[_gated(side.stacks[0], state)])
        for side, state in ((made.before, before), (made.after, after))
    ]
    (found,) = applications(made.pairs, *sides)
    assert (found.sync, [one.fate for one in found.removed_objects]) == (sync, [fate])


def _gated(stack: Stack, sync: str) -> Stack:
    settings = stack.require()
    delivery = settings.delivery.model_copy(update={"gates": Gates.model_validate({"sync": sync})})
    return replace(stack, settings=settings.model_copy(update={"delivery": delivery}))


@pytest.mark.parametrize(("wave", "fate"), [("0", "waits for a person"), ("1", "pruned")])
def test_the_objects_of_a_wave_wait_for_the_one_that_must_be_confirmed(wave: str, fate: str) -> None:
    other = _map("b", **{"argocd.argoproj.io/sync-wave": wave})
    context = change({"before": [_claim("Prune=confirm"), other]})
    (found,) = applications(context.pairs, context.before, context.after)
    assert [one.fate for one in found.removed_objects] == ["waits for a person", fate]

"""Events of the engine become changed resources: by component, without noise, without a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pulumi.automation.events import EngineEvent

from ops.review.plan import LATER, LONGEST, SECRET, SIGNATURE, Planned, changes, components, counts
from ops.review.report import ResourceChange
from tests.config.test_leaks import SECRETS

VM = "homelab:machines:Machines$proxmoxve:index/vmLegacy:VmLegacy::machines-worker-1"
COMMAND = "homelab:cluster:Cluster$command:local:Command::cluster-talos-worker-1"
NAMESPACE = "homelab:platform:Namespaces$kubernetes:core/v1:Namespace::namespaces-media"
CANARY = "canary" + "5D1x9"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def event(
    resource: str,
    operation: str,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    *,
    kind: str = "resourcePreEvent",
    diffs: tuple[str, ...] = (),
) -> EngineEvent:
    """Return an event as the engine's log has it."""
    urn = f"urn:pulumi:dev::homelab::{resource}"
    states = {name: {"urn": urn, "inputs": one} for name, one in (("old", old), ("new", new)) if one is not None}
    step = {"op": operation, "urn": urn, "type": "x", "provider": "", "diffs": list(diffs), **states}
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, kind: {"metadata": step}})


def plan(*events: EngineEvent) -> Planned:
    found = Planned()
    for one in events:
        found.on_event(one)
    return found


def only(found: Planned) -> ResourceChange:
    ((component,),) = [components(found.changed)]
    (resource,) = component.resources
    return resource


def test_resources_stand_below_their_component_and_in_the_order_of_a_run() -> None:
    found = plan(
        event(NAMESPACE, "create", None, {"a": 1}),
        event(COMMAND, "update", {"a": 1}, {"a": 2}),
        event(VM, "delete", {"a": 1}),
    )
    assert [(one.component, [row.name for row in one.resources]) for one in components(found.changed)] == [
        ("machines", ["machines-worker-1"]),
        ("cluster", ["cluster-talos-worker-1"]),
        ("platform", ["namespaces-media"]),
    ]
    assert counts(found.changed) == {"create": 1, "update": 1, "delete": 1}


def test_what_does_not_change_is_left_out() -> None:
    found = plan(
        event(VM, "same", {"a": 1}, {"a": 1}),
        event("homelab:machines:Machines::machines", "create", None, {}),
        event("pulumi:providers:proxmoxve::proxmox", "update", {"a": 1}, {"a": 2}),
        event("pulumi:pulumi:Stack::homelab-dev", "create", None, {}),
    )
    assert found.changed == []


def test_a_replacement_is_one_change_with_its_properties() -> None:
    old, new = {"vmId": 1, "memory": {"dedicated": 1}}, {"vmId": 2, "memory": {"dedicated": 1}}
    found = plan(
        event(VM, "delete-replaced", old), event(VM, "replace", old, new), event(VM, "create-replacement", old, new)
    )
    assert counts(found.changed) == {"replace": 1}
    assert [(one.path, one.before, one.after) for one in only(found).properties] == [("vmId", "1", "2")]


def test_a_property_of_a_list_has_its_index_and_an_absent_one_no_value() -> None:
    old = {"disks": [{"size": 1}], "version": "1", "__defaults": []}
    new = {"disks": [{"size": 2, "backup": True}], "version": "2", "__defaults": ["x"]}
    assert [(one.path, one.before, one.after) for one in only(plan(event(VM, "update", old, new))).properties] == [
        ("disks[0].size", "1", "2"),
        ("disks[0].backup", "", "true"),
    ]


def test_secrets_and_unknown_values_have_a_word_in_their_place() -> None:
    coded = {SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}
    old = {"a": coded, "password": "x1" + CANARY, "b": "1"}
    new = {"a": "[secret]", "password": "y1" + CANARY, "b": UNKNOWN}
    shown = only(plan(event(VM, "update", old, new, diffs=("a",)))).properties
    assert [(one.path, one.before, one.after) for one in shown] == [
        ("password", SECRET, SECRET),
        ("b", "1", LATER),
        ("a", "", ""),
    ]


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_of_a_text_is_shown(name: str) -> None:
    _, text = SECRETS[name]
    changed = only(plan(event(COMMAND, "update", {"create": text}, {"create": text + "\n# changed\n"})))
    whole = json.dumps(changed.model_dump())
    lines = [line for line in text.splitlines() if len(line) > LONGEST]
    assert not any(line in whole for line in lines)
    assert "hunter" + "2" not in whole


def test_a_long_script_is_its_first_different_line() -> None:
    script = [f"line {number}" for number in range(300)]
    other = [*script[:200], "x" * 500, *script[201:]]
    (shown,) = only(
        plan(event(COMMAND, "update", {"create": "\n".join(script)}, {"create": "\n".join(other)}))
    ).properties
    assert shown.before == "line 200 (line 201 of 300)"
    assert shown.after == f"{'x' * LONGEST} ... (line 201 of 300)"


def test_drift_that_the_run_corrects_is_one_change() -> None:
    live, desired = {"cpu": {"cores": 3}}, {"cpu": {"cores": 4}}
    found = plan(
        event(VM, "refresh", desired, desired),
        event(VM, "refresh", desired, live, kind="resOutputsEvent"),
        event(VM, "update", live, desired),
    )
    assert counts(found.changed) == {"update": 1}
    assert [(one.path, one.before, one.after) for one in only(found).properties] == [("cpu.cores", "3", "4")]


def test_drift_that_the_run_leaves_is_a_refresh() -> None:
    found = plan(
        event(VM, "refresh", {"a": 1}, {"a": 2}, kind="resOutputsEvent"),
        event(VM, "same", {"a": 2}, {"a": 2}),
        event(COMMAND, "refresh", {"a": 1}, {"a": 1}, kind="resOutputsEvent"),
        event(NAMESPACE, "refresh", {"a": 1}, None, kind="resOutputsEvent"),
    )
    assert counts(found.changed) == {"delete": 1, "refresh": 1}


def test_a_path_is_a_leaf_or_a_list_of_another_length() -> None:
    assert list(changes({"a": [1, 2], "b": {"c": 1}}, {"a": [1], "b": {"c": 2}})) == [("a",), ("b", "c")]
    assert list(changes({"a": 1}, {"a": 1})) == []

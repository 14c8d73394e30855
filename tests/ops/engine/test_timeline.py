"""The events of the engine, as the display of a run shows them."""

from __future__ import annotations

import io

import pytest
from pulumi.automation.events import EngineEvent, OpType, ResourcePreEvent, ResOutputsEvent, StepEventMetadata

from ops.engine.timeline import Timeline

URN = "urn:pulumi:dev::homelab::homelab:handover:Handover$command:local:Command::handover-wait-infrastructure"


def step(operation: str, *, done: bool) -> EngineEvent:
    metadata = StepEventMetadata(OpType(operation), URN, "command:local:Command", "")
    if done:
        return EngineEvent(1, 1, res_outputs_event=ResOutputsEvent(metadata))
    return EngineEvent(1, 1, resource_pre_event=ResourcePreEvent(metadata))


@pytest.mark.parametrize("operation", ["create", "create-replacement", "delete-replaced"])
def test_a_step_runs_from_its_beginning_to_its_end(operation: str) -> None:
    timeline = Timeline(io.StringIO())
    timeline.on_event(step(operation, done=False))
    assert timeline._now().startswith(f"{operation} handover-wait-infrastructure (")
    timeline.on_event(step(operation, done=True))
    assert timeline._now() == ""


def test_a_replacement_is_counted_once() -> None:
    timeline = Timeline(io.StringIO())
    for operation in ("create-replacement", "replace", "delete-replaced"):
        timeline.on_event(step(operation, done=False))
        timeline.on_event(step(operation, done=True))
    assert timeline.phases["handover"].done == {"replaced": 1}


def test_what_is_unchanged_does_not_run() -> None:
    timeline = Timeline(io.StringIO())
    timeline.on_event(step("same", done=False))
    assert timeline._now() == ""

"""One run of the engine, from checked settings to its outcome.

A stack's settings and a folder to run in come in; the engine repairs, runs, and failures are raised as one error. The
outcome goes out, as data and as text. `ops.up` runs it against real hosts, `ops.rehearse` against the rack.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from config.model import Settings
from ops.engine.engine import Engine, Outcome, refuse_failures
from ops.engine.timeline import Timeline
from ops.terminal import count, elapsed


def owners(settings: Settings) -> dict[str, str]:
    """Return for every node its address and host, which make an error findable."""
    return {node.name: f"{node.name}, {node.address}, on {node.host}" for node in settings.cluster.nodes}


def drive(
    folder: Path,
    settings: Settings,
    name: str,
    timeline: Timeline,
    act: Callable[[Engine], Outcome],
    purpose: Literal["change", "read"] = "change",
) -> tuple[Engine, Outcome]:
    """Repair the stack, run the engine, and raise its failures; for reading, nothing is repaired or written."""
    file = folder / f"Pulumi.{name}.yaml"
    before = file.read_bytes()
    try:
        engine = Engine(folder, name, timeline.on_event, timeline.log, purpose)
        if purpose == "change":
            for line in engine.repair():
                timeline.log(line)
        outcome = act(engine)
    finally:
        if purpose == "read" and file.read_bytes() != before:
            file.write_bytes(before)
        if folder == Path.cwd() and file.read_bytes() != before:
            timeline.log(f"pulumi has changed {file.name}: it adds its salt and moves blank lines; commit it")
    refuse_failures(outcome, owners(settings))
    return engine, outcome


def summary(timeline: Timeline, outcome: Outcome, seconds: float) -> str:
    """Return the table of phases and the number of changes."""
    return f"{timeline.summary()}\n{count(outcome.changed, 'change')} in {elapsed(seconds)}"


def facts(stack: str, timeline: Timeline, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Return the same for machines."""
    phases = {
        phase.name: {"seconds": round(phase.ended - phase.began, 3), **phase.done} for phase in timeline.phases.values()
    }
    return {"stack": stack, "seconds": round(seconds, 3), "changes": outcome.changes, "phases": phases}

"""From checked settings to a finished run: what `up` and `rehearse` share.

A stack's settings and a folder to run in come in; the engine is driven through repair, run and refusal, and the outcome
goes out with its timeline. `ops.up` does it to real hosts, `ops.rehearse` to the rack.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from config.model import Settings
from ops.engine.engine import Engine, Outcome, refuse_failures
from ops.engine.timeline import Timeline
from ops.terminal import count, elapsed


def owners(settings: Settings) -> dict[str, str]:
    """Say for every node where it runs, to name it in a refusal."""
    return {node.name: f"{node.name}, {node.address}, on {node.host}" for node in settings.cluster.nodes}


def drive(
    folder: Path,
    settings: Settings,
    name: str,
    timeline: Timeline,
    act: Callable[[Engine], Outcome],
    purpose: Literal["change", "read"] = "change",
) -> tuple[Engine, Outcome]:
    """Repair, run, and refuse what failed; an engine that reads repairs nothing and writes no file."""
    file = folder / f"Pulumi.{name}.yaml"
    before = file.read_bytes()
    try:
        engine = Engine(folder, name, timeline.hear, timeline.say, purpose)
        for said in engine.repair() if purpose == "change" else ():
            timeline.say(said)
        outcome = act(engine)
    finally:
        if purpose == "read" and file.read_bytes() != before:
            file.write_bytes(before)
        if folder == Path.cwd() and file.read_bytes() != before:
            timeline.say(f"pulumi has written to {file.name}: its salt, and what it makes of blank lines; commit it")
    refuse_failures(outcome, owners(settings))
    return engine, outcome


def report(options: argparse.Namespace, timeline: Timeline, outcome: Outcome, seconds: float, **more: Any) -> None:
    """Print how it went: a table for people, everything for machines."""
    if options.json:
        phases = {
            phase.name: {"seconds": round(phase.ended - phase.began, 3), **phase.done}
            for phase in timeline.phases.values()
        }
        result = {"stack": options.stack, "seconds": round(seconds, 3), "changes": outcome.changes, "phases": phases}
        print(json.dumps({**result, **more}, indent=2))
        return
    print(timeline.summary())
    print(f"{count(outcome.changed, 'change')} in {elapsed(seconds)}")

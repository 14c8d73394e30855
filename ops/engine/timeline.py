"""The display of a run of the engine: phases with elapsed times, and the operations that are running.

Events come in from `ops.engine.engine`; lines go to stderr, redrawn on a terminal, plain anywhere else, and at least
every few seconds. `summary` returns the table at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TextIO

from pulumi.automation.events import EngineEvent

from ops.live_display import LiveDisplay
from ops.terminal import elapsed, table

PHASES = ("machines", "cluster", "network", "platform", "handover")
PLATFORM = ("namespaces", "crds", "definitions", "cni", "certificates", "secrets", "argocd")
DONE = {"create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "read": "read"}
PLANNED = {"create": "to create", "update": "to update", "delete": "to delete", "replace": "to replace"}
SHOWN = 3  # operations that run at the same time
OURS = ("homelab:", "pulumi:")  # components, providers and the stack, on which nothing acts
IDLE = ("same", "discard", "discard-replaced")  # no operation runs
QUIET = (*IDLE, "create-replacement", "delete-replaced")  # parts of a replacement, which is reported as a whole


@dataclass
class Phase:
    """One component, or the stack itself."""

    name: str
    began: float = 0.0
    ended: float = 0.0
    done: dict[str, int] = field(default_factory=dict)
    running: dict[str, tuple[str, float]] = field(default_factory=dict)


class Timeline(LiveDisplay):
    """The display of one run: `with Timeline() as timeline: Engine(..., timeline.on_event)`."""

    def __init__(self, stream: TextIO | None = None, *, planned: bool = False) -> None:
        """Make an empty display; `planned` is for a preview."""
        super().__init__(stream)
        self.words = PLANNED if planned else DONE
        self.began = time.monotonic()
        self.phases: dict[str, Phase] = {}
        self._messages: dict[str, str] = {}

    def log(self, text: str) -> None:
        """Print a line that belongs to no phase."""
        self.write(f"[{elapsed(time.monotonic() - self.began)}] {text}")

    def heartbeats(self) -> Iterable[str]:
        """Yield the running operations."""
        yield f"[{elapsed(time.monotonic() - self.began)}] running: {self._now() or 'the engine'}"

    def rows(self, columns: int, height: int) -> list[str]:
        """Return a line for each phase, and the running operations while the run lasts."""
        lines = [self._row(phase) for phase in self.phases.values() if phase.name in PHASES]
        if not self.over.is_set() and (now := self._now()):
            lines.append(f"  {now}")
        return [line[: columns - 1] for line in lines]

    def on_event(self, event: EngineEvent) -> None:
        """Show an event of the engine."""
        before, after, failed = event.resource_pre_event, event.res_outputs_event, event.res_op_failed_event
        diagnostic = event.diagnostic_event
        with self.lock:
            if diagnostic and diagnostic.urn and diagnostic.message.strip():
                self._messages[diagnostic.urn] = diagnostic.message.strip().splitlines()[-1]
            if before:
                self._begin(before.metadata.urn, before.metadata.op.value)
            elif after:
                self._end(after.metadata.urn, after.metadata.op.value, failed=False)
            elif failed:
                self._end(failed.metadata.urn, failed.metadata.op.value, failed=True)

    def summary(self) -> str:
        """Return the table of phases."""
        rows = [
            (
                phase.name,
                elapsed(max(phase.ended - phase.began, 0.0)),
                ", ".join(f"{count} {what}" for what, count in phase.done.items()) or "none",
            )
            for phase in self.phases.values()
            if phase.name in PHASES
        ]
        return table(("phase", "took", "changes"), rows)

    def _begin(self, urn: str, operation: str) -> None:
        phase = self.phases.setdefault(phase_of(urn), Phase(phase_of(urn), began=time.monotonic()))
        if operation not in IDLE:
            phase.running[urn] = (operation, time.monotonic())

    def _end(self, urn: str, operation: str, *, failed: bool) -> None:
        phase = self.phases.setdefault(phase_of(urn), Phase(phase_of(urn), began=time.monotonic()))
        phase.ended = time.monotonic()
        _, since = phase.running.pop(urn, (operation, phase.ended))
        if not failed and (operation in QUIET or is_ours(urn)):
            return
        what = "failed" if failed else self.words.get(operation, operation)
        phase.done[what] = phase.done.get(what, 0) + 1
        if not self.live:
            took = "" if self.words is PLANNED else f" after {elapsed(phase.ended - since)}"
            self.log(f"{phase.name}: {what} {urn.rsplit('::', 1)[-1]}{took}")

    def _now(self) -> str:
        now = time.monotonic()
        going = [
            f"{operation} {urn.rsplit('::', 1)[-1]} ({elapsed(now - since)}{self._message(urn)})"
            for phase in self.phases.values()
            for urn, (operation, since) in phase.running.items()
            if not is_ours(urn)
        ]
        return ", ".join(going[:SHOWN]) + (f" and {len(going) - SHOWN} more" if len(going) > SHOWN else "")

    def _message(self, urn: str) -> str:
        """Return the last message of a resource: a command reports the object that it waits for."""
        return f"; {self._messages[urn][:90]}" if urn in self._messages else ""

    def _row(self, phase: Phase) -> str:
        until = time.monotonic() if phase.running else phase.ended
        what = ", ".join(f"{count} {what}" for what, count in phase.done.items())
        return f"{phase.name:<10}{elapsed(max(until - phase.began, 0.0)):>12}  {what}"


def phase_of(urn: str) -> str:
    """Return the phase of a resource: the component that its name begins with."""
    name = urn.rsplit("::", 1)[-1].split("-", maxsplit=1)[0].split(":", maxsplit=1)[0]
    return "platform" if name in PLATFORM else name if name in PHASES else "stack"


def is_ours(urn: str) -> bool:
    """Return whether a resource is a component, a provider or the stack."""
    return urn.split("::")[2].rsplit("$", 1)[-1].startswith(OURS)

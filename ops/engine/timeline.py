"""What a run of the engine looks like while it goes on: phases with elapsed times, and what is running now.

Engine events come in from `ops.engine.engine`; lines go to stderr, redrawn on a terminal, plain anywhere else, and
never silent for long. `summary` gives the table at the end.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO

from pulumi.automation.events import EngineEvent

from ops.terminal import elapsed, table

HEARTBEAT = 15.0
REDRAW = 0.25
PHASES = ("machines", "cluster", "network", "platform", "handover")
PLATFORM = ("namespaces", "crds", "definitions", "cni", "certificates", "secrets", "argocd")
DONE = {"create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "read": "read"}
PLANNED = {"create": "to create", "update": "to update", "delete": "to delete", "replace": "to replace"}
OURS = ("homelab:", "pulumi:")  # components, providers and the stack: nothing was done to them
IDLE = ("same", "discard", "discard-replaced")  # nothing runs meanwhile
QUIET = (*IDLE, "create-replacement", "delete-replaced")  # the engine reports the whole as one replacement


@dataclass
class Phase:
    """One component of the story."""

    name: str
    began: float = 0.0
    ended: float = 0.0
    done: dict[str, int] = field(default_factory=dict)
    running: dict[str, tuple[str, float]] = field(default_factory=dict)


class Timeline:
    """The display of one run: `with Timeline() as timeline: Engine(..., timeline.hear)`."""

    def __init__(self, stream: TextIO | None = None, *, planned: bool = False) -> None:
        """Begin with nothing; `planned` words what happens as what would."""
        self.words = PLANNED if planned else DONE
        self.stream = stream if stream is not None else sys.stderr
        self.live = self.stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.began = time.monotonic()
        self.phases: dict[str, Phase] = {}
        self._saying: dict[str, str] = {}
        self._told = self.began
        self._drawn = 0
        self._over = threading.Event()
        self._lock = threading.RLock()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        """Begin to show."""
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and leave the last picture."""
        self._over.set()
        self._ticker.join()
        if self.live:
            self._draw()

    def say(self, text: str) -> None:
        """Say something that belongs to no phase."""
        with self._lock:
            if self.live:
                self._clear()
            self.stream.write(f"[{elapsed(time.monotonic() - self.began)}] {text}\n")
            self.stream.flush()
            self._told = time.monotonic()

    def hear(self, event: EngineEvent) -> None:
        """Follow the engine."""
        before, after, failed = event.resource_pre_event, event.res_outputs_event, event.res_op_failed_event
        said = event.diagnostic_event
        with self._lock:
            if said and said.urn and said.message.strip():
                self._saying[said.urn] = said.message.strip().splitlines()[-1]
            if before:
                self._begin(before.metadata.urn, before.metadata.op.value)
            elif after:
                self._end(after.metadata.urn, after.metadata.op.value, failed=False)
            elif failed:
                self._end(failed.metadata.urn, failed.metadata.op.value, failed=True)

    def summary(self) -> str:
        """Give the table of phases."""
        rows = [
            (
                phase.name,
                elapsed(max(phase.ended - phase.began, 0.0)),
                ", ".join(f"{count} {what}" for what, count in phase.done.items()) or "nothing to do",
            )
            for phase in self.phases.values()
            if phase.name in PHASES
        ]
        return table(("phase", "took", "what was done"), rows)

    def phase_of(self, urn: str) -> str:
        """Say to which phase a resource belongs: the component that stands first in its type."""
        name = urn.rsplit("::", 1)[-1].split("-", maxsplit=1)[0].split(":", maxsplit=1)[0]
        return "platform" if name in PLATFORM else name if name in PHASES else "stack"

    def _begin(self, urn: str, operation: str) -> None:
        phase = self.phases.setdefault(self.phase_of(urn), Phase(self.phase_of(urn), began=time.monotonic()))
        if operation not in IDLE:
            phase.running[urn] = (operation, time.monotonic())

    def _end(self, urn: str, operation: str, *, failed: bool) -> None:
        phase = self.phases.setdefault(self.phase_of(urn), Phase(self.phase_of(urn), began=time.monotonic()))
        phase.ended = time.monotonic()
        _, since = phase.running.pop(urn, (operation, phase.ended))
        if not failed and (operation in QUIET or _is_ours(urn)):
            return
        what = "failed" if failed else self.words.get(operation, operation)
        phase.done[what] = phase.done.get(what, 0) + 1
        if not self.live:
            took = "" if self.words is PLANNED else f" after {elapsed(phase.ended - since)}"
            self.say(f"{phase.name}: {what} {urn.rsplit('::', 1)[-1]}{took}")

    def _tick(self) -> None:
        while not self._over.wait(REDRAW):
            if self.live:
                self._draw()
            elif time.monotonic() - self._told > HEARTBEAT:
                with self._lock:
                    self.say(f"still at work: {self._now() or 'the engine'}")

    def _now(self) -> str:
        now = time.monotonic()
        going = [
            f"{operation} {urn.rsplit('::', 1)[-1]} ({elapsed(now - since)}{self._said(urn)})"
            for phase in self.phases.values()
            for urn, (operation, since) in phase.running.items()
            if not _is_ours(urn)
        ]
        return ", ".join(going[:3]) + (f" and {len(going) - 3} more" if len(going) > 3 else "")  # noqa: PLR2004 - as above

    def _said(self, urn: str) -> str:
        """Quote what a resource said last: a command says what it waits for."""
        return f"; {self._saying[urn][:90]}" if urn in self._saying else ""

    def _draw(self) -> None:
        with self._lock:
            self._clear()
            columns = os.get_terminal_size(self.stream.fileno()).columns if self.stream.isatty() else 120
            lines = [self._row(phase)[: columns - 1] for phase in self.phases.values() if phase.name in PHASES]
            now = self._now()
            if now and not self._over.is_set():
                lines.append(f"  {now}"[: columns - 1])
            self.stream.write("".join(f"{line}\n" for line in lines))
            self.stream.flush()
            self._drawn = len(lines)

    def _clear(self) -> None:
        if self._drawn:
            self.stream.write(f"\033[{self._drawn}F\033[J")
            self._drawn = 0

    def _row(self, phase: Phase) -> str:
        until = time.monotonic() if phase.running else phase.ended
        what = ", ".join(f"{count} {what}" for what, count in phase.done.items())
        return f"{phase.name:<10}{elapsed(max(until - phase.began, 0.0)):>12}  {what}"


def _is_ours(urn: str) -> bool:
    """Whether it is a component, a provider or the stack."""
    return urn.split("::")[2].rsplit("$", 1)[-1].startswith(OURS)

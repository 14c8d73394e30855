"""Progress of long work: one line per step, redrawn on a terminal, plain lines with a heartbeat anywhere else.

The steps come in with the expected seconds of each, and then the reports of the work; everything goes to stderr, so
that `--json` on stdout stays clean. Estimates learn from finished steps: if the first steps took twice as long as
expected, so will the rest. `ops.toolchain.installation` and `ops.upstream.originals` show their work with it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

from ops.live_display import LiveDisplay
from ops.terminal import COLOURS, elapsed

# The seconds left of a step that takes longer than expected: they are unknown, and the sum should not grow.
OVERDUE = 1.0
MARKS = {"waiting": ("·", "grey"), "running": ("▸", "yellow"), "done": ("✓", "green"), "failed": ("✗", "red")}


class Step:
    """One step of the work."""

    def __init__(self, name: str, expected: float, announced: Callable[[str], None], lane: str = "") -> None:
        """Make a step that waits."""
        self.name = name
        self.lane = lane
        self.expected = expected
        self.state = "waiting"
        self.text = ""
        self.began = 0.0
        self.took = 0.0
        self._announced = announced

    def update(self, text: str) -> None:
        """Set the text of the current activity."""
        self.text = text

    def announce(self, text: str) -> None:
        """Set the text, and print it at once where there is no live display."""
        self.text = text
        self._announced(f"{self.name}: {text}")

    def fail(self, text: str) -> None:
        """Mark the step as failed."""
        self.state = "failed"
        self.text = text

    @property
    def so_far(self) -> float:
        """Return the seconds since its start, or its whole duration when it is over."""
        return self.took or (time.monotonic() - self.began if self.began else 0.0)


class Progress(LiveDisplay):
    """The display of several steps: `with Progress(...) as progress, progress.step(name) as step:`."""

    def __init__(
        self,
        expected: Mapping[str, float],
        stream: TextIO | None = None,
        lanes: Mapping[str, str] | None = None,
        at_once: int = 1,
    ) -> None:
        """Take the steps in their order, with the expected seconds of each.

        Steps of different lanes run at the same time and learn nothing from each other's pace. `at_once` steps of one
        lane run at the same time.
        """
        super().__init__(stream)
        named = lanes or {}
        self.steps = {name: Step(name, seconds, self._line, named.get(name, "")) for name, seconds in expected.items()}
        self.at_once = at_once
        self.noted = ""
        self.remarks: list[str] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the final state, stop the display, and repeat the remarks below it."""
        self.noted = ""
        super().__exit__(kind, error, trace)
        if self.live:
            self.stream.write("".join(f"{text}\n" for text in self.remarks))

    @contextmanager
    def step(self, name: str, expected: float | None = None) -> Iterator[Step]:
        """Mark a step as running for as long as its work lasts; with `expected`, the step is new or starts again."""
        if expected is not None:
            self.steps = {**self.steps, name: Step(name, expected, self._line)}
        step = self.steps[name]
        step.state, step.began = "running", time.monotonic()
        self._line(f"{name}: begins, about {elapsed(self.remaining(step))}")
        try:
            yield step
        except BaseException:
            step.fail("interrupted")
            raise
        finally:
            step.took = max(time.monotonic() - step.began, 0.001)
            if step.state == "running":
                step.state, step.text = "done", ""
            self._line(f"{name}: {step.text or step.state} after {elapsed(step.took)}; {self.outlook()}")

    def note(self, text: str) -> None:
        """Show a text that belongs to no step."""
        self.noted = text
        self._line(text)

    def remark(self, text: str) -> None:
        """Report something that stays visible after the display ends."""
        self.remarks.append(text)
        self._line(text)

    def remaining(self, step: Step) -> float:
        """Return the estimated seconds that a step still needs."""
        if step.state in ("done", "failed"):
            return 0.0
        done = [other for other in self.steps.values() if other.state == "done" and other.lane == step.lane]
        expected = sum(other.expected for other in done)
        pace = sum(other.took for other in done) / expected if expected else 1.0
        return max(step.expected * pace - step.so_far, OVERDUE)

    def outlook(self) -> str:
        """Return the number of finished steps and the remaining time."""
        steps = self.steps.values()
        over = sum(step.state in ("done", "failed") for step in steps)
        lanes = {step.lane for step in steps}
        waits = (sum(self.remaining(step) for step in steps if step.lane == lane) for lane in lanes)
        left = max(waits, default=0.0) / self.at_once
        return f"{over} of {len(self.steps)}" + (f", about {elapsed(left)} left" if left else "")

    def heartbeats(self) -> Iterable[str]:
        """Yield a line for each running step."""
        for step in tuple(self.steps.values()):
            if step.state == "running":
                yield f"{self._activity(step)}; {self.outlook()}"

    def rows(self, columns: int, height: int) -> list[str]:
        """Return a line for each step, and one for the whole.

        Lines above the top of a terminal cannot be redrawn, so a small terminal shows no waiting steps.
        """
        steps = [
            one for one in self.steps.values() if len(self.steps) < height - 1 or one.state in ("running", "failed")
        ]
        width = max((len(step.name) for step in steps), default=0)
        return [*(self._row(step, width, columns) for step in steps), (self.noted or self.outlook())[: columns - 1]]

    def _line(self, text: str) -> None:
        if not self.live:
            self.write(text)

    def _activity(self, step: Step) -> str:
        doing = f"{step.text}, " if step.text else ""
        return f"{step.name}: {doing}{elapsed(step.so_far)} so far, {self._left(step)}"

    def _left(self, step: Step) -> str:
        left = self.remaining(step)
        return f"about {elapsed(left)} left" if left > OVERDUE else "longer than expected"

    def _row(self, step: Step, width: int, columns: int) -> str:
        mark, colour = MARKS[step.state]
        rest = f"{step.name:<{width}}  {self._columns(step)}"[: columns - 3]
        painted = f"\033[{COLOURS[colour]}m{mark}\033[0m" if "NO_COLOR" not in os.environ else mark
        return f"{painted} {rest}"

    def _columns(self, step: Step) -> str:
        if step.state == "waiting":
            return f"{'':<13}  about {elapsed(self.remaining(step))}"
        if step.state == "running":
            return f"{elapsed(step.so_far):<13}  {self._left(step)}  {step.text}"
        return f"{elapsed(step.took):<13}  {step.text or step.state}"

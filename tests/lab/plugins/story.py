"""A sequence of runs of the real engine, with the output and the state after each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.lab.plugins.desk import Desk, Run


@dataclass
class EngineRuns:
    """A project, with the output and the state of each run."""

    desk: Desk
    runs: dict[str, Run] = field(default_factory=dict)
    states: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)

    def record(self, name: str, act: Callable[[], Run], **env: str) -> None:
        """Run once, and store the result."""
        self.desk.env.update(env)
        self.runs[name] = act()
        self.states[name] = self.desk.resources()
        self.raw[name] = self.desk.raw_state()

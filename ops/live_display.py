"""Lines that a thread redraws on a terminal, and plain lines with a heartbeat anywhere else.

A subclass chooses the lines: `ops.toolchain.progress` shows the steps of a build, `ops.engine.timeline` the phases of a
run. Everything is written to stderr, so that `--json` on stdout stays clean. A library for terminals
would replace these lines, and cost its import at the start of every verb that shows progress.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TextIO

from ops.terminal import on_terminal

REDRAW = 0.25
HEARTBEAT = 15.0


class LiveDisplay(ABC):
    """The part that all displays share: one thread, one lock, one place on the terminal."""

    def __init__(self, stream: TextIO | None) -> None:
        """Decide whether the stream is a terminal that can be redrawn."""
        self.stream = stream if stream is not None else sys.stderr
        self.live = on_terminal(self.stream)
        self.over = threading.Event()
        self.lock = threading.RLock()
        self._drawn = 0
        self._last_line = time.monotonic()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        """Start the display."""
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the final state, which stays on the terminal, and stop the display."""
        self.over.set()
        self._ticker.join()
        if self.live:
            self._draw()

    @abstractmethod
    def rows(self, columns: int, height: int) -> list[str]:
        """Return the lines of the present state for a terminal of this size."""

    @abstractmethod
    def heartbeats(self) -> Iterable[str]:
        """Return the plain lines that follow a silence."""

    def write(self, text: str) -> None:
        """Write a line that stays, above the redrawn ones."""
        with self.lock:
            gone = f"\033[{self._drawn}F\033[J" if self._drawn else ""
            self.stream.write(f"{gone}{text}\n")
            self.stream.flush()
            self._drawn = 0
            self._last_line = time.monotonic()

    def _tick(self) -> None:
        while not self.over.wait(min(REDRAW, HEARTBEAT)):
            if self.live:
                self._draw()
            elif time.monotonic() - self._last_line > HEARTBEAT:
                with self.lock:
                    for line in self.heartbeats():
                        self.write(line)

    def _draw(self) -> None:
        with self.lock:
            lines = self.rows(*shutil.get_terminal_size())
            up = f"\033[{self._drawn}F" if self._drawn else ""
            gone = "\033[J" if len(lines) < self._drawn else ""
            self.stream.write(up + "".join(f"\033[K{line}\n" for line in lines) + gone)
            self.stream.flush()
            self._drawn = len(lines)

"""The progress of long work on terminals and in logs."""

from __future__ import annotations

import re
from functools import partial

import pytest

from ops.toolchain.progress import Progress
from tests.polling import until

wait_for = partial(until, seconds=10)


class Terminal:
    """A stream that records its text, and is a terminal if `watched` is set."""

    def __init__(self, watched: bool) -> None:
        """Start empty."""
        self.text = ""
        self.watched = watched

    def write(self, text: str) -> int:
        """Record the text."""
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

    def isatty(self) -> bool:
        """Report whether it is a terminal."""
        return self.watched


def test_long_steps_have_a_heartbeat_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.live_display.HEARTBEAT", 0.05)
    stream = Terminal(watched=False)
    with Progress({"a": 10.0, "b": 20.0}, stream) as progress, progress.step("a") as step:  # type: ignore[arg-type]
        step.update("compiling (7 packages)")
        wait_for(lambda: "a: compiling (7 packages), 0." in stream.text)
    lines = stream.text.splitlines()
    assert lines[0] == "a: begins, about 10.0 s"
    assert re.fullmatch(r"a: done after 0\.\d s; 1 of 2, about .* left", lines[-1])
    assert "\033" not in stream.text


def test_a_terminal_shows_one_redrawn_line_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("ops.live_display.REDRAW", 0.02)
    stream = Terminal(watched=True)
    with Progress({"kwok": 10.0, "argocd": 20.0}, stream) as progress:  # type: ignore[arg-type]
        with progress.step("kwok"):
            wait_for(lambda: "left" in stream.text and "\033[3F" in stream.text)
        with progress.step("argocd") as step:
            step.fail("not built")
    last = re.sub(r"\033\[\d*[mFK]", "", stream.text).splitlines()[-3:]
    assert last[0].startswith("✓ kwok ")
    assert re.fullmatch(r"✗ argocd  [\d.]+ s +not built", last[1])
    assert last[2] == "2 of 2"


def test_estimates_learn_from_what_is_done() -> None:
    progress = Progress({"a": 10.0, "b": 20.0}, Terminal(watched=False))  # type: ignore[arg-type]
    first, second = progress.steps.values()
    first.state, first.took = "done", 30.0
    assert progress.remaining(second) == 60.0
    assert progress.outlook() == "1 of 2, about 1 min 00 s left"


def test_an_overdue_step_promises_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.live_display.HEARTBEAT", 0.05)
    stream = Terminal(watched=False)
    with Progress({"a": 0.01}, stream) as progress, progress.step("a"):  # type: ignore[arg-type]
        wait_for(lambda: "so far, longer than expected" in stream.text)


def test_a_remark_stays_visible_after_the_display_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    seen = {}
    for watched in (True, False):
        stream = Terminal(watched=watched)
        with Progress({"a": 10.0}, stream) as progress:  # type: ignore[arg-type]
            progress.remark("a: built from source")
            with progress.step("a"):
                pass
        seen[watched] = stream.text.splitlines()
        assert [line for line in seen[watched] if line.startswith("a: built")] == ["a: built from source"]
    assert seen[True][-1] == "a: built from source"


def test_steps_of_another_lane_run_beside_and_teach_nothing() -> None:
    progress = Progress({"a": 10.0, "b": 20.0, "c": 60.0}, Terminal(watched=False), lanes={"c": "downloads"})  # type: ignore[arg-type]
    assert progress.outlook() == "0 of 3, about 1 min 00 s left"
    progress.steps["c"].state, progress.steps["c"].took = "done", 6.0
    assert progress.outlook() == "1 of 3, about 30 s left"


def test_a_step_that_failed_can_begin_anew_with_another_expectation() -> None:
    stream = Terminal(watched=False)
    with Progress({"a": 1.0}, stream) as progress:  # type: ignore[arg-type]
        with progress.step("a") as step:
            step.fail("not downloaded")
        with progress.step("a", 90.0):
            pass
    assert "a: begins, about 1 min 30 s" in stream.text
    assert stream.text.splitlines()[-1].startswith("a: done after")

"""A run ends together with its children, and no control character reaches a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import programs
from errors import Problem, ProgramMissing, TookTooLong
from tests.polling import until

ROOT = Path(__file__).parents[2]
RUN = """
import sys, types
import ops.__main__ as entry, programs
from ops.verbs import VERBS
verb = types.ModuleType("ops.waits")
verb.arguments = lambda parser: None
verb.run = lambda options: programs.run("sh", "-c", "echo $$ >" + sys.argv[1] + "; exec sleep 600", timeout=600) and 0
sys.modules["ops.waits"] = verb
entry.BY_NAME = {"waits": VERBS[0]}
sys.exit(entry.start(["waits"]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_what_a_verb_has_started(number: signal.Signals, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "-c", RUN, str(note)], cwd=ROOT, stderr=subprocess.DEVNULL)
    until(lambda: note.is_file() and note.read_text(encoding="utf-8").strip(), 60)
    child = int(note.read_text(encoding="utf-8"))
    process.send_signal(number)
    assert process.wait(timeout=60) in (128 + number, 130)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_no_sign_of_a_checkout_moves_the_cursor() -> None:
    said = str(Problem("a\x1b[2J.yaml", 1, "k\n", "\x1b]0;x\x07 \u202e", "is wrong", "mend it", "x"))
    assert said.isprintable()
    assert said.startswith("a\\u001b[2J.yaml:1: k\\n = ")


def test_a_truncated_program_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "kustomize").write_bytes(b"")
    (tmp_path / "kustomize").chmod(0o755)
    (tmp_path / "helm").write_bytes(b"\x7fELF")
    (tmp_path / "helm").chmod(0o755)
    with pytest.raises(ProgramMissing, match=r"helm: cannot be run: .*; remove its folder"):
        programs.run("helm", env={"PATH": str(tmp_path)})


@pytest.mark.parametrize("way", ["run", "follow", "converse", "pipe"])
def test_no_program_outlasts_its_limit(way: str, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    command = ("sh", "-c", f"echo $$ >{note}; exec sleep 600")
    ways: dict[str, Callable[[], object]] = {
        "run": lambda: programs.run(*command, timeout=0.5),
        "follow": lambda: programs.follow(*command, log=tmp_path / "log", timeout=0.5),
        "converse": lambda: programs.converse(command, timeout=0.5),
        "pipe": lambda: programs.pipe(*command, timeout=0.5),
    }
    with pytest.raises(TookTooLong, match="no end after"):
        ways[way]()
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text(encoding="utf-8")), 0)

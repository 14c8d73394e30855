"""A real engine that is interrupted during a script of the plugin `command` ends soon, and leaves nothing behind.

The script is typical: credentials in a temporary folder that a trap removes, and a program that runs for long.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import process_table
from ops.toolchain import lookup
from tests.lab.plugins.desk import CHECKOUT, Desk
from tests.polling import until

PROGRAM = """
from pulumi_command import local
script = '''
set -eu
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
echo admin >"$work/kubeconfig"
sleep 600 & echo $! >FOLDER/child
wait
'''
local.Command("slow", create=script)
"""
RUN = """
import sys
from pathlib import Path
from ops.engine.engine import Engine
engine = Engine(Path(sys.argv[1]), "dev", log=print)
for line in engine.repair():
    print(line, flush=True)
if sys.argv[2] == "up":
    try:
        engine.up()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


class Stack:
    """A stack whose only resource takes long, run by `ops.engine.engine` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        """Write the files of the project."""
        path = lookup.ensure(("pulumi", "pulumi-language-python")).env()["PATH"]
        self.desk = Desk(folder / "project", {**os.environ, "PATH": path})
        self.folder = folder
        (self.desk.folder / "__main__.py").write_text(PROGRAM.replace("FOLDER", str(folder)), encoding="utf-8")
        self.desk.env.update(PYTHONPATH=str(CHECKOUT), XDG_CACHE_HOME=str(folder / "cache"))
        self.desk.env.pop("HOMELAB_RUNS", None)

    @property
    def places(self) -> list[Path]:
        return list((self.folder / "cache/homelab/runs").glob("dev-*"))

    def start(self, verb: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(self.desk.folder), verb],
            cwd=CHECKOUT,
            env=self.desk.env,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def begun(self) -> tuple[subprocess.Popen[str], int]:
        """Start a run and wait for its script; return the run and the process ID of the script's program."""
        run, child = self.start("up"), self.folder / "child"
        until(lambda: child.exists() and child.read_text(encoding="utf-8").strip(), 120)
        (place,) = self.places
        assert list(place.glob("engine-*/*/kubeconfig"))
        return run, int(child.read_text(encoding="utf-8"))

    def nothing_is_left(self) -> bool:
        (place,) = self.places
        return not list(place.glob("engine-*")) and not process_table.marked(place)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


def test_an_interrupted_run_ends_its_scripts_and_removes_their_credentials(stack: Stack) -> None:
    run, child = stack.begun()
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    said, _ = run.communicate(timeout=120)
    assert time.monotonic() - began < 60  # soon, and not after the end of `sleep 600`
    assert said.splitlines()[-1] == "interrupted"
    assert process_table.started(child) is None
    assert stack.nothing_is_left()


def test_remains_of_a_killed_run_are_cleared_before_the_next(stack: Stack) -> None:
    run, child = stack.begun()
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    assert process_table.started(child) is not None, "the official plugin and its script live on"
    said, _ = stack.start("repair").communicate(timeout=120)
    assert "processes that an interrupted run had left" in said
    assert "removed the temporary files of an interrupted run" in said
    assert process_table.started(child) is None
    assert stack.nothing_is_left()

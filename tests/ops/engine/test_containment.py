"""A run of the engine leaves neither processes nor files: after success, after Ctrl-C, and after kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import process_table
from ops.engine import containment
from tests.polling import until

ROOT = Path(__file__).parents[3]
# Acts as the official plugin `command` under a cancelled engine: the script's shell is killed and none of its traps
# runs; the engine waits until the programs of the script have ended.
ENGINE = """\
alive() {{ kill -0 $(cat {0}/child) 2>/dev/null; }}
trap 'kill -9 $script; wait $script 2>/dev/null; while alive; do sleep 0.1; done; exit 1' INT
sh -c 'umask 077; work=$(mktemp -d); echo admin >$work/kubeconfig; trap "rm -rf $work" EXIT
sleep 600 & echo $! >{0}/child; wait' & script=$!
while :; do sleep 0.1; done
"""
RUN = """\
import os, subprocess, sys
from pathlib import Path
from ops.engine import containment
place = Path({0!r})
try:
    with containment.contained(place / "runs", lambda said: print(said, flush=True)) as environment:
        subprocess.run(["sh", "-c", {1!r}], env={{**os.environ, **environment}}, check=False)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def begun(place: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a run and wait for its script; return the run and the process ID of the script's program."""
    code = RUN.format(str(place), ENGINE.format(place))
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    child = place / "child"
    until(lambda: child.exists() and child.read_text(encoding="utf-8").strip(), 20)
    assert list((place / "runs").glob("engine-*/*/kubeconfig"))
    return run, int(child.read_text(encoding="utf-8"))


def nothing_is_left(place: Path) -> bool:
    return not list((place / "runs").glob("engine-*")) and not process_table.marked(place / "runs")


def test_a_run_has_a_private_temporary_folder_that_it_removes(tmp_path: Path) -> None:
    with containment.contained(tmp_path, print) as environment:
        folder = Path(environment["TMPDIR"])
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "kubeconfig1").touch()
        lives_on = subprocess.Popen(["sleep", "600"], env={**os.environ, **environment})
    assert not folder.exists()
    assert lives_on.wait(timeout=10) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_stops_the_engine_and_processes_of_its_scripts(number: int, tmp_path: Path) -> None:
    run, child = begun(tmp_path)
    os.kill(run.pid, number)
    said, _ = run.communicate(timeout=60)
    assert said.splitlines() == [containment.STOPPING, "interrupted"]
    assert process_table.started(child) is None
    assert nothing_is_left(tmp_path)


def test_a_second_signal_ends_everything_at_once(tmp_path: Path) -> None:
    code = RUN.format(str(tmp_path), f"trap '' INT TERM; touch {tmp_path}/there; while :; do sleep 1; done")
    run = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    until((tmp_path / "there").exists, 20)
    for _ in range(2):
        os.kill(run.pid, signal.SIGINT)
        time.sleep(1)
    assert run.communicate(timeout=20)[0].splitlines()[-1] == "interrupted"
    assert nothing_is_left(tmp_path)


def test_remains_of_a_killed_run_are_cleared_and_reported(tmp_path: Path) -> None:
    run, child = begun(tmp_path)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(timeout=20)
    assert run.stdout is not None
    run.stdout.close()
    assert process_table.started(child) is not None
    said = containment.clear(tmp_path / "runs")
    assert said[0].startswith("ended ")
    assert said[1:] == ["removed the temporary files of an interrupted run"]
    assert process_table.started(child) is None
    assert nothing_is_left(tmp_path)
    assert containment.clear(tmp_path / "runs") == []


def test_a_run_that_lives_is_left_alone(tmp_path: Path) -> None:
    run, child = begun(tmp_path)
    assert containment.clear(tmp_path / "runs") == []
    assert process_table.started(child) is not None
    os.kill(run.pid, signal.SIGINT)
    run.communicate(timeout=60)


def test_runs_are_in_the_cache_or_in_a_rehearsals_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(containment.RUNS, raising=False)
    one, other = (containment.runs_of(tmp_path / name, "dev") for name in ("a", "b"))
    assert one != other
    assert one.parent == tmp_path / "homelab/runs"
    monkeypatch.setenv(containment.RUNS, str(tmp_path / ".lab/dev"))
    assert containment.runs_of(tmp_path, "dev") == tmp_path / ".lab/dev"

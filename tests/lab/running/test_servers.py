"""Servers are started once, found again and stopped, also if their starter was killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest

from errors import MachineNotReady, ProgramMissing
from lab.layout import Lab
from lab.running import servers
from local import process_table
from tests import polling

ENV = {"PATH": os.environ["PATH"]}
STUBBORN = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
until = partial(polling.until, seconds=5)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path / "lab")
    lab.make()
    yield lab
    servers.stop_all(lab)
    assert process_table.marked(lab.root) == {}


def sleeper(lab: Lab, name: str = "sleeper", seconds: str = "1000") -> servers.ServerRecord:
    return servers.start(lab, name, "sleep", [seconds], ENV)


def test_starting_the_same_again_keeps_the_server(lab: Lab) -> None:
    assert sleeper(lab).pid == sleeper(lab).pid


def test_other_arguments_replace_the_server(lab: Lab) -> None:
    first, second = sleeper(lab), sleeper(lab, seconds="1001")
    assert process_table.started(first.pid) is None
    assert process_table.marked(lab.root) == {"sleeper": [second.pid]}


def test_a_changed_file_replaces_the_server_that_reads_it(lab: Lab) -> None:
    file = lab.root / "settings"
    file.write_text("one")
    first = servers.start(lab, "reader", "sleep", ["1000"], ENV, files=[file])
    assert servers.start(lab, "reader", "sleep", ["1000"], ENV, files=[file]).pid == first.pid
    file.write_text("two")
    assert servers.start(lab, "reader", "sleep", ["1000"], ENV, files=[file]).pid != first.pid


def test_a_server_that_was_killed_is_started_again(lab: Lab) -> None:
    first = sleeper(lab)
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: process_table.started(first.pid) is None)
    assert sleeper(lab).pid != first.pid


def test_a_record_with_a_reused_pid_is_ignored(lab: Lab) -> None:
    stranger = subprocess.Popen(["sleep", "1000"])
    time.sleep(0.05)  # starts are counted in hundredths of a second
    record = json.loads((lab.run / f"{sleeper(lab).name}.json").read_text())
    servers.stop(lab, "sleeper")
    (lab.run / "sleeper.json").write_text(json.dumps({**record, "pid": stranger.pid}))
    assert servers.alive(lab) == []
    servers.stop(lab, "sleeper")
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_server_without_a_record_is_replaced_by_start(lab: Lab) -> None:
    lost = sleeper(lab)
    (lab.run / "sleeper.json").unlink()
    found = sleeper(lab)
    assert process_table.marked(lab.root) == {"sleeper": [found.pid]}
    assert found.pid != lost.pid


def test_stop_all_finds_a_server_without_a_record(lab: Lab) -> None:
    sleeper(lab)
    (lab.run / "sleeper.json").unlink()
    servers.stop_all(lab)
    assert process_table.marked(lab.root) == {}


def test_stop_ends_the_children_of_a_server_too(lab: Lab) -> None:
    servers.start(lab, "parent", "sh", ["-c", "sleep 1000 & sleep 1001"], ENV)
    until(lambda: len(process_table.marked(lab.root)["parent"]) == 3)
    servers.stop(lab, "parent")
    assert process_table.marked(lab.root) == {}


def test_a_server_that_ignores_sigterm_is_killed(lab: Lab) -> None:
    servers.start(lab, "deaf", "sh", ["-c", STUBBORN], ENV, grace=0.2)
    until_said(lab, "deaf", "deaf")
    began = time.monotonic()
    servers.stop(lab, "deaf")
    assert 0.2 <= time.monotonic() - began < 2


def test_a_server_without_grace_period_is_killed_at_once(lab: Lab) -> None:
    servers.start(lab, "polite", "sh", ["-c", "trap 'echo asked' TERM; echo up; sleep 1000"], ENV, grace=0)
    until_said(lab, "polite", "up")
    servers.stop(lab, "polite")
    assert "asked" not in servers.log_of(lab, "polite").read_text()


def until_said(lab: Lab, name: str, word: str) -> None:
    until(lambda: word in servers.log_of(lab, name).read_text())


def test_stop_all_keeps_the_order(lab: Lab) -> None:
    ended = lab.root / "ended"
    for name in ("one", "two", "three"):
        say = f"trap 'echo {name} >>{ended}; exit' TERM; echo up; while :; do sleep 0.02; done"
        servers.start(lab, name, "sh", ["-c", say], ENV)
        until_said(lab, name, "up")
    servers.stop_all(lab, order=["two", "three"])
    assert ended.read_text().split() == ["two", "three", "one"]


def test_simultaneous_starts_give_one_server(lab: Lab) -> None:
    with ThreadPoolExecutor(8) as many:
        pids = {record.pid for record in many.map(lambda _: sleeper(lab), range(16))}
    assert len(pids) == 1
    assert process_table.marked(lab.root) == {"sleeper": [*pids]}


def test_a_starter_killed_before_its_record_leaves_no_second_server(lab: Lab) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from lab.running import servers
from lab.layout import Lab
servers.write_private = lambda file, content: os.kill(os.getpid(), signal.SIGKILL)
servers.start(Lab(Path(sys.argv[1])), "sleeper", "sleep", ["1000"], {"PATH": os.environ["PATH"]})
"""
    killed = subprocess.run([sys.executable, "-c", script, lab.root], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(process_table.marked(lab.root)["sleeper"]) == 1
    assert servers.alive(lab) == []
    found = sleeper(lab)
    assert process_table.marked(lab.root) == {"sleeper": [found.pid]}


def test_starters_killed_at_any_moment_never_leave_two_servers(lab: Lab) -> None:
    script = """
import os, sys
from itertools import count
from pathlib import Path
from lab.running import servers
from lab.layout import Lab
print("ready", flush=True)
for seconds in count(2000):
    servers.start(Lab(Path(sys.argv[1])), "sleeper", "sleep", [str(seconds)], {"PATH": os.environ["PATH"]})
"""
    for round_ in range(12):
        with subprocess.Popen([sys.executable, "-c", script, lab.root], stdout=subprocess.PIPE) as starter:
            assert starter.stdout is not None
            starter.stdout.readline()
            time.sleep(0.013 * round_ + 0.01)
            starter.kill()
        found = sleeper(lab, seconds=f"{round_ + 1}000")
        assert process_table.marked(lab.root) == {"sleeper": [found.pid]}


def test_a_server_outlives_the_group_of_its_starter(lab: Lab) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from lab.running import servers
from lab.layout import Lab
servers.start(Lab(Path(sys.argv[1])), "sleeper", "sleep", ["1000"], {"PATH": os.environ["PATH"]})
os.killpg(0, signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script, lab.root], check=False, start_new_session=True)
    assert [server.name for server in servers.alive(lab)] == ["sleeper"]


def test_servers_are_listed_with_their_memory(lab: Lab) -> None:
    record = sleeper(lab)
    until(lambda: servers.alive(lab)[0].resident > 100_000)  # the program is loaded
    (server,) = servers.alive(lab)
    assert (server.name, server.pid) == ("sleeper", record.pid)


def test_two_labs_do_not_touch_each_other(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "lab2")
    other.make()
    kept = sleeper(other)
    sleeper(lab)
    servers.stop_all(lab)
    assert [server.pid for server in servers.alive(other)] == [kept.pid]
    servers.stop_all(other)


def test_a_port_changes_only_when_another_program_takes_it(lab: Lab) -> None:
    number = servers.port(lab, "server", "http")
    assert servers.port(lab, "server", "http") == number
    assert servers.port(lab, "server", "peers") != number
    listen = "import socket,sys,time; s=socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(1000)"
    servers.start(lab, "server", sys.executable, ["-c", listen, str(number)], ENV)
    until(lambda: servers.listens(number))
    assert servers.port(lab, "server", "http") == number
    servers.stop(lab, "server")
    servers.start(lab, "stranger", sys.executable, ["-c", listen, str(number)], ENV)
    until(lambda: servers.listens(number))
    assert servers.port(lab, "server", "http") != number


def test_a_missing_program_is_reported(lab: Lab) -> None:
    with pytest.raises(ProgramMissing, match=r"no-such-server: not on the PATH"):
        servers.start(lab, "x", "no-such-server", [], ENV)


def test_the_end_of_a_log_is_quoted_with_its_place(lab: Lab) -> None:
    servers.start(lab, "speaker", "sh", ["-c", "seq 100; echo up; sleep 1000"], ENV)
    until_said(lab, "speaker", "up")
    quoted = servers.last_lines(lab, "speaker").splitlines()
    assert quoted[0] == "    87"
    assert quoted[-1] == f"    whole output: {lab.logs / 'speaker.log'}"


def test_files_of_the_lab_are_private(lab: Lab) -> None:
    sleeper(lab)
    modes = {path: path.stat().st_mode & 0o077 for path in (lab.root, lab.run, lab.logs, lab.run / "sleeper.json")}
    assert set(modes.values()) == {0}


def test_a_lab_is_found_through_the_environment_or_refused(lab: Lab) -> None:
    assert Lab.from_environment(lab.environment) == lab
    with pytest.raises(MachineNotReady, match=r"HOMELAB_LAB: not set; .* \./homelab rehearse"):
        Lab.from_environment({})


def test_systems_without_proc_find_the_same_processes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    record = sleeper(lab)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(process_table, "BOOT_ID", Path("/nowhere"))
        elsewhere.setattr(sys, "platform", "darwin")
        assert process_table.marked(lab.root) == {"sleeper": [record.pid]}
        started = process_table.started(record.pid)
        assert started
        assert started == process_table.started(record.pid)
        until(lambda: process_table.resident_memory(record.pid) > 100_000)
        assert process_table.started(2**22 + 1) is None


def test_a_set_clock_does_not_change_the_start(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    record = sleeper(lab)
    real_boot = psutil.boot_time
    monkeypatch.setattr(psutil, "boot_time", lambda: real_boot() + 3600)
    real_start = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: real_start(process) + 3600)
    assert process_table.started(record.pid) == record.started

"""After a kill -9 at any moment, the same command continues and converges, without creating anything twice.

The engine is killed, or one plugin, or the whole process group; the rack's journal sets the moment, so that each is met
on a machine of any speed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lab.hardware.rack import Rack
from lab.running import servers
from local import process_table
from tests.lab.checkout import SHORT, Checkout, kill_children, kill_group

MOMENTS = {
    "an image is downloaded": ("download", 1),
    "the first VM is there": ("create vm", 1),
    "the second VM is there": ("create vm", 2),
    "a node has its configuration": ("configure", 1),
    "etcd begins": ("bootstrap", 1),
}


def engine(process: subprocess.Popen[str]) -> None:
    assert kill_children("pulumi --non-interactive up", process.pid)


def plugin(process: subprocess.Popen[str]) -> None:
    assert kill_children("lab.plugins.", process.pid)


def everything(process: subprocess.Popen[str]) -> None:
    kill_group(process)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    made = Checkout.make(tmp_path / "checkout")
    yield made
    made.end()


def interrupt(checkout: Checkout, event: str, times: int, kill: Callable[[subprocess.Popen[str]], None]) -> int:
    """Start a rehearsal and kill it at its moment; return its exit code."""
    process = checkout.start("rehearse", *SHORT)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if checkout.lab.rack.exists():
            rack = Rack(checkout.lab.rack)
            seen = len(rack.journal(event))
            rack.close()
            if seen >= times:
                kill(process)
                break
        time.sleep(0.005)
    process.communicate(timeout=120)
    return process.returncode


def converges(checkout: Checkout) -> None:
    """Run the same command again, and find everything once."""
    result = checkout.rehearse()
    assert result["stack"] == "dev"
    assert set(checkout.nodes()) == {"cp-1", "worker-1"}
    journal = checkout.rack.journal()
    made = Counter(subject for event, subject, _ in journal if event == "create vm")
    assert made == {"cp-1": 1, "worker-1": 1}
    assert [subject for event, subject, _ in journal if event == "join etcd"] == ["cp-1"]
    authorities = {
        yaml.safe_load(n.configuration.split("\n---")[0])["machine"]["ca"]["crt"] for n in checkout.rack.nodes()
    }
    assert len(authorities) == 1
    kinds = Counter(resource["type"] for resource in checkout.state()["checkpoint"]["latest"]["resources"])
    assert kinds["talos:machine/secrets:Secrets"] == 1
    assert kinds["proxmoxve:index/vmLegacy:VmLegacy"] == 2
    assert set(checkout.rehearse()["changes"]) == {"same"}
    assert nothing_is_left(checkout)


def nothing_is_left(checkout: Checkout) -> bool:
    """Report whether no process and no temporary file of a run of the engine is left."""
    marked = [name for name in process_table.marked(checkout.lab.root) if name.startswith("engine")]
    return not marked and not list(checkout.lab.root.glob("engine-*"))


CASES = [(kill, moment) for kill in (engine, plugin, everything) for moment in MOMENTS]


@pytest.mark.nightly  # minutes each; the next test interrupts a run every time
@pytest.mark.parametrize(
    ("kill", "moment"),
    CASES,
    ids=[f"{kill.__name__} when {moment}" for kill, moment in CASES],
)
def test_a_killed_run_converges(kill: Callable[[subprocess.Popen[str]], None], moment: str, checkout: Checkout) -> None:
    interrupt(checkout, *MOMENTS[moment], kill)
    converges(checkout)


def control_c(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)


def test_an_interrupted_run_leaves_nothing_and_the_next_run_continues(checkout: Checkout) -> None:
    began = time.monotonic()
    code = interrupt(checkout, *MOMENTS["a node has its configuration"], control_c)
    assert code == 130
    assert time.monotonic() - began < 120
    assert nothing_is_left(checkout)
    converges(checkout)


@pytest.mark.nightly  # minutes
def test_an_api_server_that_died_alone_is_started_again(checkout: Checkout) -> None:
    checkout.rehearse()
    (pid,) = (one.pid for one in servers.alive(checkout.lab) if one.name == "kube-apiserver")
    os.kill(pid, signal.SIGKILL)
    ran = checkout.run("rehearse", *SHORT)
    assert ran.code == 0, ran.err
    assert "starting again: kube-apiserver" in ran.err
    assert set(checkout.nodes()) == {"cp-1", "worker-1"}


@pytest.mark.nightly  # minutes
def test_a_second_rehearsal_of_the_same_stack_waits_its_turn(checkout: Checkout) -> None:
    first = checkout.start("rehearse", *SHORT)
    while not checkout.lab.tree.exists() and first.poll() is None:
        time.sleep(0.01)
    second = checkout.run("rehearse", *SHORT)
    assert second.code == 1
    assert "another rehearsal of dev is running" in second.err
    first.communicate(timeout=120)
    assert first.returncode == 0

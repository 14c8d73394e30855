"""A stack that `./homelab init` has written rehearses until everything is Synced and Healthy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.tree import read_tree
from tests import ears
from tests.lab.checkout import ROOT, Checkout
from tests.ops.test_own_stack import ANSWERS, QA
from tests.repository import commit_all


def init(checkout: Checkout, *words: str) -> None:
    """Answer the questions by flags, and commit the result."""
    command = [sys.executable, "-m", "ops", "init", *words]
    subprocess.run(command, cwd=checkout.root, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    commit_all(checkout.root)


def without_a_network(checkout: Checkout) -> dict[str, Any]:
    """Rehearse everything where only loopback exists, require that no other host was tried, and return the result."""
    command = [*ears.UNSHARE, sys.executable, "-m", "tests.lab.namespace", str(checkout.root), checkout.stack]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr
    ended = json.loads(ran.stdout.splitlines()[-1])
    assert ended["code"] == 0, ended["said"]
    assert ended["heard"] == []
    result: dict[str, Any] = ended["result"]
    return result


def test_a_stack_of_one_node_ends_synced_and_healthy_and_connects_to_no_host(tmp_path: Path) -> None:
    checkout = Checkout.make(tmp_path / "own", "homelab")
    init(checkout, "--replace", "--only", *ANSWERS["one node"])
    try:
        # A system without network namespaces rehearses with the proxy as the only guard.
        result = without_a_network(checkout) if ears.available() else checkout.whole()
        assert result["good"] is True
        assert result["applications"] == len(read_tree(checkout.root).apps_in("homelab"))
    finally:
        checkout.end()


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["high availability", "ssh, a few applications"])
def test_a_stack_of_ones_own_ends_synced_and_healthy(name: str, tmp_path: Path) -> None:
    checkout = Checkout.make(tmp_path / "own", "homelab")
    init(checkout, "--replace", "--only", *ANSWERS[name])
    try:
        result = checkout.whole()
        assert result["good"] is True
        assert result["applications"] == len(read_tree(checkout.root).apps_in("homelab"))
    finally:
        checkout.end()


@pytest.mark.nightly
def test_an_added_stack_rehearses_beside_another(tmp_path: Path) -> None:
    dev = Checkout.make(tmp_path / "own", "dev")
    init(dev, *QA)
    qa = Checkout(dev.root, "qa")
    try:
        assert [one.whole()["good"] for one in (dev, qa)] == [True, True]
        assert dev.run("status").code == qa.run("status").code == 0
    finally:
        qa.end()
        dev.end()

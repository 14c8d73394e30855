"""A stack that `./homelab init` has written rehearses until everything is Synced and Healthy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config.tree import read_tree
from tests.lab.checkout import Checkout
from tests.ops.test_own_stack import ANSWERS, QA
from tests.repository import commit_all


def init(checkout: Checkout, *words: str) -> None:
    """Answer the questions by flags, and commit the result."""
    command = [sys.executable, "-m", "ops", "init", *words]
    subprocess.run(command, cwd=checkout.root, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    commit_all(checkout.root)


@pytest.mark.parametrize(
    "name",
    [
        "one node",
        pytest.param("high availability", marks=pytest.mark.nightly),
        pytest.param("ssh, a few applications", marks=pytest.mark.nightly),
    ],
)
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

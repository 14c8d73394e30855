"""What holds for all tests: those of one group share what is costly to set up, and no property is a matter of time."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.nodeid import NodeId
from hypothesis import HealthCheck, settings

from manifests import boundary

# Tests reach no publisher's server: what is missing is built, and downloads have a server of their own.
os.environ["HOMELAB_TOOLS"] = "build"
# No test asks another host; one that fetches asks a server of its own, and says so.
os.environ["HOMELAB_OFFLINE"] = "1"
# Nor does a test depend on which real charts are in the cache of whoever runs it: this folder is never made.
os.environ["HOMELAB_ORIGINALS"] = str(Path(tempfile.gettempdir(), f"homelab-no-originals-{os.getpid()}"))

# A shell starts a background job with these ignored, and each child inherits that: no test of a signal could pass.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A machine that is at work with something else is no fault of what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture
def repositories_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow servers and repositories of this machine, which `check` refuses; test_boundary.py is about the rule."""
    monkeypatch.setattr(boundary, "remote_rule", lambda url, *, charts=False: "")


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Show the groups to pytest-xdist, which writes them where this pytest no longer looks (pytest-xdist#1386)."""
    if getattr(config.option, "loadgroup", False):
        for item in items:
            for mark in item.iter_markers("xdist_group"):
                group = f"@{mark.args[0]}"
                item._id = NodeId.parse(f"{item.nodeid.removesuffix(group)}{group}")

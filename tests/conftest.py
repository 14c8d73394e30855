"""Configure all tests: the tests of one group share their expensive fixtures, and properties have no deadline."""

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

# Tests reach no publisher's server: missing programs are built, and tests of downloads have a server of their own.
os.environ["HOMELAB_TOOLS"] = "build"
# Tests reach no other host; a test that fetches starts a server of its own, and unsets this.
os.environ["HOMELAB_OFFLINE"] = "1"
# `init` would send it to the address that a test takes for its Proxmox.
os.environ.pop("PROXMOX_VE_API_TOKEN", None)
# `check` would print annotations beside its report.
os.environ.pop("GITHUB_ACTIONS", None)
# No test depends on the charts in the user's cache: this folder does not exist.
os.environ["HOMELAB_ORIGINALS"] = str(Path(tempfile.gettempdir(), f"homelab-no-originals-{os.getpid()}"))

# A shell starts a background job with these ignored, and each child inherits that: no test of a signal could pass.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A slow machine is no failure of the tested code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture
def repositories_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow servers and repositories of this machine, which `check` refuses; test_boundary.py is about the rule."""
    monkeypatch.setattr(boundary, "remote_rule", lambda url, *, charts=False: "")


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Set the groups for pytest-xdist, which writes them where this pytest does not read them (pytest-xdist#1386)."""
    if getattr(config.option, "loadgroup", False):
        for item in items:
            for mark in item.iter_markers("xdist_group"):
                group = f"@{mark.args[0]}"
                item._id = NodeId.parse(f"{item.nodeid.removesuffix(group)}{group}")

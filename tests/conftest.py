"""What holds for all tests: those of one group share what is costly to set up, and no property is a matter of time."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from _pytest.nodeid import NodeId
from hypothesis import HealthCheck, settings

# A machine that is at work with something else is no fault of what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
# Tests download nothing; the processes that they start inherit it.
os.environ["HOMELAB_OFFLINE"] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Show the groups to pytest-xdist, which writes them where this pytest no longer looks (pytest-xdist#1386)."""
    if getattr(config.option, "loadgroup", False):
        for item in items:
            for mark in item.iter_markers("xdist_group"):
                group = f"@{mark.args[0]}"
                item._id = NodeId.parse(f"{item.nodeid.removesuffix(group)}{group}")

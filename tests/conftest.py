"""What holds for all tests: those of one group run in one worker, since they share what is costly to set up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from _pytest.nodeid import NodeId


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Show the groups to pytest-xdist, which writes them where this pytest no longer looks (pytest-xdist#1386)."""
    if getattr(config.option, "loadgroup", False):
        for item in items:
            for mark in item.iter_markers("xdist_group"):
                group = f"@{mark.args[0]}"
                item._id = NodeId.parse(f"{item.nodeid.removesuffix(group)}{group}")

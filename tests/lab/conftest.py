"""Fixtures that several files of the lab's tests share, because their setup is costly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.home import Home

GROUP = "home"
HOMES: list[Home] = []
"""Those that run."""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Yield a small home where everything is Synced and Healthy; its tests run in one worker, in the group `home`."""
    made = Home.trimmed(tmp_path_factory.mktemp("home") / "checkout")
    HOMES.append(made)
    try:
        made.whole()
        yield made
    finally:
        end_homes()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop the home after the last test of its group: a worker has other tests to run, and two cores are few."""
    if hasattr(item.config, "workerinput") and _at_home(item) and not _at_home(nextitem):
        end_homes()


def _at_home(item: pytest.Item | None) -> bool:
    return item is not None and any(mark.args[0] == GROUP for mark in item.iter_markers("xdist_group"))


def end_homes() -> None:
    while HOMES:
        HOMES.pop().end()

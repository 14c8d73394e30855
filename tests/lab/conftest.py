"""What several files of the lab's tests share, because it is costly to set up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.home import Home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Give a small home where all is Synced and Healthy; its tests run in one worker, in the group `home`."""
    made = Home.trimmed(tmp_path_factory.mktemp("home") / "checkout")
    try:
        made.whole()
        yield made
    finally:
        made.end()

"""The repository that tests of promotions share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.promotion.example import Example, example


@pytest.fixture(scope="session")
def first_commit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository to copy: Git takes longer to make it."""
    return example(tmp_path_factory.mktemp("promotion") / "checkout").root


@pytest.fixture
def repository(tmp_path: Path, first_commit: Path) -> Iterator[Example]:
    made = Example(shutil.copytree(first_commit, tmp_path / "checkout"))
    yield made
    for store in made.stores:
        store.repository.close()

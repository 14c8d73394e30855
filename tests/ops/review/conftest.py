"""The checkout that every example changes, made once, and the versions of its chart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.review.library.charts import lay_charts
from tests.ops.review.library.example import lay_template


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the repository and the charts."""
    folder = tmp_path_factory.mktemp("library")
    lay_charts(folder / "originals")
    (folder / "checkout").mkdir()
    lay_template(folder / "checkout")
    return folder


@pytest.fixture
def template(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the repository, and use the charts."""
    monkeypatch.setenv("HOMELAB_ORIGINALS", str(shelf / "originals"))
    return shelf / "checkout"

"""The fixture that tests of tools share: a machine with a cache and a PATH of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.play import Play, prepared


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    yield from prepared(tmp_path, monkeypatch)

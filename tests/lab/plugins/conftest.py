"""The engine and its language host, found or built once; a desk for each file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ops import toolchain
from tests.lab.plugins.desk import Desk


@pytest.fixture(scope="session")
def engine_path() -> str:
    return toolchain.ensure(("pulumi", "pulumi-language-python")).env()["PATH"]


@pytest.fixture(scope="module")
def new_desk(engine_path: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Desk]:
    def make(name: str) -> Desk:
        folder: Path = tmp_path_factory.mktemp(name)
        return Desk(folder / "project", {**os.environ, "PATH": engine_path})

    return make

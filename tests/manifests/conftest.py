"""The pinned kustomize and helm, and an empty checkout with a renderer for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.render import Renderer
from manifests.render_cache import RenderCache
from ops.toolchain.lookup import ensure
from tests.manifests.checkout import Bases, Charts


@pytest.fixture(scope="session")
def env() -> dict[str, str]:
    return ensure(("kustomize", "helm")).env()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


@pytest.fixture
def charts(tmp_path: Path) -> Charts:
    return Charts(tmp_path / "charts")


@pytest.fixture
def renderer(root: Path, tmp_path: Path, env: dict[str, str], charts: Charts) -> Renderer:
    kept = RenderCache(tmp_path / "renders")
    return Renderer(root, kubernetes="1.36.3", charts=charts, bases=Bases(), env=env, kept=kept)

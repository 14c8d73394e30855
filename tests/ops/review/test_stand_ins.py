"""Both sides of a change: versions whose difference a stand-in hides."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.tree import App, Tree
from manifests.sources import Chart
from ops.checking.validation import REAL, Validation
from ops.review.changes import versions
from ops.review.sides import Side, pairs_of
from tests.ops.review.dangers.changes import STACK, category

BROKEN = "broken"
LOGS = App("media", "logs", "production", "kustomization")
CHARTS = """\
helmCharts:
  - name: loki
    repo: https://charts.example.com
    version: {version}
"""


def _side(root: Path, kind: str, version: str = "1.0.0") -> Side:
    folder = root / LOGS.path
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(CHARTS.format(version=version), encoding="utf-8")
    stack, tree = STACK, Tree(categories=(category({}, (LOGS,)),), environments=("production",))
    made: Any = Validation(root, [stack], tree)
    given = {
        Chart("loki", version, "https://charts.example.com"): SimpleNamespace(name="loki", version=version, kind=kind)
    }
    made.charts, made.bases = SimpleNamespace(given=given), SimpleNamespace(given={})
    if kind != BROKEN:
        made.rendered[str(stack.require().cluster.kubernetes_version), LOGS.path] = ()
    return Side(root, [stack], tree, made)


@pytest.mark.parametrize(
    ("kind", "version", "moved", "why"),
    [
        ("stand-in", "1.0.1", [("1.0.0", "1.0.1", True)], "not what stand-ins render of them: chart loki 1.0.1"),
        (REAL, "1.0.1", [("1.0.0", "1.0.1", False)], ""),
        (BROKEN, "1.0.1", [], "it does not render before and after the change, and is not compared"),
        ("stand-in", "1.0.0", [], ""),
    ],
)
def test_a_version_that_moves_no_object_is_reported(
    kind: str, version: str, moved: list[tuple[str, str, bool]], why: str, tmp_path: Path
) -> None:
    sides = _side(tmp_path / "a", kind), _side(tmp_path / "b", kind, version)
    found = pairs_of(*sides, ["base"])
    assert [(one.before, one.after, one.stand_in) for one in versions(found.apps, *sides)] == moved
    assert found.notes == ([f"media/logs: its files change, but {why}"] if why else [])

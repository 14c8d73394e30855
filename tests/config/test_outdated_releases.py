"""Outdated pins are reported by name, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from config import outdated_releases
from config.load import read_stack
from config.outdated_releases import Outdated, outdated
from config.tree import chart_versions, read_tree
from config.values import Version
from ops.rehearse import COMPARED

ROOT = Path(__file__).parents[2]
TREE = read_tree(ROOT)
STACK = read_stack(ROOT / "Pulumi.dev.yaml").require()


def known(monkeypatch: pytest.MonkeyPatch, **releases: str) -> None:
    monkeypatch.setattr(outdated_releases, "compatible", lambda: {"newest": {"asOf": "2026-01", "releases": releases}})


@pytest.mark.parametrize(
    ("here", "newest", "is_behind"),
    [
        ("1.2.3", "1.2.4", True),
        ("v1.9.0", "1.10.0", True),
        ("3.22.0", "4.2.0", True),
        ("1.2.4", "1.2.4", False),
        ("1.3.0", "1.2.9", False),
        ("main", "1.2.4", False),
    ],
)
def test_a_program_that_is_older_is_behind(
    monkeypatch: pytest.MonkeyPatch, here: str, newest: str, *, is_behind: bool
) -> None:
    known(monkeypatch, helm=newest)
    expected = [Outdated("helm", here.removeprefix("v"), newest)] if is_behind else []
    assert outdated(ROOT, TREE, STACK, {"helm": here}) == expected


def test_what_the_settings_pin_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, talos="99.0.0", kubernetes="0.1.0")
    assert outdated(ROOT, TREE, STACK, {}) == [Outdated("talos", str(STACK.cluster.talos_version), "99.0.0")]


def test_what_the_tree_pins_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, **{"cilium": "99.0.0", "gateway-api": "99.0.0"})
    assert [found.name for found in outdated(ROOT, TREE, STACK, {})] == ["cilium", "gateway-api"]


def test_every_known_release_is_of_a_pinned_program() -> None:
    file = ROOT / "config/compatibility.yaml"
    releases = yaml.safe_load(file.read_text(encoding="utf-8"))["newest"]["releases"]
    pinned = {"talos", "kubernetes", *COMPARED, "gateway-api"}
    for app in TREE.apps_in("dev"):
        pinned |= set(chart_versions(ROOT, app))
    assert set(releases) <= pinned
    assert all(str(Version.parse(version)) == version for version in releases.values())

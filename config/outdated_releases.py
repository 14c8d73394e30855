"""Pins of a stack that are older than the newest known releases: reported, never refused.

Settings, the tree and the versions of the programs in use come in, outdated ones go out. `compatibility.yaml` holds the
newest releases and the date of that list; `ops.rehearse` prints the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.compatibility import compatible
from config.model import Settings
from config.tree import Tree, chart_versions
from config.values import Version

HOSTED = 3  # https://github.com/OWNER/NAME/FOLDER: all folders have the name of their repository


@dataclass(frozen=True)
class Outdated:
    """One pin with a newer release."""

    name: str
    here: str
    newest: str


def looked_up() -> str:
    """Return the month of the list of newest releases."""
    return str(compatible()["newest"]["asOf"])


def outdated(root: Path, tree: Tree, settings: Settings, programs: Mapping[str, str]) -> list[Outdated]:
    """Return every pin of a stack with a newer known release."""
    newest: Mapping[str, Any] = compatible()["newest"]["releases"]
    pinned = {"talos": str(settings.cluster.talos_version), "kubernetes": str(settings.cluster.kubernetes_version)}
    pinned |= programs
    for app in tree.apps_in(settings.delivery.environment):
        pinned |= {_name(source): version for source, version in chart_versions(root, app).items()}
    found = (Outdated(name, pinned[name].removeprefix("v"), newest[name]) for name in newest if name in pinned)
    return [one for one in found if _is_older(one.here, one.newest)]


def _name(source: str) -> str:
    """Return the name of a chart, or the name of a base's repository."""
    parts = source.partition("://")[2].split("/")
    return parts[HOSTED - 1] if len(parts) >= HOSTED else source


def _is_older(here: str, newest: str) -> bool:
    """Return whether a version is older; other checks report a pin that is no version."""
    try:
        one, other = Version.parse(here), Version.parse(newest)
    except ValueError:
        return False
    return (one.major, one.minor, one.patch) < (other.major, other.minor, other.patch)

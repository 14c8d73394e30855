"""How far a stack is behind the newest releases that are known: reports say so, nothing refuses it.

Settings, the tree and the versions of the programs in use come in, what is older comes out. `compatibility.yaml` holds
what is known and when it was looked up; `ops.rehearse` prints it.
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

HOSTED = 3  # https://github.com/OWNER/NAME/FOLDER: what a repository holds is called by its name


@dataclass(frozen=True)
class Outdated:
    """Something that a newer release is known of."""

    name: str
    here: str
    newest: str


def looked_up() -> str:
    """Say in which month the newest releases were looked up."""
    return str(compatible()["newest"]["asOf"])


def outdated(root: Path, tree: Tree, settings: Settings, programs: Mapping[str, str]) -> list[Outdated]:
    """Compare everything that a stack pins with the newest known."""
    newest: Mapping[str, Any] = compatible()["newest"]["releases"]
    pinned = {"talos": str(settings.cluster.talos_version), "kubernetes": str(settings.cluster.kubernetes_version)}
    pinned |= programs
    for app in tree.apps_in(settings.delivery.environment):
        pinned |= {_name(source): version for source, version in chart_versions(root, app).items()}
    found = (Outdated(name, pinned[name].removeprefix("v"), newest[name]) for name in newest if name in pinned)
    return [one for one in found if _is_older(one.here, one.newest)]


def _name(source: str) -> str:
    """Call a chart by its name and a base by its repository's."""
    parts = source.partition("://")[2].split("/")
    return parts[HOSTED - 1] if len(parts) >= HOSTED else source


def _is_older(here: str, newest: str) -> bool:
    """What is not pinned by a version is another check's matter."""
    try:
        one, other = Version.parse(here), Version.parse(newest)
    except ValueError:
        return False
    return (one.major, one.minor, one.patch) < (other.major, other.minor, other.patch)

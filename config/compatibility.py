"""Compatible versions: the table in compatibility.yaml, and the range that the pinned talosctl can upgrade.

Pure: `config.checks` makes findings of it, `config.outdated_releases` compares pins with the newest releases, and a
rehearsal refuses the same pairs as the real talosctl.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from config import own_data
from config.values import Version


@cache
def compatible() -> Mapping[str, Any]:
    """Return the table of compatible versions."""
    loaded: Mapping[str, Any] = own_data.value_of(Path(__file__).with_suffix(".yaml"))
    return loaded


def is_newer(version: Version | str, line: str) -> bool:
    """Return whether a version, or a minor version, is newer than a minor version."""
    return _parts(version.line if isinstance(version, Version) else version) > _parts(line)


def _parts(line: str) -> tuple[int, ...]:
    return tuple(int(part) for part in line.split("."))

"""YAML files of the project itself, read and written fast: they are trusted, and no line of them is reported.

A path of this repository comes in, its value goes out. `standins` reads its descriptions and facts with it; files that
users write are read by `config.source` and `manifests.kubernetes_yaml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import yaml

try:
    from yaml import CSafeDumper as _Dumper
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML without libyaml: slower, the same values
    from yaml import SafeDumper as _Dumper  # type: ignore[assignment]
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Dumper: TypeAlias = _Dumper


def value_of(file: Path) -> Any:
    """Return the value of a file."""
    return yaml.load(file.read_text(encoding="utf-8"), _Loader)

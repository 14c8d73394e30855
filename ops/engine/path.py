"""The PATH of a run of the engine: the project's Python and the pinned programs come first."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ops.toolchain.lookup import ensure

PROGRAMS = ("pulumi", "pulumi-language-python", "talosctl", "kubectl", "kustomize", "helm")


def prepare_path() -> None:
    """Put the project's Python and the pinned programs first on the PATH of this process."""
    os.environ.update(ensure(PROGRAMS).env())
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

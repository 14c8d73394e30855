"""Where the person stands who calls: the launcher goes to the checkout, and a path is meant from where it was called.

`ops.render` and `ops.check` take paths through here.
"""

from __future__ import annotations

import os
from pathlib import Path


def path(text: str) -> Path:
    """Take a path as an option gives it."""
    return Path(os.environ.get("HOMELAB_CALLED_FROM", ""), text)

"""Wait for a condition that another process or thread makes true."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], object], seconds: float) -> None:
    """Poll until a condition is true, and fail at the timeout."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not true within {seconds:g} s"
        time.sleep(0.05)

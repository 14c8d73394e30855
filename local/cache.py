"""The user's cache: its folder, the names of its entries, and the lock that keeps two runs from making the same one.

Content or the path of a lock comes in, a digest or a locked place goes out. `manifests.sources` keeps charts and bases
in the cache, `ops.toolchain.builds` the pinned programs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def digest(text: str | bytes) -> str:
    """Return the SHA-256 digest of content, in hexadecimal."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def cache_folder() -> Path:
    """Return the folder of this project in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "homelab"


@contextmanager
def locked(file: Path) -> Iterator[TextIO]:
    """Hold the exclusive lock of a file and yield it open; the kernel releases the lock of a process that ends."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield opened

"""The user's cache: its folder, the names of its entries, and the lock that keeps two runs from making the same one.

Content or the path of a lock comes in, a digest or a locked place goes out. `manifests.sources` keeps charts and bases
in the cache, `ops.toolchain` the pinned programs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def digest(text: str | bytes) -> str:
    """Give the content's name."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def cache() -> Path:
    """Where the user's cache keeps what is ours."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "homelab"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Keep others out of a place in the cache; the kernel lets go of a dead process's lock."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

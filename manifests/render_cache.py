"""Cached renders, in the user's cache.

A digest of all inputs comes in, objects go out; a damaged entry counts as none and is written again. Entries appear
whole or not at all, also if several processes write the same one. `manifests.render` reads it first.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.cache import cache_folder, digest
from manifests.objects import Object

MEBI = 1 << 20


@dataclass(frozen=True)
class RenderCache:
    """A folder of renders with a limited size."""

    home: Path = field(default_factory=lambda: cache_folder() / "renders")
    most_bytes: int = 256 * MEBI

    def read(self, key: str) -> list[Object] | None:
        """Return a render, None if it is absent or damaged."""
        file = self._file(key)
        try:
            seal, _, text = file.read_bytes().partition(b"\n")
            if digest(text) != seal.decode(errors="replace"):
                return None
            objects: list[Object] = json.loads(text)
            os.utime(file)
        except (OSError, ValueError):
            return None
        return objects

    def write(self, key: str, objects: Sequence[Object]) -> None:
        """Write a render; a cache that cannot be written costs time only."""
        text = json.dumps(list(objects), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        file = self._file(key)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(prefix=".writing-", dir=file.parent)
            try:
                with open(number, "wb") as fresh:  # noqa: PTH123 - mkstemp gives a number
                    fresh.write(digest(text).encode() + b"\n" + text)
                Path(name).replace(file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def prune(self) -> None:
        """Remove the least recently used renders above the limit."""
        files = []
        for file in self.home.glob("*/*"):
            with contextlib.suppress(OSError):
                about = file.stat()
                files.append((about.st_mtime, about.st_size, file))
        size = sum(one for _, one, _ in files)
        if size <= self.most_bytes:
            return
        for _, one, file in sorted(files):
            file.unlink(missing_ok=True)
            size -= one
            # Some room, so that not every run has to clear up.
            if size <= self.most_bytes * 3 // 4:
                return

    def _file(self, key: str) -> Path:
        return self.home / key[:2] / key[2:]

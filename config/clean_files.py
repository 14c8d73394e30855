"""The files in which no secret was found before, in the user's cache: a search of the whole tree takes seconds.

A name and a content come in, a digest decides; it includes the rules of the search itself, so that other rules search
again. Only files without a finding are noted. `config.leaks` continues.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from local.cache import cache_folder, digest
from local.files import write_private

MOST = 50_000  # files, of a few checkouts
DIGITS = 32
UNUSED = 7 * 86400.0


class CleanFiles:
    """The digests of clean files, read once and written once in a run."""

    def __init__(self) -> None:
        """Read what earlier runs of the same program have noted."""
        here = Path(__file__).parent
        program = "".join(digest(file.read_bytes()) for file in sorted(here.rglob("*.*")) if file.suffix != ".pyc")
        self.file = cache_folder() / "clean-files" / digest(program)[:DIGITS]
        self.known: set[str] = set()
        self.fresh: set[str] = set()
        with contextlib.suppress(OSError, ValueError):
            self.known = set(self.file.read_text(encoding="ascii").split())

    def key(self, name: str, raw: bytes) -> str:
        """Return the digest of a file: its name decides which rules read it."""
        return digest(f"{name}\0".encode("utf-8", "surrogateescape") + raw)[:DIGITS]

    def holds(self, key: str) -> bool:
        """Return whether a file is known as clean."""
        return key in self.known

    def write(self) -> None:
        """Note the files that are clean now; a cache that cannot be written costs time only."""
        if not self.fresh:
            return
        kept = self.known if len(self.known) + len(self.fresh) <= MOST else set()
        with contextlib.suppress(OSError):
            write_private(self.file, "\n".join(sorted(kept | self.fresh)))
            for other in self.file.parent.iterdir():
                if time.time() - other.stat().st_mtime > UNUSED:  # another checkout may have other rules
                    other.unlink(missing_ok=True)

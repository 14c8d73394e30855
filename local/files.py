"""Private files: folders and files that only their owner can read.

A path and its content come in, a file that is whole or absent goes out. Everything that keeps keys, passwords or state
on this machine writes it here: `lab.layout` and the verbs of `ops` continue.
"""

from __future__ import annotations

import os
from pathlib import Path


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner can open."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(file: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read, whole or not at all; leave a file of the same content untouched."""
    data = content.encode() if isinstance(content, str) else content
    if file.exists() and file.read_bytes() == data:
        return
    private_folder(file.parent)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:  # noqa: PTH123 - a mode
        opened.write(data)
    fresh.replace(file)

"""Locks of a rehearsal, each held by one process at a time.

A name comes in, an open file goes out. `lab.running.servers` locks each server, and `lab.hardware.talos_node` the
registration of nodes: the latter serves every call of talosctl, which need not import the process table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from lab.layout import Lab
from local.cache import locked
from local.files import private_folder


@contextmanager
def lock(lab: Lab, name: str) -> Iterator[TextIO]:
    """Hold a lock of this lab; the kernel releases the lock of a process that ends."""
    private_folder(lab.run)
    with locked(lab.run / f"{name}.lock") as opened:
        yield opened

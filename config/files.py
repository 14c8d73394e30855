"""Reading files of a checkout that a stranger may have written.

A path comes in, bytes go out, or an OSError whose text completes a message. A link that leaves the checkout, a device,
a pipe and a file of unbounded size are refused here once, for each reader of the tree: `config.source` and
`manifests.checkout` open nothing themselves.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MEBI = 1 << 20
LARGEST_TEXT = MEBI  # limit for a file that people write
LARGEST = 64 * MEBI  # limit for any file of a render
CHUNK = 1 << 16


def content(path: Path | str, most: int = LARGEST_TEXT, root: Path | str | None = None) -> bytes:
    """Return the content of a regular file; below `root`, if one is given, also through links."""
    if root is not None and leaves(root, path):
        raise OSError(errno.EXDEV, "leads out of the checkout", str(path))
    # Without O_NONBLOCK, opening a pipe blocks until a writer opens it.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(number, "rb", buffering=0) as opened:  # noqa: PTH123 - os.open gives a number
        about = os.fstat(number)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if about.st_size > most:
            raise too_large(path, most)
        found = bytearray()
        while part := opened.read(CHUNK):
            found += part
            if len(found) > most:  # a file of /proc reports no size
                raise too_large(path, most)
        return bytes(found)


def leaves(root: Path | str, path: Path | str) -> bool:
    """Return whether a path leaves a folder, by its dots or through a link."""
    top, place = os.path.realpath(root), os.path.realpath(path)
    return place != top and not place.startswith(f"{top.rstrip('/')}/")


def too_large(path: Path | str, most: int) -> OSError:
    """Return the error of a file that is larger than its reader takes."""
    return OSError(errno.EFBIG, f"is larger than {most // MEBI} MiB", str(path))

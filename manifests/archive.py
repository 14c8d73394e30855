"""A chart's archive, unpacked as helm reads it: regular files below one folder, up to helm's limit.

An archive comes in, a folder goes out. helm itself could unpack it, but would delete the archive, whose digest
`manifests.receipts` records.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from errors import OriginalRefused

MEBI = 1 << 20
LARGEST = 100 * MEBI  # helm's own limit for all files together
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
FIX = "report it to the chart's publisher, or choose another version"


def unpack(archive: Path, into: Path) -> None:
    """Write the files of an archive into a folder, without the name of the folder that they have in the archive."""
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for path, data in _files(packed):
                target = into / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data.removeprefix(BYTE_ORDER_MARK))
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise OriginalRefused(f"is not an archive that can be unpacked: {error}", FIX) from error


def _files(packed: tarfile.TarFile) -> Iterator[tuple[PurePosixPath, bytes]]:
    left = LARGEST
    for member in packed:
        if member.isdir():
            continue
        path = _inside(member.name)
        if not member.isreg():
            raise OriginalRefused(f"holds {member.name}, which is a link or a device", FIX)
        left -= member.size
        if left < 0:
            raise OriginalRefused(f"is larger than {LARGEST // MEBI} MiB when unpacked, which helm refuses", FIX)
        opened = packed.extractfile(member)
        assert opened is not None  # of a regular file there always is one
        yield path, opened.read()


def _inside(name: str) -> PurePosixPath:
    """Return a member's path below the archive's one folder, and refuse a path that leads out of it."""
    path = PurePosixPath(name.replace("\\", "/"))
    below = path.relative_to(path.parts[0]) if path.parts else path
    if path.is_absolute() or ".." in path.parts or not below.parts:
        raise OriginalRefused(f"holds {name}, which lies outside of the chart's folder", FIX)
    return below

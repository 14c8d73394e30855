"""The unpacking of a release: only the required programs of a tar or zip archive.

An archive with a verified checksum comes in; regular files go out, under the names that `ops.toolchain.downloads`
requires. An archive with an entry that would leave the folder is refused as a whole, even if that entry is not
required: a publisher has no reason to make one.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from errors import DownloadRefused

# The largest program of today has 240 MB.
LARGEST = 1_000_000_000


@dataclass(frozen=True)
class Entry:
    """An entry of an archive, and its target if it is a link."""

    name: str
    regular: bool
    size: int
    link: str = ""
    hard: bool = False

    @property
    def fault(self) -> str:
        """Return the fault of the entry, or nothing."""
        path, target = PurePosixPath(self.name), PurePosixPath(self.link)
        if path.is_absolute() or ".." in path.parts:
            return f"has an entry outside of its folder: {self.name}"
        if self.link and _leaves(target if self.hard else path.parent / target):
            return f"has a link outside of its folder: {self.name} -> {self.link}"
        return ""


def unpack(archive: Path, url: str, members: Mapping[str, str], into: Path) -> None:
    """Write the required members of an archive into a folder, each under its name in `members`."""
    names = {member: name for name, member in members.items()}
    try:
        for entry, opened in _entries(archive, zipped=url.endswith(".zip")):
            if entry.fault:
                raise DownloadRefused(f"{url}: the archive {entry.fault}; nothing of it was kept")
            name = names.pop(str(PurePosixPath(entry.name)), "")
            if not name:
                continue
            if not entry.regular or entry.size > LARGEST:
                kind = "no regular file" if not entry.regular else f"larger than {LARGEST / 1e6:.0f} MB"
                raise DownloadRefused(f"{url}: {entry.name} in the archive is {kind}; nothing of it was kept")
            with opened() as source, (into / name).open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DownloadRefused(f"{url}: the archive cannot be read ({error}); nothing of it was kept") from error
    if names:
        raise DownloadRefused(f"{url}: the archive has no {', '.join(names)}; nothing of it was kept")


def _entries(archive: Path, *, zipped: bool) -> Iterator[tuple[Entry, Callable[[], IO[bytes]]]]:
    if zipped:
        with zipfile.ZipFile(archive) as pack:
            for info in pack.infolist():
                mode = info.external_attr >> 16
                link = pack.read(info).decode(errors="replace") if stat.S_ISLNK(mode) else ""
                yield (
                    Entry(info.filename, not link and not info.is_dir(), info.file_size, link),
                    partial(pack.open, info),
                )
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            entry = Entry(member.name, member.isreg(), member.size, member.linkname, hard=member.islnk())
            yield entry, partial(_content, tar, member)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content, f"{member.name} is a regular file"
    return content


def _leaves(path: PurePosixPath) -> bool:
    """Report whether a path leads out of the folder that it is relative to."""
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return path.is_absolute()

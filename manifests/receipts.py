"""Receipts of fetched charts and bases: the digest of the first download, and the digest of the files in the cache.

A receipt lies beside the entry that it is about and outlives it: an entry that was damaged or removed is fetched
again, and must have the digest of the first download. `manifests.charts` and `manifests.bases` write receipts.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from errors import OriginalChanged
from local.cache import digest


@dataclass(frozen=True)
class Receipt:
    """The digests of one chart or base."""

    what: str
    fetched: str
    """Of the download: a chart's archive, a base's files."""
    manifest: str
    """Of a chart in an OCI registry, as helm reports it; empty for others."""
    content: str
    """Of the files in the cache."""


def read(file: Path) -> Receipt | None:
    """Return a receipt, or nothing where there is none that can be read."""
    try:
        return Receipt(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write(file: Path, receipt: Receipt) -> None:
    """Write a receipt, whole or not at all."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(asdict(receipt), indent=1) + "\n", encoding="utf-8")
    fresh.replace(file)


def check(file: Path, fresh: Receipt) -> None:
    """Refuse a chart or base with another digest than at the first fetch."""
    first = read(file)
    if first is None:
        return
    for was, now in ((first.fetched, fresh.fetched), (first.manifest, fresh.manifest)):
        if was and now and was != now:
            raise OriginalChanged(
                f"has changed under the same version: {was} when first fetched, {now} now",
                f"ask its publisher why; to accept the change, remove {file} and run the same command again",
            )


def is_intact(entry: Path, file: Path) -> bool:
    """Report whether an entry has the files that its receipt is about; one without a receipt was laid by the user."""
    if not file.exists():
        return True
    receipt = read(file)
    return receipt is not None and content_of(entry) == receipt.content


def content_of(folder: Path) -> str:
    """Return the digest of a folder's files, their names included."""
    found = []
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in (*names, *links):
            file = Path(place, name)
            what = f"-> {file.readlink()}" if file.is_symlink() else digest(file.read_bytes())
            found.append((str(file.relative_to(folder)), what))
    return f"sha256:{digest(json.dumps(sorted(found)))}"

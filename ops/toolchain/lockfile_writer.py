"""`./homelab tools --lock`: the checksums of all releases for all platforms, written into `mise.lock`.

The assets of `ops.toolchain.releases` come in; the SHA-256 of each is read from the file that its publisher serves, or
computed from the asset itself where the publisher serves another kind or none. The lock goes out, and a row for each
asset. An asset that changed under the same address is refused: a release is not replaced.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import DownloadFailed, DownloadRefused
from ops.toolchain import downloads, lockfile
from ops.toolchain.catalogue import Tool
from ops.toolchain.downloads import HASHES
from ops.toolchain.releases import PLATFORMS, Asset, Platform, assets
from ops.toolchain.transfers import Network

SHA256 = 64


@dataclass(frozen=True)
class ChecksumRow:
    """The result for one checksum."""

    tool: str
    asset: str
    platform: str
    digest: str
    source: str
    change: str


def lock(tools: Sequence[Tool], update: Callable[[str], None]) -> list[ChecksumRow]:
    """Write the lock again, with the checksums of these tools; one that is not available stays as it is."""
    entries = {key: dict(entry) for key, entry in lockfile.read().items()}
    rows = []
    with Network() as network, tempfile.TemporaryDirectory() as folder:
        for tool, asset, place in _all(tools):
            update(f"{asset.pin} {place.name}")
            file = Path(folder) / "asset"
            row = _one(tool, asset, place, file, network)
            file.unlink(missing_ok=True)
            rows.append(row)
            if row.digest:
                key, url = (asset.pin, place.name), asset.url(tool, place)
                kept = entries.get(key, {}) if entries.get(key, {}).get("url") == url else {}
                entries[key] = {**kept, "checksum": f"{HASHES[len(row.digest)]}:{row.digest}", "url": url}
    lockfile.write(entries)
    return rows


def _all(tools: Sequence[Tool]) -> Iterator[tuple[Tool, Asset, Platform]]:
    for tool in tools:
        for place in PLATFORMS:
            for asset in assets(tool, place):
                yield tool, asset, place


def _one(tool: Tool, asset: Asset, place: Platform, file: Path, network: Network) -> ChecksumRow:
    before = lockfile.checksum(tool, asset, place)
    try:
        digest, source = _found(tool, asset, place, file, network, len(before) or SHA256)
    except DownloadFailed as error:
        return ChecksumRow(tool.name, asset.pin, place.name, before, str(error), "stays" if before else "none")
    if before and before != digest:
        raise DownloadRefused(
            f"mise.lock: {asset.pin} {place.name}: has {before}, and {asset.url(tool, place)} is {digest} now: a"
            " release is not replaced; ask the publisher, and delete the old checksum if the new one is right"
        )
    return ChecksumRow(tool.name, asset.pin, place.name, digest, source, "same" if before else "new")


def _found(tool: Tool, asset: Asset, place: Platform, file: Path, network: Network, length: int) -> tuple[str, str]:
    """Return the digest of an asset in the required kind, and its source."""
    published = downloads.published(tool, asset, place, file, network) if asset.sums else ""
    if len(published) == length:
        return published, downloads.PUBLISHER
    digests = network.fetch(asset.url(tool, place), file)
    if published and digests[HASHES[len(published)]] != published:
        raise DownloadRefused(f"{asset.url(tool, place)}: is not the file of {asset.sums_url(tool, place)}")
    return digests[HASHES[length]], "the file, by the publisher's checksum" if published else "the file, first seen"

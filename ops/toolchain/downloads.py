"""The download of pinned tools: the publisher's release, accepted only with a known checksum.

A tool of `ops.toolchain.catalogue` comes in with its assets of `ops.toolchain.releases`; a folder in the user's cache
goes out, beside those of `ops.toolchain.builds`, whose mechanism makes it appear complete or not at all. The checksum
comes from `mise.lock` (`ops.toolchain.lockfile`); where that has none, from the file that the publisher serves beside
the release. A file that differs raises DownloadRefused; a file that does not arrive raises DownloadFailed, and
`ops.toolchain.installation` builds the tool.
"""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from errors import DownloadFailed, DownloadRefused, MachineNotReady
from ops.toolchain import archives, builds, lockfile, releases
from ops.toolchain.catalogue import Tool
from ops.toolchain.releases import RELEASES, Asset, Platform, assets

if TYPE_CHECKING:
    from ops.toolchain.transfers import Network

LOCK, PUBLISHER = "lock", "publisher's checksum"
LARGEST_SUMS = 1_000_000
HASHES = {64: "sha256", 128: "sha512"}


def hindrance(tool: Tool) -> str:
    """Return the reason why a tool cannot be downloaded on this machine, or nothing where it can."""
    place = releases.here()
    if tool.name not in RELEASES:
        return "it has no release"
    found = assets(tool, place)
    if not found:
        return f"its publisher has no release for {place.name}"
    if not all(asset.sums or lockfile.checksum(tool, asset, place) for asset in found):
        return f"its publisher serves no checksum and mise.lock has none for {place.name}"
    return ""


def known_by(tool: Tool) -> str:
    """Return the source of the checksum that verifies the download of a tool."""
    found = assets(tool, releases.here())
    return LOCK if all(lockfile.checksum(tool, asset, releases.here()) for asset in found) else PUBLISHER


def folder(tool: Tool) -> Path:
    """Return the folder of a tool's download, whether it exists or not; it differs for each checksum in the lock."""
    place = releases.here()
    recipe = ["release", place.name, str(tool.version)]
    for asset in assets(tool, place):
        members = [f"{name}={member}" for name, member in asset.members.items()]
        recipe += [asset.path, asset.sums, *members, lockfile.checksum(tool, asset, place)]
    recipe += [f"{program.name}={program.links}" for program in tool.programs]
    digest = hashlib.sha256("\n".join(recipe).encode()).hexdigest()
    return builds.folder_of(tool.name, digest)


def download(tool: Tool, listener: builds.Listener, network: Network) -> Path:
    """Return the folder of a tool's programs, downloaded by this run or by another one that was quicker."""
    return builds.place(tool.name, folder(tool), lambda fresh: _fill(tool, fresh, network, listener.update), listener)


def _fill(tool: Tool, fresh: Path, network: Network, update: builds.Update) -> None:
    began, place = time.monotonic(), releases.here()
    kept = {}
    try:
        for asset in assets(tool, place):
            file = fresh / "asset"
            kept[asset.url(tool, place)] = _asset(tool, asset, place, file, network, update)
            if asset.archive:
                update("unpacking")
                members = {name: asset.filled(member, tool, place) for name, member in asset.members.items()}
                archives.unpack(file, asset.url(tool, place), members, fresh / builds.BIN)
                file.unlink()
            else:
                (name,) = asset.members
                file.rename(fresh / builds.BIN / name)
        for program in tool.programs:
            for link in program.links:
                (fresh / builds.BIN / link).symlink_to(program.name)
        for file in (fresh / builds.BIN).iterdir():
            file.chmod(0o755)
    except OSError as error:
        raise MachineNotReady(f"{tool.name}: not downloaded: {error}") from error
    seconds = round(time.monotonic() - began, 1)
    about = {"tool": tool.name, "version": str(tool.version), "seconds": seconds}
    builds.note(fresh, {**about, "known": known_by(tool), "sha256": kept})


def _asset(tool: Tool, asset: Asset, place: Platform, file: Path, network: Network, update: builds.Update) -> str:
    """Download one file, verify it and return its SHA-256."""
    url, source = asset.url(tool, place), "mise.lock"
    wanted = lockfile.checksum(tool, asset, place)
    if not wanted:
        source = asset.sums_url(tool, place)
        wanted = published(tool, asset, place, file, network)
    digests = network.fetch(url, file, update)
    found = digests[HASHES[len(wanted)]]
    if found != wanted:
        kind = HASHES[len(wanted)].upper().replace("SHA", "SHA-")
        raise DownloadRefused(
            f"{tool.name}: {url}: its {kind} is {found}, {source} requires {wanted}: this is not the pinned file,"
            " nothing of it was kept; try again, and if it stays so tell the publisher and build: HOMELAB_TOOLS=build"
        )
    return digests["sha256"]


def published(tool: Tool, asset: Asset, place: Platform, file: Path, network: Network) -> str:
    """Return the checksum that the publisher serves beside an asset, SHA-256 or SHA-512."""
    url = asset.sums_url(tool, place)
    network.fetch(url, file, largest=LARGEST_SUMS)
    name = urlsplit(asset.url(tool, place)).path.rpartition("/")[2]
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, named = line.strip().partition(" ")
        named = named.strip().removeprefix("*").rpartition("/")[2]
        if len(digest) in HASHES and re.fullmatch(r"[0-9A-Fa-f]+", digest) and named in ("", name):
            return digest.lower()
    raise DownloadFailed(f"{url} has no checksum of {name}")

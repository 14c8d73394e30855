"""Downloading pinned tools: the publisher's release, taken only with the checksum that is known, or not at all.

What flows in is a tool of `ops.pinned` with its assets of `ops.releases`; what flows out is a folder in the user's
cache beside those of `ops.building`, by whose mechanism it appears complete or not at all. The checksum comes from
`mise.lock` (`ops.lockfile`); where that has none, from the file that the publisher serves beside the release. A file
that differs raises DownloadRefused; a file that does not arrive raises DownloadFailed, and `ops.bringing` builds.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests

from errors import DownloadFailed, DownloadRefused, MachineNotReady
from manifests.sources import cache
from ops import building, lockfile, releases, unpacking
from ops.pinned import Tool
from ops.releases import RELEASES, Asset, Platform, assets
from ops.show import elapsed

LOCK, PUBLISHER = "lock", "publisher's checksum"
# Seconds to connect, and between two pieces of a file; then for a whole file.
TIMEOUT = (10.0, 30.0)
SLOWEST = 1800.0
ATTEMPTS = 2
REDIRECTS = 5
CHUNK = 1 << 18
LARGEST, LARGEST_SUMS = 600_000_000, 1_000_000
LOOPBACK = ("127.0.0.1", "::1", "localhost")
OK, BUSY, SERVER_ERROR = 200, 429, 500
HASHES = {64: "sha256", 128: "sha512"}


def hindrance(tool: Tool) -> str:
    """Return why a tool cannot be downloaded on this machine, or nothing where it can."""
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
    """Return by what a download of a tool is verified."""
    found = assets(tool, releases.here())
    return LOCK if all(lockfile.checksum(tool, asset, releases.here()) for asset in found) else PUBLISHER


def folder(tool: Tool) -> Path:
    """Return where a tool's download lies, whether it exists or not; another checksum in the lock is another folder."""
    place, entries = releases.here(), lockfile.read()
    recipe = ["release", place.name, str(tool.version)]
    for asset in assets(tool, place):
        members = [f"{name}={member}" for name, member in asset.members.items()]
        recipe += [asset.path, asset.sums, *members, lockfile.checksum(tool, asset, place, entries)]
    recipe += [f"{program.name}={program.links}" for program in tool.programs]
    digest = hashlib.sha256("\n".join(recipe).encode()).hexdigest()
    return cache() / "tools" / f"{tool.name}-{digest[: building.DIGITS]}"


@dataclass(frozen=True)
class Network:
    """What downloads share: their connections, the hosts that cannot be reached, and whether they have to stop."""

    session: requests.Session = field(default_factory=requests.Session)
    silent: set[str] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connections."""
        self.session.close()


def download(tool: Tool, listener: building.Listener, network: Network) -> Path:
    """Return the folder of a tool's programs, downloaded by us or by another run that was quicker."""
    return building.place(tool.name, folder(tool), lambda fresh: _fill(tool, fresh, network, listener.tell), listener)


def _fill(tool: Tool, fresh: Path, network: Network, tell: building.Tell) -> None:
    began, place = time.monotonic(), releases.here()
    kept = {}
    try:
        for asset in assets(tool, place):
            file = fresh / "asset"
            kept[asset.url(tool, place)] = _asset(tool, asset, place, file, network, tell)
            if asset.archive:
                tell("unpacking")
                members = {name: asset.filled(member, tool, place) for name, member in asset.members.items()}
                unpacking.unpack(file, asset.url(tool, place), members, fresh / building.BIN)
                file.unlink()
            else:
                (name,) = asset.members
                file.rename(fresh / building.BIN / name)
        for program in tool.programs:
            for link in program.links:
                (fresh / building.BIN / link).symlink_to(program.name)
        for file in (fresh / building.BIN).iterdir():
            file.chmod(0o755)
    except OSError as error:
        raise MachineNotReady(f"{tool.name}: not downloaded: {error}") from error
    seconds = round(time.monotonic() - began, 1)
    about = {"tool": tool.name, "version": str(tool.version), "seconds": seconds}
    building.note(fresh, {**about, "known": known_by(tool), "sha256": kept})


def _asset(tool: Tool, asset: Asset, place: Platform, file: Path, network: Network, tell: building.Tell) -> str:
    """Download one file, verify it and return its SHA-256."""
    url, source = asset.url(tool, place), "mise.lock"
    wanted = lockfile.checksum(tool, asset, place)
    if not wanted:
        source = asset.sums_url(tool, place)
        wanted = published(tool, asset, place, file, network)
    digests = fetch(network, url, file, tell)
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
    fetch(network, url, file, largest=LARGEST_SUMS)
    name = urlsplit(asset.url(tool, place)).path.rpartition("/")[2]
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, named = line.strip().partition(" ")
        named = named.strip().removeprefix("*").rpartition("/")[2]
        if len(digest) in HASHES and re.fullmatch(r"[0-9A-Fa-f]+", digest) and named in ("", name):
            return digest.lower()
    raise DownloadFailed(f"{url} has no checksum of {name}")


def fetch(
    network: Network, url: str, file: Path, tell: building.Tell = lambda text: None, *, largest: int = LARGEST
) -> dict[str, str]:
    """Download a file and return its digests, which are taken while it is written."""
    host, why = str(urlsplit(url).hostname), ""
    for _ in range(ATTEMPTS):
        if host in network.silent:
            raise DownloadFailed(f"{host} cannot be reached")
        try:
            with _answer(network.session, url) as answer:
                return _receive(answer, url, file, network.stop, tell, largest)
        except requests.exceptions.ChunkedEncodingError:
            why = f"the connection to {host} broke in the middle of the file"
        except requests.RequestException as error:
            why = _reason(host, error)
            # Without a network each of them would wait for the same silence.
            if why == f"{host} cannot be reached":
                network.silent.add(host)
    raise DownloadFailed(why)


def _answer(session: requests.Session, url: str) -> requests.Response:
    """Ask for a file and follow redirects, which lead to https only."""
    asked = url
    for _ in range(REDIRECTS):
        answer = session.get(
            asked, stream=True, allow_redirects=False, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
        )
        if not answer.is_redirect:
            break
        answer.close()
        asked, before = urljoin(asked, answer.headers["Location"]), asked
        if not _safe(asked, before):
            raise DownloadRefused(f"{url}: redirects to {asked}: only https is followed; nothing was downloaded")
    else:
        raise DownloadFailed(f"{url} redirects more than {REDIRECTS} times")
    if answer.status_code >= SERVER_ERROR or answer.status_code == BUSY:
        answer.raise_for_status()
    if answer.status_code != OK:
        answer.close()
        raise DownloadFailed(f"{url} does not exist (HTTP {answer.status_code})")
    return answer


def _safe(url: str, before: str) -> bool:
    """Whether a redirect is followed: to https, or between servers on loopback, where tests are."""
    there, here_now = urlsplit(url), urlsplit(before)
    return there.scheme == "https" or (
        there.scheme == here_now.scheme == "http" and {there.hostname, here_now.hostname} <= set(LOOPBACK)
    )


def _receive(
    answer: requests.Response, url: str, file: Path, stop: threading.Event, tell: building.Tell, largest: int
) -> dict[str, str]:
    size, done, began = int(answer.headers.get("Content-Length") or 0), 0, time.monotonic()
    digests = {name: hashlib.new(name) for name in HASHES.values()}
    with file.open("wb") as written:
        for piece in answer.iter_content(CHUNK):
            done += len(piece)
            if stop.is_set():
                raise DownloadFailed("interrupted")
            if max(done, size) > largest:
                raise DownloadRefused(f"{url}: larger than {largest / 1e6:.0f} MB: this is not the pinned file")
            if time.monotonic() - began > SLOWEST:
                raise DownloadFailed(f"{url}: {done / 1e6:.0f} MB in {elapsed(SLOWEST)} is too slow")
            written.write(piece)
            for digest in digests.values():
                digest.update(piece)
            tell(f"downloading, {done / 1e6:.0f} MB" + (f" of {size / 1e6:.0f}" if size else ""))
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _reason(host: str, error: requests.RequestException) -> str:
    """Say in a few words why a server gave no file."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{host} answers HTTP {error.response.status_code}"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy of HTTPS_PROXY does not lead to {host}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate of {host} is not trusted"
    if isinstance(error, requests.ReadTimeout) or "Read timed out" in str(error):
        return f"{host} sent nothing for {elapsed(TIMEOUT[1])}"
    return f"{host} cannot be reached"

"""The fetch of a release's file over HTTP: digests while it is written, limits of size and time, https only.

An address comes in; a file with its digests goes out, or DownloadFailed with the reason in few words. HTTPS_PROXY is
honoured. `ops.toolchain.downloads` compares the digests. This module is imported only where a file is fetched: HTTP
takes as long to import as all the rest.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests

from errors import DownloadFailed, DownloadRefused
from manifests.sources import is_loopback
from ops.terminal import elapsed
from ops.toolchain.builds import Update

# Seconds to connect, and between two pieces of a file; then for a whole file.
TIMEOUT = (10.0, 30.0)
SLOWEST = 1800.0
ATTEMPTS = 2
REDIRECTS = 5
CHUNK = 1 << 18
LARGEST = 600_000_000
OK, BUSY, SERVER_ERROR = 200, 429, 500
DIGESTS = ("sha256", "sha512")


@dataclass(frozen=True)
class Network:
    """The shared state of fetches: their connections, the unreachable hosts, and the signal to stop."""

    session: requests.Session = field(default_factory=requests.Session)
    silent: set[str] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        """Return it, ready to fetch."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connections."""
        self.session.close()

    def fetch(
        self, url: str, file: Path, update: Update = lambda text: None, *, largest: int | None = None
    ) -> dict[str, str]:
        """Write a file and return its digests."""
        host, why = str(urlsplit(url).hostname), ""
        for _ in range(ATTEMPTS):
            if host in self.silent:
                raise DownloadFailed(f"{host} cannot be reached")
            try:
                with self._answer(url) as answer:
                    return self._receive(answer, url, file, update, largest or LARGEST)
            except requests.exceptions.ChunkedEncodingError:
                why = f"the connection to {host} broke in the middle of the file"
            except requests.RequestException as error:
                why = _reason(host, error)
                # Without a network, each file would wait for the same timeout again.
                if why.endswith("cannot be reached"):
                    self.silent.add(host)
        raise DownloadFailed(why)

    def _answer(self, url: str) -> requests.Response:
        """Request a file and follow redirects, which must lead to https."""
        asked = url
        for _ in range(REDIRECTS):
            answer = self.session.get(
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
        if answer.status_code == OK:
            return answer
        answer.close()
        if answer.status_code >= SERVER_ERROR or answer.status_code == BUSY:
            raise requests.HTTPError(response=answer)
        raise DownloadFailed(f"{url} does not exist (HTTP {answer.status_code})")

    def _receive(self, answer: requests.Response, url: str, file: Path, update: Update, largest: int) -> dict[str, str]:
        size, done, began = int(answer.headers.get("Content-Length") or 0), 0, time.monotonic()
        digests = {name: hashlib.new(name) for name in DIGESTS}
        with file.open("wb") as written:
            for piece in answer.iter_content(CHUNK):
                done += len(piece)
                if self.stop.is_set():
                    raise DownloadFailed("interrupted")
                if max(done, size) > largest:
                    raise DownloadRefused(f"{url}: larger than {largest / 1e6:.0f} MB: this is not the pinned file")
                if time.monotonic() - began > SLOWEST:
                    raise DownloadFailed(f"{url}: {done / 1e6:.0f} MB in {elapsed(SLOWEST)} is too slow")
                written.write(piece)
                for digest in digests.values():
                    digest.update(piece)
                update(f"downloading, {done / 1e6:.0f} MB" + (f" of {size / 1e6:.0f}" if size else ""))
        return {name: digest.hexdigest() for name, digest in digests.items()}


def _safe(url: str, before: str) -> bool:
    """Report whether a redirect is followed: to https, or between servers on loopback, where tests run."""
    schemes = urlsplit(url).scheme, urlsplit(before).scheme
    return schemes[0] == "https" or (schemes == ("http", "http") and is_loopback(url) and is_loopback(before))


def _reason(host: str, error: requests.RequestException) -> str:
    """Return in a few words the reason why a server sent no file."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{host} answers HTTP {error.response.status_code}"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy of HTTPS_PROXY does not lead to {host}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate of {host} is not trusted"
    if isinstance(error, requests.ReadTimeout) or "Read timed out" in str(error):
        return f"{host} sent nothing for {elapsed(TIMEOUT[1])}"
    return f"{host} cannot be reached"

"""The hosts of a run that do not answer.

URLs come in; each host that does not answer goes out with the reason. All hosts are checked at once, for at most
`TIMEOUT` seconds. `ops.upstream.originals` leaves out the charts and bases of a silent host.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import requests

from manifests.sources import is_loopback

CONNECT, TIMEOUT = 4.0, 6.0  # seconds for one connection, and for all hosts together
SCHEMES = {"http": "http", "https": "https", "oci": "https"}
REFUSED = re.compile(r"\[Errno -?\d+\] ([^'\")]+)|Tunnel connection failed: ([^'\")]+)")
GITHUB = re.compile(r"(?:git::)?(?:https?://)?github\.com[/:]", re.IGNORECASE)


def host_of(url: str) -> str:
    """Return the URL that shows whether a host answers; nothing where git's configuration chooses the host."""
    if GITHUB.match(url):
        return "https://github.com/"
    try:
        parts = urlsplit(url.removeprefix("git::"))
        if parts.scheme not in SCHEMES or not parts.hostname:
            return ""
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    scheme = "http" if parts.scheme == "oci" and is_loopback(url) else SCHEMES[parts.scheme]
    return f"{scheme}://{host}{port}/"


def silent(hosts: Iterable[str], timeout: float = TIMEOUT) -> Mapping[str, str]:
    """Check all hosts at once; return those that do not answer, each with the reason."""
    asked = sorted(set(hosts) - {""})
    answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for host in asked:
        # The lookup of a name cannot be interrupted: a thread that is stuck in one is abandoned.
        threading.Thread(target=lambda host=host: answers.put((host, _ask(host))), daemon=True).start()
    answered: dict[str, str] = {}
    until = time.monotonic() + timeout
    while len(answered) < len(asked) and (left := until - time.monotonic()) > 0:
        try:
            host, reason = answers.get(timeout=left)
        except queue.Empty:
            break
        answered[host] = reason
    no_answer = f"no answer within {timeout:.0f} s"
    return {host: answered.get(host, no_answer) for host in asked if answered.get(host, no_answer)}


def _ask(host: str) -> str:
    """Return the reason why a host does not answer; any answer counts."""
    try:
        with requests.Session() as session:
            session.head(host, timeout=CONNECT, allow_redirects=False).close()
    except requests.exceptions.SSLError:
        return ""  # helm and git may trust a certificate that this Python does not
    except requests.exceptions.ReadTimeout:
        return "accepts the connection and does not answer"
    except requests.exceptions.Timeout:
        return f"no answer within {CONNECT:.0f} s"
    except (requests.RequestException, OSError, ValueError) as error:
        found = REFUSED.search(str(error))
        return (found[1] or found[2]).strip() if found else type(error).__name__
    return ""


def name_of(host: str) -> str:
    """Return a host's name for a report."""
    return urlsplit(host).netloc

"""Which of the hosts that a run needs answer at all.

URLs come in; out goes for each host that is silent the reason. All hosts are asked at once, and no wait is longer than
`PATIENCE`: `ops.upstream.originals` leaves out what a silent host has.
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

CONNECT, PATIENCE = 4.0, 6.0  # seconds for one connection, and for all hosts together
SCHEMES = {"http": "http", "https": "https", "oci": "https"}
REFUSED = re.compile(r"\[Errno -?\d+\] ([^'\")]+)|Tunnel connection failed: ([^'\")]+)")
GITHUB = re.compile(r"(?:git::)?(?:https?://)?github\.com[/:]", re.IGNORECASE)


def host_of(url: str) -> str:
    """Return the URL to ask whether a host answers; nothing where git's own settings say which host is meant."""
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


def silent(hosts: Iterable[str], patience: float = PATIENCE) -> Mapping[str, str]:
    """Ask all hosts at once, and return for each that does not answer why not."""
    asked = sorted(set(hosts) - {""})
    answers: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    for host in asked:
        # A lookup of a name cannot be interrupted: nothing waits for a thread that is still at it.
        threading.Thread(target=lambda host=host: answers.put((host, _ask(host))), daemon=True).start()
    heard: dict[str, str] = {}
    until = time.monotonic() + patience
    while len(heard) < len(asked) and (left := until - time.monotonic()) > 0:
        try:
            host, why = answers.get(timeout=left)
        except queue.Empty:
            break
        heard[host] = why
    no_answer = f"no answer within {patience:.0f} s"
    return {host: heard.get(host, no_answer) for host in asked if heard.get(host, no_answer)}


def _ask(host: str) -> str:
    """Return why a host does not answer; whatever it answers, it is there."""
    try:
        with requests.Session() as session:
            session.head(host, timeout=CONNECT, allow_redirects=False).close()
    except requests.exceptions.SSLError:
        return ""  # a certificate that this Python does not know may be one that helm and git know
    except requests.exceptions.ReadTimeout:
        return "takes the connection and does not answer"
    except requests.exceptions.Timeout:
        return f"no answer within {CONNECT:.0f} s"
    except (requests.RequestException, OSError, ValueError) as error:
        found = REFUSED.search(str(error))
        return (found[1] or found[2]).strip() if found else type(error).__name__
    return ""


def name_of(host: str) -> str:
    """Return a host's name as a report has it."""
    return urlsplit(host).netloc

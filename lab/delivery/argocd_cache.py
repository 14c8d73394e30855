"""The cache of a rehearsed Argo CD, which its programs share: a few commands of Redis, and values as JSON.

A rehearsal and a pattern of keys come in, values by their keys go out. `lab.delivery.repo_server` reads there what the
controller knows of the cluster; tests read renders.
"""

from __future__ import annotations

import gzip
import json
import socket
from io import BufferedRWPair
from typing import Any

from errors import TryAgain
from lab.delivery import argocd
from lab.layout import Lab
from lab.running import servers

SECONDS_TO_ANSWER = 10


def values(lab: Lab, pattern: str) -> dict[str, Any]:
    """Return the values whose keys match a pattern; a value that expires meanwhile is left out."""
    kept = {key.decode(): ask(lab, "GET", key.decode()) for key in ask(lab, "KEYS", pattern)}
    return {key: json.loads(gzip.decompress(value)) for key, value in kept.items() if value}


def ask(lab: Lab, *words: str) -> Any:
    """Send one command to Redis and return its answer."""
    address = ("127.0.0.1", servers.port(lab, argocd.REDIS))
    try:
        with socket.create_connection(address, SECONDS_TO_ANSWER) as connection, connection.makefile("rwb") as stream:
            stream.write(f"*{len(words)}\r\n".encode() + b"".join(_bulk(word) for word in words))
            stream.flush()
            return _answer(stream)
    except OSError as error:
        raise TryAgain(
            f"Argo CD's cache in the rehearsal does not answer: {error}; run the same command again"
        ) from None


def _bulk(word: str) -> bytes:
    return f"${len(word.encode())}\r\n{word}\r\n".encode()


def _answer(stream: BufferedRWPair) -> Any:
    kind, text = stream.read(1), stream.readline().strip()
    if kind == b"*":
        return [_answer(stream) for _ in range(int(text))]
    if kind == b"$":
        size = int(text)
        return stream.read(size + 2)[:-2] if size >= 0 else None
    if kind in (b"-", b""):
        raise TryAgain(
            f"Argo CD's cache in the rehearsal refuses a command: {text.decode()}; run the same command again"
        )
    return text

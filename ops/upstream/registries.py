"""Requests to registries and chart repositories for the existence of a version, without credentials.

An image or a chart goes in, an `Answer` comes out, never an exception: a registry that is down is an answer too. Images
and OCI charts are queried by the OCI distribution API, with the anonymous token that registries issue; charts of a Helm
repository are looked up in its index, which is read once. `ops.checking.online` collects the queries.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any

import requests
import yaml

from manifests import boundary
from manifests.fields import mappings, text
from manifests.kubernetes_yaml import KubernetesLoader
from manifests.rules.workloads import IMAGE
from manifests.sources import Chart
from ops.upstream.guarded_session import TIMEOUT, GuardedSession, may_give_tokens

HUB, HUB_API = "docker.io", "registry-1.docker.io"
LOOPBACK = ("127.0.0.1", "localhost")
ACCEPTED = (
    "application/vnd.oci.image.index.v1+json,application/vnd.oci.image.manifest.v1+json,"
    "application/vnd.docker.distribution.manifest.list.v2+json,application/vnd.docker.distribution.manifest.v2+json"
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
FOUND, UNAUTHORIZED, FORBIDDEN, GONE = 200, 401, 403, 404


class State(Enum):
    """The state of a version in its registry."""

    THERE = "there"
    MISSING = "missing"
    REFUSED = "refused"
    DIFFERENT = "different"
    SILENT = "no answer"


@dataclass(frozen=True)
class Answer:
    """The answer of a registry."""

    state: State
    said: str = ""
    digest: str = ""
    """The digest of the manifest or index that a tag means now, where the registry reports it."""


@dataclass
class Registries:
    """The requests of one run with a shared session; safe for several threads."""

    session: requests.Session = field(default_factory=GuardedSession)
    _indexes: dict[str, Mapping[str, Any] | Answer] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def image(self, image: str) -> Answer:
        """Check whether an image exists, by its digest where it has one."""
        found = IMAGE.fullmatch(image)
        if not found or not (found["tag"] or found["digest"]):
            return Answer(State.MISSING, "names no version")
        host, path = place_of(found["name"])
        return self._manifest(host, path, found["digest"] or found["tag"])

    def chart(self, chart: Chart) -> Answer:
        """Check whether a version of a chart exists."""
        if chart.repository.startswith("oci://"):
            host, _, path = chart.repository.removeprefix("oci://").rstrip("/").partition("/")
            # A tag must not contain a plus, so helm writes an underscore.
            return self._manifest(host, f"{path}/{chart.name}".lstrip("/"), chart.version.replace("+", "_"))
        index = self._index(chart.repository.rstrip("/"))
        if isinstance(index, Answer):
            return index
        versions = [text(one, "version") for one in mappings(index, chart.name)]
        if chart.version.removeprefix("v") in (one.removeprefix("v") for one in versions):
            return Answer(State.THERE)
        return Answer(State.MISSING, f"newest is {versions[0]}" if versions else "no chart of this name")

    def _manifest(self, host: str, path: str, reference: str) -> Answer:
        url = f"{_scheme(host)}://{host}/v2/{path}/manifests/{reference}"
        if rule := boundary.remote_rule(url, charts=True):
            return Answer(State.SILENT, f"its registry {rule}")
        headers = {"Accept": ACCEPTED}
        try:
            answer = self.session.head(url, headers=headers, timeout=TIMEOUT, allow_redirects=True)
            if answer.status_code == UNAUTHORIZED:
                # A redirect may have led to another registry: the token must be from that one, not from the first.
                token = self._token(answer.url, answer.headers.get("WWW-Authenticate", ""), path)
                if token:
                    headers["Authorization"] = f"Bearer {token}"
                    answer = self.session.head(answer.url, headers=headers, timeout=TIMEOUT, allow_redirects=True)
        except (requests.RequestException, ValueError) as error:
            return Answer(State.SILENT, _short(error))
        return _judged(answer)

    def _token(self, url: str, challenge: str, path: str) -> str:
        """Return the token that a registry issues without credentials, or nothing where it issues none."""
        said = dict(CHALLENGE.findall(challenge))
        if not challenge.lower().startswith("bearer") or "realm" not in said:
            return ""
        if not may_give_tokens(url, said["realm"]):
            raise ValueError(f"sends to {said['realm'][:80]} for a token, a host that is not its own")
        asked = {
            "scope": said.get("scope", f"repository:{path}:pull"),
            **({"service": said["service"]} if "service" in said else {}),
        }
        answer = self.session.get(said["realm"], params=asked, timeout=TIMEOUT)
        if answer.status_code != FOUND:
            return ""
        given = answer.json()
        return text(given, "token") or text(given, "access_token")

    def _index(self, repository: str) -> Mapping[str, Any] | Answer:
        """Read a repository's index once, even if several threads wait for it."""
        with self._lock:
            lock = self._locks.setdefault(repository, threading.Lock())
        with lock:
            if repository not in self._indexes:
                self._indexes[repository] = self._read_index(repository)
            return self._indexes[repository]

    def _read_index(self, repository: str) -> Mapping[str, Any] | Answer:
        try:
            answer = self.session.get(f"{repository}/index.yaml", timeout=TIMEOUT)
            if answer.status_code != FOUND:
                return _judged(answer)
            entries = yaml.load(answer.content, KubernetesLoader).get("entries")  # noqa: S506 - a safe loader of our own
        except (requests.RequestException, yaml.YAMLError, AttributeError, ValueError) as error:
            return Answer(State.SILENT, _short(error))
        return entries if isinstance(entries, dict) else Answer(State.SILENT, "its index.yaml has no entries")


@cache
def place_of(name: str) -> tuple[str, str]:
    """Return the registry's host and the repository of an image's name, split as container runtimes do."""
    first, _, rest = name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        host, path = first, rest
    else:
        host, path = HUB, name
    if host == HUB:
        return HUB_API, path if "/" in path else f"library/{path}"
    return host, path


def _scheme(host: str) -> str:
    """Return the scheme of a host: plain HTTP for this machine alone, as in container runtimes."""
    return "http" if host.partition(":")[0] in LOOPBACK or host.startswith("[::1]") else "https"


def _judged(answer: requests.Response) -> Answer:
    if answer.status_code == FOUND:
        digest = answer.headers.get("Docker-Content-Digest", "")
        return Answer(State.THERE, "", digest if DIGEST.match(digest) else "")
    if answer.status_code == GONE:
        return Answer(State.MISSING)
    if answer.status_code in (UNAUTHORIZED, FORBIDDEN):
        return Answer(State.REFUSED, "does not exist, or needs credentials")
    return Answer(State.SILENT, f"HTTP {answer.status_code}")


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:120]

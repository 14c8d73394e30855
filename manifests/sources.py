"""Sources of charts and remote bases: two small protocols, and the identity of a chart.

A source returns a folder on this machine for a chart or a URL, or None: the render then reports the missing original
and the command that fetches it. `manifests.charts` and `manifests.bases` are sources in the user's cache; a rehearsal
provides its own.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from errors import Bug
from local.cache import cache_folder, digest

FETCH = "./homelab render --fetch"
DIGITS = 12
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
EXACT = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?\Z")


@dataclass(frozen=True, order=True)
class Chart:
    """One version of one chart, as a file of the tree names it."""

    name: str
    version: str
    repository: str

    def __str__(self) -> str:
        """Write it as people do."""
        return f"{self.name} {self.version} of {self.repository}"

    @property
    def is_named(self) -> bool:
        """Report whether name and version are safe in a path and in a command line of helm."""
        return bool(NAME.match(self.name)) and "/" not in self.version and not self.version.startswith("-")

    def require_name(self) -> None:
        """Refuse a name that would lead out of its folder; names in files are checked before."""
        if not self.is_named:
            raise Bug(f"{self}: a chart's name and version are no paths")

    @property
    def folder(self) -> str:
        """The name of its folder in a cache."""
        return f"{self.name}-{self.version}-{digest(self.repository.rstrip('/'))[:DIGITS]}"


class ChartSource(Protocol):
    """A source of charts."""

    def chart(self, chart: Chart) -> Path | None:
        """Return the folder of the chart's Chart.yaml and values.yaml, or None; never reach a network."""


class BaseSource(Protocol):
    """A source of remote bases: the targets of URLs in kustomizations."""

    def base(self, url: str, version: str = "") -> Path | None:
        """Return a copy of the folder or file behind a URL, or None; never reach a network.

        `version` is the one that a comment gives to a commit.

        A folder may refer to its neighbours: they have to lie beside it as they do behind the URL.
        """


def slug(url: str) -> str:
    """Return a folder name for a URL: readable and unique."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", re.sub(r"^\w+://|\?ref=", "-", url)).strip("-.")
    return f"{readable[-80:].lstrip('-.')}-{digest(url)[:DIGITS]}"


def originals() -> Path:
    """Return the folder of real charts and remote bases: in the user's cache, unless HOMELAB_ORIGINALS is set."""
    named = os.environ.get("HOMELAB_ORIGINALS", "")
    return Path(named) if Path(named).is_absolute() else cache_folder()


@contextmanager
def new_entry(entry: Path) -> Iterator[Path]:
    """Yield a temporary folder, whose `entry` replaces the cache entry at the end, whole or not at all.

    The caller holds the entry's lock: what an interrupted run has left under this name belongs to no other run.
    """
    prefix = f".fetching-{entry.name}-"
    for left in entry.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=entry.parent) as fresh:
        yield Path(fresh)
        shutil.rmtree(entry, ignore_errors=True)
        (Path(fresh) / "entry").rename(entry)


def is_loopback(url: str) -> bool:
    """Report whether a URL leads to this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


# A program that fetches needs the operator's credentials for that, and nothing else of the environment.
PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|XDG_\w+|HELM_\w+|GIT_\w+|SSH_AUTH_SOCK|SSL_CERT_\w+|DOCKER_CONFIG"
    r"|(?:https?|all|no)_proxy",
    re.IGNORECASE,
)
# A plugin of helm is a program; a null device holds none.
NO_PLUGINS = {"HELM_PLUGINS": os.devnull, "HELM_NO_PLUGINS": "1"}


def environment(env: Mapping[str, str] | None) -> dict[str, str]:
    """Make the environment of a program that fetches, from the one that was passed, else from our own."""
    kept = os.environ if env is None else env
    return {name: value for name, value in kept.items() if PASSED.fullmatch(name)} | NO_PLUGINS


def bare_environment(env: Mapping[str, str] | None, home: Path) -> dict[str, str]:
    """Make the environment of a program that reads a stranger's files: where programs are, and an empty home."""
    path = (os.environ if env is None else env).get("PATH", os.defpath)
    return {"PATH": path, "HOME": str(home), "TMPDIR": str(home), "LANG": "C.UTF-8"} | NO_PLUGINS

"""The real charts and remote bases, fetched into the user's cache before a verb renders.

Folders come in; charts and bases that the cache lacks are fetched, a few at a time and only from hosts that answer. The
fetched ones go out, and the absent ones with the reason: stand-ins are used in their place. A chart or base that its
repository does not have is a problem of the tree. `ops.check`, `ops.rehearse`, `ops.up` and `ops.render` call it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import programs
from config.category import Layer
from config.derive import platform_apps
from config.model import Settings
from config.tree import Tree
from errors import HomelabError, OriginalRefused, Problem, ProgramFailed, TookTooLong, TreeRefused, TryAgain
from manifests.checkout import CheckoutReader
from manifests.contents import WantedChart
from manifests.fetch import Wanted, Wants, message, name_of, url_of
from manifests.pinned import PinnedTrees
from ops.terminal import count
from ops.toolchain.progress import Progress
from ops.upstream import reachability
from ops.upstream.registries import Registries, State

AT_ONCE = 4
SECONDS = 4.0  # the usual duration of one, for the estimate
LIMIT = 60.0  # seconds for one chart or base
LONG_LIMIT = 300.0  # where the user has requested the fetch
# Errors of git, helm and kustomize that are about the network or a server, and not about the chart or base.
UNREACHED = re.compile(
    r"could not resolve|no such host|failed to connect|connection (?:reset|refused|timed out|closed)|timed out|"
    r"network is unreachable|no route to host|i/o timeout|TLS handshake|deadline exceeded|(?-i:\bEOF\b)|"
    r"hit \d+s timeout|too many requests|(?:error|code|status)[: ]+5\d\d|\b5\d\d (?:Internal|Bad|Service|Gateway)",
    re.IGNORECASE,
)


@dataclass
class Fetched:
    """The result: fetched and absent charts and bases, and problems of the tree."""

    fetched: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Charts and bases that could not be fetched for a reason outside the tree, with the reason."""
    problems: list[Problem] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """The reasons for absent charts and bases, each once."""

    @property
    def why(self) -> str:
        """Return the reasons as the end of a sentence."""
        return "; ".join(self.reasons)

    def as_dict(self) -> dict[str, object]:
        """Return the result for machines."""
        return {"fetched": self.fetched, "absent": self.absent, "reasons": self.reasons}

    def require(self, *, everything: bool = False) -> None:
        """Refuse the tree where it has problems; with `everything`, also where something is absent."""
        if self.problems:
            raise TreeRefused(self.problems)
        if everything and self.absent:
            lines = [f"{name}: not fetched: {why}" for name, why in sorted(self.absent.items())]
            raise TryAgain("\n".join([*lines, "run the same command again"]))


def fetch(
    wants: Wants,
    folders: Iterable[str],
    env: Mapping[str, str],
    *,
    forbidden: str = "",
    private: Collection[str] = (),
    limit: float = LIMIT,
) -> Fetched:
    """Fetch the charts and bases of folders that the cache lacks, unless a reason forbids it."""
    if forbidden:
        return Fetched(reasons=[forbidden])
    run = _Run(wants, env, tuple(private), limit)
    missing = wants.missing(folders)
    with run.registries.session:
        while missing:
            missing = wants.beyond(run.round(missing))
    run.result.problems.sort()
    return run.result


def fetch_for(
    root: Path,
    settings: Settings,
    tree: Tree,
    env: Mapping[str, str],
    forbidden: str,
    layers: Collection[Layer] = (),
) -> Fetched:
    """Fetch the charts and bases of one stack, of some layers or of all."""
    folders, private = folders_of(settings, tree, layers), private_of(settings)
    pinned = PinnedTrees(root).readers(tree.apps_in(settings.delivery.environment))
    return fetch(Wants(CheckoutReader(root), pinned=pinned), folders, env, forbidden=forbidden, private=private)


def folders_of(settings: Settings, tree: Tree, layers: Collection[Layer] = ()) -> list[str]:
    """Return the folders that a stack renders: in some layers or in all, and of the platform."""
    environment = settings.delivery.environment
    needed = {app.category for layer in layers for app in tree.apps_in(environment, layer)}
    needed |= {app.category for app in tree.apps_in(environment, "crds")}
    needed |= {app.partition("/")[0] for app in platform_apps(settings)}
    return [app.path for app in tree.apps_in(environment) if not layers or app.category in needed]


def private_of(*settings: Settings) -> tuple[str, ...]:
    """Return the repositories that need credentials: a refusal of theirs is no problem of the tree."""
    return tuple(one.url.rstrip("/") for each in settings for one in each.platform.repositories)


@dataclass
class _Run:
    """One pass over the network, which checks once whether each host answers."""

    wants: Wants
    env: Mapping[str, str]
    private: tuple[str, ...]
    limit: float
    result: Fetched = field(default_factory=Fetched)
    asked: set[str] = field(default_factory=set)
    silent: dict[str, str] = field(default_factory=dict)
    registries: Registries = field(default_factory=Registries)
    lock: threading.Lock = field(default_factory=threading.Lock)
    interrupted: bool = False

    def round(self, missing: list[Wanted]) -> list[Path]:
        """Fetch some charts and bases, and return the bases among them."""
        self._probe({_host(one) for one in missing} - self.asked - {""})
        reachable = [one for one in missing if not self._is_silent(one)]
        if not reachable:
            return []
        named = _named(reachable)
        progress = Progress(dict.fromkeys(named, SECONDS), at_once=AT_ONCE)
        with progress, ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                folders = list(pool.map(lambda name: self._one(named[name], name, progress), named))
            except BaseException:
                self.interrupted = True
                pool.shutdown(wait=False, cancel_futures=True)
                programs.end_running()
                raise
        return [one for one in folders if one is not None]

    def _probe(self, hosts: set[str]) -> None:
        """Check whether the hosts answer, before a fetch waits for one that does not."""
        found = reachability.silent(hosts)
        self.asked |= hosts
        self.silent |= found
        lines = [f"host {reachability.name_of(host)} did not answer ({why})" for host, why in sorted(found.items())]
        if len(found) > 1 and found.keys() == self.asked:
            lines = [f"no network: {lines[0]}, nor did {count(len(lines) - 1, 'other')}"]
        self.result.reasons += lines

    def _one(self, wanted: Wanted, name: str, progress: Progress) -> Path | None:
        if self._is_silent(wanted):
            progress.steps[name].fail("left out")
            return None
        with progress.step(name) as step:
            step.update("fetching")
            if self.wants.is_damaged(wanted):
                step.announce("its copy in the cache was damaged: fetching it again")
            try:
                folder = self.wants.fetch(wanted, self.env, self.limit)
            except (OriginalRefused, ProgramFailed, TookTooLong, OSError) as error:
                step.fail("not fetched")
                if not self.interrupted:
                    self._failed(wanted, error)
                return None
            with self.lock:
                self.result.fetched.append(name)
            return folder

    def _failed(self, wanted: Wanted, error: HomelabError | OSError) -> None:
        """Record a failure: its reason where network or machine caused it, else a problem of the tree."""
        reason = self._reason(wanted, error)
        with self.lock:
            if reason:
                self.result.absent[name_of(wanted)] = reason
                self.result.reasons += [reason] if reason not in self.result.reasons else []
            elif isinstance(error, HomelabError):
                self.result.problems.append(self.wants.problem(wanted, error))

    def _reason(self, wanted: Wanted, error: HomelabError | OSError) -> str:
        if isinstance(error, OSError):
            return f"the cache cannot be written: {error.strerror}: {error.filename}"
        if isinstance(error, TookTooLong):
            host = _host(wanted)
            reason = (
                f"{reachability.name_of(host) or url_of(wanted)} was too slow: not complete after {self.limit:.0f} s"
            )
            with self.lock:
                # While nothing was fetched at all, the other hosts get no timeout of their own.
                self.silent |= dict.fromkeys([host] if self.result.fetched else [host, *self.asked], reason)
            return reason
        return self._unreached(wanted, message(error)) if isinstance(error, ProgramFailed) else ""

    def _unreached(self, wanted: Wanted, error: str) -> str:
        """Return the reason outside the tree for a failure, or nothing where the tree caused it."""
        reason = f"{name_of(wanted)}: {error}"
        if UNREACHED.search(error):
            return reason
        if url_of(wanted).rstrip("/").startswith(self.private):
            return f"{reason}; helm registry login and helm repo add give credentials"
        if isinstance(wanted, WantedChart):
            answer = self.registries.chart(wanted.chart)
            return reason if answer.state in (State.THERE, State.SILENT) else ""
        return ""

    def _is_silent(self, wanted: Wanted) -> bool:
        reason = self.silent.get(_host(wanted), "")
        if reason:
            with self.lock:
                self.result.absent[name_of(wanted)] = reason
        return bool(reason)


def _host(wanted: Wanted) -> str:
    return reachability.host_of(url_of(wanted))


def _named(wanted: Iterable[Wanted]) -> dict[str, Wanted]:
    """Return charts and bases by short names that are unique among them."""
    named: dict[str, Wanted] = {}
    for one in wanted:
        chart = one.chart if isinstance(one, WantedChart) else None
        brief = f"chart {chart.name} {chart.version}" if chart else name_of(one)
        named[name_of(one) if brief in named else brief] = one
    return named

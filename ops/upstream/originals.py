"""The real charts and remote bases, brought into the user's cache before anything else happens.

Folders come in; what the cache lacks is fetched, a few at a time and only from hosts that answer. Out goes what could
not be had and why, for the report: a stand-in takes its place then. A repository that answers and does not have what
the tree names is a problem. `ops.check`, `ops.rehearse`, `ops.up` and `ops.render` call it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import programs
from config.derive import platform_apps
from config.model import Settings
from config.tree import Tree, read_tree
from errors import HomelabError, OriginalRefused, Problem, ProgramFailed, TookTooLong, TreeRefused, TryAgain
from manifests.checkout import CheckoutReader
from manifests.contents import WantedChart
from manifests.fetch import Wanted, Wants, message, name_of, url_of
from ops.terminal import count
from ops.toolchain.progress import Progress
from ops.upstream import reachability
from ops.upstream.registries import Registries, State

AT_ONCE = 4
SECONDS = 4.0  # what one usually takes, for the estimate
LIMIT = 60.0  # seconds for one chart or base that nobody has asked for by name
LONG_LIMIT = 300.0
# What git, helm and kustomize report of a network or a server that fails, and not of what they were asked for.
UNREACHED = re.compile(
    r"could not resolve|no such host|failed to connect|connection (?:reset|refused|timed out|closed)|timed out|"
    r"network is unreachable|no route to host|i/o timeout|TLS handshake|deadline exceeded|(?-i:\bEOF\b)|"
    r"hit \d+s timeout|too many requests|(?:error|code|status)[: ]+5\d\d|\b5\d\d (?:Internal|Bad|Service|Gateway)",
    re.IGNORECASE,
)


@dataclass
class Brought:
    """The result: what came, what did not and why, and what is wrong with the tree."""

    fetched: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """What did not come and is no mistake of the tree, with the reason."""
    problems: list[Problem] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """Why something did not come, each reason once."""

    @property
    def why(self) -> str:
        """Return the reasons as one sentence's end."""
        return "; ".join(self.reasons)

    def as_dict(self) -> dict[str, object]:
        """Return the same for machines."""
        return {"fetched": self.fetched, "absent": self.absent, "reasons": self.reasons}

    def require(self, *, everything: bool = False) -> None:
        """Refuse the tree where it names what does not exist or has changed; `everything` counts what did not come."""
        if self.problems:
            raise TreeRefused(self.problems)
        if everything and self.absent:
            lines = [f"{name}: not fetched: {why}" for name, why in sorted(self.absent.items())]
            raise TryAgain("\n".join([*lines, "run the same command again"]))


def bring(
    wants: Wants,
    folders: Iterable[str],
    env: Mapping[str, str],
    *,
    forbidden: str = "",
    private: Collection[str] = (),
    limit: float = LIMIT,
) -> Brought:
    """Fetch what folders ask for and the cache does not have, unless a reason forbids it."""
    if forbidden:
        return Brought(reasons=[forbidden])
    run = _Run(wants, env, tuple(private), limit)
    missing = wants.missing(folders)
    with run.registries.session:
        while missing:
            missing = wants.beyond(run.round(missing))
    run.brought.problems.sort()
    return run.brought


def bring_for(
    root: Path, settings: Settings, env: Mapping[str, str], forbidden: str, layers: Collection[str] = ()
) -> Brought:
    """Fetch what one stack renders, of some layers or of all."""
    folders, private = folders_of(settings, read_tree(root), layers), private_of(settings)
    return bring(Wants(CheckoutReader(root)), folders, env, forbidden=forbidden, private=private)


def folders_of(settings: Settings, tree: Tree, layers: Collection[str] = ()) -> list[str]:
    """Return the folders that a stack renders: of its categories, in some layers or in all, and of the platform."""
    chosen = tree.chosen(settings.delivery.categories)
    needed = {category.name for category in chosen if not layers or category.settings.layer in layers}
    needed |= {app.category for app in tree.apps_of_layer("crds")}
    needed |= {app.partition("/")[0] for app in platform_apps(settings)}
    apps = [app for app in tree.apps_in(settings.delivery.environment) if app.category in needed]
    return [app.path for app in apps if f"{app.category}/{app.name}" not in settings.delivery.exclude]


def private_of(*settings: Settings) -> tuple[str, ...]:
    """Return the repositories that need credentials: one that refuses is no mistake of the tree."""
    return tuple(one.url.rstrip("/") for each in settings for one in each.platform.repositories)


@dataclass
class _Run:
    """One pass over the network: which hosts are silent is found out once."""

    wants: Wants
    env: Mapping[str, str]
    private: tuple[str, ...]
    limit: float
    brought: Brought = field(default_factory=Brought)
    asked: set[str] = field(default_factory=set)
    gone: dict[str, str] = field(default_factory=dict)
    registries: Registries = field(default_factory=Registries)
    lock: threading.Lock = field(default_factory=threading.Lock)
    interrupted: bool = False

    def round(self, missing: list[Wanted]) -> list[Path]:
        """Fetch some things and return the bases among them."""
        self._probe({_host(one) for one in missing} - self.asked - {""})
        there = [one for one in missing if not self._is_gone(one)]
        if not there:
            return []
        named = _named(there)
        progress = Progress(dict.fromkeys(named, SECONDS), at_once=AT_ONCE)
        with progress, ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                came = list(pool.map(lambda name: self._one(named[name], name, progress), named))
            except BaseException:
                self.interrupted = True
                pool.shutdown(wait=False, cancel_futures=True)
                programs.end_running()
                raise
        return [one for one in came if one is not None]

    def _probe(self, hosts: set[str]) -> None:
        """Find out which hosts are silent before anything waits for one of them."""
        silent = reachability.silent(hosts)
        self.asked |= hosts
        self.gone |= silent
        told = [f"host {reachability.name_of(host)} did not answer ({why})" for host, why in sorted(silent.items())]
        if len(silent) > 1 and silent.keys() == self.asked:
            told = [f"no network: {told[0]}, nor did {count(len(told) - 1, 'other')}"]
        self.brought.reasons += told

    def _one(self, wanted: Wanted, name: str, progress: Progress) -> Path | None:
        if self._is_gone(wanted):
            progress.steps[name].fail("left out")
            return None
        with progress.step(name) as step:
            step.tell("fetching")
            if self.wants.is_damaged(wanted):
                step.announce("its copy in the cache was damaged: fetching it again")
            try:
                came = self.wants.fetch(wanted, self.env, self.limit)
            except (OriginalRefused, ProgramFailed, TookTooLong, OSError) as error:
                step.fail("not fetched")
                if not self.interrupted:
                    self._failed(wanted, error)
                return None
            with self.lock:
                self.brought.fetched.append(name)
            return came

    def _failed(self, wanted: Wanted, error: HomelabError | OSError) -> None:
        """Note a failure: its reason where network or machine are at fault, else a problem of the tree."""
        reason = self._reason(wanted, error)
        with self.lock:
            if reason:
                self.brought.absent[name_of(wanted)] = reason
                self.brought.reasons += [reason] if reason not in self.brought.reasons else []
            elif isinstance(error, HomelabError):
                self.brought.problems.append(self.wants.problem(wanted, error))

    def _reason(self, wanted: Wanted, error: HomelabError | OSError) -> str:
        if isinstance(error, OSError):
            return f"the cache cannot be written: {error.strerror}: {error.filename}"
        if isinstance(error, TookTooLong):
            host = _host(wanted)
            reason = f"{reachability.name_of(host) or url_of(wanted)} was too slow: no end after {self.limit:.0f} s"
            with self.lock:
                # Where nothing has come at all, the next host is given no time of its own.
                self.gone |= dict.fromkeys([host] if self.brought.fetched else [host, *self.asked], reason)
            return reason
        return self._unreached(wanted, message(error)) if isinstance(error, ProgramFailed) else ""

    def _unreached(self, wanted: Wanted, said: str) -> str:
        """Return why it is not the tree's fault that something did not come, or nothing where it is."""
        reason = f"{name_of(wanted)}: {said}"
        if UNREACHED.search(said):
            return reason
        if url_of(wanted).rstrip("/").startswith(self.private):
            return f"{reason}; helm registry login and helm repo add give credentials"
        if isinstance(wanted, WantedChart):
            answer = self.registries.chart(wanted.chart)
            return reason if answer.state in (State.THERE, State.SILENT) else ""
        return ""

    def _is_gone(self, wanted: Wanted) -> bool:
        why = self.gone.get(_host(wanted), "")
        if why:
            with self.lock:
                self.brought.absent[name_of(wanted)] = why
        return bool(why)


def _host(wanted: Wanted) -> str:
    return reachability.host_of(url_of(wanted))


def _named(wanted: Iterable[Wanted]) -> dict[str, Wanted]:
    """Name things as briefly as their names are of no other."""
    named: dict[str, Wanted] = {}
    for one in wanted:
        chart = one.chart if isinstance(one, WantedChart) else None
        brief = f"chart {chart.name} {chart.version}" if chart else name_of(one)
        named[name_of(one) if brief in named else brief] = one
    return named

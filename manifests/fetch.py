"""The charts and bases that folders need and the cache lacks, and the step that fetches them.

Folders come in; the missing charts and bases go out and are fetched one at a time, and a failure becomes a problem with
the file and key that name the target. `ops.upstream.originals` decides when and from which hosts; no render does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from config.rules import rule
from config.source import dotted
from errors import HomelabError, OriginalChanged, OriginalRefused, Problem, ProgramFailed
from manifests import program_errors
from manifests.bases import CachedBases
from manifests.charts import CachedCharts
from manifests.checkout import CheckoutReader
from manifests.contents import Contents, WantedBase, WantedChart, closure_of, contents_of

Wanted: TypeAlias = "WantedChart | WantedBase"


@dataclass
class Wants:
    """The charts and bases of a checkout's folders, each once."""

    reader: CheckoutReader
    charts: CachedCharts = field(default_factory=CachedCharts)
    bases: CachedBases = field(default_factory=CachedBases)
    asked: set[str] = field(default_factory=set)
    pinned: Mapping[str, CheckoutReader] = field(default_factory=dict)
    """The readers of folders that are pinned to a commit."""

    @cached_property
    def outside(self) -> CheckoutReader:
        """Return a reader of the cache."""
        return CheckoutReader(Path("/"))

    def missing(self, folders: Iterable[str]) -> list[Wanted]:
        """Return the charts and bases of these folders, and of their cached bases, that the cache lacks."""
        return self._missing([contents_of(self.pinned.get(folder, self.reader), folder) for folder in folders])

    def beyond(self, bases: Iterable[Path]) -> list[Wanted]:
        """Return the charts and bases of fetched bases that the cache lacks."""
        return self._missing([self._contents(base) for base in bases if base.is_dir()])

    def fetch(self, wanted: Wanted, env: Mapping[str, str], timeout: float) -> Path | None:
        """Fetch a chart or a base, and return a base's copy, which may name others."""
        if isinstance(wanted, WantedChart):
            self.charts.fetch(wanted.chart, env, timeout)
            return None
        return self.bases.fetch(wanted.url, env, timeout)

    def is_damaged(self, wanted: Wanted) -> bool:
        """Report whether the cache has it, but not as it was fetched."""
        if isinstance(wanted, WantedChart):
            return self.charts.is_damaged(wanted.chart)
        return self.bases.is_damaged(wanted.url)

    @rule("base-changed", scope="file", why="A moved tag brings content without a review, and Argo CD would apply it.")
    @rule("base-unreachable", scope="file", why="Without the base the folder cannot be rendered.")
    @rule(
        "chart-changed",
        scope="file",
        why="A republished version brings content without a review, and Argo CD would apply it.",
    )
    @rule("chart-unreachable", scope="file", why="Without the chart the folder cannot be rendered.")
    def problem(self, wanted: Wanted, error: HomelabError) -> Problem:
        """Return a failed fetch as a problem with the file, the line and the key that name its target."""
        line, key = self.reader.line(wanted.file, wanted.key), dotted(wanted.key)
        chart = isinstance(wanted, WantedChart)
        value = f"{wanted.chart.name} {wanted.chart.version}" if isinstance(wanted, WantedChart) else wanted.url
        check = "chart-unreachable" if chart else "base-unreachable"
        if isinstance(error, OriginalChanged):
            check = "chart-changed" if chart else "base-changed"
        if isinstance(error, OriginalRefused):
            return Problem(wanted.file, line, key, value, error.rule, error.fix, check)
        rule, fix = f"could not be fetched: {message(error)}", "correct name, version and address, or run it again"
        return Problem(wanted.file, line, key, value, rule, fix, check)

    def _missing(self, ahead: list[Contents]) -> list[Wanted]:
        found: list[Wanted] = []
        while ahead:
            new, ahead = self._new(ahead), []
            for one in new:
                if isinstance(one, WantedChart):
                    found += [one] if self.charts.chart(one.chart) is None else []
                elif (kept := self.bases.base(one.url)) is None:
                    found.append(one)
                elif kept.is_dir():
                    ahead.append(self._contents(kept))
        return found

    def _new(self, ahead: Iterable[Contents]) -> list[Wanted]:
        found: dict[str, Wanted] = {}
        for contents in ahead:
            for chart in contents.charts:
                found.setdefault(str(chart.chart), chart)
            for base in contents.bases:
                found.setdefault(base.url, base)
        new = [one for name, one in found.items() if name not in self.asked]
        self.asked |= found.keys()
        return new

    def _contents(self, base: Path) -> Contents:
        return closure_of(self.outside, str(base.resolve()).strip("/"))


def name_of(wanted: Wanted) -> str:
    """Return the name of a chart or base in reports."""
    return f"chart {wanted.chart}" if isinstance(wanted, WantedChart) else f"base {wanted.url}"


def url_of(wanted: Wanted) -> str:
    """Return the address that a chart or base comes from."""
    return wanted.chart.repository if isinstance(wanted, WantedChart) else wanted.url


def message(error: HomelabError) -> str:
    """Return a program's report in one line."""
    return program_errors.cleaned(error.output if isinstance(error, ProgramFailed) else str(error))

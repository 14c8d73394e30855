"""The explicit step that reaches networks: bring what folders ask for into the user's cache.

Folders come in; what was fetched goes out, with a problem for everything that could not be had. `ops` runs it where a
person asks for it; no render does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from config.source import dotted
from errors import Problem, ProgramFailed, TookTooLong
from manifests import said
from manifests.bases import CachedBases
from manifests.charts import CachedCharts
from manifests.contents import Contents, WantedBase, WantedChart, closure_of, contents_of
from manifests.survey import Survey

AT_ONCE = 4

Wanted: TypeAlias = "WantedChart | WantedBase"


def fetch(
    root: Path,
    folders: Iterable[str],
    charts: CachedCharts,
    bases: CachedBases,
    env: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Problem]:
    """Fetch what these folders ask for and the cache does not have; bases may ask for more."""
    survey, top = Survey(root), Survey(Path("/"))
    problems: list[Problem] = []
    asked: set[str] = set()
    ahead = [contents_of(survey, folder) for folder in folders]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while ahead:
            wanted = _new(ahead, asked)
            found = list(pool.map(lambda one: _fetch(one, charts, bases, env, survey, tell), wanted))
            problems += [one for one in found if isinstance(one, Problem)]
            folders_here = [one for one in found if isinstance(one, Path) and one.is_dir()]
            ahead = [closure_of(top, str(one.resolve()).strip("/")) for one in folders_here]
    return sorted(problems)


def _new(ahead: Iterable[Contents], asked: set[str]) -> list[Wanted]:
    """Give what was not asked for before."""
    found: dict[str, Wanted] = {}
    for contents in ahead:
        for chart in contents.charts:
            found.setdefault(str(chart.chart), chart)
        for base in contents.bases:
            found.setdefault(base.url, base)
    new = [one for name, one in found.items() if name not in asked]
    asked |= found.keys()
    return new


def _fetch(
    wanted: Wanted,
    charts: CachedCharts,
    bases: CachedBases,
    env: Mapping[str, str] | None,
    survey: Survey,
    tell: Callable[[str], None],
) -> Path | Problem | None:
    """Fetch one thing; a base's folder is given on, it may name others."""
    try:
        if isinstance(wanted, WantedChart):
            if charts.chart(wanted.chart) is None:
                charts.fetch(wanted.chart, env)
                tell(str(wanted.chart))
            return None
        known = bases.base(wanted.url)
        if known is None:
            known = bases.fetch(wanted.url, env)
            tell(wanted.url)
    except (ProgramFailed, TookTooLong) as error:
        message = said.cleaned(error.output if isinstance(error, ProgramFailed) else str(error))
        line, key = survey.line(wanted.file, wanted.key), dotted(wanted.key)
        chart = isinstance(wanted, WantedChart)
        value = f"{wanted.chart.name} {wanted.chart.version}" if isinstance(wanted, WantedChart) else wanted.url
        check = "chart-unreachable" if chart else "base-unreachable"
        rule, fix = f"could not be fetched: {message}", "run it again, or correct name, version and address"
        return Problem(wanted.file, line, key, value, rule, fix, check)
    return known

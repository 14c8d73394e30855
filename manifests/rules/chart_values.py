"""Values that an app gives to a chart: each is one that the chart knows.

helm drops a key that no template uses without a message. A stack's folders come in; a problem goes out
for each key that the chart's own files do not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from config.explain import nearest
from config.rules import rule
from config.source import dotted
from errors import Problem
from manifests.checkout import CheckoutReader
from manifests.contents import Contents
from manifests.rules.stack_objects import StackObjects
from manifests.sources import ChartSource
from manifests.values import Known, known_values, unknown_values


@rule("value-unknown", scope="app", why="helm drops it without a message, and the chart runs with its default.")
def unused_values(objects: StackObjects) -> Iterator[Problem]:
    """Report values that a folder's chart does not use, where the chart is the real one."""
    for folder in objects.sound_folders:
        if folder.charts:
            yield from unused_values_of(folder.reader, folder.contents, folder.charts)


def unused_values_of(reader: CheckoutReader, contents: Contents, charts: ChartSource) -> Iterator[Problem]:
    """Report values that a folder's only chart does not use; of several charts it is unknown which reads which file."""
    if len(contents.charts) != 1:
        return
    (wanted,) = contents.charts
    folder = charts.chart(wanted.chart)
    if folder is None:
        return
    known: Known = _known(folder)
    if contents.shape == "chart":
        known = {**dict.fromkeys(_own(reader, contents)), wanted.chart.name: known}
    for file in contents.values:
        for path, there in unknown_values(reader.value(file), known):
            broken = f"is no value of {wanted.chart.name} {wanted.chart.version}: helm drops it without a message"
            fix = nearest(str(path[-1]), list(there), "take it away, or correct its name or its place")
            yield Problem(file, reader.line(file, path), dotted(path), "", broken, fix, "value-unknown")


def _own(reader: CheckoutReader, contents: Contents) -> Iterator[str]:
    """Yield the keys that an umbrella chart may have for itself: all but those of its dependencies."""
    names = {one.chart.name for one in contents.charts}
    for file in contents.values:
        yield from (str(key) for key in reader.value(file) or {} if key not in names)


@cache
def _known(folder: Path) -> Known:
    return known_values(folder)

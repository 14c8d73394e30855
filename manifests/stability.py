"""Renders that differ although nothing changed: random passwords, certificates and times made by a chart.

A folder comes in, the fields that two renders give differently go out. Argo CD would see a difference for ever and,
with healing on, would change a running secret every few minutes. No verb asks this yet: it renders everything twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from config.source import KeyPath, dotted
from errors import Problem
from manifests.objects import Identity, Object, identity
from manifests.render import Folder, Renderer, render

FIX = "give the value, or name a Secret that exists: charts make it with randAlphaNum, genCA or now"


def is_stable(renderer: Renderer, folder: Folder) -> bool:
    """Whether a folder renders to the same objects twice."""
    return not unstable(renderer, folder)


def unstable(renderer: Renderer, folder: Folder, wait: Callable[[float], None] = time.sleep) -> tuple[Problem, ...]:
    """Render a folder twice, in two different seconds and without a cache, and tell each field that differs."""
    bare = replace(renderer, kept=None)
    first = render(bare, folder)
    wait(1 - time.time() % 1)
    return tuple(_problems(folder.path, first, render(bare, folder)))


def _problems(folder: str, first: tuple[Object, ...], second: tuple[Object, ...]) -> Iterator[Problem]:
    before, after = ({identity(item): item for item in items} for items in (first, second))
    for name in sorted(before.keys() ^ after.keys()):
        yield _problem(folder, name, "", "is in one of two renders only")
    for name in sorted(before.keys() & after.keys()):
        for path in _differences(before[name], after[name], ()):
            yield _problem(folder, name, dotted(path), "differs in two renders")
    if not before.keys() ^ after.keys() and list(before) != list(after):
        yield Problem(folder, 0, "", "", "gives its objects in another order each time", FIX, "render-unstable")


def _problem(folder: str, name: Identity, field: str, rule: str) -> Problem:
    return Problem(folder, 0, f"{name} {field}".strip(), "", rule, FIX, "render-unstable")


def _differences(one: Any, other: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from _differences(one.get(key), other.get(key), (*path, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (here, there) in enumerate(zip(one, other, strict=True)):
            yield from _differences(here, there, (*path, index))
    elif one != other:
        yield path

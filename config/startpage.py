"""The start page that lists every app: its file, compared with the tree.

A checkout and its tree come in, problems go out; without the page there are none. `manifests.rules.routes` checks the
targets of its links, `ops.new` adds a line for a new app.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.explain import nearest
from config.rules import rule
from config.source import read
from config.tree import APPS, Tree
from errors import Problem

PAGE = f"{APPS}/selfhosted/homepage/base/services.yaml"


@dataclass(frozen=True)
class PageEntry:
    """One line of the page."""

    category: str
    app: str
    href: str
    line: int


def entries(root: Path) -> tuple[PageEntry, ...]:
    """Return the entries of the page: groups named as categories, with their apps; none if there is no page."""
    return tuple(_entries(root)) if (root / PAGE).is_file() else ()


def _entries(root: Path) -> Iterator[PageEntry]:
    page = read(root / PAGE, PAGE).first
    for index, group in enumerate(_list(page.value)):
        for category, listed in _map(group).items():
            for place, one in enumerate(_list(listed)):
                for app, about in _map(one).items():
                    line = page.line((index, category, place, app))
                    yield PageEntry(str(category), str(app), str(_map(about).get("href") or ""), line)


@rule(
    "start-page-missing", scope="tree", why="The page promises a complete list; an app that is not on it is forgotten."
)
@rule("start-page-unknown", scope="tree", why="The line is about an app that does not exist.")
def check(root: Path, tree: Tree) -> Iterator[Problem]:
    """Yield differences between the page and a valid tree; a group that is no category is the operator's own."""
    if tree.problems or not (root / PAGE).is_file():
        return
    if problems := read(root / PAGE, PAGE).problems:
        yield from problems
        return
    page = entries(root)
    apps = {(app.category, app.name) for app in tree.apps} | {tuple(one.split("/")[1:]) for one in tree.unused}
    listed = {(one.category, one.app) for one in page}
    for app in {app.label: app for app in tree.apps}.values():
        if (app.category, app.name) not in listed:
            rule, fix = f"is not in {PAGE}", f"add `- {app.name}: {{description: ...}}` below {app.category}"
            yield Problem(app.folder, 0, "", "", rule, fix, "start-page-missing")
    known = {category.name: sorted({app.name for app in category.apps}) for category in tree.categories}
    for one in page:
        if one.category in known and (one.category, one.app) not in apps:
            fix = nearest(one.app, known[one.category], "remove the line")
            rule = f"is no app of {APPS}/{one.category}"
            yield Problem(PAGE, one.line, one.category, one.app, rule, fix, "start-page-unknown")


def _map(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

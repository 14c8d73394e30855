"""The folders of environments: a new one as a copy of another, and the removal of those that no stack runs.

A checkout and its tree come in; `wanted` decides, `copies` and `folders` return what to write and to delete. `ops.init`
does both, and writes the settings of the environment afterwards.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from config import files
from config.app_settings import folder_of
from config.explain import nearest
from config.tree import APPS, SETTINGS, App, Tree
from errors import Declined

ALL, NONE = "all", "none"


def wanted(tree: Tree, like: str, names: Sequence[str]) -> tuple[App, ...]:
    """Return the apps that an environment takes from another: the named ones of the layer applications, all others."""
    chosen = tree.chosen(like)
    applications = [one for one in chosen if one.settings.layer == "applications"]
    known = {one.name: one.apps for one in applications} | {
        app.label: (app,) for one in applications for app in one.apps
    }
    if not names:
        raise Declined(f"--apps: has no application; write {ALL}, {NONE}, or names with commas between them")
    for name in names:
        if name not in (ALL, NONE, *known):
            categories = ", ".join(one.name for one in applications)
            fix = nearest(name, list(known), f"the categories are {categories}; an app is category/app")
            raise Declined(f"--apps = {name}: is no category of applications and no app of {like}; {fix}")
    taken = known if ALL in names else [name for name in names if name in known]
    named = {app.label for name in taken for app in known[name]}
    layers = {one.name: one.settings.layer for one in chosen}
    return tuple(app for app in tree.apps_in(like) if layers[app.category] != "applications" or app.label in named)


def with_environment(tree: Tree, environment: str, apps: Collection[App]) -> Tree:
    """Return a tree as it is once an environment runs these apps and no others."""
    labels = {app.label for app in apps}
    categories = (
        replace(
            category,
            apps=(
                *(app for app in category.apps if app.environment != environment),
                *(replace(app, environment=environment) for app in apps if app.category == category.name),
            ),
        )
        for category in tree.categories
    )
    unused = tuple(folder for folder in tree.unused if folder.removeprefix(f"{APPS}/") not in labels)
    environments = tuple(dict.fromkeys((*tree.environments, environment)))
    return replace(tree, categories=tuple(categories), environments=environments, unused=unused)


@dataclass(frozen=True)
class Copy:
    """A file that is written: its path in the checkout, its content and its mode."""

    path: str
    content: bytes
    mode: int = 0o644


def copies(root: Path, like: str, environment: str, apps: Collection[App]) -> dict[str, list[Copy]]:
    """Return the folders of an environment that the checkout lacks, with copies of the files of another."""
    targets = {replace(app, environment=environment).path: root / app.path for app in apps}
    lacking = {path: source for path, source in targets.items() if not os.path.lexists(root / path)}
    return {path: list(_copied(root, source, path, like, environment)) for path, source in lacking.items()}


def _copied(root: Path, source: Path, target: str, like: str, environment: str) -> Iterator[Copy]:
    named = re.compile(rf"(/{SETTINGS}/){re.escape(like)}(?![\w.-])".encode())  # not /_settings/production of `prod`
    for file in sorted(source.rglob("*")):
        name = file.relative_to(root)
        if file.is_symlink():
            raise Declined(f"{name}: is a link, and init copies files only; replace it with a file")
        if file.is_dir():
            continue
        try:
            content, mode = files.content(file, root=root), stat.S_IMODE(file.stat().st_mode)
        except OSError as error:
            raise Declined(f"{name}: {error.strerror}, and cannot be copied; make it a file of at most 1 MiB") from None
        content = named.sub(rb"\g<1>" + environment.encode(), content)
        yield Copy(f"{target}/{file.relative_to(source)}", content, mode)


def folders(root: Path, tree: Tree, environments: Collection[str], kept: Collection[App] = ()) -> list[Path]:
    """Return the folders of environments, without those of some apps."""
    labels = {app.label for app in kept}
    found = [root / app.path for app in tree.apps if app.environment in environments and app.label not in labels]
    settings = [] if kept else [root / folder_of(name) for name in environments]
    return [path for path in (*found, *settings) if path.is_dir()]


def renamed_policies(
    root: Path, tree: Tree, like: str, environment: str, gone: Collection[str]
) -> Iterator[tuple[Path, str]]:
    """Yield category.yaml files whose sync policy names an environment that is copied or removed."""
    for category in tree.categories:
        policies = category.settings.sync.environments
        file = root / category.path / "category.yaml"
        text = before = file.read_text(encoding="utf-8")
        for name in policies:
            line = re.compile(rf"^( +){re.escape(name)}:(.*)\n", re.MULTILINE)
            copy = rf"\g<1>{environment}:\g<2>\n" if name == like and environment not in policies else ""
            text = line.sub(copy if name in gone else rf"\g<0>{copy}", text, count=1)
        if text != before:
            yield file, re.sub(r"^ +environments:\n(?!   )", "", text, flags=re.MULTILINE)

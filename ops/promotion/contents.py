"""The contents of the files that a promotion writes: a file with other annotations, and the folder of a new app.

An app and annotations come in, contents by path go out; nothing is written. `ops.promotion.plan` puts
them into moves.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.app_settings import generated, templates
from config.load import read_stacks
from config.promotion import edited
from config.rules import rule
from config.tree import App, Tree
from errors import Problem, TreeRefused
from ops.environments import copied_files, with_environment
from ops.promotion.git_store import EXECUTABLE, FILE, GitStore


@dataclass(frozen=True)
class Written:
    """The content of a file that a commit writes, with its mode in Git."""

    content: bytes
    mode: int = FILE


def with_annotations(store: GitStore, app: App, values: Mapping[str, str | None]) -> Written | Problem:
    """Return the file of an app with other annotations, or the problem of its form."""
    found, text = store.entry(store.head, app.file), store.text(store.head, app.file)
    changed = edited(app.file, text, values) if text is not None else None
    if found is None or changed is None:
        return form_problem(app.file, text, "write each key of `metadata` on a line of its own")
    return Written(changed.encode(), found[0])


@rule("promotion-form", scope="program", why="An edit must change one value alone, and keep each other byte.")
def form_problem(file: str, text: str | None, fix: str) -> Problem:
    """Return the problem of a file that is not committed, or has no place for the edit."""
    if text is None:
        return Problem(file, 0, "", "", "is not committed", "git add and git commit it", "promotion-form")
    return Problem(file, 0, "", "", "has a form that cannot be edited line by line", fix, "promotion-form")


def folder_files(store: GitStore, tree: Tree, source: App, app: App) -> Mapping[str, Written]:
    """Return the files of a folder that is new in an environment: copies of another one's, and its chart's settings.

    Files that Git ignores stay out: archives of charts, and secrets.
    """
    found: dict[str, Written] = {}
    for one in copied_files(store.root, source, app.environment):
        if store.entry(store.head, f"{source.path}/{one.path}") is None:
            continue
        mode = EXECUTABLE if one.mode & stat.S_IXUSR else FILE
        found[f"{app.path}/{one.path}"] = Written(one.content, mode)
    return {**found, **_settings(store.root, tree, app)}


def _settings(root: Path, tree: Tree, app: App) -> Mapping[str, Written]:
    """Return the values of a new app that come from the environment's stack file."""
    grown = with_environment(tree, app.environment, {*tree.apps_in(app.environment), app})
    for stack in read_stacks(root):
        if stack.settings is None or stack.settings.delivery.environment != app.environment:
            continue
        found, problems = templates(root, grown, stack.settings)
        if wrong := [one for one in problems if one.file.startswith(f"{app.folder}/")]:
            raise TreeRefused(wrong)
        own = {label: text for label, text in found.items() if label == app.label}
        written = generated(stack, own)
        return {name: Written(text.encode()) for name, text in written.items() if name.endswith(f"/{app.label}.yaml")}
    return {}

"""The files that the engine's part of a report is made from: a change of others starts no engine.

Changed files and both trees come in, whether a stack's resources can differ goes out. Importing the engine takes longer
than the report of a small change, so that `ops.preview` decides here before it imports `ops.review.infrastructure`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from config import derive
from config.model import Settings
from config.tree import Tree, namespaces_of

Source = Literal["state", "base", "rehearsal"]
PROJECT = "Pulumi.yaml"
PROGRAM = ("__main__.py", "errors.py", "programs.py", "components", "config", "local", "manifests", "stacks")


def touches_engine(changed: Iterable[str], before: Tree, after: Tree, stack: str, settings: Settings) -> bool:
    """Report whether changed files can change a stack's resources; files of apps only by the shape of the tree."""
    read = {f"Pulumi.{stack}.yaml", "patches", "requirements.txt", PROJECT, *PROGRAM}
    patches = derive.patch_files(settings)
    if any(file.partition("/")[0] in read or file in patches for file in changed):
        return True
    return _shape(before, settings) != _shape(after, settings)


def _shape(tree: Tree, settings: Settings) -> object:
    """Return all that the program reads of a tree: categories, namespaces, and the folders that it seeds."""
    environment, seeded = settings.delivery.environment, derive.platform_apps(settings)
    categories = [(one.name, one.settings) for one in tree.chosen(environment)]
    bundles = {app.path for app in tree.apps_in(environment, "crds")}
    folders = {app.path for app in tree.apps_in(environment) if app.label in seeded}
    return categories, namespaces_of(tree), bundles | folders

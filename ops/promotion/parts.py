"""The parts of a checkout that apps are rendered from: their files, and their contents by the hashes of Git's trees.

    shared part: apps/<category>/<app>/base, the files in apps/<category>/_*, apps/_shared
    own part:    apps/<category>/<app>/<environment>, apps/_settings/<environment> without the values of other apps

`components.handover.application_sets.generate_paths` lists the same paths for Argo CD.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from config.promotion import may_have_pin, without_pin
from config.tree import BASE, GENERATED_BY, SETTINGS, SHARED, App
from ops.promotion.git_objects import FOLDER, TreeEntry

InputPart: TypeAlias = "tuple[str, ...]"
VALUES = "values"
HIDDEN = f"{FOLDER:o} _".encode()


def part_of(path: str) -> InputPart:
    """Return the part that a file belongs to; nothing for a file that no app is rendered from."""
    match path.split("/"):
        case [_, str(first), *_] if first == SHARED:
            return (SHARED,)
        case [_, str(first), environment, str(values), category, file] if (first, values) == (SETTINGS, VALUES):
            return SETTINGS, environment, f"{category}/{file.removesuffix('.yaml')}"
        case [_, str(first), environment, _, *_] if first == SETTINGS:
            return SETTINGS, environment
        case [_, category, hidden, _] if hidden.startswith("_"):
            return (category,)
        case [_, category, app, folder, _, *_] if not app.startswith("_"):
            return category, app, folder
    return ()


def shared_parts(app: App) -> tuple[InputPart, ...]:
    """Return the parts that all environments of an app share."""
    return (SHARED,), (app.category,), (app.category, app.name, BASE)


def own_parts(app: App) -> tuple[InputPart, ...]:
    """Return the parts of one environment."""
    environment = app.environment
    return (SETTINGS, environment), (SETTINGS, environment, app.label), (app.category, app.name, environment)


class TreeReader(Protocol):
    """The trees and blobs of a repository, by their hashes."""

    def tree(self, name: str) -> Mapping[str, TreeEntry]:
        """Return the entries of a tree; an empty hash is an empty tree."""

    def folder(self, tree: str, name: str) -> str:
        """Return the tree of a folder in a tree, empty where there is none."""

    def blob(self, name: str) -> bytes:
        """Return the content of an object."""


class AppParts(NamedTuple):
    """The inputs of an app in an environment: two equal parts have the same files."""

    shared: tuple[str, ...]
    own: tuple[str, ...]
    base: str
    """The tree of its base, empty without one."""
    folder: str
    """The tree of the environment's folder, with its pin; empty without one."""


def parts_at(reader: TreeReader, top: str, app: App) -> AppParts:
    """Return the parts of an app in a tree of the folder `apps`; pin and hold do not count."""
    category = reader.folder(top, app.category)
    folders, settings = reader.folder(category, app.name), reader.folder(reader.folder(top, SETTINGS), app.environment)
    folder, base = reader.folder(folders, app.environment), reader.folder(folders, BASE)
    value = reader.tree(reader.folder(reader.folder(settings, VALUES), app.category)).get(f"{app.name}.yaml")
    own = (f"{name} {entry.mode} {entry.hash}" for name, entry in reader.tree(settings).items() if name != VALUES)
    shared = (base, reader.folder(top, SHARED), *_beside(reader, category))
    return AppParts(shared, (_without_pin(reader, folder), value.hash if value else "", *own), base, folder)


def hidden_folders(reader: TreeReader, category: str) -> list[tuple[str, str]]:
    """Return the shared folders of a category with their trees; most categories have none."""
    if not category or HIDDEN not in reader.blob(category):
        return []
    entries = reader.tree(category).items()
    return [(name, one.hash) for name, one in entries if name.startswith("_") and one.is_folder]


def _beside(reader: TreeReader, category: str) -> Iterator[str]:
    """Yield the files in the shared folders of a category."""
    for name, hidden in hidden_folders(reader, category):
        for file, entry in reader.tree(hidden).items():
            if not entry.is_folder:
                yield f"{name}/{file} {entry.mode} {entry.hash}"


def _without_pin(reader: TreeReader, folder: str) -> str:
    """Return a hash of a folder in which the pin does not count."""
    tree, changed = reader.tree(folder), {}
    for name in GENERATED_BY:
        if name in tree and may_have_pin(raw := reader.blob(tree[name].hash)):
            stripped = without_pin(name, raw)
            changed[name] = hashlib.sha1(b"blob %d\0%s" % (len(stripped), stripped)).hexdigest()  # noqa: S324 - Git's own hash of a blob
    return " ".join(f"{entry.mode} {changed.get(name, entry.hash)} {name}" for name, entry in tree.items())

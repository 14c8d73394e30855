"""The versions in an app's files at a commit: images, charts and remote bases, for the message of a promotion.

A commit comes in, versions by name go out. The files are read as text: `preview` compares the rendered objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.tree import App
from ops.promotion.git_objects import FOLDER
from ops.promotion.git_store import GitStore
from ops.promotion.pinned import has_versions, pinned_in


def versions_at(store: GitStore, app: App, commit: str) -> Mapping[str, str]:
    """Return the versions in an app's base and in its folder of an environment."""
    return {**versions_in(store, app.base, commit), **versions_in(store, app.path, commit)}


def versions_in(store: GitStore, folder: str, commit: str) -> Mapping[str, str]:
    """Return the versions in the files of a folder."""
    found: dict[str, str] = {}
    for name, blob in _files(store, store.entries(commit, folder)):
        found |= {one.name: one.version for one in pinned_in(name, store.blob(blob))}
    return found


def _files(store: GitStore, entries: Mapping[str, tuple[int, str]]) -> Iterator[tuple[str, str]]:
    for name, (mode, sha) in entries.items():
        if mode == FOLDER:
            yield from _files(store, store.tree(sha))
        elif has_versions(name):
            yield name, sha

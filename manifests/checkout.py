"""A checkout's files, each read once.

Paths come in as the repository writes them, with slashes and from its top; contents, values and places go out. One
reader serves a whole run: the closures of `manifests.contents`, renders, rules and the search for lines share it, and
each closure is computed once too. It never writes.
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from config import files, pins
from config.source import KeyPath, Source, parse, read
from config.tree import KUSTOMIZATIONS, MANIFESTS, Shape
from local.cache import digest
from manifests import kubernetes_yaml

if TYPE_CHECKING:
    from manifests.contents import Contents

# Of any folder; an environment's folder of an app is never one of plain manifests.
FolderShape: TypeAlias = Shape | Literal["manifests"]


class CheckoutReader:
    """The files of a checkout as they were when they were first read."""

    def __init__(self, root: Path) -> None:
        """Start without a file."""
        self.root = root
        self._kinds: dict[str, str] = {}
        self._raw: dict[str, bytes] = {}
        self._digests: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._sources: dict[str, Source] = {}
        self._leaving: dict[str, bool] = {}
        self._walks: dict[str, tuple[str, ...]] = {}
        self.closures: dict[tuple[str, bool], Contents] = {}
        """Of `manifests.contents`: by folder, and whether its shape counts."""
        self.searched: set[str] = set()
        """Folders whose closure is not complete yet."""

    def is_folder(self, path: str) -> bool:
        """Report whether the path is a folder."""
        return self._kind(path) == "folder"

    def is_file(self, path: str) -> bool:
        """Report whether the path is a file."""
        return self._kind(path) == "file"

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder, none if it does not exist."""
        return [entry.name for entry in self._entries(folder)]

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError:
            return []

    def shape(self, folder: str) -> FolderShape | None:
        """Return a folder's shape by Argo CD's rule: by the names of its files, a kustomization before a chart."""
        names = set(self.names(folder))
        if names.intersection(KUSTOMIZATIONS):
            return "kustomization"
        if "Chart.yaml" in names:
            return "chart"
        return "manifests" if any(name.endswith(MANIFESTS) for name in names) else None

    def kustomization(self, folder: str) -> str | None:
        """Return the path of a folder's kustomization."""
        return next((path for name in KUSTOMIZATIONS if self.is_file(path := posixpath.join(folder, name))), None)

    def raw(self, file: str, most: int = files.LARGEST_TEXT) -> bytes:
        """Return a file's bytes; raise an OSError where it leads out of the checkout, or is larger than allowed."""
        if file in self._raw:
            return self._raw[file]
        if self.leaves(file):
            raise OSError(errno.EXDEV, "leads out of the checkout", str(self.root / file))
        found = files.content(self.root / file, files.LARGEST)
        if len(found) <= files.LARGEST_TEXT:  # larger ones would fill the memory
            self._raw[file] = found
        elif len(found) > most:
            raise files.too_large(self.root / file, most)
        return found

    def text(self, file: str) -> str:
        """Return a file's text, of any size, with a replacement character for each byte that is not UTF-8."""
        return self.raw(file, files.LARGEST).decode("utf-8", errors="replace")

    def digest(self, file: str) -> str:
        """Return the digest of a file's content."""
        if file not in self._digests:
            self._digests[file] = digest(self.raw(file, files.LARGEST))
        return self._digests[file]

    def value(self, file: str) -> Any:
        """Return the value of a file's first document; raise PyYAML's error where it is not YAML."""
        if file not in self._values:
            self._values[file] = kubernetes_yaml.document(self.raw(file).decode("utf-8", errors="replace"))
        return self._values[file]

    def versions(self, file: str) -> Mapping[str, str]:
        """Return the versions that the comments of a kustomization give its remote bases."""
        return pins.versions(self.raw(file).decode("utf-8", errors="replace"))

    def walk(self, folder: str) -> tuple[str, ...]:
        """Return every file below a folder, in the folders that links lead to as well; a link that leaves is a file."""
        if folder not in self._walks:
            self._walks[folder] = tuple(self._walk(folder))
        return self._walks[folder]

    def _walk(self, folder: str) -> Iterator[str]:
        seen, ahead = set[str](), [folder]
        while ahead:
            here = ahead.pop()
            real = os.path.realpath(self.root / here)
            if real in seen or self.leaves(here):
                continue
            seen.add(real)
            folders = []
            for entry in self._entries(here):
                path = f"{here}/{entry.name}"
                if not entry.is_symlink():
                    self._leaving[path] = False  # as its folder
                if _is_folder(entry) and not (entry.is_symlink() and self.leaves(path)):
                    folders += [path] if entry.name != ".git" else []
                else:
                    self._kinds[path] = "file"
                    yield path
            ahead += reversed(folders)

    def leaves(self, path: str) -> bool:
        """Report whether a path leads out of the checkout, by its dots or through a link."""
        if path not in self._leaving:
            outside = path.startswith(("../", "/")) or path == ".."
            self._leaving[path] = outside or files.leaves(self.root, self.root / path)
        return self._leaving[path]

    def line(self, file: str, key: KeyPath) -> int:
        """Return the line of a key, 0 if it has none."""
        return self.source(file).first.line(key) if key else 0

    def source(self, file: str) -> Source:
        """Return a file's documents with their places, and its problems as YAML."""
        if file not in self._sources:
            self._sources[file] = self._source(file)
        return self._sources[file]

    def _source(self, file: str) -> Source:
        try:
            raw = self.raw(file)
        except (OSError, ValueError):
            return read(self.root / file, file)  # it fails again, and reports the reason
        return parse(raw, file)

    def _kind(self, path: str) -> str:
        if path not in self._kinds:
            place = self.root / path
            self._kinds[path] = "folder" if os.path.isdir(place) else "file" if os.path.isfile(place) else ""  # noqa: PTH112, PTH113 - Path.is_dir raises on a loop of links
        return self._kinds[path]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False

"""Reading a checkout, each file once.

Paths come in as the repository writes them, with slashes and from its top; what lies there goes out. One reader serves
all renders of a call, which share bases, components and values. `manifests.contents` asks here, and nothing is written.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from config import files, pins
from config.source import KeyPath, Source, read
from config.tree import KUSTOMIZATIONS, MANIFESTS
from local.cache import digest
from manifests import kubernetes_yaml

Shape: TypeAlias = Literal["kustomization", "chart", "manifests"]


class CheckoutReader:
    """What was read of a checkout."""

    def __init__(self, root: Path) -> None:
        """Begin with nothing read."""
        self.root = root
        self._kinds: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._sources: dict[str, Source] = {}
        self._leaving: dict[str, bool] = {}

    def is_folder(self, path: str) -> bool:
        """Whether a folder lies there."""
        return self._kind(path) == "folder"

    def is_file(self, path: str) -> bool:
        """Whether a file lies there."""
        return self._kind(path) == "file"

    def names(self, folder: str) -> list[str]:
        """Name what lies in a folder, nothing where there is none."""
        return [entry.name for entry in self._entries(folder)]

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError:
            return []

    def shape(self, folder: str) -> Shape | None:
        """Decide what a folder is as Argo CD does: by the names of its files, a kustomization before a chart."""
        names = set(self.names(folder))
        if names.intersection(KUSTOMIZATIONS):
            return "kustomization"
        if "Chart.yaml" in names:
            return "chart"
        return "manifests" if any(name.endswith(MANIFESTS) for name in names) else None

    def kustomization(self, folder: str) -> str | None:
        """Give the path of a folder's kustomization."""
        return next((path for name in KUSTOMIZATIONS if self.is_file(path := posixpath.join(folder, name))), None)

    def digest(self, file: str) -> str:
        """Give the name of a file's content."""
        if file not in self._digests:
            self._digests[file] = digest(files.content(self.root / file, files.LARGEST, self.root))
        return self._digests[file]

    def value(self, file: str) -> Any:
        """Give what a file's first document says; raises PyYAML's error where it is not YAML."""
        if file not in self._values:
            text = files.content(self.root / file, root=self.root).decode("utf-8", errors="replace")
            self._values[file] = kubernetes_yaml.document(text)
        return self._values[file]

    def versions(self, file: str) -> Mapping[str, str]:
        """Return the versions that the comments of a kustomization give its remote bases."""
        return pins.versions(files.content(self.root / file, root=self.root).decode("utf-8", errors="replace"))

    def walk(self, folder: str) -> Iterator[str]:
        """Yield every file below a folder, in the folders that links lead to as well; a link that leaves is a file."""
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
                if _is_folder(entry) and not (entry.is_symlink() and self.leaves(path)):
                    folders += [path] if entry.name != ".git" else []
                else:
                    self._kinds[path] = "file"
                    yield path
            ahead += reversed(folders)

    def leaves(self, path: str) -> bool:
        """Whether a path leads out of the checkout, by its dots or through a link."""
        if path not in self._leaving:
            outside = path.startswith(("../", "/")) or path == ".."
            self._leaving[path] = outside or files.leaves(self.root, self.root / path)
        return self._leaving[path]

    def line(self, file: str, key: KeyPath) -> int:
        """Give the line of a key, 0 where it has none."""
        return self.source(file).first.line(key) if key else 0

    def source(self, file: str) -> Source:
        """Give what a file says with its places, and what is wrong with it as YAML."""
        if file not in self._sources:
            self._sources[file] = read(self.root / file, file)
        return self._sources[file]

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

"""The file and line of an object's field, as exactly as they can be found.

Rendered objects have no file. The files of their folder are searched for a document of the same kind and name, and the
one with most of the field's path wins; an object of a chart leads to the line that names the chart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from config.source import Document, KeyPath, dotted
from config.tree import APPS, MANIFESTS, SETTINGS
from errors import Problem
from manifests.checkout import CheckoutReader
from manifests.contents import Contents, contents_of
from manifests.fields import text
from manifests.rules.stack_objects import AppObject, ObjectFinding

NAMESPACE: KeyPath = ("metadata", "namespace")


@dataclass(frozen=True)
class Locator:
    """The search for files and lines in one checkout."""

    reader: CheckoutReader
    pinned: Mapping[str, CheckoutReader] = field(default_factory=dict)
    """The readers of folders that are pinned to a commit."""

    def problem(self, found: ObjectFinding) -> Problem:
        """Return a finding as a problem with its file and line."""
        file, line = self.place(found.obj, found.path)
        key = f"{found.obj} {dotted(found.path)}".strip()
        value = "" if str(found.value) == str(found.obj) else str(found.value)
        return Problem(file, line, key, value, found.rule, found.fix, found.check)

    def place(self, obj: AppObject, path: KeyPath) -> tuple[str, int]:
        """Return the file and line of an object's field, or of the nearest known key."""
        found = [
            (self._depth(document, path), -index, file, document)
            for index, (file, document) in enumerate(self._written(obj))
        ]
        if found:
            depth, _, file, document = max(found, key=lambda one: one[:2])
            if path == NAMESPACE and depth < len(path):
                return self._moved(obj) or (file, document.line(path))
            return file, document.line(path)
        return self._asked(obj)

    def _moved(self, obj: AppObject) -> tuple[str, int] | None:
        """Find the kustomization that put an object into its namespace."""
        for file in self._of(obj.app.path).kustomizations.values():
            document = self._reader(obj.app.path).source(file).first
            if NAMESPACE[1:] in document.lines and document.value["namespace"] == obj.namespace:
                return file, document.line(NAMESPACE[1:])
        return None

    def _written(self, obj: AppObject) -> list[tuple[str, Document]]:
        """Return the documents that can be this object: those of its name, else the only one of its kind."""
        alike = [
            (file, document)
            for file, document in self._all(obj.app.path)
            if isinstance(document.value, dict) and document.value.get("kind") == obj.kind
        ]
        named = [one for one in alike if text(one[1].value, "metadata", "name") == obj.name]
        return named or (alike if len(alike) == 1 and not obj.by_chart else [])

    def _all(self, folder: str) -> Iterator[tuple[str, Document]]:
        """Yield every document of a folder's inputs, those of its own files first, without the settings."""
        for file in sorted(self._of(folder).files, key=lambda file: (not file.startswith(f"{folder}/"), file)):
            if file.endswith(MANIFESTS) and not file.startswith(f"{APPS}/{SETTINGS}/"):
                yield from ((file, document) for document in self._reader(folder).source(file).documents)

    def _of(self, folder: str) -> Contents:
        return contents_of(self._reader(folder), folder)

    def _reader(self, folder: str) -> CheckoutReader:
        return self.pinned.get(folder, self.reader)

    def _depth(self, document: Document, path: KeyPath) -> int:
        return max((size for size in range(len(path) + 1) if path[:size] in document.lines), default=0)

    def _asked(self, obj: AppObject) -> tuple[str, int]:
        """Return the line of the object's chart, else the folder's own file."""
        contents = self._of(obj.app.path)
        label = text(obj.metadata, "labels", "helm.sh/chart")
        charts = contents.charts if obj.by_chart else []
        for wanted in sorted(charts, key=lambda one: not label.startswith(f"{one.chart.name}-")):
            return wanted.file, self._reader(obj.app.path).line(wanted.file, wanted.key)
        own = contents.kustomizations.get(obj.app.path, obj.app.path)
        return contents.kustomizations.get(obj.app.base, own), 0

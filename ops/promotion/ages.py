"""The age of what an environment runs: the commit that last changed the pin of an app, its inputs, or a stack file.

The history of a checkout comes in, read once for all apps; times go out. `ops.promotion.matrix` shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from config import files
from config.promotion import may_have_pin, pin_of, written_pin
from config.source import parse
from config.tree import APPS, App
from ops.promotion.git_objects import CommittedChange, GitObjects
from ops.promotion.parts import InputPart, own_parts, part_of, shared_parts

NO_FILE = object()


class Committed(NamedTuple):
    """A commit, and when it was made."""

    commit: str
    time: datetime


@dataclass
class Ages:
    """The commits of the first-parent history that changed apps and stack files, the newest first for each."""

    objects: GitObjects
    _parts: dict[InputPart, Committed] = field(default_factory=dict)
    _files: dict[str, list[tuple[Committed, str, str]]] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Return whether a change without a commit must be one of the working tree."""
        return bool(self.objects.head) and not self.objects.is_shallow

    @classmethod
    def of(cls, objects: GitObjects, apps: Iterable[App]) -> Ages:
        """Read the history once, and all versions of the files of pinned apps and of stacks together."""
        ages = cls(objects)
        pinned = {app.file for app in apps if app.revision}
        for change in objects.history():
            ages._add(change, pinned)
        blobs = {blob for changes in ages._files.values() for _, *sides in changes for blob in sides}
        objects.read(blob for blob in blobs if blob.strip("0"))
        return ages

    def _add(self, change: CommittedChange, pinned: set[str]) -> None:
        committed = Committed(change.commit, datetime.fromtimestamp(change.time, UTC))
        for path, sides in change.files.items():
            if path.startswith(f"{APPS}/"):
                self._parts.setdefault(part_of(path), committed)
            if path in pinned or not path.startswith(f"{APPS}/"):
                self._files.setdefault(path, []).append((committed, *sides))

    def inputs(self, app: App) -> Committed | None:
        """Return the last commit that changed an input of an app in its environment."""
        found = (self._parts.get(part) for part in (*shared_parts(app), *own_parts(app)))
        return max(filter(None, found), key=lambda one: one.time, default=None)

    def pin(self, app: App) -> Committed | None:
        """Return the commit that pinned an app where it is pinned; None where that is not committed."""
        for committed, before, after in self._files.get(app.file, []):
            if self._pin(app.file, after) != app.revision:
                return None
            if self._pin(app.file, before) != app.revision:
                return committed
        return None

    def setting(self, file: str, section: str, key: str) -> Committed | None:
        """Return the commit that gave a setting of a stack file its value; None where that is not committed."""
        now = _setting(files.content(self.objects.root / file), section, key)
        for committed, before, after in self._files.get(file, []):
            if self._at(after, section, key) != now:
                return None
            if self._at(before, section, key) != now:
                return committed
        return None

    def _pin(self, file: str, blob: str) -> str:
        return pin_in(file.rpartition("/")[2], self.objects.blob(blob)) if blob.strip("0") else ""

    def _at(self, blob: str, section: str, key: str) -> Any:
        """Return a setting in a version of a file; a missing file has no value, and not None as a missing key has."""
        return _setting(self.objects.blob(blob), section, key) if blob.strip("0") else NO_FILE


def _setting(raw: bytes, section: str, key: str) -> Any:
    found = _config(raw).get(f"homelab:{section}")
    return found.get(key) if isinstance(found, Mapping) else None


@lru_cache(maxsize=1024)
def _config(raw: bytes) -> Mapping[str, Any]:
    value: Any = parse(raw, "").first.value
    found = value.get("config") if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def pin_in(name: str, raw: bytes) -> str:
    """Return the pin in a version of a file."""
    if not may_have_pin(raw):
        return ""
    return (written_pin(name, raw) or pin_of(parse(raw, name)))[0]

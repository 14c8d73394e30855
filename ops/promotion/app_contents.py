"""The inputs of apps at a commit and in the working tree, by the hashes of Git's trees.

Apps and commits come in; for each pair, the shared part and the environment's own part go out. Two equal parts have
the same files: nothing is read to compare them. `ops.promotion.matrix` shows the differences,
`ops.promotion.parts` lists which files belong to which part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple, TypeAlias

from components.handover.application_sets import SHARED
from config.promotion import may_have_pin, without_pin
from config.tree import APPS, BASE, GENERATED_BY, SETTINGS, App
from ops.promotion.git_objects import FOLDER, GitObjects
from ops.promotion.parts import VALUES

WORKING = ""
"""The revision of an app without a pin."""
AppAtRevision: TypeAlias = "tuple[App, str]"
HIDDEN = f"{FOLDER} _".encode()


class AppParts(NamedTuple):
    """The inputs of an app in an environment at one revision."""

    shared: tuple[str, ...]
    own: tuple[str, ...]
    base: str
    """The tree of its base, empty without one."""
    folder: str
    """The tree of the environment's folder, with its pin."""


@dataclass
class AppContents:
    """The parts of apps at revisions; each tree is read once, and the trees of many apps by one command."""

    objects: GitObjects
    _roots: dict[str, str] = field(default_factory=dict)
    """The tree of the folder `apps` by revision: what two revisions with the same tree have is read once."""
    _parts: dict[tuple[str, str, str], AppParts | None] = field(default_factory=dict)
    _hidden: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, wanted: Iterable[AppAtRevision]) -> None:
        """Read the trees of apps at revisions, all together: far fewer commands than one for each."""
        listed = list(wanted)
        self._resolve({revision for _, revision in listed})
        pairs = [
            (app, root)
            for app, root in dict.fromkeys((app, self._roots[revision]) for app, revision in listed)
            if (app.label, app.environment, root) not in self._parts
        ]
        apps, tops = [app for app, _ in pairs], [root for _, root in pairs]
        self.objects.read(tops)
        categories, above = self._below((tops, [app.category for app in apps]), (tops, [SETTINGS] * len(apps)))
        folders, settings = self._below(
            (categories, [app.name for app in apps]), (above, [app.environment for app in apps])
        )
        chosen, every = self._below((folders, [app.environment for app in apps]), (settings, [VALUES] * len(apps)))
        (values,) = self._below((every, [app.category for app in apps]))
        trees = map(self.objects.tree, chosen)
        hidden = (one for category in set(categories) for _, one in self._hidden_folders(category))
        self.objects.read((*hidden, *(tree[name].hash for tree in trees for name in GENERATED_BY if name in tree)))
        for (app, root), *found in zip(pairs, categories, settings, values, folders, strict=True):
            self._parts[app.label, app.environment, root] = self._found(app, root, *found)

    def parts(self, app: App, revision: str) -> AppParts | None:
        """Return the parts of an app at a revision; None where the revision has no such folder."""
        root = self._roots.get(revision)
        if root is None or (app.label, app.environment, root) not in self._parts:
            self.read([(app, revision)])
        return self._parts[app.label, app.environment, self._roots[revision]]

    def _resolve(self, revisions: Iterable[str]) -> None:
        unknown = sorted({one for one in revisions if one} - self._roots.keys())
        found = self.objects.resolve([f"{one}:{self.objects.prefix}{APPS}" for one in unknown])
        self._roots |= {WORKING: self.objects.working, **dict(zip(unknown, found, strict=True))}

    def _below(self, *asked: tuple[Sequence[str], Sequence[str]]) -> list[list[str]]:
        """Return the folder of a name in each tree, and read all of them by one command."""
        found = [
            [self.objects.folder(tree, name) for tree, name in zip(trees, names, strict=True)] for trees, names in asked
        ]
        self.objects.read(chain.from_iterable(found))
        return found

    def _found(self, app: App, top: str, category: str, settings: str, values: str, folders: str) -> AppParts | None:
        folder, base = (self.objects.folder(folders, name) for name in (app.environment, BASE))
        if not folder:
            return None
        own = (f"{name} {entry.hash}" for name, entry in self.objects.tree(settings).items() if name != VALUES)
        value = self.objects.tree(values).get(f"{app.name}.yaml")
        shared = (base, self.objects.folder(top, SHARED), *self._beside(category))
        return AppParts(shared, (self._without_pin(folder), value.hash if value else "", *own), base, folder)

    def _beside(self, category: str) -> tuple[str, ...]:
        """Return the files in the shared folders of a category."""
        if category not in self._hidden:
            self._hidden[category] = tuple(
                f"{name}/{file} {entry.mode} {entry.hash}"
                for name, hidden in self._hidden_folders(category)
                for file, entry in self.objects.tree(hidden).items()
                if not entry.is_folder
            )
        return self._hidden[category]

    def _hidden_folders(self, category: str) -> list[tuple[str, str]]:
        """Return the shared folders of a category with their trees; most categories have none."""
        if not category or HIDDEN not in self.objects.blob(category):
            return []
        entries = self.objects.tree(category).items()
        return [(name, one.hash) for name, one in entries if name.startswith("_") and one.is_folder]

    def _without_pin(self, folder: str) -> str:
        """Return a hash of a folder in which the pin does not count."""
        tree = self.objects.tree(folder)
        changed = {}
        for name in GENERATED_BY:
            if name in tree and may_have_pin(raw := self.objects.blob(tree[name].hash)):
                stripped = without_pin(name, raw)
                changed[name] = hashlib.sha1(b"blob %d\0%s" % (len(stripped), stripped)).hexdigest()  # noqa: S324 - Git's own hash of a blob
        return " ".join(f"{entry.mode} {changed.get(name, entry.hash)} {name}" for name, entry in tree.items())

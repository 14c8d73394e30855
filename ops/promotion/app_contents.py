"""The inputs of apps at a commit and in the working tree, by the hashes of Git's trees.

Apps and commits come in; for each pair, the shared part and the environment's own part go out, as
`ops.promotion.parts` reads them. `ops.promotion.matrix` shows the differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias

from config.tree import APPS, GENERATED_BY, SETTINGS, App
from ops.promotion.git_objects import GitObjects
from ops.promotion.parts import VALUES, AppParts, hidden_folders, parts_at

WORKING = ""
"""The revision of an app without a pin."""
AppAtRevision: TypeAlias = "tuple[App, str]"


@dataclass
class AppContents:
    """The parts of apps at revisions; each tree is read once, and the trees of many apps by one command."""

    objects: GitObjects
    _roots: dict[str, str] = field(default_factory=dict)
    """The tree of the folder `apps` by revision: what two revisions with the same tree have is read once."""
    _parts: dict[tuple[str, str, str], AppParts | None] = field(default_factory=dict)

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
        self._below((every, [app.category for app in apps]))
        trees = map(self.objects.tree, chosen)
        hidden = (one for category in set(categories) for _, one in hidden_folders(self.objects, category))
        self.objects.read((*hidden, *(tree[name].hash for tree in trees for name in GENERATED_BY if name in tree)))
        for app, root in pairs:
            found = parts_at(self.objects, root, app)
            self._parts[app.label, app.environment, root] = found if found.folder else None

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

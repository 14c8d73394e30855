"""The contents of apps by commit: which commits have the same version of an app, and which one a pin can name.

An app of an environment is rendered from one commit. Its inputs there are the *shared part* (its base, the shared
folders of its category and of all categories) and the environment's *own part* (the app's folder of the environment,
and the settings of the environment). `components.handover.application_sets.generate_paths` lists the same paths for
Argo CD, and `check` refuses an app that reads others. `ops.promotion.plan` decides with it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from config.tree import APPS, App
from ops.promotion.git_store import GitStore
from ops.promotion.parts import AppParts, InputPart, own_parts, part_of, parts_at, shared_parts


@dataclass
class History:
    """The first-parent history of HEAD; places count from HEAD, which is 0, to the first commit."""

    store: GitStore
    commits: list[str] = field(init=False)
    _places: dict[str, int] = field(init=False)
    _changes: dict[InputPart, list[int]] = field(init=False)
    _parts: dict[tuple[str, str, str], AppParts] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Read the history once for all apps."""
        self.commits = self.store.commits()
        self._places = {commit: place for place, commit in enumerate(self.commits)}
        self._changes = defaultdict(list)
        for commit, names in self.store.changes(APPS):
            for part in {part for name in names if (part := part_of(name))}:
                self._changes[part].append(self._places[commit])

    def place(self, commit: str) -> int | None:
        """Return the place of a commit; None for one that is not in the first-parent history."""
        return self._places.get(commit)

    def parts(self, app: App, commit: str) -> AppParts | None:
        """Return the content of an app's parts at a commit, None where the commit is not known."""
        if not self.store.exists(commit):
            return None
        top = self.store.entry(commit, APPS)
        key = app.label, app.environment, top.hash if top else ""
        if key not in self._parts:
            self._parts[key] = parts_at(self.store, key[-1], app)
        return self._parts[key]

    def has(self, app: App, commit: str) -> bool:
        """Report whether an app has a folder in its environment at a commit."""
        return bool(self.store.entries(commit, app.path))

    def is_same(self, app: App, one: str, other: str) -> bool:
        """Report whether two commits have the same inputs of an app in an environment."""
        if one == other:
            return self.store.exists(one)
        here, there = self.parts(app, one), self.parts(app, other)
        return here is not None and there is not None and (here.shared, here.own) == (there.shared, there.own)

    def is_newer(self, one: str, other: str) -> bool:
        """Report whether a commit comes after another one."""
        here, there = self.place(one), self.place(other)
        if here is not None and there is not None:
            return here < there
        return one != other and self.store.is_ancestor(other, one)

    def newest_like(self, app: App, commit: str) -> str:
        """Return the newest commit whose shared part is that of a commit, and of all commits between them."""
        place = self.place(commit)
        if place is None:
            return commit
        newer = (self._before(part, place) for part in shared_parts(app))
        return self.commits[max((one + 1 for one in newer if one is not None), default=0)]

    def last_change(self, app: App, commit: str) -> str:
        """Return the last commit, up to another one, that changes an input of an app in its environment."""
        place = self.place(commit)
        if place is None:
            return commit
        return self.commits[next(self._changed(app, place, len(self.commits)), len(self.commits) - 1)]

    def states(self, app: App, newer: str, older: str) -> Iterator[str]:
        """Yield the newest commit of each state of an environment's folder between two commits, the newest first."""
        yield newer
        begin, end = self.place(newer), self.place(older)
        if begin is None or end is None:
            return
        folder = own_parts(app)[-1]
        yield from (self.commits[one + 1] for one in self._between(folder, begin, end - 1))

    def arriving(self, app: App, older: str, newer: str, most: int) -> list[str]:
        """Return the commits after one and up to another that change an input of an app, the newest first."""
        begin, end = self.place(newer), self.place(older)
        if begin is None or end is None:
            return []
        return [self.commits[one] for one in islice(self._changed(app, begin, end - 1), most)]

    def changes_after(self, app: App, commit: str) -> list[str]:
        """Return the commits after another one that change an environment's own part."""
        place = self.place(commit)
        if place is None:
            return []
        after = (one for part in own_parts(app) for one in self._changes[part] if one < place)
        return [self.commits[one] for one in sorted(set(after)) if self._is_own_change(app, one)]

    def _before(self, part: InputPart, place: int) -> int | None:
        """Return the place of the first change of a part after a commit."""
        found = self._changes[part]
        at = bisect_left(found, place)
        return found[at - 1] if at else None

    def _changed(self, app: App, begin: int, end: int) -> Iterator[int]:
        """Yield the places from one on, towards the first commit, where an input of an app changes."""
        shared = {one for part in shared_parts(app) for one in self._between(part, begin, end)}
        own = {one for part in own_parts(app) for one in self._between(part, begin, end)}
        yield from (one for one in sorted(shared | own) if one in shared or self._is_own_change(app, one))

    def _between(self, part: InputPart, begin: int, end: int) -> list[int]:
        found = self._changes[part]
        return found[bisect_left(found, begin) : bisect_right(found, end)]

    def _is_own_change(self, app: App, place: int) -> bool:
        """Report whether a commit changes more of the own part than pin and hold."""
        if place + 1 == len(self.commits):
            return True
        here, before = (self.parts(app, self.commits[one]) for one in (place, place + 1))
        return here is None or before is None or here.own != before.own

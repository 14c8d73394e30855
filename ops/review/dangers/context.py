"""The subjects of the rules: the parts of a change that a danger is read from.

Both sides of a change come in, `Context` divides them. The rules of this package read one subject each, and
`ops.review.dangers.register` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from config.load import Stack
from config.model import Settings
from config.tree import CategoryFolder
from manifests.comparison.pairs import Pair
from manifests.objects import Identity, Object
from manifests.rules.stack_objects import JOBS, WORKLOADS, AppObject, Pods
from ops.review.applications import Removals
from ops.review.report import ApplicationChange, Infrastructure, NodeConfiguration, RemovedObject, VersionChange
from ops.review.sides import AppPair, Side, both


@dataclass(frozen=True)
class ObjectPair:
    """One object of an app on both sides; `removal` is what Argo CD does with it where it was removed."""

    app: AppPair
    pair: Pair
    removal: RemovedObject | None = None

    @property
    def identity(self) -> Identity:
        """Return the identity of the object."""
        return self.pair.identity

    @property
    def kind(self) -> tuple[str, str]:
        """Return the group and the kind of the object."""
        return self.identity.group, self.identity.kind

    @property
    def where(self) -> str:
        """Return the app and the object."""
        return f"{self.app.label}: {self.identity}"

    @property
    def namespace(self) -> str:
        """Return the namespace of the object, or that of its app where the object has none."""
        place = self.app.after or self.app.before
        return self.identity.namespace or (place.namespace if place else "")

    @property
    def is_lost(self) -> bool:
        """Return whether the cluster loses the object, at once or as soon as a user confirms or syncs."""
        return self.removal is not None and self.removal.fate in ("pruned", "deleted", "waits for a person")

    @property
    def before(self) -> Object:
        """Return the object before the change; empty where there is none."""
        return self.pair.before or {}

    @property
    def after(self) -> Object:
        """Return the object after the change; empty where there is none."""
        return self.pair.after or {}

    def pods(self, side: Literal["before", "after"]) -> Pods | None:
        """Return the pod template of a side, where the object has one."""
        place = self.app.before if side == "before" else self.app.after
        item = self.pair.before if side == "before" else self.pair.after
        if place is None or item is None or self.identity.kind not in (*WORKLOADS, *JOBS, "Pod"):
            return None
        return Pods.of(AppObject(item, place.app, place.category, self.namespace))


@dataclass(frozen=True)
class SettingsPair:
    """The settings of one stack on both sides, with the machine configurations that change."""

    before: Stack
    after: Stack
    sides: tuple[Side, Side]
    configurations: tuple[NodeConfiguration, ...] = ()

    @property
    def file(self) -> str:
        """Return the stack file."""
        return self.after.places.file

    @property
    def settings(self) -> tuple[Settings, Settings]:
        """Return both settings."""
        return self.before.require(), self.after.require()


@dataclass(frozen=True)
class CategoryPair:
    """One category in an environment on both sides; None where the environment runs none of its apps."""

    name: str
    environment: str
    before: CategoryFolder | None
    after: CategoryFolder | None

    @property
    def file(self) -> str:
        """Return the file of the category."""
        return f"apps/{self.name}/category.yaml"


@dataclass(frozen=True)
class Context:
    """Everything that the rules read."""

    pairs: Sequence[AppPair]
    before: Side
    after: Side
    versions: Sequence[VersionChange] = ()
    applications: Sequence[ApplicationChange] = ()
    infrastructure: Sequence[Infrastructure] = ()
    configurations: Sequence[NodeConfiguration] = ()

    @cached_property
    def removals(self) -> Removals:
        """Return what Argo CD does with removed objects."""
        return Removals.of(self.pairs, self.before, self.after)

    @cached_property
    def objects(self) -> tuple[tuple[str, ObjectPair], ...]:
        """Return each object that differs, with its stack; rules and dry runs of all stacks read them."""
        fates = ((app, self.removals.fates(app)) for app in self.pairs)
        return tuple((app.stack, ObjectPair(app, one, of.get(one.identity))) for app, of in fates for one in app.pairs)

    @property
    def settings(self) -> Iterator[tuple[str, SettingsPair]]:
        """Yield the settings of each stack that both sides can read."""
        for before, after in both(self.before, self.after):
            own = tuple(one for one in self.configurations if one.stack == after.name)
            yield after.name, SettingsPair(before, after, (self.before, self.after), own)

    @property
    def categories(self) -> Iterator[tuple[str, CategoryPair]]:
        """Yield each category of each stack; without those that one side cannot read."""
        unread = {*self.before.tree.refused, *self.after.tree.refused}
        for stack, pair in self.settings:
            environments = [settings.delivery.environment for settings in pair.settings]
            sides = [
                {category.name: category for category in side.tree.chosen(environment)}
                for side, environment in zip(pair.sides, environments, strict=True)
            ]
            for name in sorted({*sides[0], *sides[1]} - unread):
                yield stack, CategoryPair(name, environments[1], sides[0].get(name), sides[1].get(name))

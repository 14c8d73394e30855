"""The Applications of a change, and what Argo CD does with each object that was removed.

Pairs of apps and both sides come in, `ApplicationChange`s go out. The answers are those of Argo CD's controllers, for
Applications as `components.handover.application_sets` makes them:

* An object that leaves an app is pruned (`pruneObject`), unless the live object has `Prune=false`, or waits for a
  confirmation with `Prune=confirm`, for which all others of its wave wait (`runTasks`). The live object still has the
  annotations of the old revision. A hook is no object of a sync, and is never pruned.
* `helm.sh/resource-policy: keep` and `Delete=` have no effect on a prune. They keep an object when its Application is
  deleted (`shouldBeDeleted`), which leaves every CRD as well. One object that requires a confirmation stops the
  deletion of all of them.
* An automatic sync refuses to prune all objects of an app (`auto-sync will wipe out all resources`).
* Under `removal: keep`, an Application is never deleted and has no finalizer.
* An object that moves to another app has two Applications. The new one does not sync (`FailOnSharedResource=true`)
  before the old one has pruned the object, and then creates it again.

category.yaml and gates of a stack reach Argo CD with the next `up`, and a commit of apps reaches it at once: of both
policies, the one counts that deletes more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from config.category import Category, Sync
from config.gates import Gates
from config.tree import CategoryFolder
from manifests.comparison.pairs import Pair
from manifests.fields import text
from manifests.objects import CRD, Identity, Object, is_hook, notes
from ops.review.report import ApplicationChange, Fate, Operation, RemovedObject, joined
from ops.review.sides import AppPair, Side

OPTIONS = "argocd.argoproj.io/sync-options"
WAVE = "argocd.argoproj.io/sync-wave"
HELM_POLICY = "helm.sh/resource-policy"
# From the least to the most that the cluster loses.
LOSS: tuple[Fate, ...] = (
    "kept by removal",
    "kept by prune",
    "kept by annotation",
    "waits for a person",
    "pruned",
    "deleted",
)


def applications(pairs: Sequence[AppPair], before: Side, after: Side) -> tuple[ApplicationChange, ...]:
    """Return each Application that was added, removed or changed; the same change of several stacks is one."""
    removals = Removals.of(pairs, before, after)
    changes = joined((_change(pair, removals), (pair.stack,)) for pair in pairs)
    return tuple(sorted(changes, key=lambda one: (one.app, one.stacks)))


def _change(pair: AppPair, removals: Removals) -> ApplicationChange:
    counts = Counter(one.operation for one in pair.pairs)
    return ApplicationChange(
        app=pair.label,
        stacks=(),
        operation=_operation(pair),
        added=counts["added"],
        changed=counts["changed"],
        removed=counts["removed"],
        removed_objects=tuple(removals.fates(pair).values()),
        sync=removals.sync(pair),
    )


def _operation(pair: AppPair) -> Operation:
    if pair.before is None:
        return "added"
    return "removed" if pair.after is None else "changed"


@dataclass(frozen=True)
class Removals:
    """What Argo CD does with the removed objects of a change, by the policies of both sides."""

    before: Side
    after: Side
    added: Mapping[tuple[str, Identity], str]
    """The app that brings an object which it did not have before, by stack and identity."""

    @classmethod
    def of(cls, pairs: Sequence[AppPair], before: Side, after: Side) -> Removals:
        """Return the removals of a change."""
        found = ((pair, one) for pair in pairs for one in pair.pairs if one.operation == "added")
        return cls(before, after, {(pair.stack, one.identity): pair.label for pair, one in found})

    def sync(self, pair: AppPair) -> str:
        """Return the sync policy of an app, and a change of it."""
        policies = [_described(sync) for _, sync in self._policies(pair)]
        return " → ".join(dict.fromkeys(policies))

    def fates(self, pair: AppPair) -> dict[Identity, RemovedObject]:
        """Return what happens to each removed object of an app."""
        removed = [one for one in pair.pairs if one.operation == "removed"]
        return {one.identity: self._removal(pair, one, removed) for one in removed}

    def _removal(self, pair: AppPair, one: Pair, removed: Sequence[Pair]) -> RemovedObject:
        found = [self._fate(pair, one, removed, *policy) for policy in self._policies(pair)]
        fate, why = max(found, key=lambda each: LOSS.index(each[0]))
        if len({each[0] for each in found}) > 1:
            deployed = found[0][0] == fate
            why += ": Argo CD has the old policy until the next `up`" if deployed else ", after the next `up`"
        if other := self.added.get((pair.stack, one.identity)):
            why += f"; {other} brings it too, and "
            why += "does not sync while it is there" if fate.startswith("kept") else "creates it again after that"
        return RemovedObject(object=str(one.identity), fate=fate, why=why)

    def _fate(
        self, pair: AppPair, one: Pair, removed: Sequence[Pair], category: Category, sync: Sync
    ) -> tuple[Fate, str]:
        assert one.before is not None
        if pair.after is None:
            return _with_its_app(one.before, [each.before for each in removed if each.before], category)
        fate = _from_its_app(one.before, sync, is_empty=self._is_empty(pair))
        asking = [each.before for each in removed if each.before and _asks(each.before, one.before)]
        if fate[0] == "pruned" and asking:
            name = f"{text(asking[0], 'kind')} {text(asking[0], 'metadata', 'name')}"
            return "waits for a person", f"{name} has Prune=confirm: the sync prunes nothing until it is confirmed"
        return fate

    def _is_empty(self, pair: AppPair) -> bool:
        """Return whether the app has no object any more."""
        stack = self.after.stack(pair.stack)
        return bool(stack and pair.after and not self.after.validation.objects_of(stack, pair.after.app.path))

    def _policies(self, pair: AppPair) -> list[tuple[Category, Sync]]:
        """Return the categories of both sides, with their policies under the stack's gates; first that of Argo CD."""
        place = pair.before or pair.after
        assert place is not None
        name, environment = place.category.name, place.app.environment
        sides = [(side, one.settings) for side in (self.before, self.after) if (one := _category(side, name))]
        found = sides or [(self.after, place.category.settings)]
        return [(category, _gates(side, pair.stack).over(category.sync_in(environment))) for side, category in found]


def _gates(side: Side, name: str) -> Gates:
    stack = side.stack(name)
    return stack.settings.delivery.gates if stack and stack.settings else Gates()


def _category(side: Side, name: str) -> CategoryFolder | None:
    return next((one for one in side.tree.categories if one.name == name), None)


def _described(sync: Sync) -> str:
    return sync.mode if sync.prune == "enabled" else f"{sync.mode} without prune"


def _from_its_app(item: Object, sync: Sync, *, is_empty: bool) -> tuple[Fate, str]:
    """Return what happens to an object that left an app which stays."""
    options = options_of(item)
    if is_hook(item):
        return "kept by prune", "a hook is no part of a sync: its own delete policy removes it"
    if options.get("Prune") == "false":
        return "kept by annotation", "the live object has Prune=false"
    if sync.prune == "disabled":
        return "kept by prune", "the category has prune: disabled"
    if options.get("Prune") == "confirm":
        return "waits for a person", "the live object has Prune=confirm: the sync waits until it is confirmed"
    if sync.mode == "manual":
        return "waits for a person", "the sync is manual: `./homelab sync` prunes it"
    if is_empty:
        return "waits for a person", "nothing of the app is left, and an automatic sync never prunes all of it"
    return "pruned", "the automatic sync deletes it"


def _with_its_app(item: Object, removed: Sequence[Object], category: Category) -> tuple[Fate, str]:
    """Return what happens to an object whose app was removed."""
    if category.removal == "keep":
        return "kept by removal", "the category has removal: keep: its Application stays"
    if reason := _retained(item):
        return "kept by annotation", reason
    for one in removed:
        asks = [key for key in ("Delete", "Prune") if options_of(one).get(key) == "confirm"]
        if asks and not _retained(one):
            name = f"{one.get('kind')} {text(one, 'metadata', 'name')}"
            return "waits for a person", f"{name} has {asks[0]}=confirm: nothing is deleted until it is confirmed"
    return "deleted", "the category has removal: delete: it is deleted with its Application"


def _asks(item: Object, beside: Object) -> bool:
    """Report whether the prune of an object must be confirmed, for which others of its wave wait (`runTasks`)."""
    same = notes(item).get(WAVE, "0") == notes(beside).get(WAVE, "0")
    return same and not is_hook(item) and options_of(item).get("Prune") == "confirm"


def _retained(item: Object) -> str:
    """Return the reason why the deletion of its Application leaves an object, nothing where it does not."""
    if item.get("kind") == CRD:
        return "Argo CD deletes no CRD with an Application"
    if options_of(item).get("Delete") == "false":
        return "the live object has Delete=false"
    if "keep" in _listed(item, HELM_POLICY):
        return f"the live object has {HELM_POLICY}: keep"
    return ""


def options_of(item: Object) -> dict[str, str]:
    """Return the sync options of an object with a value; of one that is there twice, the first counts."""
    found: dict[str, str] = {}
    for option in _listed(item, OPTIONS):
        name, is_set, value = option.partition("=")
        if is_set:
            found.setdefault(name, value)
    return found


def _listed(item: Object, annotation: str) -> Iterator[str]:
    return (part.strip() for part in notes(item).get(annotation, "").split(",") if part.strip())

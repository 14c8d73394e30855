"""Two sides of one object, aligned: list entries in one order where their order has no meaning, and noise taken out.

Two values come in, two aligned copies and the number of folded differences go out. Kubernetes merges some lists by a
key of their entries: the API server ignores the order of containers, volumes and ports. `manifests.comparison.pairs`
decides by this whether an object differs, `manifests.comparison.difference` shows the rest line by line.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from manifests.fields import every_text, text
from manifests.objects import Object
from manifests.rules.stack_objects import is_own_kind

Path: TypeAlias = "tuple[Any, ...]"
# Report whether a difference at a path counts as noise; a side is ABSENT where the field does not exist.
Noise: TypeAlias = Callable[[Path, Any, Any], bool]
EntryKey: TypeAlias = Callable[[Any], Hashable]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


def _port(entry: Any) -> Hashable:
    number = text(entry, "containerPort") or text(entry, "port")
    return (number, text(entry, "protocol") or "TCP") if number else None


def _named(*keys: str) -> EntryKey:
    def key(entry: Any) -> Hashable:
        found = tuple(text(entry, name) for name in keys)
        return found if all(found) else None

    return key


def _metadata_name(entry: Any) -> Hashable:
    return text(entry, "metadata", "name") or None


# The lists of Kubernetes' own kinds in which the order of entries has no effect, with the key that merges them.
UNORDERED: Mapping[str, EntryKey] = {
    "containers": _named("name"),
    "env": _named("name"),
    "ephemeralContainers": _named("name"),
    "hostAliases": _named("ip"),
    "imagePullSecrets": _named("name"),
    "ports": _port,
    "resourceClaims": _named("name"),
    "secrets": _named("name"),
    "topologySpreadConstraints": _named("topologyKey", "whenUnsatisfiable"),
    "volumeDevices": _named("devicePath"),
    "volumeMounts": _named("mountPath"),
    "volumes": _named("name"),
}
# In all other lists the order counts; these keys find the entry of the other side.
IDENTIFYING: Sequence[EntryKey] = (_named("name"), _metadata_name, _named("alert"), _named("record"), _named("id"))


@dataclass(frozen=True)
class Aligned:
    """Both sides in one order, without the differences that are noise."""

    before: Any
    after: Any
    folded: int = 0

    @property
    def is_equal(self) -> bool:
        """Report whether nothing is left that differs."""
        return is_identical(self.before, self.after)


def aligned(before: Object, after: Object, noise: Noise = lambda path, one, other: False) -> Aligned:
    """Return both sides of an object, aligned; the order of the side after the change is kept."""
    return _Alignment(noise, own=_is_own(before) and _is_own(after)).of(before, after, ())


def is_identical(before: Any, after: Any) -> bool:
    """Report whether two values are equal in YAML, where 1 and true differ and the order of keys has no meaning."""
    if type(before) is not type(after):
        return False
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(is_identical(one, after[key]) for key, one in before.items())
    if isinstance(before, list):
        return len(before) == len(after) and all(map(is_identical, before, after))
    return bool(before == after or (before != before and after != after))  # noqa: PLR0124 - NaN is the one such value


def _is_own(item: Object) -> bool:
    """Report whether a kind's lists have the meaning of Kubernetes itself: a Rollout has its pod template."""
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    return is_own_kind(group) or (group, item.get("kind")) == ("argoproj.io", "Rollout")


class _Alignment:
    """One walk through both sides of an object."""

    def __init__(self, noise: Noise, *, own: bool) -> None:
        self.noise, self.own = noise, own

    def of(self, before: Any, after: Any, path: Path) -> Aligned:
        if isinstance(before, dict) and isinstance(after, dict):
            return self._maps(before, after, path)
        if isinstance(before, list) and isinstance(after, list):
            return self._lists(before, after, path)
        return Aligned(before, after)

    def _maps(self, before: Mapping[str, Any], after: Mapping[str, Any], path: Path) -> Aligned:
        one, other, folded = {}, {}, 0
        for key in [*after, *(key for key in before if key not in after)]:
            found = self._field(before.get(key, ABSENT), after.get(key, ABSENT), (*path, key))
            folded += found.folded
            if found.before is not ABSENT:
                one[key] = found.before
            if found.after is not ABSENT:
                other[key] = found.after
        return Aligned(one, other, folded)

    def _field(self, before: Any, after: Any, path: Path) -> Aligned:
        if self.noise(path, before, after) and not is_identical(before, after):
            return Aligned(ABSENT, ABSENT, 1) if ABSENT in (before, after) else Aligned(after, after, 1)
        if isinstance(before, dict) and after is ABSENT:
            return self._one_sided(before, {}, path) or Aligned(before, after)
        if isinstance(after, dict) and before is ABSENT:
            return self._one_sided({}, after, path) or Aligned(before, after)
        return self.of(before, after, path)

    def _one_sided(self, before: Mapping[str, Any], after: Mapping[str, Any], path: Path) -> Aligned | None:
        """Fold the noise of a map that one side has, such as labels; without any there is nothing to return."""
        found = self._maps(before, after, path)
        return Aligned(found.before or ABSENT, found.after or ABSENT, found.folded) if found.folded else None

    def _lists(self, before: list[Any], after: list[Any], path: Path) -> Aligned:
        key = self._unordered(before, after, path)
        if key:
            ones, others = {key(entry): entry for entry in before}, {key(entry): entry for entry in after}
            found = {name: self.of(ones[name], others[name], (*path, name)) for name in others if name in ones}
            order = _order([*ones], [*others])
            left = [found[name].before if name in found else ones[name] for name in order]
            right = [found[name].after if name in found else entry for name, entry in others.items()]
            return Aligned(left, right, sum(each.folded for each in found.values()))
        left, right, folded = [*before], [*after], 0
        for i, j in partners(before, after):
            each = self._field(before[i], after[j], (*path, j))
            left[i], right[j], folded = each.before, each.after, folded + each.folded
        return Aligned(left, right, folded)

    def _unordered(self, before: list[Any], after: list[Any], path: Path) -> EntryKey | None:
        """Return the key of a list whose order has no effect."""
        key = UNORDERED.get(str(path[-1])) if self.own and path else None
        if key is None or not (_are_unique(before, key) and _are_unique(after, key)):
            return None
        if path[-1] == "env" and any("$(" in value for _, value in every_text([*before, *after])):
            return None  # a variable sees those before it
        return key


def _are_unique(entries: list[Any], key: EntryKey) -> bool:
    names = [key(entry) for entry in entries]
    return None not in names and len(set(names)) == len(names)


def partners(before: list[Any], after: list[Any]) -> Iterator[tuple[int, int]]:
    """Yield the entries of two lists that belong together: by a key that all have, else by their place."""
    for key in IDENTIFYING:
        if before and after and _are_unique(before, key) and _are_unique(after, key):
            places = {key(entry): place for place, entry in enumerate(before)}
            yield from ((places[key(entry)], j) for j, entry in enumerate(after) if key(entry) in places)
            return
    if len(before) == len(after):
        yield from zip(range(len(before)), range(len(after)), strict=True)


def _order(before: list[Hashable], after: list[Hashable]) -> list[Hashable]:
    """Return the keys of `before` in the order of `after`; a removed one stays behind the one it followed."""
    kept, common = set(after), set(before)
    behind: dict[Hashable, list[Hashable]] = {None: []}
    last: Hashable = None
    for name in before:
        if name in kept:
            last = name
        else:
            behind.setdefault(last, []).append(name)
    order = [*behind[None]]
    for name in (one for one in after if one in common):
        order += [name, *behind.get(name, ())]
    return order

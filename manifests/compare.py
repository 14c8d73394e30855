"""What one set of objects has that another has not, and an object as text.

Two sets come in, a `Comparison` goes out: added, removed and changed objects by identity, and for each changed one a
difference that a person can read. Nothing secret is in it, `manifests.redact` has been over both sides. Pure: text for
people and a dict for machines are made here, printing is for `ops`. `ops.render` writes objects with this; no verb
compares two sets yet.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from manifests.objects import CRD, Identity, Object, identity
from manifests.redact import KEY, redacted

try:
    from yaml import CSafeDumper as BaseDumper
except ImportError:  # a PyYAML without libyaml: slower, the same text
    from yaml import SafeDumper as BaseDumper  # type: ignore[assignment]

CONTEXT = 2
LONGEST = 80
HUGE = 2000


class Dumper(BaseDumper):
    """PyYAML's dumper with texts of several lines as blocks, and nothing written as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


def _block(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, _block)


@dataclass(frozen=True)
class Change:
    """One object that is not as it was."""

    identity: Identity
    added: int
    removed: int
    diff: str
    note: str = ""

    def __str__(self) -> str:
        """Write its head and below it the lines that differ."""
        head = f"~ {self.identity} (+{self.added} -{self.removed}){f': {self.note}' if self.note else ''}"
        return "\n".join([head, *(f"    {line}" for line in self.diff.splitlines())])


@dataclass(frozen=True)
class Comparison:
    """All that differs, in the order of the objects' identities."""

    added: tuple[Identity, ...] = ()
    removed: tuple[Identity, ...] = ()
    changed: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        """Write it for people, the summary last; nothing where nothing differs."""
        lines = [f"+ {name}" for name in self.added]
        lines += [f"- {name}" for name in self.removed]
        lines += [str(change) for change in self.changed]
        return "\n".join([*lines, self.summary]) if self else ""

    @property
    def summary(self) -> str:
        """Say in one line how much differs."""
        return f"{len(self.added)} added, {len(self.removed)} removed, {len(self.changed)} changed"

    def as_dict(self) -> dict[str, Any]:
        """Give machines the same parts."""
        changed = [
            asdict(change.identity)
            | {"lines": {"added": change.added, "removed": change.removed}, "diff": change.diff, "note": change.note}
            for change in self.changed
        ]
        return {"added": [*map(asdict, self.added)], "removed": [*map(asdict, self.removed)], "changed": changed}


def compare(before: Iterable[Object], after: Iterable[Object], key: bytes = KEY) -> Comparison:
    """Compare two sets of objects; of several with one identity the order among them counts."""
    old, new = _numbered(before), _numbered(after)
    both = [(name, old[name], new[name]) for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]
    return Comparison(
        tuple(name for name, _ in sorted(new.keys() - old.keys())),
        tuple(name for name, _ in sorted(old.keys() - new.keys())),
        tuple(_change(name, one, other, key) for (name, _), one, other in both),
    )


def _numbered(items: Iterable[Object]) -> dict[tuple[Identity, int], Object]:
    seen: Counter[Identity] = Counter()
    found = {}
    for item in items:
        name = identity(item)
        found[name, seen[name]] = item
        seen[name] += 1
    return found


def _change(name: Identity, old: Object, new: Object, key: bytes) -> Change:
    before, after = (written(redacted(item, key)).splitlines() for item in (old, new))
    if name.kind == CRD or max(len(before), len(after)) > HUGE:
        lost, gained = Counter(before) - Counter(after), Counter(after) - Counter(before)
        note = _versions(old, new) if name.kind == CRD else "too large to show"
        return Change(name, gained.total(), lost.total(), "", note)
    lines = list(difflib.unified_diff(before, after, lineterm="", n=CONTEXT))[2:]
    added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
    more = len(lines) - LONGEST
    shown = [*lines[:LONGEST], f"... {more} more lines"] if more > 0 else lines
    return Change(name, added, removed, "\n".join(shown))


def written(item: Object) -> str:
    """Write an object as YAML, the same for the same object."""
    text: str = yaml.dump(item, Dumper=Dumper, sort_keys=True, width=110, allow_unicode=True, default_flow_style=False)
    return text


def _versions(old: Object, new: Object) -> str:
    """Say which versions a CRD serves, and which it served."""
    before, after = (
        ", ".join(str(one.get("name")) for one in (item.get("spec") or {}).get("versions") or () if one.get("served"))
        for item in (old, new)
    )
    return f"serves {after}" if before == after else f"served {before}, now {after}"

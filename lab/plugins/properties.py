"""Conversion between the engine's values and plain ones.

A kind of resource works with dictionaries, lists, text, numbers and `UNKNOWN`; the engine has `PropertyValue`s that
carry secrets. A value that is unknown in a preview arrives as one of a few fixed texts, which the SDK passes on as if
they were values; here they become `UNKNOWN`, a value equal to itself alone. `lab.plugins.base` continues from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final

from pulumi.provider.experimental.property_value import Computed, PropertyValue

# One text for each type of an unknown value; constants of the engine.
SENTINELS = frozenset(
    (
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    )
)
ANY_TYPE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
PLAIN_NAME = re.compile(r"[A-Za-z_][\w-]*")

Plain = dict[str, Any]
Properties = Mapping[str, PropertyValue]


class Unknown:
    """A value that is known only after the run."""

    def __repr__(self) -> str:
        """Return the engine's own word for it."""
        return "<computed>"


UNKNOWN: Final = Unknown()


class PropertyOperation(Enum):
    """The change of one property."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


def plain(value: PropertyValue) -> Any:
    """Return a value without secrets and wrappings; whole numbers become integers."""
    inner = value.value
    if isinstance(inner, Computed) or (isinstance(inner, str) and inner in SENTINELS):
        return UNKNOWN
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    if isinstance(inner, Mapping):
        return {name: plain(item) for name, item in inner.items() if item.value is not None}
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return [plain(item) for item in inner]
    return inner


def plain_map(values: Properties) -> Plain:
    """Convert a set of properties to plain values; null means that a property was not given."""
    return {name: plain(value) for name, value in values.items() if value.value is not None}


def engine_value(value: Any, *, secret: bool = False) -> PropertyValue:
    """Convert a plain value for the engine."""
    if isinstance(value, Unknown):
        inner: Any = ANY_TYPE
    elif isinstance(value, int) and not isinstance(value, bool):
        inner = float(value)
    elif isinstance(value, Mapping):
        inner = {name: engine_value(item) for name, item in value.items()}
    elif isinstance(value, Sequence) and not isinstance(value, str):
        inner = [engine_value(item) for item in value]
    else:
        inner = value
    return PropertyValue(inner, is_secret=secret)


def has_unknown(value: Any) -> bool:
    """Report whether a plain value, or any part of it, is unknown."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return isinstance(value, Unknown)


def changes(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, PropertyOperation]]:
    """Return the properties that differ, each by its path, down to the leaf that does."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in (*old, *(name for name in new if name not in old)):
            yield from _change(old, new, name, f"{path}{_step(name, first=not path)}")
    elif isinstance(old, list) and isinstance(new, list):
        before, after = dict(enumerate(old)), dict(enumerate(new))
        for index in range(max(len(old), len(new))):
            yield from _change(before, after, index, f"{path}[{index}]")
    elif type(old) is not type(new) or old != new:
        yield path, PropertyOperation.UPDATE


def _change(
    old: Mapping[Any, Any], new: Mapping[Any, Any], key: Any, path: str
) -> Iterator[tuple[str, PropertyOperation]]:
    if key not in new:
        yield path, PropertyOperation.DELETE
    elif key not in old:
        yield path, PropertyOperation.ADD
    else:
        yield from changes(old[key], new[key], path)


def step_into(path: str, name: str) -> str:
    """Extend a path by a property's name, in the way the engine writes paths."""
    return f"{path}{_step(name, first=not path)}"


def _step(name: str, *, first: bool) -> str:
    if PLAIN_NAME.fullmatch(name):
        return name if first else f".{name}"
    quoted = name.replace('"', '\\"')
    return f'["{quoted}"]'


def top(path: str) -> str:
    """Return the name of the outermost property in a path."""
    quoted = re.match(r'\["((?:\\"|[^"])*)"\]', path)
    return quoted[1].replace('\\"', '"') if quoted else re.split(r"[.\[]", path, maxsplit=1)[0]

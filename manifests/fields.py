"""Fields of objects of any form: a value of another type counts as absent.

Values and the keys that lead to a field come in, plain values go out. A schema checks types, but null passes for any
field that may be missing, and kinds whose definition takes any object are not checked. Pure; `manifests.rules` and
`manifests.objects` read with this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from config.source import KeyPath


def at(value: Any, *keys: str) -> Any:
    """Return the value below some keys, None if one is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def mapping(value: Any, *keys: str) -> dict[str, Any]:
    """Return the map below some keys."""
    found = at(value, *keys)
    return found if isinstance(found, dict) else {}


def entries(value: Any, *keys: str) -> list[Any]:
    """Return the list below some keys."""
    found = at(value, *keys)
    return found if isinstance(found, list) else []


def mappings(value: Any, *keys: str) -> list[dict[str, Any]]:
    """Return a list with an empty map in place of each item that is not a map."""
    return [mapping(one) for one in entries(value, *keys)]


def texts(value: Any, *keys: str) -> list[str]:
    """Return the texts of a list."""
    return [one for one in entries(value, *keys) if isinstance(one, str)]


def text(value: Any, *keys: str) -> str:
    """Return the text below some keys, empty if there is none; a number counts as a text without quotes."""
    found = at(value, *keys)
    return str(found) if isinstance(found, (str, int, float)) and not isinstance(found, bool) else ""


def every_text(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield each text in a value with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from every_text(inner, (*path, key))


def number(value: Any, *keys: str, otherwise: int) -> int:
    """Return the whole number below some keys."""
    found = at(value, *keys)
    return found if isinstance(found, int) and not isinstance(found, bool) else otherwise

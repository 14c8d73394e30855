"""Objects of any form: a rule reads what is there, and never fails on what no schema allows."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from manifests.objects import Object
from ops.review.applications import applications
from ops.review.dangers.register import dangers
from tests.ops.review.dangers.changes import change, table

ROWS = table("objects.yaml")
JUNK: tuple[Any, ...] = (None, 7, "text", [None, {}], {"a": None, 1: []}, True, [])


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _paths(inner, (*path, key))


def _broken(item: Object) -> Iterator[Object]:
    """Yield an object with junk in every place but those of its identity."""
    for path in _paths(item):
        if path[0] in ("apiVersion", "kind") or path in (
            ("metadata",),
            ("metadata", "name"),
            ("metadata", "namespace"),
        ):
            continue
        for junk in JUNK:
            copy = deepcopy(item)
            inner: Any = copy
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = junk
            yield copy


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["rule"])
def test_no_rule_fails_on_junk(row: dict[str, Any]) -> None:
    for key in ("before", "after"):
        for item in _broken(row[key]) if isinstance(row.get(key), dict) else ():
            made = change({**row, key: item})
            assert all(one.reason for one in dangers(made))
            assert applications(made.pairs, made.before, made.after)

"""Conversions between the engine's values and plain ones lose nothing, neither secrets nor unknown values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.provider.experimental.property_value import PropertyValue

from lab.plugins.properties import (
    SENTINELS,
    UNKNOWN,
    PropertyOperation,
    changes,
    engine_value,
    has_unknown,
    plain,
    plain_map,
    step_into,
    top,
)

# The engine's paths have no way to write a backslash.
NAMES = st.text(st.characters(exclude_characters="\\", exclude_categories=["Cs"]))
LEAVES = (
    st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer())
    | st.text()
    | st.just(UNKNOWN)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@given(VALUES)
def test_a_value_survives_the_way_to_the_engine_and_back(value: Any) -> None:
    assert plain(PropertyValue.unmarshal(engine_value(value).marshal())) == value


@given(VALUES)
def test_a_secret_is_the_same_value(value: Any) -> None:
    wrapped = PropertyValue.unmarshal(engine_value(value, secret=True).marshal())
    assert wrapped.is_secret
    assert plain(wrapped) == value


@pytest.mark.parametrize("text", sorted(SENTINELS))
def test_every_text_of_the_engine_for_the_unknown_is_unknown(text: str) -> None:
    assert plain(PropertyValue(text)) is UNKNOWN
    assert has_unknown({"a": [{"b": plain(PropertyValue(text))}]})


def test_null_means_not_given() -> None:
    nested = PropertyValue({"c": PropertyValue(None), "d": PropertyValue(1.0)})
    assert plain_map({"a": PropertyValue(None), "b": nested}) == {"b": {"d": 1}}


@given(VALUES)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert list(changes(value, value)) == []


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
def test_differences_have_a_name_that_one_side_has(old: Any, new: Any) -> None:
    found = dict(changes(old, new))
    assert bool(found) == (old != new or repr(old) != repr(new))
    assert {top(path) for path in found} <= {*old, *new}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, {"b": PropertyOperation.ADD}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": PropertyOperation.DELETE}),
        ({"a": 1}, {"a": True}, {"a": PropertyOperation.UPDATE}),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, {"a.b.c": PropertyOperation.UPDATE}),
        ({"a": {"x.y/z": 1}}, {"a": {"x.y/z": 2}}, {'a["x.y/z"]': PropertyOperation.UPDATE}),
        ({"a": [1, 2, 3]}, {"a": [1, 5]}, {"a[1]": PropertyOperation.UPDATE, "a[2]": PropertyOperation.DELETE}),
        ({"a": [1]}, {"a": [1, {"b": 2}]}, {"a[1]": PropertyOperation.ADD}),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, {"a[0].b": PropertyOperation.UPDATE}),
        ({"a": "x"}, {"a": UNKNOWN}, {"a": PropertyOperation.UPDATE}),
        ({"a": {"b": 1}}, {"a": UNKNOWN}, {"a": PropertyOperation.UPDATE}),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": PropertyOperation.UPDATE}),
    ],
)
def test_a_change_has_its_path(old: Any, new: Any, said: dict[str, PropertyOperation]) -> None:
    assert dict(changes(old, new)) == said


@given(NAMES, NAMES)
def test_a_path_begins_with_the_name_it_began_with(first: str, second: str) -> None:
    assert top(step_into(step_into("", first), second)) == first

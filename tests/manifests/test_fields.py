"""Fields of values that may have any type."""

from __future__ import annotations

from decimal import Decimal

import pytest

from manifests import fields
from manifests.rules.wiring import MOST, amount

ITEM = {"name": 7, "on": True, "nothing": None, "list": ["a", 1, {"b": 2}], "map": {"inner": {"deep": "x"}}}


def test_a_value_of_another_type_counts_as_absent() -> None:
    assert fields.text(ITEM, "map", "inner", "deep") == "x"
    assert fields.text(ITEM, "name") == "7"
    assert [fields.text(ITEM, key) for key in ("on", "nothing", "list", "map", "absent")] == [""] * 5
    assert fields.mapping(ITEM, "map", "inner") == {"deep": "x"}
    assert fields.mapping(ITEM, "list", "inner") == {}
    assert fields.mappings(ITEM, "list") == [{}, {}, {"b": 2}]
    assert fields.texts(ITEM, "list") == ["a"]
    assert fields.texts(ITEM, "name") == []
    assert [fields.number(ITEM, key, otherwise=1) for key in ("name", "on", "nothing")] == [7, 1, 1]


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("1Ei", Decimal(2) ** 60),
        ("1E", Decimal(10) ** 18),
        ("1E3", Decimal(1000)),
        ("5e-1", Decimal("0.5")),
        ("512m", Decimal("0.512")),
        ("1.5Gi", Decimal(3 << 29)),
        ("9e999999999", MOST),
        ("4gb", None),
        ("half", None),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(said: str, read: Decimal | None) -> None:
    assert amount(said) == read

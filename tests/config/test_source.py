"""YAML is read as Pulumi and Kubernetes read it, with line numbers, and no content raises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.source import parse


def value(text: str) -> object:
    return parse(text.encode(), "file").first.value


def test_a_mac_of_digits_is_text() -> None:
    assert value("mac: 52:54:00:12:34:56") == {"mac": "52:54:00:12:34:56"}


def test_on_and_off_and_dates_are_text() -> None:
    assert value("[on, off, yes, no, 2026-01-01]") == ["on", "off", "yes", "no", "2026-01-01"]


def test_numbers_booleans_and_nothing_are_what_they_look_like() -> None:
    assert value("[1, -2, 1.5, true, false, ~, null, '1']") == [1, -2, 1.5, True, False, None, None, "1"]


def test_every_key_and_item_knows_its_line() -> None:
    document = parse(b"a:\n  - b: 1\n    c: 2\n  - d\n", "file").first
    assert document.line(("a", 0, "c")) == 3
    assert document.line(("a", 1)) == 4


def test_a_missing_key_is_placed_where_its_section_begins() -> None:
    document = parse(b"x: 1\na:\n  b: 1\n", "file").first
    assert document.line(("a", "missing", "deeper")) == 2


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_never_raise(raw: bytes) -> None:
    parse(raw, "file")


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"\n\t #,%@0.?~"), max_size=120))
def test_what_looks_like_yaml_never_raises(text: str) -> None:
    source = parse(text.encode(), "file")
    assert all(problem.file == "file" and problem.rule and problem.fix for problem in source.problems)

"""Lines in common: as many as the shortest edit leaves, in bounded time."""

from __future__ import annotations

import difflib
import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from manifests.comparison import line_matching
from manifests.comparison.line_matching import matches

LINES = st.lists(st.sampled_from("abcdefgh"), max_size=30)


@given(LINES, LINES)
def test_matched_lines_are_equal_and_increase_on_both_sides(before: list[str], after: list[str]) -> None:
    found = matches(before, after)
    assert all(before[i] == after[j] for i, j in found)
    assert all(one[0] < other[0] and one[1] < other[1] for one, other in itertools.pairwise(found))


@given(LINES)
def test_equal_texts_match_in_full(lines: list[str]) -> None:
    assert matches(lines, lines) == [(place, place) for place in range(len(lines))]


@given(LINES, LINES)
def test_lines_that_repeat_match_as_often_as_possible(before: list[str], after: list[str]) -> None:
    lengths = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for i, one in enumerate(before):
        for j, other in enumerate(after):
            longest = max(lengths[i][j + 1], lengths[i + 1][j])
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if one == other else longest
    compared = line_matching._Matching([*map(ord, before)], [*map(ord, after)])
    assert len([*compared._shortest((0, len(before), 0, len(after)))]) == lengths[-1][-1]


def test_an_insertion_in_the_middle_matches_all_others() -> None:
    lines = [line for place in range(200) for line in ("{", f"  a: {place}", "},")]
    assert len(matches(lines, [*lines[:300], "{", "  a: new", "},", *lines[300:]])) == len(lines)


def test_the_steps_of_a_comparison_end_with_its_budget() -> None:
    """Of 100,000 random lines of twenty kinds, difflib would compare each with 5,000 others."""
    chance = random.Random(17)
    before, after = ([chance.randrange(20) for _ in range(100_000)] for _ in range(2))
    compared = line_matching._Matching(before, after)
    assert len([*compared.all()]) < 1_000
    assert -10_000 < compared.budget < 0


def test_a_long_text_with_scattered_changes_is_compared_as_well_as_difflib_does() -> None:
    chance = random.Random(17)
    before = [f"setting {place}" for place in range(5_000)]
    after = [line if chance.random() > 0.3 else f"{line} changed" for line in before]
    found = matches(before, after)
    expected = difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    assert len(found) == sum(block.size for block in expected)

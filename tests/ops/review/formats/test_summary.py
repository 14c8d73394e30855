"""The words that all formats share."""

from __future__ import annotations

from typing import get_args

import pytest

from ops.review.formats import summary
from ops.review.report import Infrastructure, ObjectChange
from tests.ops.review import example_report


def test_every_kind_of_comparison_has_its_words() -> None:
    assert set(summary.AGAINST) == set(get_args(Infrastructure.model_fields["against"].annotation))


def test_counts_begin_with_the_most_important() -> None:
    counts = {"versions": 1, "mended": 2, "apps": 2, "objects": 0, "dangers": 1, "broken": 1, "others": 1}
    report = example_report.routine().model_copy(update={"counts": counts})
    assert summary.totals(report) == ["1 danger", "1 broken", "2 apps", "1 version", "2 mended", "1 other"]


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (("1.0", ""), ("1.1", "sha256:" + "b" * 64), ("1.0", "1.1")),
        (("", ""), ("1.1", ""), ("(none)", "1.1")),
        (("1.0", "sha256:" + "a" * 64), ("1.0", "sha256:" + "b" * 64), ("1.0@aaaaaaaaaaaa", "1.0@bbbbbbbbbbbb")),
        (("1.0", "sha256:" + "a" * 64), ("1.0", ""), ("1.0@aaaaaaaaaaaa", "1.0@no digest")),
    ],
)
def test_equal_versions_are_shown_with_their_digests(
    before: tuple[str, str], after: tuple[str, str], shown: tuple[str, str]
) -> None:
    keys = {"before": before[0], "digest_before": before[1], "after": after[0], "digest_after": after[1]}
    assert summary.versions_of(example_report.routine().versions[0].model_copy(update=keys)) == shown


def test_names_of_files_are_no_lines_of_a_difference() -> None:
    lines = ("@@ -1 +1 @@", "--- a: 1", "+++ a: 2")
    assert summary.body(("--- before", "+++ after", *lines)) == lines
    assert summary.body(lines) == lines


def test_objects_are_counted_by_operation() -> None:
    objects = [ObjectChange(object="a", operation="added"), *[ObjectChange(object="b", operation="removed")] * 2]
    assert summary.operations(objects) == "1 added, 2 removed"

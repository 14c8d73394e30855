"""Each example change gives the report that its file describes: verdict, dangers, and every part."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import stack_files
from ops.review.assemble import report_of
from ops.review.report import Infrastructure, Report
from ops.review.revisions import Span, span_of
from tests.ops.review.library.example import EXAMPLES, Example, told

APART = ("apps/", "docs/", "tests/", "README.md")

pytestmark = pytest.mark.xdist_group("library")


def reported(root: Path) -> Report:
    """Return the report of a checkout, without the engine's part."""
    span = span_of(root, None)
    with span.before() as before:
        names = sorted({*stack_files(before), *stack_files(root)})
        return report_of(span, before, names, lambda _before, _after, stack: part(span, stack), lambda _: None)


def part(span: Span, stack: str) -> Infrastructure:
    """Return an engine's part without changes; it does not run where it might find some."""
    if any(file.endswith("category.yaml") or not file.startswith(APART) for file in span.files):
        return Infrastructure(stack=stack, against="not run", note="the examples have no engine")
    return Infrastructure(stack=stack, against="unaffected")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_report_of_an_example_is_as_expected(path: Path, template: Path, tmp_path: Path) -> None:
    example = Example.read(path)
    report = reported(example.lay(template, tmp_path / "checkout"))
    assert told(report) == example.expect
    assert report.head.subject == example.subject

"""Three reports of the library, whole and short enough to be read: as Markdown and as text for a terminal.

`./homelab test --update` writes them again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ops.review.formats.markdown import markdown
from ops.review.formats.terminal import text
from ops.review.report import Report
from tests.ops.review.library.example import HERE, Example
from tests.ops.review.library.test_library import reported

pytestmark = pytest.mark.xdist_group("library")

GOLDEN = HERE / "golden"
LONGEST = 90  # lines
SHOWN = {"routine": "chart-patch", "review": "larger-volume", "dangerous": "removed-network-policy"}
SIDES = {"base": "a", "head": "b"}


@pytest.mark.parametrize("verdict", SHOWN)
def test_a_report_is_as_in_its_golden_files(verdict: str, template: Path, tmp_path: Path) -> None:
    example = Example.read(HERE / "examples" / f"{SHOWN[verdict]}.yaml")
    report = without_commits(reported(example.lay(template, tmp_path / "checkout")))
    assert report.verdict == verdict
    made = {f"{verdict}.md": markdown(report), f"{verdict}.txt": text(report)}
    if os.environ.get("HOMELAB_UPDATE"):
        GOLDEN.mkdir(exist_ok=True)
        for name, content in made.items():
            (GOLDEN / name).write_text(content.rstrip("\n") + "\n", encoding="utf-8")
    for name, content in made.items():
        assert (GOLDEN / name).read_text(encoding="utf-8") == content.rstrip("\n") + "\n"
        assert len(content.splitlines()) <= LONGEST


def without_commits(report: Report) -> Report:
    """Return a report without the commits, whose names depend on the time."""
    sides = {name: getattr(report, name).model_copy(update={"commit": 8 * digit}) for name, digit in SIDES.items()}
    return report.model_copy(update=sides)

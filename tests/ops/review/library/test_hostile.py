"""A branch of a stranger: nothing of it runs, nothing outside of it is read, and its texts stay text."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.preview import FORMATS
from tests.ops.review.formats.test_markdown import OURS, Content, raw, tokens
from tests.ops.review.library.example import EXAMPLES, Example
from tests.ops.review.library.test_library import reported

pytestmark = pytest.mark.xdist_group("library")

HOSTILE = [path for path in EXAMPLES if path.stem.startswith("hostile-")]
CANARY = "canary-outside"


@pytest.fixture(params=HOSTILE, ids=lambda path: path.stem)
def formats(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> dict[str, str]:
    """Return the report of a hostile branch in each format; a file beside the checkout is not its own."""
    (tmp_path / "outside.yaml").write_text(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {CANARY}}}\n", encoding="utf-8"
    )
    root = Example.read(request.param).lay(template, tmp_path / "checkout")
    for script in root.rglob("*.sh"):
        script.chmod(0o755)
    report = reported(root)
    return {name: made(report) for name, made in FORMATS.items()}


def test_a_hostile_branch_runs_nothing_reads_nothing_and_stays_text(formats: dict[str, str], tmp_path: Path) -> None:
    assert [name for name, text in formats.items() if CANARY in text] == []
    assert [name for name, text in formats.items() if "\x1b" in text or "\x07" in text] == []
    assert [tag for tag in raw(tokens(formats["md"])) if not OURS.fullmatch(tag)] == []
    tags = Content(formats["html"]).tags
    assert [tag for tag in tags if "onerror" in tag or "src=" in tag or tag.startswith("img")] == []
    assert sum(tag.startswith("script") for tag in tags) == 2  # the report as data, and the page's own
    assert list(tmp_path.rglob("owned")) == []

"""The formats of the matrix: texts to read, a limit that is kept, and texts of a checkout that stay text."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from errors import UNSEEN
from ops.promotion.formats.markdown import LIMIT, MARKER, markdown
from ops.promotion.formats.page import page
from ops.promotion.formats.schema import PATH, schema
from ops.promotion.formats.text import text
from ops.promotion.report import MatrixCell, MatrixRow, VersionMatrix
from tests.docs.pages import ROOT
from tests.ops.promotion.matrices import hostile, rich
from tests.ops.review.example_report import HOSTILE, INJECTIONS
from tests.ops.review.formats.test_page import LOADING, Tags

GOLDEN = Path(__file__).parent / "golden"
ALL = (*INJECTIONS, HOSTILE)
FORMATS: dict[str, Callable[[VersionMatrix], str]] = {
    "txt": text,
    "full.txt": lambda matrix: text(matrix, in_full=True),
    "md": markdown,
    "html": lambda matrix: re.sub(r"(?s)<style>.*?</style>|content=\"default-src[^\"]*\"", "", page(matrix)),
}
OURS = re.compile(r"</?(?:details|summary|code|span)>|<!-- homelab versions -->")


@pytest.mark.parametrize("name", FORMATS)
def test_a_golden_matrix_reads_as_before(name: str) -> None:
    made = FORMATS[name](rich())
    file = GOLDEN / f"versions.{name}"
    if os.environ.get("HOMELAB_UPDATE"):
        file.write_text(f"{made.rstrip()}\n", encoding="utf-8")
    assert f"{made.rstrip()}\n" == file.read_text(encoding="utf-8"), "./homelab test --update -- tests/ops/promotion"


def test_a_comment_begins_with_its_mark() -> None:
    assert markdown(rich()).startswith(f"{MARKER}\n## Versions by environment\n")


def large(rows: int) -> VersionMatrix:
    """Return a matrix in which every second row differs."""
    cells = [
        MatrixCell(environment="dev", version="1.0.0"),
        MatrixCell(environment="staging", version="1.0.1", difference="manifests"),
    ]
    same = [cells[0], MatrixCell(environment="staging", version="1.0.0", difference="same")]
    found = (MatrixRow(name=f"apps/app-{number}", cells=tuple(cells if number % 2 else same)) for number in range(rows))
    matrix = hostile("x")
    return matrix.model_copy(update={"applications": tuple(found), "notes": (), "summary": "large"})


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        (100, ["<details><summary>50 rows without a difference</summary>"]),
        (2000, ["1000 rows without a difference."]),
        (6000, ["3000 rows without a difference.", "**Left out**, since a comment is too small: "]),
    ],
)
def test_a_comment_keeps_its_limit_and_names_what_is_left_out(rows: int, left: list[str]) -> None:
    made = markdown(large(rows))
    assert len(made.encode()) <= LIMIT
    assert [one for one in left if one not in made] == []
    assert "apps/app-1`" in made


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_hostile_text_stays_text_in_markdown(injection: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown(hostile(injection)))
    every = [*tokens, *(child for token in tokens for child in token.children or ())]
    pieces = [piece for token in every if "html" in token.type for piece in re.findall(r"<[^>]*>", token.content)]
    assert {piece for piece in pieces if not OURS.fullmatch(piece)} == set()
    assert [one.type for one in every if one.type in ("link_open", "image", "em_open", "s_open", "fence")] == []
    assert [one.tag for one in tokens if one.type == "heading_open"] == ["h2"]
    assert sum(one.type == "tr_open" for one in tokens) == 2
    assert sum(one.type == "td_open" for one in tokens) == 3


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_hostile_text_makes_no_tag_and_no_attribute(injection: str) -> None:
    harmless, found = (Tags(page(hostile(one))) for one in ("harmless", injection))
    assert [(tag, sorted(given)) for tag, given in found.tags] == [(tag, sorted(given)) for tag, given in harmless.tags]
    assert found.comments == []
    assert not {tag for tag, _ in found.tags} & LOADING


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
@pytest.mark.parametrize("name", FORMATS)
def test_no_control_character_reaches_a_format(name: str, injection: str) -> None:
    made = FORMATS[name](hostile(injection))
    assert UNSEEN.search(made.replace("\n", "")) is None
    if name not in {"txt", "full.txt"}:  # stdout itself escapes what it cannot encode
        made.encode()


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_a_row_of_the_terminal_is_one_line(injection: str) -> None:
    harmless, found = (text(hostile(one), in_full=True).splitlines() for one in ("harmless", injection))
    assert len(found) == len(harmless)


def test_the_page_allows_its_style_and_no_script() -> None:
    made = page(rich())
    read = Tags(made)
    (policy,) = [given["content"] for _, given in read.tags if given.get("http-equiv") == "Content-Security-Policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", made, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; script-src 'none'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    assert "script" not in {tag for tag, _ in read.tags}


def models() -> dict[str, Any]:
    document = json.loads(schema())
    return {"VersionMatrix": document, **document["$defs"]}


def test_the_documented_schema_is_that_of_the_models() -> None:
    assert (ROOT / PATH).read_text(encoding="utf-8") == schema(), "./homelab test --update"


def test_every_key_of_the_schema_has_a_description() -> None:
    keys = [(name, key, value) for name, model in models().items() for key, value in model["properties"].items()]
    assert [f"{name}.{key}" for name, key, value in keys if not value.get("description")] == []


def test_a_matrix_is_the_same_behind_its_json() -> None:
    made = rich()
    assert VersionMatrix.model_validate_json(made.model_dump_json(by_alias=True)) == made

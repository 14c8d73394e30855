"""The comment on a pull request: what it shows, what it leaves out, and that a stranger's text stays text.

Reports come in as data; the Markdown is read back with a parser, with HTML and links enabled as on a forge.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from errors import UNSEEN
from ops.review.formats.escaped import cell, code, fenced, prose
from ops.review.formats.markdown import LIMIT, MARKER, markdown, verdict_line
from ops.review.report import Danger, Report
from tests.ops.review import example_report

GOLDEN = Path(__file__).parents[1] / "golden"
OURS = re.compile(r"</?(?:details|summary|code|span)>|<!-- homelab preview -->")
# A commit is shown by its first characters, a digest only where two versions are equal, a link only where it is safe.
NOT_SHOWN = {"commit", "digest-before", "digest-after", "release-notes"}
HUGE = 10**7
ALL = (*example_report.INJECTIONS, example_report.HOSTILE)
TITLES = [
    "Infrastructure",
    "Machine configurations",
    "Applications",
    "Versions",
    "Checks",
    "Argo CD in a rehearsal",
    "Manifests",
    "Notes",
]


class Content(HTMLParser):
    """The tags and the text of HTML."""

    def __init__(self, text: str) -> None:
        """Read a text."""
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(" ".join([tag, *(f"{name}={value}" for name, value in attrs)]))

    def handle_data(self, data: str) -> None:
        self.text += data


def tokens(text: str) -> Iterator[Token]:
    for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text):
        yield token
        yield from token.children or ()


def html(text: str) -> str:
    return str(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


def headings(text: str) -> list[str]:
    found = list(tokens(text))
    return [after.content for token, after in itertools.pairwise(found) if token.type == "heading_open"]


def raw(found: Iterable[Token]) -> list[str]:
    """Return the tags and comments that reach the forge as HTML."""
    pieces = "".join(token.content for token in found if token.type in ("html_block", "html_inline"))
    return re.findall(r"<[^>]*>?", pieces)


@pytest.mark.parametrize("name", ["routine", "review", "dangerous"])
def test_a_golden_report_reads_as_before(name: str) -> None:
    made = markdown(getattr(example_report, name)())
    file = GOLDEN / f"{name}.md"
    if os.environ.get("HOMELAB_UPDATE"):
        file.write_text(made, encoding="utf-8")
    assert made == file.read_text(encoding="utf-8"), "./homelab test --update -- tests/ops/review/formats"


@pytest.mark.parametrize("name", ["routine", "review", "dangerous", "rich", "hostile"])
def test_the_verdict_stands_first_behind_the_mark(name: str) -> None:
    report = getattr(example_report, name)()
    first, second, *_ = markdown(report).splitlines()
    assert first == MARKER
    assert re.match(rf"## \S {report.verdict}: ", second)


def test_the_status_of_a_commit_is_one_line() -> None:
    assert verdict_line(example_report.dangerous()) == (
        "dangerous: 3 dangers, 2 apps, 3 objects, 1 version, 1 resource"
    )
    assert verdict_line(example_report.routine().model_copy(update={"counts": {}})) == "routine: no changes"
    assert UNSEEN.search(verdict_line(example_report.hostile())) is None


def test_each_danger_has_a_red_box_with_its_reason_and_place() -> None:
    report = example_report.dangerous()
    made = markdown(report)
    assert made.count("> [!CAUTION]") == len(report.dangers)
    for danger in report.dangers:
        assert danger.reason in made
        assert danger.where in made
        assert danger.file in made


def test_an_app_that_does_not_render_is_no_deletion() -> None:
    made = markdown(example_report.review())
    assert "`tools/paperless` in `homelab` does not render, 7 objects not compared: apps/tools/paperless" in made


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_hostile_html_stays_text(injection: str) -> None:
    found = list(tokens(markdown(example_report.hostile(injection), HUGE)))
    assert {piece for piece in raw(found) if not OURS.fullmatch(piece)} == set()
    assert [token.type for token in found if token.type in ("link_open", "image", "em_open", "s_open")] == []


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_hostile_text_begins_no_heading_table_or_block(injection: str) -> None:
    made = markdown(example_report.hostile(injection), HUGE)
    assert headings(made)[1:] == TITLES
    assert made.count("\n> [!CAUTION]\n") == 1
    infos = [token.info for token in tokens(made) if token.type == "fence"]
    assert infos == ["diff"] * 2
    assert [token.content for token in tokens(made) if token.type == "code_block"] == []
    columns = {
        row.count("<td>") + row.count("<th>") for row in re.findall(r"<tr>.*?</tr>", html(made), flags=re.DOTALL)
    }
    assert columns <= {4, 5, 6}


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_hostile_details_are_closed_where_they_open(injection: str) -> None:
    for limit in (HUGE, LIMIT, 9000):
        depth = 0
        for tag in re.findall(r"</?details>", "".join(raw(tokens(markdown(example_report.hostile(injection), limit))))):
            depth += -1 if tag.startswith("</") else 1
            assert depth in (0, 1)
        assert depth == 0


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_hostile_text_notifies_and_links_nothing(injection: str) -> None:
    shown = [
        token.content for token in tokens(markdown(example_report.hostile(injection), HUGE)) if token.type == "text"
    ]
    text = "\n".join(shown).replace("\n[!CAUTION]\n", "\n", 1)
    assert len(text) > 1000
    assert re.findall(r"@\w|#\d|[!~%&]\w|(?i:\bgh-\d)|://|www\.|:\w+:", text) == []
    assert "$`" not in text


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_every_text_of_a_report_is_shown(injection: str) -> None:
    text = Content(html(markdown(example_report.hostile(injection), HUGE))).text
    missing = {one for one in example_report.marks() if one not in text}
    assert {one for one in missing if not any(f"-{name}-" in one for name in NOT_SHOWN)} == set()


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_no_control_character_reaches_the_comment(injection: str) -> None:
    made = markdown(example_report.hostile(injection), HUGE).replace("\n", "")
    assert UNSEEN.search(made) is None
    made.encode()


@pytest.mark.parametrize("limit", [LIMIT, 20_000, 6_000])
@pytest.mark.parametrize("name", ["large", "hostile"])
def test_a_comment_fits_and_names_the_content_that_it_leaves_out(name: str, limit: int) -> None:
    made = markdown(getattr(example_report, name)(), limit)
    assert len(made.encode()) <= limit
    if name == "large" or limit < LIMIT:
        assert re.search(
            r"\n\*\*Left out\*\*, since a comment is too small: \d+ .*The HTML report has all of it\.\n$", made
        )


def test_a_comment_uses_its_room() -> None:
    assert len(markdown(example_report.large()).encode()) > LIMIT * 0.9


def test_added_objects_fold_first_and_dangers_last() -> None:
    report = example_report.rich()
    whole = markdown(report)
    added = markdown(report, len(whole.encode()) - 1)
    assert "kind: Service" not in added
    assert "storage: 50Gi" in added
    least = markdown(report, 2500)
    assert "storage: 50Gi" not in least
    assert least.count("> [!CAUTION]") == len(report.dangers)


def test_dangers_of_one_rule_and_reason_share_a_box() -> None:
    one = Danger(rule="replicas-zero", where="media/immich", reason="no pod runs", file="a.yaml", stacks=("dev",))
    same = [one.model_copy(update={"where": f"media/app-{number}"}) for number in range(3)]
    other = one.model_copy(update={"certainty": "guessed"})
    made = markdown(example_report.dangerous().model_copy(update={"dangers": (*same, other)}))
    assert made.count("> [!CAUTION]") == 2
    first, second, third = (f"> - `media/app-{number}`, `a.yaml` in `dev`\n" for number in range(3))
    assert f"> **replicas-zero**: no pod runs\n>\n{first}{second}{third}\n" in made


@pytest.mark.parametrize("reasons", [1, 3000])
def test_three_thousand_dangers_fit(reasons: int) -> None:
    dangers = tuple(
        Danger(rule="removed-pvc", where=f"media/app-{number}", reason=f"lost {number % reasons}", stacks=("homelab",))
        for number in range(3000)
    )
    made = markdown(example_report.dangerous().model_copy(update={"dangers": dangers}))
    assert len(made.encode()) <= LIMIT
    assert made.count("> [!CAUTION]") > (0 if reasons == 1 else 300)
    assert "`media/app-0`" in made
    assert "**Left out**" in made


def test_removed_objects_with_one_fate_share_a_row() -> None:
    report = example_report.dangerous()
    pruned, kept = report.applications[0].removed_objects
    many = tuple(pruned.model_copy(update={"object": f"v1 Service media/{number}"}) for number in range(25))
    app = report.applications[0].model_copy(update={"removed_objects": (*many, kept)})
    made = markdown(report.model_copy(update={"applications": (app,)}))
    rows = [line for line in made.splitlines() if "**pruned**" in line or "**kept by annotation**" in line]
    assert len(rows) == 2
    assert "`v1 Service media/0`, `v1 Service media/1`" in rows[0]
    assert "`v1 Service media/19` and 5 more | **pruned** | the category prunes by itself |" in rows[0]


def test_only_the_page_of_a_release_becomes_a_link() -> None:
    def links(address: str) -> list[object]:
        report = example_report.routine()
        version = report.versions[0].model_copy(update={"release_notes": address})
        made = markdown(report.model_copy(update={"versions": (version,)}))
        return [token.attrs["href"] for token in tokens(made) if token.type == "link_open"]

    assert links("https://github.com/example/whoami/releases/tag/v1.11.0%2B1") == [
        "https://github.com/example/whoami/releases/tag/v1.11.0%2B1"
    ]
    for address in (
        "javascript:alert(1)",
        "http://a.example",
        "https://a.example/>x",
        "https://a b",
        "https://a@b.example",
    ):
        assert links(address) == []


@pytest.mark.parametrize("text", ["a", "`", "``a`", " a ", "a`", "a|b", "\\", "a\\|b", "|", "<b>", "&lt;", "*a*"])
def test_code_shows_exactly_its_text(text: str) -> None:
    shown = Content(html(code(text))).text.rstrip("\n")
    assert shown == text
    cells = re.findall(r"<td>(.*?)</td>", html(f"| a | b |\n| --- | --- |\n| {cell(text)} | x |"))
    assert [Content(one).text for one in cells] == [text.replace("\\|", "\\u005c|"), "x"]


@pytest.mark.parametrize(
    "text", ["a *b* _c_", "# a", "- a", "1. a", "+ a", "> a", "=", "~~a~~", "[a](b)", "&amp;", "a\\"]
)
def test_prose_shows_its_signs(text: str) -> None:
    shown = Content(html(f"- {prose(text)}"))
    assert shown.text.strip().replace("\u200b", "") == text
    assert shown.tags == ["ul", "li"]


def test_no_line_closes_a_block_of_code() -> None:
    (token,) = tokens(fenced(["+```", " ````", "-`````", "~~~"]))
    assert token.content == "+```\n ````\n-`````\n~~~\n"


def test_a_text_that_is_no_utf_8_is_written() -> None:
    report = Report.model_validate({**example_report.routine().model_dump(), "notes": ("a\ud800b",)})
    assert "a\\ud800b" in Content(html(markdown(report))).text

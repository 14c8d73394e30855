"""The HTML report: one file, a strict policy, and texts of a checkout that stay text.

A report comes in as data; the page is read back as a browser reads it, without its script. `test_browser` opens it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from errors import UNSEEN
from ops.review.formats import page as module
from ops.review.formats.page import page
from ops.review.report import Report
from tests.ops.review import example_report

ALL = (*example_report.INJECTIONS, example_report.HOSTILE)
NOT_SHOWN = {"commit", "release-notes"}  # a commit is shown by its first characters, a link only where it is safe
LOADING = {"img", "iframe", "object", "embed", "audio", "video", "source", "form", "base", "svg", "math", "frame"}


class Tags(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, text: str) -> None:
        """Read a page."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def shown(self) -> str:
        return "".join(text for tag, texts in self.texts.items() if tag not in ("style", "script") for text in texts)

    def data(self) -> Any:
        return json.loads(self.texts["script"][0])


def attributes(tags: Tags, name: str) -> list[str | None]:
    return [given[name] for _, given in tags.tags if name in given]


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_hostile_text_makes_no_tag_and_no_attribute(injection: str) -> None:
    harmless, hostile = (Tags(page(example_report.hostile(text))) for text in ("", injection))
    assert [(tag, sorted(given)) for tag, given in hostile.tags] == [
        (tag, sorted(given)) for tag, given in harmless.tags
    ]
    assert hostile.comments == []
    assert not {tag for tag, _ in hostile.tags} & LOADING


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_every_text_of_a_report_is_in_the_page(injection: str) -> None:
    read = Tags(page(example_report.hostile(injection)))
    content = read.shown() + json.dumps(read.data())
    missing = {one for one in example_report.marks() if one not in content}
    assert {one for one in missing if not any(f"-{name}-" in one for name in NOT_SHOWN)} == {
        "VersionChange-digest-before-",
        "VersionChange-digest-after-",
    }
    titles = " ".join(filter(None, attributes(read, "title")))
    assert "VersionChange-digest-before-" in titles
    assert "VersionChange-digest-after-" in titles


@pytest.mark.parametrize("injection", ALL, ids=range(len(ALL)))
def test_no_control_character_reaches_the_page(injection: str) -> None:
    made = page(example_report.hostile(injection))
    assert UNSEEN.search(made.replace("\n", "")) is None
    assert UNSEEN.search("".join(map(str, _leaves(Tags(made).data())))) is None
    made.encode()


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in _leaves(one)]
    return [leaf for one in value for leaf in _leaves(one)] if isinstance(value, list) else [value]


def test_the_policy_allows_this_style_and_this_script_alone() -> None:
    made = page(example_report.rich())
    read = Tags(made)
    (policy,) = [given["content"] for _, given in read.tags if given.get("http-equiv") == "Content-Security-Policy"]
    blocks = {name: re.findall(rf"<{name}>(.*?)</{name}>", made, re.DOTALL) for name in ("style", "script")}
    digests = {}
    for name, (text,) in blocks.items():
        digests[name] = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digests['style']}'; script-src 'sha256-{digests['script']}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert [given for tag, given in read.tags if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
    ]


def test_the_policy_stands_before_everything_that_it_governs() -> None:
    names = [tag for tag, _ in Tags(page(example_report.rich())).tags]
    assert names[:4] == ["html", "head", "meta", "meta"]


def test_the_page_needs_no_other_file() -> None:
    read = Tags(page(example_report.hostile()))
    sources = [value for name in ("src", "srcset", "data", "action", "poster") for value in attributes(read, name)]
    assert sources == []
    links = [str(value) for value in attributes(read, "href")]
    assert [one for one in links if not one.startswith(("#", "data:image/svg+xml,"))] == []
    assert attributes(read, "style") == []
    assert [name for _, given in read.tags for name in given if name.startswith("on")] == []
    style = module.FOLDER.joinpath("page.css").read_text(encoding="utf-8")
    assert re.findall(r"@import|@font-face|url\(|</", style) == []


def test_the_script_parses_no_text_as_html() -> None:
    script = module.FOLDER.joinpath("page.js").read_text(encoding="utf-8")
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|DOMParser|setHTML|srcdoc|</"
    assert re.findall(forbidden, script) == []
    assert re.findall(r"fetch\(|XMLHttpRequest|WebSocket|import\(|sendBeacon|localStorage|\.style\b", script) == []


def test_only_the_template_is_marked_as_safe() -> None:
    source = module.FOLDER.joinpath("page.html.jinja").read_text(encoding="utf-8")
    assert re.findall(r"{{[^}]*\|\s*safe[^}]*}}", source) == ["{{ style|safe }}", "{{ script|safe }}"]
    assert "autoescape" not in source


def test_every_link_and_label_has_its_target() -> None:
    read = Tags(page(example_report.rich()))
    names = attributes(read, "id")
    assert len(names) == len(set(names))
    targets = [str(one)[1:] for one in attributes(read, "href") if str(one).startswith("#")]
    assert {*targets, *attributes(read, "aria-labelledby")} <= set(names)


def test_the_page_of_a_release_is_linked_without_a_referrer() -> None:
    read = Tags(page(example_report.dangerous()))
    (given,) = [given for tag, given in read.tags if tag == "a" and "rel" in given]
    assert given == {"href": "https://github.com/jellyfin/jellyfin/releases", "rel": "noreferrer noopener"}


@pytest.mark.parametrize("name", ["routine", "review", "dangerous", "rich"])
def test_a_part_without_content_is_not_there(name: str) -> None:
    report: Report = getattr(example_report, name)()
    names = attributes(Tags(page(report)), "id")
    for part in ("dangers", "infrastructure", "machines", "applications", "versions", "rehearsed", "manifests"):
        assert (part in names) == bool(getattr(report, part)), part


def test_differences_travel_as_data() -> None:
    read = Tags(page(example_report.dangerous()))
    assert read.data()["objects"][0][0] == {
        "name": "v1 PersistentVolumeClaim media/jellyfin-config",
        "operation": "changed",
        "note": "",
        "lines": list(example_report.VOLUME),
    }
    assert "storage: 20Gi" not in read.shown()


def test_an_app_that_does_not_render_is_no_deletion() -> None:
    text = Tags(page(example_report.review())).shown()
    assert "does not render, 7 objects not compared" in text
    assert "no file deployment.yml" in text


def test_three_thousand_objects_make_a_small_page() -> None:
    read = Tags(page(example_report.large()))
    assert len(read.tags) < 5000
    assert sum(map(len, read.data()["objects"])) == 3000


def test_dangers_of_one_rule_and_reason_share_a_box() -> None:
    report = example_report.dangerous()
    many = tuple(report.dangers[0].model_copy(update={"where": f"place-{number}"}) for number in range(25))
    read = Tags(page(report.model_copy(update={"dangers": (*many, report.dangers[1])})))
    assert [tag for tag, _ in read.tags].count("article") == 2
    assert [f"place-{number}" in read.shown() for number in range(25)] == [True] * 25
    assert "5 more" in read.shown()


def test_an_app_with_several_changes_is_in_the_tree_with_its_stacks() -> None:
    report = example_report.routine()
    other = report.manifests[0].model_copy(update={"stacks": ("staging",)})
    read = Tags(page(report.model_copy(update={"manifests": (other, *report.manifests)})))
    assert [text for text in read.texts["a"] if "whoami" in text] == ["whoami (dev, homelab)", "whoami (staging)"]

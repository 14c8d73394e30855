"""The pages of docs/ become a site without a dead link, an orphan, or a request to another host.

The pages and `zensical.toml` come in; the site is built strictly into a temporary folder. Python-Markdown, on which it
rests, reads lists in another way than GitHub, which shows the same pages: each page is compared with its CommonMark.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import programs
from errors import ProgramFailed
from tests.docs.pages import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.md"))
TEXT = {"a", "br", "code", "em", "hr", "p", "strong", "tbody", "td", "th", "thead"}
COMPARED = {"li", "ol", "ul", "pre", "tr", "table", "blockquote", "img", "h1", "h2", "h3", "h4"}


class Tags(HTMLParser):
    """The tags of a text, and the addresses on other hosts that a browser loads with it."""

    def __init__(self, text: str) -> None:
        """Read a text."""
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        given = dict(attrs)
        source = given.get("href") if tag == "link" and given.get("rel") != "canonical" else given.get("src")
        if source and re.match(r"(https?:)?//", source):
            self.loaded.append(source)


def build(folder: Path) -> None:
    programs.run(sys.executable, "-m", "zensical", "build", "--strict", cwd=folder, timeout=120)


def copy(folder: Path) -> Path:
    shutil.copytree(DOCS, folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy(tmp_path_factory.mktemp("site"))
    build(folder)
    return folder / "site"


def in_navigation(entry: Any) -> Iterator[str]:
    """Yield every page below an entry of the navigation."""
    if isinstance(entry, str):
        yield entry
    for inner in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
        yield from in_navigation(inner)


def test_every_page_is_in_the_navigation_once() -> None:
    settings = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(in_navigation(settings["project"]["nav"])) == sorted(map(str, PAGES))


def content(site: Path, page: Path) -> str:
    """Return the article of a built page, without the navigation around it."""
    name = "index" if page.name == "README.md" else page.stem
    text = (site / page.parent / f"{name}.html").read_text(encoding="utf-8")
    return re.sub(r"(?s)^.*?<article[^>]*>|</article>.*$", "", text)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_site_shows_a_page_as_a_forge_does(page: Path, site: Path) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    expected = Tags(MarkdownIt("commonmark").enable("table").render(text)).tags
    assert set(expected) <= COMPARED | TEXT, "a placeholder such as <app> stands between backticks"
    shown = Tags(content(site, page)).tags
    assert {tag: shown[tag] for tag in COMPARED} == {tag: expected[tag] for tag in COMPARED}, (
        "pad the marker of a list item that holds blocks to four columns, and indent its blocks by four"
    )


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    built = list(site.rglob("*.html"))
    assert len(built) == len(PAGES) + 1
    assert [source for page in built for source in Tags(page.read_text(encoding="utf-8")).loaded] == []


@pytest.mark.parametrize("link", ["nowhere.md", "start/first-hour.md#nowhere"])
def test_a_dead_link_breaks_the_build(link: str, tmp_path: Path) -> None:
    with (copy(tmp_path) / "docs" / "README.md").open("a", encoding="utf-8") as page:
        page.write(f"\n[more]({link})\n")
    with pytest.raises(ProgramFailed, match="--strict"):
        build(tmp_path)

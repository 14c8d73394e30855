"""The HTML report in a headless Chromium: silent, without requests, readable on a phone, usable by keyboard.

The pages of example reports come in as files. `bench/preview_page.py` measures how fast 3,000 objects open.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from bench.browser import PACKAGE, Browser, chromium
from ops.review.formats.page import page
from tests.ops.review import example_report

pytestmark = [
    pytest.mark.skipif(chromium() is None, reason=f"needs {PACKAGE}"),
    pytest.mark.xdist_group("browser"),
]
REPORTS = ("routine", "review", "rich", "hostile")
OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
# Every text, with the colour behind it, as WCAG computes their contrast.
LOW_CONTRAST = """(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => [red, green, blue].map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
      if (colour[3] !== 0) throw new Error("a transparent colour: " + at.className);
    }
    throw new Error("no background");
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  let count = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest("script, style, noscript")) continue;
    count++;
    const [one, other] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) found.push([element.className, texts.currentNode.data, contrast]);
  }
  return [count, found];
})()"""
WIDER = """(() => {
  const limit = document.documentElement.clientWidth;
  const scrolls = (element) => element && (["auto", "scroll"].includes(getComputedStyle(element).overflowX)
    || scrolls(element.parentElement));
  const out = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > limit + 1
    && !scrolls(one.parentElement));
  return [document.documentElement.scrollWidth, out.map((one) => one.tagName + "." + one.className)];
})()"""
HERE = """(() => {
  const at = document.activeElement;
  const inside = at.closest(".object, .danger, .component, .node, .app");
  return inside ? inside.querySelector("h3, summary").textContent.trim() : at.tagName;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = chromium()
    assert program
    with Browser(program, tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name in (*REPORTS, "large"):
        (folder / f"{name}.html").write_text(page(getattr(example_report, name)()), encoding="utf-8")
    for number, text in enumerate(example_report.INJECTIONS):
        (folder / f"injection-{number}.html").write_text(page(example_report.hostile(text)), encoding="utf-8")
    return folder


def opened(
    browser: Browser, pages: Path, name: str, width: int = 1280, scheme: Literal["light", "dark"] = "light"
) -> Browser:
    browser.screen(width, 800, scheme)
    browser.open(pages / f"{name}.html")
    browser.evaluate(OPEN_ALL)
    browser.frames()
    browser.evaluate(OPEN_ALL)
    browser.frames()
    return browser


@pytest.mark.parametrize("name", [*REPORTS, *(f"injection-{one}" for one in range(len(example_report.INJECTIONS)))])
def test_a_page_is_silent_and_requests_nothing(browser: Browser, pages: Path, name: str) -> None:
    opened(browser, pages, name)
    browser.evaluate("document.getElementById('layout').click()")
    assert browser.errors() == []
    assert browser.requests() == [(pages / f"{name}.html").as_uri()]
    assert browser.evaluate("document.title").startswith(("routine: ", "review: ", "dangerous: "))
    assert browser.evaluate("document.querySelectorAll('img, iframe, form, svg, script:not([id])').length") == 1


def test_the_policy_refuses_a_script_and_a_request(browser: Browser, pages: Path) -> None:
    opened(browser, pages, "routine")
    browser.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    browser.evaluate("document.body.append(Object.assign(new Image(), {src: 'https://evil.example/x.png'}))")
    assert browser.evaluate("fetch('https://evil.example').then(() => 'sent', () => 'refused')") == "refused"
    assert browser.evaluate("window.ran === undefined")
    refused = [one["entry"]["text"] for one in browser.errors() if one.get("entry", {}).get("source") == "security"]
    assert len(refused) >= 2


@pytest.mark.parametrize("width", [360, 768, 1024, 1280])
@pytest.mark.parametrize("name", REPORTS)
def test_only_differences_scroll_sideways(browser: Browser, pages: Path, name: str, width: int) -> None:
    opened(browser, pages, name, width)
    assert browser.evaluate(WIDER) == [width, []]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["routine", "review", "rich"])
def test_every_text_has_contrast(browser: Browser, pages: Path, name: str, scheme: Literal["light", "dark"]) -> None:
    opened(browser, pages, name, 1280, scheme)
    count, low = browser.evaluate(LOW_CONTRAST)
    assert low == []
    assert count > 60
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.strip("rgb()").split(","))) > 384) == (scheme == "light")


def test_keys_move_between_changes(browser: Browser, pages: Path) -> None:
    browser.screen(1280, 800, "light")
    browser.open(pages / "rich.html")
    places = []
    for _ in range(6):
        browser.press("j")
        places.append(browser.evaluate(HERE))
    assert places == [
        "removed-statefulset",
        "pvc-shrink guessed",
        "vm-replaced",
        "machines 1",
        "worker-2 homelab replacement the VM is replaced",
        "changed v1 PersistentVolumeClaim media/jellyfin-config +1 -1",
    ]
    browser.press("k")
    assert browser.evaluate(HERE) == places[-2]


def test_a_slash_filters_apps_and_objects(browser: Browser, pages: Path) -> None:
    opened(browser, pages, "rich")
    browser.press("/")
    assert browser.evaluate("document.activeElement.id") == "search"
    browser.write("Service")
    shown = (
        "[...document.querySelectorAll('.object')].filter(one => one.checkVisibility())"
        ".map(one => one.querySelector('.object-name').textContent)"
    )
    assert browser.evaluate(shown) == ["v1 Service tools/mealie"]
    assert browser.evaluate("document.getElementById('found').textContent") == "1 of 5 objects, 1 of 4 apps"
    browser.press("Enter")
    assert browser.evaluate(HERE) == "added v1 Service tools/mealie +4 -0"
    browser.press("j")
    assert browser.evaluate(HERE) == "added v1 Service tools/mealie +4 -0"
    browser.press("/")
    browser.press("Escape")
    assert len(browser.evaluate(shown)) == 5
    assert browser.evaluate("document.getElementById('found').textContent") == ""


def test_words_that_differ_are_marked(browser: Browser, pages: Path) -> None:
    opened(browser, pages, "routine")
    assert browser.evaluate("[...document.querySelectorAll('mark')].map(one => one.textContent)") == [
        "10",
        "3",
        "11",
        "0",
    ]


def test_a_difference_reads_as_it_came(browser: Browser, pages: Path) -> None:
    opened(browser, pages, "rich")
    text = browser.evaluate(
        "[...document.querySelectorAll('.object')].find(one => one.textContent.includes('Deployment media/jellyfin'))"
        ".querySelector('pre').textContent"
    )
    shown = [line for line in example_report.WORKLOAD if not line.startswith(("+", "-"))]
    assert [line for line in text.splitlines() if not line.startswith(("+", "-"))] == shown
    assert sorted(text.splitlines()) == sorted(example_report.WORKLOAD)


def test_wide_screens_show_both_sides(browser: Browser, pages: Path) -> None:
    opened(browser, pages, "rich")
    button = "document.getElementById('layout')"
    assert browser.evaluate(f"{button}.checkVisibility()")
    browser.evaluate(f"{button}.click()")
    assert browser.evaluate(f"{button}.getAttribute('aria-pressed')") == "true"
    halves = browser.evaluate(
        "[...document.querySelector('.object .halves').children].map(one => one.querySelectorAll('.line').length)"
    )
    assert halves[0] == halves[1]
    left, right = browser.evaluate(
        "[...document.querySelector('.object .halves').children].map(one => one.textContent)"
    )
    assert "50Gi" in left
    assert "50Gi" not in right
    browser.screen(1000, 800, "light")
    browser.frames()
    assert browser.evaluate("document.querySelectorAll('.halves').length") == 0
    assert not browser.evaluate(f"{button}.checkVisibility()")


def test_a_link_opens_its_app(browser: Browser, pages: Path) -> None:
    browser.screen(1280, 800, "light")
    browser.open(pages / "large.html")
    assert browser.evaluate("document.querySelectorAll('.app[open]').length") == 0
    browser.evaluate("document.querySelector('nav a[href=\"#app-70\"]').click()")
    browser.frames()
    assert browser.evaluate("document.querySelector('.app[open]').id") == "app-70"
    assert browser.evaluate("document.querySelectorAll('.app[open] .object pre').length") == 30
    assert 0 <= browser.evaluate("document.querySelector('.app[open]').getBoundingClientRect().top") < 400


def test_focus_is_visible_and_every_control_has_a_name(browser: Browser, pages: Path) -> None:
    opened(browser, pages, "rich")
    nodes: list[dict[str, Any]] = browser.call("Accessibility.getFullAXTree")["nodes"]
    controls = [
        node
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in ("button", "link", "searchbox", "region", "navigation")
    ]
    assert len(controls) > 20
    assert [node for node in controls if not node.get("name", {}).get("value")] == []
    for _ in range(3):
        browser.press("j")
        assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_printed_page_has_the_differences_alone(browser: Browser, pages: Path) -> None:
    browser.screen(1280, 800, "light")
    browser.open(pages / "rich.html")
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    browser.call("Emulation.setEmulatedMedia", media="print")
    visible = "['header', 'nav', 'main', '.object pre'].map(one => document.querySelector(one).checkVisibility())"
    try:
        assert browser.evaluate(visible) == [False, False, True, True]
        assert browser.evaluate("document.querySelectorAll('details.app:not([open])').length") == 0
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")

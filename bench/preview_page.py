"""How long the HTML report of 3,000 changed objects takes to open in a headless Chromium.

    .venv/bin/python bench/preview_page.py [--objects 3000] [--runs 5] [--pictures docs/images]

Prints the median times from the start of the navigation to the first contentful paint, to the end of the script and to
two drawn frames behind the load event, for the objects in 100 apps and in an app each. Target: the last at most 1 s.
With --pictures, writes the pictures of docs/how-to/preview.md instead.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.browser import PACKAGE, Browser, chromium  # noqa: E402
from ops.review.formats.page import page  # noqa: E402
from tests.ops.review import example_report  # noqa: E402

TIMES = """new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
  const [navigation] = performance.getEntriesByType("navigation");
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  done([paint ? paint.startTime : performance.now(), navigation.domInteractive, performance.now()]);
})))"""
# The window, the colours, and a script that moves to the part to be shown.
SHOTS: dict[str, tuple[int, int, Literal["light", "dark"], str]] = {
    "preview-light.png": (1280, 800, "light", ""),
    "preview-dark.png": (
        1280,
        800,
        "dark",
        "document.getElementById('layout').click(); document.getElementById('manifests').scrollIntoView()",
    ),
    "preview-phone.png": (360, 720, "light", ""),
}


def measure(browser: Browser, folder: Path, objects: int, apps: int, runs: int) -> str:
    """Return one line of times."""
    file = folder / f"{apps}.html"
    report = example_report.large(objects, apps)
    began = time.perf_counter()
    file.write_text(page(report), encoding="utf-8")
    made = time.perf_counter() - began
    times = []
    for _ in range(runs):
        browser.open(file)
        times.append(browser.evaluate(TIMES))
    paint, script, drawn = (statistics.median(column) for column in zip(*times, strict=True))
    size = file.stat().st_size / 1e6
    return (
        f"{objects} objects in {apps} apps, {size:.1f} MB, made in {made:.2f} s: first paint {paint:.0f} ms, "
        f"script done {script:.0f} ms, drawn {drawn:.0f} ms"
    )


def pictures(browser: Browser, folder: Path, target: Path) -> None:
    """Write the pictures of the documents."""
    file = folder / "report.html"
    file.write_text(page(example_report.rich()), encoding="utf-8")
    for name, (width, height, scheme, script) in SHOTS.items():
        browser.screen(width, height, scheme)
        browser.open(file)
        browser.evaluate(script)
        browser.frames()
        (target / name).write_bytes(browser.picture())


def main() -> None:
    """Measure, or write pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    program = chromium()
    if program is None:
        sys.exit(f"bench/preview_page.py needs {PACKAGE}")
    with tempfile.TemporaryDirectory() as name, Browser(program, Path(name)) as browser:
        if options.pictures:
            pictures(browser, Path(name), options.pictures)
            return
        browser.screen(1280, 800, "light")
        for apps in (100, options.objects):
            print(measure(browser, Path(name), options.objects, apps, options.runs))


if __name__ == "__main__":
    main()

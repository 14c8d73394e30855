"""The pictures of the documents show the present project.

A checkout with four mistakes comes in for the picture of `check`; `bench.pictures` draws, and `./homelab test --update`
writes the files.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.pictures import IMAGES, pictures, report
from bench.preview_page import SHOTS
from config.load import stack_files
from ops.__main__ import main
from tests.docs.pages import PAGES, ROOT
from tests.repository import commit_all

COMMAND = ("check", "--changed-since", "HEAD")
MISTAKES = {
    "Pulumi.homelab.yaml": [("address: 10.0.0.21", "address: 10.0.0.60")],
    "apps/media/jellyfin/base/deployment.yaml": [
        (r"jellyfin:10\.[\d.]+@sha256:\w+", "jellyfin:latest"),
        (r"limits: \{memory: 4Gi\}", "limits: {cpu: 2}"),
    ],
    "apps/media/jellyfin/base/service.yaml": [("targetPort: http", "targetPort: web")],
}


def current(name: str, drawn: str) -> bool:
    """Compare a picture with the committed one, or write it."""
    file = IMAGES / name
    if os.environ.get("HOMELAB_UPDATE"):
        file.write_text(drawn, encoding="utf-8")
    return file.exists() and file.read_text(encoding="utf-8") == drawn


@pytest.fixture
def mistaken(tmp_path: Path) -> Path:
    """Return a repository with changes that `check` rejects."""
    for name in ("apps", "patches"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for file in (ROOT / "Pulumi.yaml", *stack_files(ROOT).values()):
        shutil.copy(file, tmp_path)
    commit_all(tmp_path)
    for name, changes in MISTAKES.items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        for old, new in changes:
            text, count = re.subn(old, new, text)
            assert count == 1
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_pictures_show_the_project_of_today() -> None:
    stale = [name for name, drawn in pictures().items() if not current(name, drawn)]
    assert stale == [], "./homelab test --update -- tests/docs/test_pictures.py"


def test_the_report_shows_the_output_of_check(mistaken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMAND, "--root", str(mistaken)]) == 1
    lines = capsys.readouterr().out.splitlines()
    findings = [line for line in lines if re.search(r"\[[a-z-]+\]$", line)]
    assert len(findings) == sum(map(len, MISTAKES.values()))
    drawn = report(f"./homelab {' '.join(COMMAND)}", findings)
    assert current("check.svg", drawn), "./homelab test --update -- tests/docs/test_pictures.py"


@pytest.mark.parametrize("file", sorted(IMAGES.glob("*.svg")), ids=lambda file: file.name)
def test_a_drawing_is_small_and_needs_no_other_file(file: Path) -> None:
    drawn = file.read_text(encoding="utf-8")
    ET.fromstring(drawn)
    assert len(drawn) < 20_000
    assert re.findall(r"(?:href|src)=|@import|@font-face|url\((?!#)", drawn) == []
    assert "prefers-color-scheme:dark" in drawn


def test_a_screenshot_is_small_and_the_only_other_kind() -> None:
    screenshots = {file.name: file.read_bytes() for file in IMAGES.iterdir() if file.suffix != ".svg"}
    assert set(screenshots) == set(SHOTS), "bench/preview_page.py --pictures docs/images writes them"
    for name, (width, height, *_) in SHOTS.items():
        assert screenshots[name].startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", screenshots[name][16:24]) == (width, height)
        assert len(screenshots[name]) < 150_000


def test_every_picture_is_shown_with_its_meaning_in_words() -> None:
    shown = [found for page in PAGES for found in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text("utf-8"))]
    assert {Path(target).name for _, target in shown} == {file.name for file in IMAGES.iterdir()}
    assert [target for words, target in shown if len(words) < 20] == []

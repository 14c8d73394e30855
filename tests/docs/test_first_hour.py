"""The commands of `start/make-it-yours.md` work in a copy of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config.load import stack_files
from ops.__main__ import main
from tests.docs.pages import ROOT, words
from tests.repository import commit_all

PAGE = ROOT / "docs/start/make-it-yours.md"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("apps", "environments"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for file in (ROOT / "Pulumi.yaml", *stack_files(ROOT).values()):
        shutil.copy(file, tmp_path)
    commit_all(tmp_path)  # `init --only` deletes only files that Git can restore.
    return tmp_path


def line(begins: str) -> str:
    """Return the only line of the page with this beginning."""
    found = re.findall(rf"^ +({re.escape(begins)}.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


@pytest.mark.skipif(sys.platform == "darwin", reason="the line is for GNU sed; the page has another one for macOS")
def test_marks_are_left_after_the_page(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words(line("./homelab init"))[1:], "--root", str(checkout)]) == 0
    assert list(stack_files(checkout)) == ["homelab"]
    subprocess.run(["sh", "-c", line("grep -rlE")], cwd=checkout, check=True, env={"PATH": os.environ["PATH"]})
    chart = (checkout / "apps/selfhosted/nextcloud/values.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"nextcloud\.[a-z.]+\.(?:org|com)", chart)) == {"nextcloud.home.mydomain.org"}
    capsys.readouterr()
    assert main(["check", "--root", str(checkout)]) == 1
    said = capsys.readouterr().out.splitlines()
    problems = [text for text in said if re.search(r"\[[a-z-]+\]$", text)]
    assert problems
    assert {text.rpartition("[")[2] for text in problems} == {"mark-differs]"}
    shown = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert any(text.split(" [")[0].split(": is")[0] in shown for text in problems), "the page shows one of them"


@pytest.mark.parametrize("verb", [("--help",), ("doctor", "--help"), ("tools", "--dry-run", "--only", "kustomize")])
def test_what_looks_and_changes_nothing_works(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(verb)
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 0
    assert capsys.readouterr().out

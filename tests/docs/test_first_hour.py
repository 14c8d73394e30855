"""The commands of `start/make-it-yours.md` work in a copy of the checkout."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from config.load import stack_files
from config.tree import APPS, read_tree
from ops.__main__ import main
from tests.docs.pages import ROOT, words
from tests.repository import commit_all

PAGE = ROOT / "docs/start/make-it-yours.md"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / APPS, tmp_path / APPS)
    for file in (ROOT / "Pulumi.yaml", *stack_files(ROOT).values()):
        shutil.copy(file, tmp_path)
    (tmp_path / "patches").mkdir()
    shutil.copy(ROOT / "patches/openebs.yaml", tmp_path / "patches")
    commit_all(tmp_path)  # `init --only` deletes only files that Git can restore.
    return tmp_path


def line(begins: str) -> str:
    """Return the only line of the page with this beginning."""
    found = re.findall(rf"^ +({re.escape(begins)}.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def test_the_command_of_the_page_leaves_no_problem_and_no_example(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(line("./homelab init"))[1:], "--root", str(checkout)]) == 0
    assert list(stack_files(checkout)) == ["homelab"]
    assert read_tree(checkout).environments == ("homelab",)
    capsys.readouterr()
    assert main(["check", "--root", str(checkout)]) == 0
    output = capsys.readouterr().out
    assert "no problem in 1 stack" in output
    assert f"{APPS}/ai/ollama: runs in no environment" in output
    used = [file for app in read_tree(checkout).apps for file in (checkout / app.path).rglob("*.yaml")]
    used += (checkout / APPS / "_settings").rglob("*.yaml")
    assert [file for file in used if "example.com" in file.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("verb", [("--help",), ("doctor", "--help"), ("tools", "--dry-run", "--only", "kustomize")])
def test_what_looks_and_changes_nothing_works(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(verb)
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 0
    assert capsys.readouterr().out

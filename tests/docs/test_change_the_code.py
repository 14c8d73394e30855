"""The page about changes of the code lists the files of each kind of change.

`tests.house.test_laws` holds that each file exists; here the lists are complete.
"""

from __future__ import annotations

import re

import programs
from config.secret_stores import KINDS
from tests.docs.pages import ROOT, commands

PAGE = ROOT / "docs" / "how-to" / "change-the-code.md"
KINDS_OF_CHANGE = {
    "A setting",
    "A kind of secret store",
    "A verb",
    "A check",
    "An operator of the rehearsal",
    "An app",
}


def sections() -> dict[str, str]:
    """Return the text below each heading."""
    _, *parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.split("\n")[0]: part for part in parts}


def test_every_kind_of_change_names_files_and_tests() -> None:
    found = sections()
    assert found.keys() >= KINDS_OF_CHANGE
    without = [name for name in KINDS_OF_CHANGE if not re.search(r"`tests/[\w/.]+`", found[name])]
    assert without == []


def test_the_tests_to_run_exist() -> None:
    ran = {word for command in commands("./homelab") if "change-the-code" in command.place for word in command.words}
    paths = [word for word in ran if word.startswith("tests/")]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_file_that_knows_a_kind_of_store_is_listed() -> None:
    listed = re.findall(r"`((?:apps|config|docs|ops|tests)/[\w./-]+)`", sections()["A kind of secret store"])
    assert "onepassword" in KINDS
    elsewhere = (":!tests", ":!docs/reference")
    found = programs.run("git", "grep", "--name-only", "--ignore-case", "onepassword", "--", *elsewhere, cwd=ROOT)
    assert [file for file in found.stdout.splitlines() if not file.startswith(tuple(listed))] == []

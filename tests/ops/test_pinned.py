"""The table of pinned programs, against their go.mod files and against versions of others."""

from __future__ import annotations

import re

import pytest

from config import compatibility
from ops import pinned
from ops.pinned import TOOLS, Accept, Version, compatible


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0", Version(1, 32, 4)),
        ("kwok version v0.8.0 go1.26.8 (linux/amd64)", Version(0, 8, 0)),
        ("etcd Version: 3.7.3\nGit SHA: x", Version(3, 7, 3)),
        ("v3.22.0+g1a2b3c", Version(3, 22, 0)),
        ("argocd: v3.2.11", Version(3, 2, 11)),
        ("Kubernetes v1.37.0-beta.1", Version(1, 37, 0, unfinished=True)),
        ("development", None),
    ],
)
def test_a_version_is_read_from_what_a_program_says(says: str, version: Version | None) -> None:
    assert Version.read(says) == version


@pytest.mark.parametrize(
    ("accept", "theirs", "good"),
    [
        (Accept.SAME_MINOR, "3.22.9", True),
        (Accept.SAME_MINOR, "3.23.0", False),
        (Accept.SAME_MINOR, "3.21.4", False),
        (Accept.ONE_MINOR_AWAY, "3.21.0", True),
        (Accept.ONE_MINOR_AWAY, "3.23.7", True),
        (Accept.ONE_MINOR_AWAY, "3.24.0", False),
        (Accept.NEWER_IN_MAJOR, "3.22.4", True),
        (Accept.NEWER_IN_MAJOR, "3.30.0", True),
        (Accept.NEWER_IN_MAJOR, "3.22.3", False),
        (Accept.NEWER_IN_MAJOR, "4.0.0", False),
        (Accept.NEWER_IN_MAJOR, "3.30.0-rc.1", False),
        (Accept.NOTHING, "3.22.4", False),
    ],
)
def test_another_version_is_judged_by_what_its_project_promises(accept: Accept, theirs: str, good: bool) -> None:
    version = Version.read(theirs)
    assert version is not None
    assert compatible(accept, Version(3, 22, 4), version) is good


def test_every_program_is_required_as_a_tool_by_its_go_mod() -> None:
    for tool in TOOLS:
        for folder, built in tool.by_folder.items():
            required = (folder / "go.mod").read_text(encoding="utf-8")
            for program in built:
                named = re.search(rf"^(tool )?\s*{re.escape(program.package)}$", required, re.MULTILINE)
                assert named or (folder / "main.go").exists(), program.name
        assert tool.version.major >= 0


def test_every_folder_of_pins_is_built_by_some_tool() -> None:
    assert {folder for tool in TOOLS for folder in tool.by_folder} == {
        file.parent for file in pinned.FOLDER.glob("*/go.mod")
    }


def test_the_table_of_upgrades_is_that_of_the_pinned_talosctl() -> None:
    version = pinned.BY_PROGRAM["talosctl"].version
    assert compatibility.compatible()["talosctl"]["version"] == f"{version.major}.{version.minor}"

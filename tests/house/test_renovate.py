"""Renovate's rules find their dependencies in this tree, and propose no version that `check` rejects."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.compatibility import compatible

ROOT = Path(__file__).resolve().parents[2]
CONFIG: dict[str, Any] = json.loads((ROOT / "renovate.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = CONFIG["packageRules"]
MANAGERS: list[dict[str, Any]] = CONFIG["customManagers"]
OPTIONS = {
    *("$schema", "extends", "description", "includePaths", "minimumReleaseAge", "minimumReleaseAgeBehaviour"),
    *("major", "kubernetes", "customManagers", "packageRules"),
}
OF_MANAGERS = {
    *("description", "customType", "managerFilePatterns", "matchStrings", "depNameTemplate", "datasourceTemplate"),
    "extractVersionTemplate",
}
OF_RULES = {"description", "matchDepNames", "allowedVersions", "groupName", "dependencyDashboardApproval", "versioning"}
# Which dependencies the custom managers find, with the versions that the tree pins.
FOUND = {
    "Databases of CloudNativePG": {
        "ghcr.io/cloudnative-pg/postgresql": r"\d+\.\d+",
        "ghcr.io/tensorchord/cloudnative-vectorchord": r"\d+\.\d+-[\d.]+",
    },
    "Remote bases: the commit and the version behind it, or a tag": {
        "argoproj/argo-cd": r"v\d+\.\d+\.\d+",
        "kubernetes-csi/external-snapshotter": r"v\d+\.\d+\.\d+",
        "kubernetes-sigs/gateway-api": r"v\d+\.\d+\.\d+",
    },
    "The program that Argo Rollouts fetches, with its checksum where it stands on the next line": {
        "argoproj-labs/rollouts-plugin-trafficrouter-gatewayapi": r"v\d+\.\d+\.\d+"
    },
    "Talos": {"siderolabs/talos": r"\d+\.\d+\.\d+"},
    "Kubernetes": {"kubernetes/kubernetes": r"\d+\.\d+\.\d+"},
}


def matches(manager: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the dependencies that a custom manager finds in the tree."""
    patterns = [pattern.strip("/") for pattern in manager["managerFilePatterns"]]
    wanted = [re.sub(r"\(\?<(\w+)>", r"(?P<\1>", text) for text in manager["matchStrings"]]
    for file in sorted((*ROOT.glob("Pulumi.*.yaml"), *ROOT.glob("apps/**/*.yaml"))):
        if any(re.search(pattern, file.relative_to(ROOT).as_posix()) for pattern in patterns):
            for one in wanted:
                for found in re.finditer(one, file.read_text(encoding="utf-8")):
                    yield {"depName": manager.get("depNameTemplate", ""), **found.groupdict("")}


def dependencies() -> set[str]:
    """Return the names by which Renovate knows images, charts and remote bases of the tree."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in ROOT.glob("apps/**/*.yaml"))
    images = re.findall(r"image(?:Name)?: ([^:\s{\"]+):", text)
    charts = re.findall(r"- name: (\S+)\n\s+repo: ", text)
    return {*images, *charts, *(found["depName"] for manager in MANAGERS for found in matches(manager))}


def test_no_option_is_misspelt() -> None:
    assert set(CONFIG) <= OPTIONS
    assert {key for manager in MANAGERS for key in manager} <= OF_MANAGERS
    assert {key for rule in RULES for key in rule} <= OF_RULES
    assert {rule["matchDepNames"] != [] for rule in RULES} == {True}


@pytest.mark.parametrize("manager", MANAGERS, ids=lambda manager: manager["description"])
def test_a_manager_finds_the_versions_that_it_is_for(manager: dict[str, Any]) -> None:
    expected = FOUND[manager["description"]]
    found = list(matches(manager))
    assert {one["depName"] for one in found} == set(expected)
    assert [one for one in found if not re.fullmatch(expected[one["depName"]], one["currentValue"])] == []


def test_a_fetched_programs_checksum_is_updated_with_its_version() -> None:
    manager = next(one for one in MANAGERS if one["datasourceTemplate"] == "github-release-attachments")
    wanted = re.sub(r"\(\?<(\w+)>", r"(?P<\1>", manager["matchStrings"][0])
    file = (ROOT / "apps/system/argo-rollouts/base/values.yaml").read_text(encoding="utf-8")
    location = next(line for line in file.splitlines() if "location: " in line)
    found = re.search(wanted, f"{location}\n      sha256: {'0a' * 32}\n")
    assert found
    assert found["currentDigest"] == "0a" * 32


def test_every_rule_names_a_dependency_of_the_tree() -> None:
    known = dependencies()
    named = [name for rule in RULES for name in rule["matchDepNames"]]
    assert [name for name in named if not fnmatch.filter(known, name.replace("**", "*"))] == []


def test_no_line_of_versions_is_proposed_that_check_refuses() -> None:
    known = compatible()
    cilium = max(known["cilium"], key=lambda line: [int(part) for part in line.split(".")])
    newest = {
        "siderolabs/talos": known["talosctl"]["talos"],
        "kubernetes/kubernetes": known["talosctl"]["kubernetes"],
        "cilium": cilium,
        "kubernetes-sigs/gateway-api": known["cilium"][cilium][-1],
    }
    allowed = {rule["matchDepNames"][0]: rule["allowedVersions"] for rule in RULES if "allowedVersions" in rule}
    next_lines = {name: line.split(".") for name, line in newest.items()}
    assert allowed == {name: f"<{major}.{int(minor) + 1}.0" for name, (major, minor) in next_lines.items()}


def test_nothing_is_merged_without_a_person() -> None:
    assert "automerge" not in json.dumps(CONFIG)

"""Compare the model of Renovate in these tests with Renovate itself, offline, where it is installed.

Compared last with Renovate 43.288.0, which the cluster runs, and 44.121.2. Without it, the tests of the model decide
alone:

    npm install --prefix /anywhere node@24 renovate@44
    HOMELAB_RENOVATE=/anywhere/node_modules/.bin/renovate ./homelab test
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import programs
from tests.renovate.extraction import extracted, tracked
from tests.renovate.rules import CONFIG, ROOT, RULES, RenovateDependency, settings
from tests.renovate.test_own_images import BLOCKS
from tests.repository import commit_all

RENOVATE = os.environ.get("HOMELAB_RENOVATE") or shutil.which("renovate") or ""
pytestmark = pytest.mark.skipif(
    not RENOVATE,
    reason="Renovate is missing: `npm install --prefix FOLDER node@24 renovate@44`, then set HOMELAB_RENOVATE to"
    " FOLDER/node_modules/.bin/renovate",
)
BESIDE = Path(RENOVATE).parent
ENVIRONMENT = {"PATH": f"{BESIDE}:{os.environ['PATH']}", "LOG_LEVEL": "debug", "LOG_FORMAT": "json"}

NOT_MODELLED = ("golang", "replace")  # of a go.mod: a rule disables them
UPDATES = ("major", "minor", "patch", "digest")
KEYS = ("addLabels", "allowedVersions", "automerge", "dependencyDashboardApproval", "enabled", "groupName")
WARNING = 40
RAISED = [(one.manager, one.file, one.name, one.value) for one in extracted() if settings(one)["enabled"] and one.value]
KNOWN = ["RE2 not usable, falling back to RegExp", "GitHub token is required for some dependencies"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the working tree."""
    folder = tmp_path_factory.mktemp("copy")
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    commit_all(folder)
    return folder


@pytest.fixture(scope="module")
def files(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, Any]]]:
    """Return each manager with one file and the dependencies that Renovate extracts from it."""
    log = programs.run(
        RENOVATE,
        *("--platform=local", "--dry-run=extract"),
        cwd=copy,
        env={**os.environ, **ENVIRONMENT, "RENOVATE_BASE_DIR": str(tmp_path_factory.mktemp("work"))},
        timeout=300,
    ).stdout
    records = [json.loads(line) for line in log.splitlines()]
    assert [one["msg"] for one in records if one["level"] >= WARNING and one["msg"] not in KNOWN] == []
    (packages,) = [one["packageFiles"] for one in records if one["msg"] == "Extracted dependencies"]
    return [(manager, file) for manager, files in packages.items() for file in files]


@pytest.fixture(scope="module")
def found(files: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the dependencies that Renovate would look up, if no rule disabled them."""
    return [
        {
            **{key: value for key, value in file.items() if key != "deps"},
            "packageName": one["depName"],
            **one,
            "manager": "custom.regex" if manager == "regex" else manager,
        }
        for manager, file in files
        for one in file["deps"]
        if "depName" in one and one.get("enabled") is not False and one.get("skipReason") != "local-dependency"
    ]


def of_renovate(one: dict[str, Any]) -> RenovateDependency:
    """Return a dependency of Renovate's log in the form of the model."""
    source = {"mise": "github", "helmv3": "helm"}.get(one["manager"], one.get("datasource", ""))
    return RenovateDependency(
        one["manager"],
        one["packageFile"],
        one["depName"],
        one["packageName"],
        source,
        one.get("currentValue") or "",
        one.get("currentDigest") or "",
        one.get("depType") or "",
        one.get("lockedVersion") or "",
    )


@pytest.mark.parametrize("more", [[], [json.loads(BLOCKS["json"])]], ids=["renovate.json", "with own images"])
def test_renovate_accepts_its_settings(more: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "renovate.json"
    file.write_text(json.dumps({**CONFIG, "packageRules": [*RULES, *more]}), encoding="utf-8")
    validator = str(BESIDE / "renovate-config-validator")
    programs.run(validator, "--strict", file, env={**os.environ, **ENVIRONMENT}, timeout=120)


def test_renovate_extracts_the_same_dependencies(found: list[dict[str, Any]]) -> None:
    theirs = [one for one in map(of_renovate, found) if one.datasource != "kubernetes-api"]
    assert Counter(one for one in theirs if one.kind not in NOT_MODELLED) == Counter(extracted())


def test_renovate_applies_the_same_rules(found: list[dict[str, Any]], tmp_path: Path) -> None:
    by_folder = {
        replace(of_renovate(one), file=folder(one), digest=""): one for one in found
    }  # it takes a second for 20
    updates = [(one, update) for one in by_folder.values() for update in UPDATES]
    (tmp_path / "updates.json").write_text(json.dumps([{**one, "updateType": update} for one, update in updates]))
    script, dist = Path(__file__).with_name("applied.mjs"), Path(RENOVATE).resolve().parent
    words = (script, dist, ROOT / "renovate.json", tmp_path / "updates.json")
    answer = programs.run("node", *words, env={**os.environ, **ENVIRONMENT}, timeout=300).stdout
    theirs = json.loads(answer.splitlines()[-1])
    ours = [settings(of_renovate(one), update) for one, update in updates]
    assert len(theirs) == len(ours)
    for (one, update), mine, its in zip(updates, ours, theirs, strict=True):
        expected = {key: mine.get(key) for key in KEYS}
        assert {key: its.get(key) for key in KEYS} == expected, (one["packageFile"], one["depName"], update)


def folder(one: dict[str, Any]) -> str:
    """Return the part of a path that rules can tell apart."""
    return "/".join(one["packageFile"].split("/")[:4])


def test_renovate_changes_a_pin_and_nothing_else(
    files: list[tuple[str, dict[str, Any]]], copy: Path, tmp_path: Path
) -> None:
    pins = [
        {"manager": manager, "file": file["packageFile"], "dep": one, "index": index, "config": config}
        for manager, file in files
        for config in [{key: value for key, value in file.items() if key not in ("deps", "packageFile")}]
        for index, one in enumerate(file["deps"])
        if pin(manager, file["packageFile"], one) in RAISED and one.get("depType") not in NOT_MODELLED
    ]
    assert len(pins) == len(RAISED)
    (tmp_path / "pins.json").write_text(json.dumps(pins), encoding="utf-8")
    script, dist = Path(__file__).with_name("raised.mjs"), Path(RENOVATE).resolve().parent
    words = (script, dist, copy, tmp_path / "pins.json")
    answer = programs.run("node", *words, env={**os.environ, **ENVIRONMENT, "LOG_LEVEL": "fatal"}, timeout=300).stdout
    assert json.loads(answer.splitlines()[-1]) == []


def pin(manager: str, file: str, one: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return the part of a dependency that identifies a pin."""
    name = "custom.regex" if manager == "regex" else manager
    return name, file, one.get("depName", ""), one.get("currentValue") or ""

"""The recipe for an image of one's own: its workflow changes the same line as Renovate, and its rule merges."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
from ops.toolchain.lookup import ensure
from tests.renovate import rules
from tests.renovate.extraction import kubernetes
from tests.renovate.rules import ROOT, RenovateDependency
from tests.repository import commit_all

PAGE = (ROOT / "docs/how-to/own-images.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL))
WORKFLOW: dict[str, Any] = yaml.load(BLOCKS["yaml"], Loader=yaml.BaseLoader)
IMAGE, DIGEST = WORKFLOW["env"]["IMAGE"], f"sha256:{'0a' * 32}"
# gh: the clone is the folder that the test made; everything else is recorded.
GH = '#!/bin/sh\n[ "$2" = clone ] && exec git clone --quiet "$ORIGIN" "$4"\necho "$@" >> "$ORIGIN/../calls"\n'


def propose(folder: Path) -> Path:
    """Run the step that proposes a version against a repository in a folder, and return the repository."""
    origin = folder / "origin"
    file = origin / WORKFLOW["env"]["FILE"]
    file.parent.mkdir(parents=True)
    manifest = (
        f"apiVersion: apps/v1\nkind: Deployment\n      - image: {IMAGE}:1.3.0\n      - image: {IMAGE}-more:1.3.0\n"
    )
    file.write_text(manifest, encoding="utf-8")
    commit_all(origin)
    program = folder / "bin/gh"
    program.parent.mkdir()
    program.write_text(GH, encoding="utf-8")
    program.chmod(0o755)
    step = next(one for one in WORKFLOW["jobs"]["release"]["steps"] if "gh pr create" in one.get("run", ""))
    env = {
        **os.environ,
        **WORKFLOW["env"],
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "ORIGIN": str(origin),
        "HOME": str(folder),
        "VERSION": "1.4.0",
        "DIGEST": DIGEST,
        "GITHUB_ACTOR": "you",
    }
    programs.run("bash", "-e", "-o", "pipefail", "-c", step["run"], cwd=folder, env=env, timeout=60)
    return origin


def test_the_workflow_changes_one_line_and_opens_a_pull_request(tmp_path: Path) -> None:
    origin = propose(tmp_path)
    branch = f"own/{IMAGE}-1.4.0"
    changed = programs.run("git", "diff", "--unified=0", "main", branch, cwd=origin).stdout.splitlines()
    assert [line for line in changed if re.match(r"[-+] ", line)] == [
        f"-      - image: {IMAGE}:1.3.0",
        f"+      - image: {IMAGE}:1.4.0@{DIGEST}",
    ]
    message = programs.run("git", "log", "-1", "--format=%s", branch, cwd=origin).stdout.strip()
    assert message == f"Update {IMAGE} to 1.4.0"
    assert (tmp_path / "calls").read_text(encoding="utf-8").splitlines() == ["auth setup-git", "pr create --fill"]


def test_renovate_reads_the_line_of_the_workflow(tmp_path: Path) -> None:
    origin, file = propose(tmp_path), WORKFLOW["env"]["FILE"]
    text = programs.run("git", "show", f"own/{IMAGE}-1.4.0:{file}", cwd=origin).stdout
    first = next(kubernetes(file, text))
    assert (first.name, first.value, first.digest) == (IMAGE, "1.4.0", DIGEST)


def test_the_rule_merges_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = json.loads(BLOCKS["json"])
    monkeypatch.setattr(rules, "RULES", [*rules.RULES, rule])
    one = RenovateDependency("kubernetes", WORKFLOW["env"]["FILE"], IMAGE, IMAGE, "docker", "1.3.0")
    merged = {update: rules.settings(one, update)["automerge"] for update in ("patch", "minor", "digest", "major")}
    assert merged == {"patch": True, "minor": True, "digest": True, "major": False}
    assert rules.settings(one)["minimumReleaseAge"] is None


def test_actionlint_accepts_the_workflow(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    (folder / "release.yaml").write_text(BLOCKS["yaml"], encoding="utf-8")
    programs.run("actionlint", cwd=tmp_path, env=ensure(("actionlint",)).env())

"""Files for forges: the complete ones in the page about Forgejo and GitLab, and GitHub's own templates and ruleset.

The page comes in; its blocks are parsed, judged by actionlint or a schema, and held to the rules of GitHub's workflows.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
from config.code_owners import FILE, MAINTAINERS, MARK, is_code_owner
from ops.toolchain.lookup import ensure
from ops.verbs import BY_NAME
from tests.docs.test_commands import parser
from tests.house.test_workflows import EXPRESSION, WORKFLOWS, texts

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/other-forges.md").read_text(encoding="utf-8")
FILES: dict[str, str] = dict(
    re.findall(r"`(\.(?:forgejo|gitlab)[\w./-]+ya?ml)`\.(?:(?!```).)*```yaml\n(.*?)\n```", PAGE, re.DOTALL)
)
FORGEJO = [name for name in FILES if name.startswith(".forgejo/")]
GITLAB = ".gitlab-ci.yml"


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(FILES[name], Loader=yaml.BaseLoader)
    return loaded


def follows_schema(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "check-jsonschema"
    command = [str(program), "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_page_has_the_files_of_both_forges() -> None:
    assert list(FILES) == [".forgejo/workflows/pull-request.yaml", ".forgejo/workflows/main.yaml", GITLAB]
    assert PAGE.count("```yaml\n") == len(FILES)


@pytest.mark.parametrize("name", FORGEJO)
def test_actionlint_accepts_a_file_for_forgejo(name: str, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    labels = "self-hosted-runner:\n  labels: [docker, homelab]\n"
    (folder.parent / "actionlint.yaml").write_text(labels, encoding="utf-8")
    (folder / Path(name).name).write_text(FILES[name], encoding="utf-8")
    programs.run("actionlint", cwd=tmp_path, env=ensure(("actionlint",)).env())


@pytest.mark.parametrize("name", FORGEJO)
def test_a_file_for_forgejo_keeps_the_rules_of_the_workflows(name: str) -> None:
    steps = [step for job in read(name)["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if EXPRESSION.search(step.get("run", ""))] == []
    ours = {
        step["uses"]
        for workflow in WORKFLOWS.values()
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    }
    used = [step for step in steps if "uses" in step]
    assert {step["uses"] for step in used} <= ours
    assert {step["with"]["persist-credentials"] for step in used} == {"false"}
    assert {0 < int(job["timeout-minutes"]) <= 180 for job in read(name)["jobs"].values()} == {True}


def test_no_secret_reaches_a_pull_request_on_forgejo() -> None:
    text = FILES[".forgejo/workflows/pull-request.yaml"]
    assert "secrets." not in text
    assert "pull_request_target" not in text
    steps = read(".forgejo/workflows/pull-request.yaml")["jobs"]["preview"]["steps"]
    (writer,) = [step for step in steps if any("github.token" in one for one in texts(step))]
    assert writer["if"] == "github.event.pull_request.head.repo.full_name == github.repository"


def test_the_file_for_gitlab_follows_its_schema(tmp_path: Path) -> None:
    file = tmp_path / GITLAB
    file.write_text(FILES[GITLAB], encoding="utf-8")
    finished = follows_schema("gitlab-ci", file)
    assert finished.returncode == 0, finished.stdout
    file.write_text(FILES[GITLAB].replace("  stage: test", "  stages: test"), encoding="utf-8")
    assert follows_schema("gitlab-ci", file).returncode == 1


def test_up_on_gitlab_waits_for_a_member_and_for_the_same_paths() -> None:
    up = read(GITLAB)["up"]
    (rule,) = up["rules"]
    assert rule["when"] == "manual"
    assert up["interruptible"] == "false"
    assert up["resource_group"] == "$AUTOMATED_STACK"
    assert [path.replace("**/*", "**") for path in rule["changes"]] == WORKFLOWS["up.yaml"]["on"]["push"]["paths"]


COMMANDS = [
    (name, shlex.split(found)[1:])
    for name, text in FILES.items()
    for found in re.findall(r"\./homelab [^|&>\n]+", text)
]


@pytest.mark.parametrize(
    ("name", "words"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_the_verbs_take_the_arguments_of_the_files(name: str, words: list[str]) -> None:
    verb, *rest = words
    assert verb in BY_NAME
    parser(verb).parse_args(rest)


def test_both_forges_run_the_commands_of_github() -> None:
    every = {words[0] for name, words in COMMANDS}
    assert every == {"check", "preview", "rehearse", "up"}


def test_the_issue_forms_follow_their_schemas() -> None:
    forms = ROOT / ".github/ISSUE_TEMPLATE"
    assert follows_schema("github-issue-forms", *sorted(forms.glob("*.yaml"))).returncode == 0
    assert follows_schema("github-issue-config", forms / "config.yml").returncode == 0


def test_renovates_settings_follow_their_schema() -> None:
    finished = follows_schema("renovate", ROOT / "renovate.json")
    assert finished.returncode == 0, finished.stdout


def test_the_ruleset_protects_the_main_branch() -> None:
    ruleset = json.loads((ROOT / ".github/rulesets/main.json").read_text(encoding="utf-8"))
    rules = {rule["type"]: rule.get("parameters", {}) for rule in ruleset["rules"]}
    assert set(rules) == {"deletion", "non_fast_forward", "pull_request", "required_status_checks"}
    assert rules["pull_request"]["require_code_owner_review"] is True
    required = {one["context"] for one in rules["required_status_checks"]["required_status_checks"]}
    jobs = {name: workflow["jobs"] for name, workflow in WORKFLOWS.items() if "pull_request" in workflow["on"]}
    always = {job["name"] for name, one in jobs.items() for job in one.values() if name != "test.yaml"}
    assert required == always == {"check", "preview"}, "a required job that a path leaves out would wait for ever"
    assert {actor["bypass_mode"] for actor in ruleset["bypass_actors"]} == {"pull_request"}
    assert ruleset["conditions"]["ref_name"]["include"] == ["~DEFAULT_BRANCH"]


def test_the_maintainers_own_everything_that_no_category_has() -> None:
    text = (ROOT / FILE).read_text(encoding="utf-8")
    assert MARK in text
    (owners,) = MAINTAINERS.findall(text)
    assert [owner for owner in owners.split() if not is_code_owner(owner)] == []

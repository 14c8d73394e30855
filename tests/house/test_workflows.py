"""The workflows of .github: least permissions, pinned actions, no secret near a pull request, commands that exist.

actionlint and zizmor judge the files themselves (`ops.test` runs both); these tests keep the rules of this project.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
from errors import ProgramFailed
from ops.__main__ import main
from ops.review import engine_inputs
from ops.toolchain.lookup import ensure
from ops.verbs import BY_NAME
from tests.config.scenario import prepare
from tests.docs.test_commands import parser
from tests.house.test_laws import ROOMS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github/workflows"
FILES = sorted(FOLDER.iterdir())
PINNED = re.compile(r"uses: (?P<action>[\w./-]+)@(?P<commit>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)")
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
STRANGERS = ("pull_request", "workflow_run")
# The rights of each job; a workflow has none of its own.
RIGHTS = {
    "check.yaml": {"check": {"contents": "read"}},
    "comment.yaml": {"comment": {"actions": "read", "contents": "read", "pull-requests": "write"}},
    "nightly.yaml": {
        **{name: {"contents": "read"} for name in ("test", "online", "stacks", "rehearse", "drift")},
        "issue": {"contents": "read", "issues": "write"},
    },
    "preview.yaml": {"preview": {"contents": "read"}},
    "test.yaml": {"test": {"contents": "read"}},
    "up.yaml": {"up": {"contents": "read"}},
}
# The jobs that get credentials, each behind an environment.
ENVIRONMENTS = {"up.yaml": {"up": "${{ matrix.stack }}"}, "nightly.yaml": {"drift": "${{ matrix.stack }}-drift"}}


def read(file: Path) -> dict[str, Any]:
    """Return a workflow; without YAML 1.1, whose `on` is a boolean."""
    loaded: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    return loaded


WORKFLOWS = {file.name: read(file) for file in FILES}
JOBS = [(name, key, job) for name, workflow in WORKFLOWS.items() for key, job in workflow["jobs"].items()]
STEPS = [(name, key, step) for name, key, job in JOBS for step in job["steps"]]


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a part of a workflow."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(inner)


def test_each_workflow_has_the_name_of_its_file() -> None:
    assert {name: workflow["name"] for name, workflow in WORKFLOWS.items()} == {
        name: name.removesuffix(".yaml") for name in RIGHTS
    }


def test_no_workflow_has_rights_and_no_job_more_than_it_needs() -> None:
    assert {name: workflow["permissions"] for name, workflow in WORKFLOWS.items()} == {name: {} for name in RIGHTS}
    rights: dict[str, dict[str, Any]] = {name: {} for name in RIGHTS}
    for name, key, job in JOBS:
        rights[name][key] = job["permissions"]
    assert rights == RIGHTS


def test_every_action_is_pinned_by_its_commit() -> None:
    lines = [line.strip(" -") for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]
    used = [line for line in lines if line.startswith("uses:")]
    found = [PINNED.fullmatch(line) for line in used]
    assert [line for line, one in zip(used, found, strict=True) if one is None] == []
    commits = {(one["action"].split("/")[1], one["commit"], one["version"]) for one in found if one}
    assert len(commits) == len({action for action, _, _ in commits}), "one version of an action everywhere"
    assert {one["action"].split("/")[0] for one in found if one} == {"actions"}, "no action of a third party"


def test_no_checkout_keeps_the_token() -> None:
    checkouts = [step for _, _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(JOBS) + 1
    assert [step["with"]["persist-credentials"] for step in checkouts] == ["false"] * len(checkouts)


@pytest.mark.parametrize(("name", "key", "job"), JOBS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_job_has_a_timeout(name: str, key: str, job: dict[str, Any]) -> None:
    assert 0 < int(job["timeout-minutes"]) < 360


def test_no_command_contains_an_expression() -> None:
    assert [(name, step["run"]) for name, _, step in STEPS if EXPRESSION.search(step.get("run", ""))] == []


def test_commands_get_only_values_of_the_maintainers() -> None:
    given = {found for _, _, step in STEPS for text in texts(step.get("env", {})) for found in EXPRESSION.findall(text)}
    assert {one for one in given if not one.startswith(("secrets.", "vars."))} == {"github.token", "matrix.stack"}
    matrices = {text for _, _, job in JOBS for text in texts(job.get("strategy", {}).get("matrix", {}))}
    assert matrices == {
        "${{ fromJSON(vars.AUTOMATED_STACKS || '[]') }}",
        "${{ fromJSON(needs.stacks.outputs.stacks) }}",
    }


def test_no_secret_reaches_a_pull_request() -> None:
    near = {name for name, workflow in WORKFLOWS.items() if set(workflow["on"]) & set(STRANGERS)}
    assert near == {"check.yaml", "comment.yaml", "preview.yaml", "test.yaml"}
    assert "pull_request_target" not in "".join(file.read_text(encoding="utf-8") for file in FILES)
    jobs = [(name, job) for name, _, job in JOBS if name in near]
    assert [name for name, job in jobs if "secrets" in job or "environment" in job] == []
    assert [name for name, job in jobs for text in texts(job) if "secrets." in text] == []
    assert [name for name, job in jobs for text in texts(job) if "github.token" in text] == ["comment.yaml"]
    assert {job["runs-on"] for _, job in jobs} == {"ubuntu-24.04"}, "code of strangers runs on machines of GitHub alone"


def test_secrets_stand_behind_an_environment() -> None:
    found: dict[str, dict[str, str]] = {}
    for name, key, job in JOBS:
        if any("secrets." in text for text in texts(job)):
            found.setdefault(name, {})[key] = job["environment"]
    assert found == ENVIRONMENTS


def test_a_pull_request_writes_no_cache_and_its_report_reads_none() -> None:
    writers = [(name, step) for name, _, step in STEPS if re.match(r"actions/cache(/save)?@", step.get("uses", ""))]
    assert {name for name, _ in writers} == {"check.yaml", "test.yaml"}
    assert {step["if"] for _, step in writers} == {"github.event_name == 'push'"}
    users = {name for name, _, step in STEPS if step.get("uses", "").startswith("actions/cache")}
    assert users == {"check.yaml", "test.yaml"}


def test_the_report_is_built_by_the_program_of_the_main_branch() -> None:
    steps = WORKFLOWS["preview.yaml"]["jobs"]["preview"]["steps"]
    program, tree, build = steps[:3]
    assert (program["with"]["path"], program["with"]["ref"]) == ("program", "${{ github.event.pull_request.base.sha }}")
    assert (tree["with"]["path"], tree["with"]["ref"]) == ("tree", "${{ github.sha }}")
    assert build["working-directory"] == "program"
    assert "--root ../tree" in build["run"]
    assert WORKFLOWS["preview.yaml"]["on"] == {"pull_request": {"branches": ["main"]}}
    assert build["run"].endswith(" >/dev/null"), "a report on stdout could command the runner"
    others = [step["run"] for step in steps if "run" in step and step is not build]
    assert others == ['cat report/preview.md >>"$GITHUB_STEP_SUMMARY"']


def test_the_report_needs_only_the_merge_and_its_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin, tree = tmp_path / "origin", tmp_path / "tree"
    prepare({}, origin)
    for file, text in (("README.md", "one"), ("README.md", "two")):
        (origin / file).write_text(text, encoding="utf-8")
        committed(origin, text)
    git(origin, "checkout", "--quiet", "-b", "fix", "HEAD~1")
    category = origin / "apps/media/category.yaml"
    category.write_text(f"{category.read_text(encoding='utf-8')}removal: delete\n", encoding="utf-8")
    committed(origin, "fix")
    git(origin, "checkout", "--quiet", "main")
    git(origin, "merge", "--quiet", "--no-ff", "-m", "merge", "fix")
    git(tmp_path, "clone", "--quiet", "--depth", "2", origin.as_uri(), str(tree))
    (tmp_path / "program").mkdir()
    monkeypatch.chdir(tmp_path / "program")
    monkeypatch.setenv("HOMELAB_CALLED_FROM", str(tmp_path / "program"))
    run = WORKFLOWS["preview.yaml"]["jobs"]["preview"]["steps"][2]["run"]
    words = shlex.split(run.partition(" >")[0])
    assert main(words[1:]) in (0, 2)
    report = (tmp_path / "report/preview.md").read_text(encoding="utf-8")
    assert "dangerous" in report
    assert {file.name for file in (tmp_path / "report").iterdir()} == {"preview.md", "preview.html", "preview.json"}


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True)


def committed(folder: Path, subject: str) -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", subject)


def test_the_comment_runs_code_of_the_main_branch_alone() -> None:
    workflow = WORKFLOWS["comment.yaml"]
    assert workflow["on"] == {"workflow_run": {"workflows": ["preview"], "types": ["completed"]}}
    checkout, script = workflow["jobs"]["comment"]["steps"]
    assert checkout["with"] == {
        "ref": "${{ github.sha }}",
        "sparse-checkout": ".github/scripts",
        "persist-credentials": "false",
    }
    assert script["run"] == "python3 .github/scripts/comment.py"
    assert script["env"] == {"GITHUB_TOKEN": "${{ github.token }}"}


def test_up_is_never_cancelled_and_waits_for_an_approval() -> None:
    job = WORKFLOWS["up.yaml"]["jobs"]["up"]
    assert job["concurrency"] == {"group": "up-${{ matrix.stack }}", "cancel-in-progress": "false"}
    assert "pull_request" not in WORKFLOWS["up.yaml"]["on"]


def test_up_runs_for_the_files_that_the_engine_reads() -> None:
    folders = {f"{name}/**" if (ROOT / name).is_dir() else name for name in (*engine_inputs.PROGRAM, "patches")}
    # A category decides about projects and namespaces. No other file of apps/ starts Pulumi.
    others = {"Pulumi.*.yaml", engine_inputs.PROJECT, "apps/*/category.yaml", "requirements.txt"}
    paths = WORKFLOWS["up.yaml"]["on"]["push"]["paths"]
    assert set(paths) == folders | others


def test_the_code_is_tested_for_the_same_paths_before_and_after_a_merge() -> None:
    on = WORKFLOWS["test.yaml"]["on"]
    assert on["pull_request"]["paths"] == on["push"]["paths"]
    rooms = {f"{room}/**" for room in ROOMS}
    assert rooms <= set(on["push"]["paths"])
    gone = [path for path in on["push"]["paths"] if not any(ROOT.glob(path.removesuffix("/**")))]
    assert gone == []


COMMANDS = [
    (name, words)
    for name, _, step in STEPS
    for line in step.get("run", "").splitlines()
    for found in re.findall(r"\./homelab [^|&>]+", line)
    for words in [shlex.split(found.replace('"$STACK"', "homelab"))[1:]]
]


@pytest.mark.parametrize(
    ("name", "words"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, list) else value
)
def test_the_verbs_take_the_arguments_of_the_workflows(name: str, words: list[str]) -> None:
    verb, *rest = words
    assert verb in BY_NAME
    parser(verb).parse_args(rest)


def test_the_scripts_of_the_workflows_exist() -> None:
    named = {found for _, _, step in STEPS for found in re.findall(r"\.(?:github|ci)/[\w./-]+", step.get("run", ""))}
    assert named == {".ci/run", *(f".github/scripts/{name}.py" for name in ("comment", "drift", "stack_names"))}
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_actionlint_finds_a_mistake(tmp_path: Path) -> None:
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    text = (FOLDER / "check.yaml").read_text(encoding="utf-8")
    (folder / "check.yaml").write_text(text.replace("timeout-minutes", "timeout-minute"), encoding="utf-8")
    (tmp_path / ".git").mkdir()
    with pytest.raises(ProgramFailed, match="unexpected key"):
        programs.run("actionlint", cwd=tmp_path, env=ensure(("actionlint",)).env())


def test_zizmor_finds_a_mistake(tmp_path: Path) -> None:
    text = (FOLDER / "check.yaml").read_text(encoding="utf-8")
    (tmp_path / "check.yaml").write_text(re.sub(r"@[0-9a-f]{40} # v", "@v", text), encoding="utf-8")
    zizmor = str(Path(sys.executable).parent / "zizmor")
    command = [zizmor, "--offline", "--no-progress", "--persona=auditor", str(tmp_path / "check.yaml")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode != 0
    assert "unpinned-uses" in finished.stdout

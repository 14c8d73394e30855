"""The stand-ins under the real engine: a sequence of runs, each with many assertions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.plugins.desk import CHECKOUT, Desk, Run

pytestmark = pytest.mark.xdist_group("engine")

FAILED = 'exit status 3: running "echo one; echo two >&2; exit 3":'
SECRETS = ("hunter2", "digest-of-", "PRIVATE KEY")
COMMON = """
    import os
    import pulumi
    from pulumi import ResourceOptions as Options
    from pulumi_command import local

    class File(pulumi.CustomResource):
        size: pulumi.Output[int]
        digest: pulumi.Output[str]

        def __init__(self, name, opts=None, **inputs):
            inputs = {"path": os.path.join(os.environ["DESK"], name), **inputs}
            outputs = {"size": None, "digest": None}
            super().__init__("probe:index:File", name, {**inputs, **outputs}, opts)

    class Trouble(pulumi.CustomResource):
        def __init__(self, name, opts=None, **inputs):
            super().__init__("probe:index:Trouble", name, inputs, opts)

    LOG = os.path.join(os.environ["DESK"], "log")

    def command(name, opts=None, **inputs):
        steps = {step: f"echo {step} {name} $VERSION >>{LOG}" for step in ("create", "update", "delete")}
        return local.Command(name, **{**steps, **inputs}, opts=opts)
"""
STORY = """
    import pulumi_random as random
    import pulumi_tls as tls

    key = tls.PrivateKey("key", algorithm="ECDSA", ecdsa_curve="P256")
    word = random.RandomPassword("word", length=20)
    file = File("file", content=os.environ["CONTENT"], opts=Options(depends_on=[word]))
    ignored = File("ignored", content=os.environ["CONTENT"], opts=Options(ignore_changes=["*"]))
    hidden = File("hidden", content=pulumi.Output.secret("hunter2"))
    follows = command("follows", stdin=file.size.apply(str), create=f"echo $(cat)create follows >>{LOG}")
    triggered = command("triggered", triggers=[os.environ["TRIGGER"]], environment={"VERSION": "1"})
    upgraded = command("upgraded", environment={"VERSION": os.environ["RELEASE"]},
                       opts=Options(depends_on=[triggered]))
    rebuilt = command("rebuilt", opts=Options(replacement_trigger=os.environ["GENERATION"]))
    leaves = command("leaves", opts=Options(deleted_with=rebuilt))
    stays = command("stays", opts=Options(retain_on_delete=True))
    whispered = command("whispered", create="echo $WORD", environment={"WORD": pulumi.Output.secret("hunter2")},
                        opts=Options(additional_secret_outputs=["stdout"]))
    pulumi.export("said", whispered.stdout)
    pulumi.export("size", file.size)
"""
REFUSED = """
    File("unknown", paht="hunter2", content=1, owner={"id": "x"})
"""
TROUBLES = """
    Trouble("refused", kind="refused")
    Trouble("half", kind="half")
    Trouble("stumbles", kind="stumbles")
    command("fails", create="echo one; echo two >&2; exit 3")
"""
FIRST = {"CONTENT": "x", "TRIGGER": "1", "RELEASE": "1", "GENERATION": "1"}
SECOND = {"CONTENT": "longer", "TRIGGER": "2", "RELEASE": "2", "GENERATION": "2"}


@dataclass
class ProbeRuns:
    """A project, and the output of each run."""

    desk: Desk
    runs: dict[str, Run] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        return Path(self.desk.env["DESK"])

    def record(self, name: str, act: Callable[[], Run], **env: str) -> None:
        """Run once, and store output, effects and state."""
        log = self.files / "log"
        log.write_text("")
        self.desk.env.update(env)
        self.runs[name] = act()
        self.logs[name] = log.read_text().splitlines()
        self.states[name] = self.desk.resources()
        self.raw[name] = self.desk.raw_state()

    def text(self, name: str) -> str:
        """Return the engine's output, without the places of its plugins."""
        return "\n".join(line for line in self.runs[name].text.splitlines() if " from $PATH " not in line)

    def diagnostics(self, name: str) -> dict[str, list[str]]:
        """Return the messages at the end of the engine's output, by resource."""
        shown = self.text(name).rpartition("Diagnostics:")[2].partition("\nOutputs:")[0]
        blocks = [block.strip().splitlines() for block in shown.split("\n\n") if block.strip()]
        return {lines[0].strip().rstrip(":"): [line.strip() for line in lines[1:]] for lines in blocks}


@pytest.fixture(scope="module")
def story(new_desk: Callable[[str], Desk], tmp_path_factory: pytest.TempPathFactory) -> ProbeRuns:
    runs = ProbeRuns(desk_with_probe(new_desk("story"), tmp_path_factory.mktemp("files")))
    desk, files = runs.desk, runs.files
    runs.record("foreseen", lambda: desk.preview(COMMON + STORY), **FIRST)
    runs.record("made", desk.up)
    runs.record("unchanged", desk.up)
    runs.record("change foreseen", desk.preview, **SECOND)
    runs.record("changed", desk.up)
    (files / "file").unlink()
    (files / "hidden").write_text("drifted")
    runs.record("refreshed", desk.refresh)
    runs.record("mended", desk.up)
    runs.record("refused", lambda: desk.preview(COMMON + REFUSED))
    runs.record("troubled", lambda: desk.up(COMMON + STORY + TROUBLES, "--continue-on-error"))
    runs.record("half mended", lambda: desk.up(COMMON + STORY + '\n    Trouble("half", kind="half")'))
    runs.record("destroyed", desk.destroy)
    return runs


def desk_with_probe(desk: Desk, files: Path) -> Desk:
    """Yield a project with the tests' own plugin on the PATH."""
    plugin = desk.folder / "bin" / "pulumi-resource-probe"
    plugin.parent.mkdir()
    plugin.write_text(
        f'#!/bin/sh\nexport PYTHONPATH={CHECKOUT}\nexec {sys.executable} -P -m tests.lab.plugins.probe "$@"\n'
    )
    plugin.chmod(0o755)
    desk.env.update(DESK=str(files), PATH=os.pathsep.join((str(plugin.parent), desk.env["PATH"])))
    return desk


def test_a_preview_runs_nothing_and_marks_unknown_outputs(story: ProbeRuns) -> None:
    assert story.runs["foreseen"].exit_code == 0
    assert "+ 13 to create" in story.text("foreseen")
    assert "stdin : [unknown]" in story.text("foreseen")
    assert "size: [unknown]" in story.text("foreseen")
    assert story.logs["foreseen"] == []


def test_everything_is_made_once(story: ProbeRuns) -> None:
    assert story.runs["made"].counts() == {"created": 13}
    assert sorted(story.logs["made"]) == sorted(
        [
            "1create follows",
            "create triggered 1",
            "create upgraded 1",
            "create rebuilt",
            "create leaves",
            "create stays",
        ]
    )
    assert story.states["made"]["desk-dev"]["outputs"]["size"] == 1


def test_the_engine_takes_our_plugins(story: ProbeRuns) -> None:
    assert "using pulumi-resource-command from $PATH at" in story.runs["made"].text
    found = {item["inputs"]["version"] for name, item in story.states["made"].items() if name.startswith("default_1_")}
    assert found == {"1.2.1"}


def test_a_second_run_changes_nothing(story: ProbeRuns) -> None:
    assert story.runs["unchanged"].counts() == {"unchanged": 13}
    assert story.logs["unchanged"] == []


def test_a_preview_of_changes_lists_paths_and_runs_nothing(story: ProbeRuns) -> None:
    text = story.text("change foreseen")
    assert '~ content: "x" => "longer"' in text
    assert '~ VERSION: "1" => "2"' in text
    assert "stdin: " in text
    assert "[unknown]" in text
    assert story.logs["change foreseen"] == []
    # `leaves` as well: resources that are deleted with a resource are replaced with it.
    assert "+-3 to replace" in text


def test_environment_updates_and_triggers_replace(story: ProbeRuns) -> None:
    log = story.logs["changed"]
    assert story.runs["changed"].counts()["updated"] == 3
    assert story.runs["changed"].counts()["replaced"] == 3
    assert log.index("create triggered 1") < log.index("update upgraded 2") < log.index("delete triggered 1")
    assert "create upgraded 2" not in log
    assert "update follows" in log


def test_a_new_generation_replaces_resources_that_use_it(story: ProbeRuns) -> None:
    log = story.logs["changed"]
    assert log.index("create rebuilt") < log.index("delete rebuilt")
    # Resources that are deleted with it are replaced with it, without a request to delete the old one.
    assert "create leaves" in log
    assert "delete leaves" not in log


def test_ignored_changes_stay(story: ProbeRuns) -> None:
    assert story.states["changed"]["ignored"]["inputs"]["content"] == "x"
    assert (story.states["changed"]["file"]["inputs"]["content"]) == "longer"


def test_a_refresh_drops_missing_resources_and_reports_drift(story: ProbeRuns) -> None:
    assert "file" not in story.states["refreshed"]
    assert story.runs["refreshed"].counts()["deleted"] == 1
    assert story.runs["refreshed"].counts()["updated"] == 1
    assert "drifted" not in story.raw["refreshed"]


def test_the_next_run_mends_it(story: ProbeRuns) -> None:
    assert story.runs["mended"].counts() == {"created": 1, "updated": 1, "unchanged": 11}
    assert story.states["mended"]["file"]["outputs"]["size"] == 6


@pytest.mark.parametrize("run", ["made", "changed", "mended", "troubled"])
def test_no_secret_lies_open_in_the_state(story: ProbeRuns, run: str) -> None:
    assert [secret for secret in SECRETS if secret in story.raw[run]] == []
    assert '"stdout":"hunter2"' not in json.dumps(story.states[run])
    assert "hunter2" not in json.dumps(story.states[run]["whispered"]["outputs"])


def test_all_problems_of_a_resource_come_at_once(story: ProbeRuns) -> None:
    lines = story.text("refused").splitlines()
    began = "error: probe:index:File resource 'unknown' has a problem: "
    assert sorted(line.strip().removeprefix(began) for line in lines if began in line) == [
        "Invalid or unknown key. Did you mean \"path\"? Examine values at 'unknown.paht'.",
        (
            'Missing required argument. The argument "name" is required, but no definition was found. '
            "Examine values at 'unknown.owner.name'."
        ),
        "expected integer type, got string type. Examine values at 'unknown.owner.id'.",
        "expected string type, got integer type. Examine values at 'unknown.content'.",
    ]
    assert story.runs["refused"].exit_code == 1


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ("probe:index:Trouble (refused)", ["error: pve9: no such host; known are pve1 and pve2"]),
        ("probe:index:Trouble (half)", ["error: 1 error occurred:", "* half-1 was made and does not start"]),
        ("command:local:Command (fails)", [f"error: {FAILED}", "one", "two"]),
    ],
)
def test_each_trouble_is_one_message(story: ProbeRuns, resource: str, said: list[str]) -> None:
    assert story.diagnostics("troubled")[resource] == said


def test_a_bug_of_a_stand_in_is_one_line(story: ProbeRuns) -> None:
    said = story.diagnostics("troubled")["probe:index:Trouble (stumbles)"]
    assert len(said) == 1
    assert said[0].startswith("error: the stand-in of probe failed at probe.py:")
    assert said[0].endswith("ZeroDivisionError: division by zero; this is a bug of the stand-in")


def test_an_unfinished_resource_is_recorded_and_finished_next_time(story: ProbeRuns) -> None:
    recorded = story.states["troubled"]["half"]
    assert (recorded["id"], recorded["initErrors"]) == ("half-1", ["half-1 was made and does not start"])
    assert story.runs["half mended"].counts()["updated"] == 1
    mended = story.states["half mended"]["half"]
    assert mended["outputs"]["mended"] is True
    assert "initErrors" not in mended
    assert not {"fails", "refused", "stumbles"} & story.states["half mended"].keys()


def test_a_destroy_skips_dependent_and_retained_resources(story: ProbeRuns) -> None:
    log = story.logs["destroyed"]
    assert story.runs["destroyed"].exit_code == 0
    assert "delete rebuilt" in log
    assert log.index("delete upgraded 2") < log.index("delete triggered 1")
    assert [line for line in log if "leaves" in line or "stays" in line] == []
    assert story.states["destroyed"] == {}
    assert not (story.files / "file").exists()

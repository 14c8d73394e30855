"""The stand-ins under the real engine: one story, told in runs, each asked for many things."""

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
    file = File("file", content=os.environ.get("CONTENT", "x"), opts=Options(depends_on=[word]))
    ignored = File("ignored", content=os.environ.get("CONTENT", "x"), opts=Options(ignore_changes=["*"]))
    hidden = File("hidden", content=pulumi.Output.secret("hunter2"))
    follows = command("follows", stdin=file.size.apply(str), create=f"cat >>{LOG}; echo create follows >>{LOG}")
    triggered = command("triggered", triggers=[os.environ.get("TRIGGER", "1")], environment={"VERSION": "1"})
    upgraded = command("upgraded", environment={"VERSION": os.environ.get("VERSION", "1")},
                       opts=Options(depends_on=[triggered]))
    rebuilt = command("rebuilt", opts=Options(replacement_trigger=os.environ.get("GENERATION", "1")))
    leaves = command("leaves", opts=Options(deleted_with=rebuilt))
    stays = command("stays", opts=Options(retain_on_delete=True))
    whispered = command("whispered", create="echo $WORD", environment={"WORD": pulumi.Output.secret("hunter2")},
                        opts=Options(additional_secret_outputs=["stdout"]))
    pulumi.export("said", whispered.stdout)
    pulumi.export("size", file.size)
"""
TROUBLES = """
    File("unknown", paht="x", content=1, owner={"id": "x"})
    Trouble("refused", kind="refused")
    Trouble("half", kind="half")
    Trouble("stumbles", kind="stumbles")
    Trouble("choice", kind="x", level="middle")
    pulumi.CustomResource("probe:index:Disk", "stranger", {})
    command("fails", create="echo one; echo two >&2; exit 3")
"""


@dataclass
class Story:
    """A desk, and what was said at each run."""

    desk: Desk
    runs: dict[str, Run] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        return Path(self.desk.env["DESK"])

    def tell(self, name: str, act: Callable[[], Run], **env: str) -> None:
        """Run once, and keep what was said, done and recorded."""
        log = self.files / "log"
        log.write_text("")
        self.desk.env.update(env)
        self.runs[name] = act()
        self.logs[name] = log.read_text().splitlines()
        self.states[name] = self.desk.resources()
        self.raw[name] = self.desk.raw_state()

    def text(self, name: str) -> str:
        """Give what the engine printed, without what its language host prints of itself when it is interrupted."""
        return "\n".join(line for line in self.runs[name].text.splitlines() if " from $PATH " not in line)


@pytest.fixture(scope="module")
def story(new_desk: Callable[[str], Desk], tmp_path_factory: pytest.TempPathFactory) -> Story:
    tellings = Story(desk_with_probe(new_desk("story"), tmp_path_factory.mktemp("files")))
    desk, files = tellings.desk, tellings.files
    tellings.tell("foreseen", lambda: desk.preview(COMMON + STORY))
    tellings.tell("made", desk.up)
    tellings.tell("unchanged", desk.up)
    tellings.tell("change foreseen", desk.preview, CONTENT="longer", VERSION="2", TRIGGER="2", GENERATION="2")
    tellings.tell("changed", desk.up)
    (files / "file").unlink()
    (files / "hidden").write_text("drifted")
    tellings.tell("refreshed", desk.refresh)
    tellings.tell("mended", desk.up)
    tellings.tell("troubled", lambda: desk.up(COMMON + STORY + TROUBLES, "--continue-on-error"))
    tellings.tell("half mended", lambda: desk.up(COMMON + STORY + '\n    Trouble("half", kind="half")'))
    tellings.tell("destroyed", desk.destroy)
    return tellings


def desk_with_probe(desk: Desk, files: Path) -> Desk:
    """Put the tests' own plugin on the PATH."""
    plugin = desk.folder / "bin" / "pulumi-resource-probe"
    plugin.parent.mkdir()
    plugin.write_text(
        f'#!/bin/sh\nexport PYTHONPATH={CHECKOUT}\nexec {sys.executable} -P -m tests.lab.plugins.probe "$@"\n'
    )
    plugin.chmod(0o755)
    desk.env.update(DESK=str(files), PATH=os.pathsep.join((str(plugin.parent), desk.env["PATH"])))
    return desk


def test_a_preview_does_nothing_and_knows_what_it_does_not_know(story: Story) -> None:
    assert story.runs["foreseen"].exit_code == 0
    assert "+ 13 to create" in story.text("foreseen")
    assert "stdin : [unknown]" in story.text("foreseen")
    assert "size: [unknown]" in story.text("foreseen")
    assert story.logs["foreseen"] == []


def test_everything_is_made_once(story: Story) -> None:
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


def test_the_engine_takes_our_plugins(story: Story) -> None:
    assert "using pulumi-resource-command from $PATH at" in story.runs["made"].text
    found = {item["inputs"]["version"] for name, item in story.states["made"].items() if name.startswith("default_1_")}
    assert found == {"1.2.1"}


def test_a_second_run_changes_nothing(story: Story) -> None:
    assert story.runs["unchanged"].counts() == {"unchanged": 13}
    assert story.logs["unchanged"] == []


def test_a_preview_of_changes_says_where_they_are_and_runs_nothing(story: Story) -> None:
    text = story.text("change foreseen")
    assert '~ content: "x" => "longer"' in text
    assert '~ VERSION: "1" => "2"' in text
    assert "stdin: " in text
    assert "[unknown]" in text
    assert story.logs["change foreseen"] == []
    assert "+-2 to replace" in text


def test_environment_updates_and_triggers_replace(story: Story) -> None:
    log = story.logs["changed"]
    assert story.runs["changed"].counts()["updated"] == 3
    assert story.runs["changed"].counts()["replaced"] == 2
    assert log.index("create triggered 1") < log.index("update upgraded 2") < log.index("delete triggered 1")
    assert "create upgraded 2" not in log
    assert "6update follows" not in log
    assert "update follows" in log


def test_a_new_generation_replaces_what_names_it(story: Story) -> None:
    log = story.logs["changed"]
    assert log.index("create rebuilt") < log.index("delete rebuilt")


def test_what_is_ignored_stays(story: Story) -> None:
    assert story.states["changed"]["ignored"]["inputs"]["content"] == "x"
    assert (story.states["changed"]["file"]["inputs"]["content"]) == "longer"


def test_what_is_gone_is_dropped_and_what_drifted_is_seen(story: Story) -> None:
    assert "file" not in story.states["refreshed"]
    assert story.runs["refreshed"].counts()["deleted"] == 1
    assert story.runs["refreshed"].counts()["updated"] == 1
    assert "drifted" not in story.raw["refreshed"]


def test_the_next_run_mends_it(story: Story) -> None:
    assert story.runs["mended"].counts() == {"created": 1, "updated": 1, "unchanged": 11}
    assert story.states["mended"]["file"]["outputs"]["size"] == 6


@pytest.mark.parametrize("run", ["made", "changed", "mended", "troubled"])
def test_no_secret_lies_open_in_the_state(story: Story, run: str) -> None:
    assert [secret for secret in SECRETS if secret in story.raw[run]] == []
    assert '"stdout":"hunter2"' not in json.dumps(story.states[run])
    assert "hunter2" not in json.dumps(story.states[run]["whispered"]["outputs"])


@pytest.mark.parametrize(
    "line",
    [
        "error: probe:index:File resource 'unknown' has a problem: Invalid or unknown key. Did you mean \"path\"? "
        "Examine values at 'unknown.paht'.",
        "error: probe:index:File resource 'unknown' has a problem: expected string type, got integer type. "
        "Examine values at 'unknown.content'.",
        "error: probe:index:File resource 'unknown' has a problem: Missing required argument. "
        "The argument \"name\" is required, but no definition was found. Examine values at 'unknown.owner.name'.",
        'error: probe:index:Trouble resource \'choice\' has a problem: expected one of "high", "low". '
        "Examine values at 'choice.level'.",
        "error: this stand-in of probe does not know probe:index:Disk",
        "error: pve9: no such host; known are pve1 and pve2",
        "half-1 was made and does not start",
        "error: the stand-in of probe stumbled at probe.py:",
        'error: exit status 3: running "echo one; echo two >&2; exit 3":',
    ],
)
def test_each_trouble_is_one_message(story: Story, line: str) -> None:
    said = story.text("troubled").rpartition("Diagnostics:")[2]
    assert said.count(line) == 1, said
    assert "ZeroDivisionError: division by zero; this is a mistake of the stand-in" in said
    assert "Unexpected <class" not in said
    assert "lab/plugins" not in said


def test_the_output_of_a_command_that_failed_follows_its_message(story: Story) -> None:
    said = [line.strip() for line in story.text("troubled").rpartition("Diagnostics:")[2].splitlines()]
    place = said.index('error: exit status 3: running "echo one; echo two >&2; exit 3":')
    assert said[place + 1 : place + 3] == ["one", "two"]


def test_what_was_made_by_half_is_recorded_and_mended_next_time(story: Story) -> None:
    recorded = story.states["troubled"]["half"]
    assert (recorded["id"], recorded["initErrors"]) == ("half-1", ["half-1 was made and does not start"])
    assert story.runs["half mended"].counts()["updated"] == 1
    mended = story.states["half mended"]["half"]
    assert mended["outputs"]["mended"] is True
    assert "initErrors" not in mended
    assert "fails" not in story.states["half mended"]


def test_a_destroy_skips_what_goes_with_another_and_what_is_kept(story: Story) -> None:
    log = story.logs["destroyed"]
    assert story.runs["destroyed"].exit_code == 0
    assert "delete rebuilt" in log
    assert log.index("delete upgraded 2") < log.index("delete triggered 1")
    assert [line for line in log if "leaves" in line or "stays" in line] == []
    assert story.states["destroyed"] == {}
    assert not (story.files / "file").exists()

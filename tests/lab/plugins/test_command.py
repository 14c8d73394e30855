"""Commands behave as in the official plugin, and start through `programs` alone."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

import programs
from errors import HomelabError, ProgramFailed
from lab.plugins.command import Commands, LocalCommand, environment, run

URN = "urn:pulumi:dev::desk::command:local:Command::it"


def created(**inputs: object) -> tuple[str, dict[str, str]]:
    return LocalCommand(Commands(), URN).create(dict(inputs), preview=False)


def test_output_loses_one_line_end_and_ids_begin_with_names() -> None:
    id_, said = created(create="printf 'a\\n\\n'; printf 'b\\n' >&2")
    assert said == {"stdout": "a\n", "stderr": "b"}
    assert id_.startswith("it")
    assert len(id_) == len("it") + 8


def test_without_a_command_nothing_runs_and_output_is_empty() -> None:
    assert created()[1] == {"stdout": "", "stderr": ""}


def test_a_command_gets_its_input_and_directory(tmp_path: Path) -> None:
    text = "x" * 300_000
    assert created(create="cat", stdin=text, logging="none")[1]["stdout"] == text
    assert created(create="true", stdin=text)[1]["stdout"] == ""
    assert created(create="pwd", dir=str(tmp_path))[1]["stdout"] == str(tmp_path)


def test_another_interpreter_runs_it() -> None:
    assert created(create="import os; print(os.name)", interpreter=["python3", "-c"])[1]["stdout"] == os.name


def test_an_update_runs_update_or_create_with_the_last_output() -> None:
    command = LocalCommand(Commands(), URN)
    last = {"stdout": "out", "stderr": "err"}
    show = "echo $PULUMI_COMMAND_STDOUT $PULUMI_COMMAND_STDERR"
    assert command.update("id", last, {"create": "false", "update": show}, preview=False)["stdout"] == "out err"
    assert command.update("id", last, {"create": show}, preview=False)["stdout"] == "out err"
    hidden = {"create": show, "addPreviousOutputInEnv": False}
    assert command.update("id", last, hidden, preview=False)["stdout"] == ""
    assert command.update("id", last, {}, preview=False) == last


def test_a_deletion_runs_with_the_environment_of_the_state(tmp_path: Path) -> None:
    outputs = {"delete": "echo $WHO $PULUMI_COMMAND_STDOUT >gone", "dir": str(tmp_path), "environment": {"WHO": "me"}}
    LocalCommand(Commands(), URN).delete("id", {**outputs, "stdout": "said", "stderr": ""})
    assert (tmp_path / "gone").read_text() == "me said\n"


def test_variables_of_the_inputs_override_those_of_the_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "plugin")
    monkeypatch.setenv("KEPT", "yes")
    found = environment({"environment": {"WHO": "asked"}}, {"stdout": "", "stderr": "e"})
    assert (found["WHO"], found["KEPT"], found["PULUMI_COMMAND_STDERR"]) == ("asked", "yes", "e")
    assert "PULUMI_COMMAND_STDOUT" not in found


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo one; echo two >&2; exit 3", 'exit status 3: running "echo one; echo two >&2; exit 3":\none\ntwo'),
        ("exit 1", 'exit status 1: running "exit 1":'),
        ("kill -9 $$", 'signal: killed: running "kill -9 $$":'),
        ('echo "ä"; false', 'exit status 1: running "echo \\"ä\\"; false":\nä'),
    ],
)
def test_a_failure_has_the_message_of_the_official_plugin(command: str, words: str) -> None:
    with pytest.raises(ProgramFailed) as failed:
        created(create=command)
    assert str(failed.value) == words


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HomelabError, match=r"chdir .*/nowhere: no such file or directory"):
        created(create="true", dir=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(("logging", "shown"), [(None, ["a", "b"]), ("stdout", ["a"]), ("stderr", ["b"]), ("none", [])])
def test_the_lines_that_are_wanted_are_shown_as_they_come(logging: str | None, shown: list[str]) -> None:
    seen: list[str] = []
    plugin = Commands()
    plugin.say = lambda urn, text, severity, status: seen.append(text)
    inputs = {"create": "echo a; sleep 0.05; printf b >&2"} | ({"logging": logging} if logging else {})
    LocalCommand(plugin, URN).create(inputs, preview=False)
    assert seen == shown


def test_collected_files_are_refused() -> None:
    problems = list(LocalCommand(Commands(), URN).refusals({"assetPaths": ["*"], "archivePaths": []}))
    assert [(problem.path, problem.reason) for problem in problems] == [
        ("assetPaths", "this stand-in of command does not collect files.")
    ]


def test_a_cancelled_plugin_kills_the_shell_and_waits_for_children(tmp_path: Path) -> None:
    plugin = Commands()
    script = f"trap 'touch {tmp_path}/trapped' EXIT HUP INT TERM; sleep 3; touch {tmp_path}/after; sleep 60"
    threading.Timer(0.5, plugin.cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(ProgramFailed, match="signal: killed"):
        LocalCommand(plugin, URN).create({"create": script}, preview=False)
    assert 2 < time.monotonic() - began < 30  # until `sleep 3` had ended
    assert list(tmp_path.iterdir()) == []


def test_a_command_is_killed_when_its_time_is_over() -> None:
    with pytest.raises(ProgramFailed, match="signal: killed"):
        LocalCommand(Commands(), URN, timeout=0.3).create({"create": "sleep 2"}, preview=False)


def test_a_line_that_blocks_the_official_plugin_fails_at_once() -> None:
    long = "head -c 65536 /dev/zero | tr '\\0' x"
    with pytest.raises(HomelabError, match=r"a line of 65536 bytes.*blocks for ever.*cut -c1-2000") as refused:
        created(create=f"{long}; echo")
    assert len(str(refused.value)) < 1000
    assert len(created(create=f"{long} | cut -c1-2000")[1]["stdout"]) == 2000
    assert len(created(create=f"{long}; echo >&2", logging="stderr")[1]["stdout"]) == 65536


def test_a_function_runs_at_once() -> None:
    assert Commands.functions["command:local:run"](Commands(), {"command": "echo hi"})["stdout"] == "hi"


def test_commands_wait_for_one_another_only_where_they_have_to() -> None:
    commands = [threading.Thread(target=run, args=("sleep 0.5", {}, {}, print, lambda: False)) for _ in range(8)]
    began = time.monotonic()
    for thread in commands:
        thread.start()
    for thread in commands:
        thread.join()
    assert time.monotonic() - began < 4


def test_the_door_keeps_streams_apart_and_together() -> None:
    said = programs.converse(("sh", "-c", "echo a; sleep 0.05; echo b >&2; sleep 0.05; echo c; exit 4"))
    assert (said.stdout, said.stderr, said.together, said.exit_code) == ("a\nc\n", "b\n", "a\nb\nc\n", 4)

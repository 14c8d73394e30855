"""Stand-in for the plugin of pulumi-command: it runs the same commands, on this machine, with the plugin's own PATH.

`command:local:Command` behaves as the official one in all that was observed or read of it. A changed trigger replaces;
any other changed input runs `update` (or `create` again without one). The last output is in the environment of the next
command. Standard output and error lose one line end, and a secret input does *not* make them secret: that requires
`additional_secret_outputs`. When it is cancelled it kills the interpreter alone, by SIGKILL, and waits until all
processes that the command had started have closed its pipes. A line that would block the official one for ever is a
failure here. Commands on other machines and collected files are refused. `components` provides the commands; the PATH
that `ops` gives to the engine decides which `talosctl` and `kubectl` they run.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import programs
from errors import HomelabError, ProgramFailed
from lab.plugins.base import ResourceKind, StandIn
from lab.plugins.properties import Plain
from lab.plugins.schema import InputProblem
from lab.plugins.server import serve

DEFAULT_INTERPRETER = ("/bin/sh", "-c")
LOGGED = {"stdout": ("stdout",), "stderr": ("stderr",), "none": ()}
COLLECTED = ("archivePaths", "assetPaths")
# The official plugin reads the log with Go's bufio.Scanner, which stops at this length; the pipe is not drained from
# then on, and the command blocks.
LONGEST_LINE = 64 * 1024


class LocalCommand(ResourceKind):
    """A command with a life cycle: each of creation, change and deletion runs a program."""

    unknown_on_update = ("stdout", "stderr")

    def refusals(self, inputs: Plain) -> Iterable[InputProblem]:
        """Refuse inputs that only the official plugin supports."""
        for name in COLLECTED:
            if inputs.get(name):
                yield InputProblem(name, "this stand-in of command does not collect files.")

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain]:
        """Run the command of the creation."""
        result = self._run(inputs.get("create"), inputs, {"stdout": "", "stderr": ""})
        return f"{self.name}{secrets.token_hex(4)}", result

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain:  # noqa: A002 - the base's word
        """Run the command of a change, or that of the creation again."""
        return self._run(inputs.get("update", inputs.get("create")), inputs, old_outputs)

    def delete(self, id: str, outputs: Plain) -> None:  # noqa: A002 - the base's word
        """Run the command of the deletion."""
        self._run(outputs.get("delete"), outputs, outputs)

    def _run(self, command: str | None, inputs: Plain, before: Plain) -> Plain:
        last = {name: before.get(name, "") for name in ("stdout", "stderr")}
        if command is None:
            return last
        logged = LOGGED.get(inputs.get("logging", ""), ("stdout", "stderr"))

        def show(stream: str, line: str) -> None:
            if stream in logged:
                _refuse_length(line)
                self.say(line, status=True)

        return run(command, inputs, last, show, self._must_end())

    def _must_end(self) -> Callable[[], bool]:
        deadline = time.monotonic() + self.timeout if self.timeout else float("inf")
        return lambda: self.provider.cancelled.is_set() or time.monotonic() > deadline


class Commands(StandIn):
    """The plugin of pulumi-command."""

    package, distribution = "command", "pulumi_command"
    kinds: ClassVar = {"command:local:Command": LocalCommand}

    def run(self, arguments: Plain) -> Plain:
        """Run a command at once, also in a preview."""
        for name in COLLECTED:
            if arguments.get(name):
                raise HomelabError(f"command:local:run: {name}: this stand-in of command does not collect files")
        result = run(arguments["command"], arguments, {}, lambda stream, line: None, self.cancelled.is_set)
        return {**arguments, **result}

    functions: ClassVar = {"command:local:run": run}


def run(
    command: str, inputs: Plain, last: Plain, show: Callable[[str, str], None], must_end: Callable[[], bool]
) -> dict[str, Any]:
    """Run a command with its inputs; fail as the official plugin fails."""
    folder = Path(inputs["dir"]) if "dir" in inputs else Path.cwd()
    if not folder.is_dir():
        raise HomelabError(f"chdir {folder}: no such file or directory: running {json.dumps(command)}")
    result = programs.converse(
        (*(inputs.get("interpreter") or DEFAULT_INTERPRETER), command),
        cwd=folder,
        env=environment(inputs, last),
        stdin=inputs.get("stdin", ""),
        on_line=show,
        kill_when=must_end,
    )
    if result.exit_code != 0:
        message = (
            f"{how_it_ended(result.exit_code)}: running {json.dumps(command, ensure_ascii=False)}:\n{result.together}"
        )
        raise ProgramFailed(message.rstrip("\n"), status=result.exit_code, output=result.together)
    return {"stdout": result.stdout.removesuffix("\n"), "stderr": result.stderr.removesuffix("\n")}


def environment(inputs: Plain, last: Plain) -> dict[str, str]:
    """Return the plugin's environment, with the variables of the inputs, then those of the last output."""
    last_output = {f"PULUMI_COMMAND_{name.upper()}": text for name, text in last.items() if text}
    return {
        **os.environ,
        **inputs.get("environment", {}),
        **(last_output if inputs.get("addPreviousOutputInEnv", True) else {}),
    }


def _refuse_length(line: str) -> None:
    length = len(line.encode())
    if length >= LONGEST_LINE:
        raise HomelabError(
            f"the command has printed a line of {length} bytes: the official plugin of command stops reading at "
            f"{LONGEST_LINE} and the command blocks for ever; shorten it: cut -c1-2000. It begins: {line[:200]}"
        )


def how_it_ended(exit_code: int) -> str:
    """Return how a process ended, in the words of the official plugin."""
    if exit_code > 0:
        return f"exit status {exit_code}"
    return f"signal: {(signal.strsignal(-exit_code) or str(-exit_code)).lower()}"


if __name__ == "__main__":
    serve(Commands())

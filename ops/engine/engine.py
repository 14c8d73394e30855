"""The engine, driven: up, preview, refresh and destroy of one stack, real or rehearsed, through the Automation API.

A folder with the program and a stack's name come in, what happened goes out as an `Outcome`. Before a run it repairs
what an interrupted one left behind: processes and temporary files (`ops.engine.containment`), the lock of a dead
process, and VMs that were made but never recorded. An engine that reads, for a preview or a question, changes neither
state nor locks nor files. `ops.up`, `ops.destroy`, `ops.preview` and `ops.rehearse` continue from here;
`ops.engine.timeline` shows the events.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, Literal

from pulumi import automation as auto
from pulumi.automation._stack import StackInitMode
from pulumi.automation.events import EngineEvent, OpType

import programs
from errors import Declined, RunFailed
from local.files import write_private
from local.process_table import started
from ops.engine import containment

LOCKED = re.compile(r"created by \S+@(?P<host>\S+) \(pid (?P<pid>\d+)\)")
SCRIPT = re.compile(r': running "(?:[^"\\]|\\.)*":\n')  # what it says matters, and the whole script hides it
PIDS = Path("/proc/self/ns/pid")
WRITING = 5.0  # seconds that a lock may be half written without its run being dead
VM = "proxmoxve:index/vmLegacy:VmLegacy"
# What Pulumi says when it cannot begin, and what to do: no part of the stack was touched.
ADVICE = {
    "PULUMI_ACCESS_TOKEN": "say where the state is kept: export PULUMI_BACKEND_URL=file://FOLDER, or pulumi login",
    "unable to open state directory": "make the folder that PULUMI_BACKEND_URL names, or name another",
    "unable to open bucket": "make the folder that PULUMI_BACKEND_URL names, or name another",
    "PULUMI_CONFIG_PASSPHRASE_FILE: open": "make the file that PULUMI_CONFIG_PASSPHRASE_FILE names, or name another",
    "passphrase must be set": "name the file that holds it: export PULUMI_CONFIG_PASSPHRASE_FILE=FILE",
    "incorrect passphrase": "PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE gives not the stack's own",
    "must be encrypted as it's secret": "set the secrets that ./homelab check names",
}


@dataclass(frozen=True)
class Failure:
    """One resource, or the program itself, that did not come through."""

    urn: str
    message: str

    @property
    def resource(self) -> str:
        """The resource's logical name."""
        return self.urn.rsplit("::", 1)[-1] if self.urn else ""


@dataclass
class Outcome:
    """What a run did."""

    changes: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    planned: bool = False
    """Whether it was only asked what would be done."""

    @property
    def changed(self) -> int:
        """How many resources were touched."""
        return sum(count for operation, count in self.changes.items() if operation != "same")


class Engine:
    """One stack in one folder."""

    def __init__(
        self,
        folder: Path,
        stack: str,
        listen: Callable[[EngineEvent], None] = lambda event: None,
        say: Callable[[str], None] = lambda text: None,
        purpose: Literal["change", "read"] = "change",
    ) -> None:
        """Find the stack; to change it, mend its files first, and make it where the backend does not have it yet."""
        self.folder, self.name, self.listen, self.say = folder, stack, listen, say
        self.outcome = Outcome()
        self.env: dict[str, str] = {}
        self.mended: list[str] = []
        self._workspace = auto.LocalWorkspace(work_dir=str(folder))
        if purpose == "change":
            # Processes of a dead run first: they may hold the lock, or write the checkpoint.
            self.mended = [*containment.clear(containment.place_of(folder, stack)), *_break_dead_locks(stack)]
            if not _is_held(stack):  # a living run may be in the middle of writing its checkpoint
                self.mended += _mend_backend(stack)
        try:
            self._stack = self._found(purpose)
        except auto.errors.CommandError as error:
            raise Declined(f"{stack}: {_explained(_last_error(str(error)))}") from None

    def _found(self, purpose: Literal["change", "read"]) -> _Stack:
        if purpose == "change":
            found = _Stack(self.name, self._workspace, StackInitMode.CREATE_OR_SELECT)
            _note_whereabouts(self.name)
            return found
        try:
            return _Stack(self.name, self._workspace, StackInitMode.SELECT)
        except auto.errors.StackNotFoundError:
            # Nothing is recorded yet. A state of its own, which goes with this process, keeps the backend as it is.
            beside = TemporaryDirectory(prefix="homelab-state-")
            atexit.register(beside.cleanup)
            self.env = self._workspace.env_vars = {"PULUMI_BACKEND_URL": f"file://{beside.name}"}
            return _Stack(self.name, self._workspace, StackInitMode.CREATE)

    def up(self, *, refresh: bool = False, targets: Sequence[str] = ()) -> Outcome:
        """Bring the world to what is written."""
        return self._run(lambda options: self._stack.up(refresh=refresh, target=list(targets) or None, **options))

    def preview(self) -> Outcome:
        """Say what `up` would do."""
        return self._run(lambda options: self._stack.preview(**options), preview=True)

    def refresh(self) -> Outcome:
        """Bring the state to the world."""
        return self._run(lambda options: self._stack.refresh(**options))

    def destroy(self, targets: Sequence[str] = ()) -> Outcome:
        """Take everything away."""
        return self._run(lambda options: self._stack.destroy(target=list(targets) or None, **options))

    def state(self) -> dict[str, Any]:
        """Give the recorded state, its secrets encrypted."""
        return dict(json.loads(self._export()).get("deployment") or {})

    def outputs(self) -> Mapping[str, Any]:
        """Give what the stack exports."""
        return {name: output.value for name, output in auto.Stack.outputs(self._stack).items()}

    def set_secrets(self, values: Mapping[str, str]) -> None:
        """Encrypt values into the stack file under the one key that holds secrets."""
        config = {f"homelab:secrets.{name}": auto.ConfigValue(value, secret=True) for name, value in values.items()}
        self._stack.set_all_config(config, path=True)

    def protected(self) -> list[str]:
        """Name what must not be taken away."""
        resources = self.state().get("resources", [])
        return sorted(resource["urn"].rsplit("::", 1)[-1] for resource in resources if resource.get("protect"))

    def unprotect(self) -> None:
        """Allow everything to be taken away."""
        self._pulumi("state", "unprotect", "--all", "--yes", "--stack", self.name)

    def repair(self) -> list[str]:
        """Mend what an interrupted run left, and say what was mended."""
        return [*self.mended, *([] if _is_held(self.name) else self._adopt_pending())]

    def _adopt_pending(self) -> list[str]:
        """Record VMs that were made by a run that died before it could; what was never made is dropped again."""
        exported = json.loads(self._export())
        deployment = exported.get("deployment") or {}
        pending = deployment.get("pending_operations") or []
        found = [operation for operation in pending if _is_vm_in_the_making(operation)]
        if not found:
            return []
        for operation in found:
            resource = operation["resource"]
            made = {"id": str(int(resource["inputs"]["vmId"])), "outputs": resource["inputs"]}
            deployment["resources"].append(resource | made)
            pending.remove(operation)
        if json.loads(self._export()).get("deployment", {}).get("manifest") != deployment.get("manifest"):
            return ["another run has recorded something meanwhile: what an interrupted run was making is left to it"]
        with NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(exported, file)
            file.flush()
            self._pulumi("stack", "import", "--stack", self.name, "--file", file.name)
        targets = [part for operation in found for part in ("--target", operation["resource"]["urn"])]
        self._pulumi("refresh", "--yes", "--skip-preview", "--non-interactive", "--stack", self.name, *targets)
        names = ", ".join(operation["resource"]["inputs"]["name"] for operation in found)
        return [f"looked on the host for what an interrupted run was making: {names}"]

    def _export(self) -> str:
        command, env = ("pulumi", "stack", "export", "--stack", self.name), {**os.environ, **self.env}
        return programs.run(*command, cwd=self.folder, env=env, timeout=120).stdout

    def _pulumi(self, *arguments: str) -> None:
        with self._contained() as environment:
            programs.run(
                "pulumi", *arguments, cwd=self.folder, env={**os.environ, **self.env, **environment}, timeout=600
            )

    def _contained(self) -> AbstractContextManager[dict[str, str]]:
        """Give the environment of one run, of which nothing is left."""
        return containment.contained(containment.place_of(self.folder, self.name), self.say)

    def _run(self, act: Callable[[dict[str, Any]], Any], *, preview: bool = False) -> Outcome:
        self.outcome = Outcome()
        options: dict[str, Any] = {"on_event": self._hear, "on_output": lambda line: None}
        if not preview:
            options["show_secrets"] = False
        with self._contained() as environment:
            self._workspace.env_vars = {**self.env, **environment}
            try:
                act(options)
            except auto.errors.ConcurrentUpdateError as error:
                raise Declined(_who_holds(str(error))) from None
            except auto.errors.CommandError as error:
                if not self.outcome.failures:
                    self.outcome.failures.append(Failure("", _explained(_last_error(str(error)))))
            finally:
                self._workspace.env_vars = self.env
        self.outcome.planned = preview
        return self.outcome

    def _hear(self, event: EngineEvent) -> None:
        diagnostic, summary = event.diagnostic_event, event.summary_event
        if diagnostic and diagnostic.message.strip():
            message = re.sub(r"<\{%[^%]*%\}>", "", diagnostic.message).strip()
            if diagnostic.severity == "error":
                if not message.startswith(("update failed", "preview failed", "an unhandled error occurred")):
                    self.outcome.failures.append(Failure(diagnostic.urn or "", message))
            else:
                self.outcome.said.append((diagnostic.severity, message))
        if summary:
            self.outcome.changes = {OpType(name).value: count for name, count in summary.resource_changes.items()}
        self.listen(event)


def _backend(folder: str) -> Path:
    """Give a folder of the file backend; elsewhere the backend itself keeps locks and whole checkpoints."""
    url = os.environ.get("PULUMI_BACKEND_URL", "")
    place = Path(url.removeprefix("file://")).expanduser() if url.startswith("file://") else Path("/nonexistent")
    return place / ".pulumi" / folder


def _locks(stack: str) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Yield each lock of a stack with its content, none where it is half written."""
    for file in _backend("locks").glob(f"*/*/{stack}/*.json"):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue  # its run has ended
        except ValueError:
            found = None
        yield file, found if isinstance(found, dict) else None


def _break_dead_locks(stack: str) -> list[str]:
    """Take locks away whose process, on this machine, is dead."""
    said = []
    for file, lock in _locks(stack):
        if lock is None and time.time() - file.stat().st_mtime > WRITING:
            file.unlink(missing_ok=True)
            said.append(f"removed half a lock ({file.name}): the run before was killed while it wrote it")
        elif lock and _is_dead(lock, stack):
            file.unlink(missing_ok=True)
            said.append(f"removed the lock of a run that died (pid {lock['pid']})")
    return said


def _is_held(stack: str) -> bool:
    return any(True for _ in _locks(stack))


def _is_dead(lock: Mapping[str, Any], stack: str) -> bool:
    """Whether the process of a lock is dead: a number that is free here may be taken where the lock was made."""
    if lock.get("hostname") != socket.gethostname() or started(int(lock["pid"])) is not None:
        return False
    try:
        there = json.loads((_backend("runs") / f"{stack}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True  # a run of plain Pulumi: the host's name is all that is known
    here = _whereabouts()
    if there.get("machine") != here["machine"]:
        return False
    return bool(there.get("boot") != here["boot"] or there.get("pids") == here["pids"])


def _whereabouts() -> dict[str, str]:
    """Name this machine, its boot and its process numbers: containers share a host's name and count for themselves."""
    return {
        "machine": _line(Path("/etc/machine-id")),
        "boot": _line(Path("/proc/sys/kernel/random/boot_id")),
        "pids": str(PIDS.readlink()) if PIDS.is_symlink() else "",
    }


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _note_whereabouts(stack: str) -> None:
    """Write down where a run is, for the next one that finds its lock; not over the note of a run that lives."""
    folder = _backend("runs")
    if folder.parent.is_dir() and not _is_held(stack):
        write_private(folder / f"{stack}.json", json.dumps(_whereabouts()))


def _mend_backend(stack: str) -> list[str]:
    """Mend what a killed run left half written: the file backend does not write at once."""
    said = []
    # What it notes beside a file is no content, and half of it keeps the file from being read: "EOF".
    for note in _backend("stacks").glob(f"*/{stack}.json*.attrs"):
        if not _is_whole(note):
            note.unlink(missing_ok=True)
            said.append(f"removed half a note ({note.name}): the run before was killed while it wrote it")
    for file in _backend("stacks").glob(f"*/{stack}.json"):
        kept = file.with_name(f"{file.name}.bak")
        if not _is_whole(file) and _is_whole(kept):
            shutil.copy2(kept, file)
            said.append("took the last whole checkpoint: the run before was killed while it wrote the next one")
    return said


def _is_whole(file: Path) -> bool:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _is_vm_in_the_making(operation: Mapping[str, Any]) -> bool:
    return bool(operation["type"] == "creating" and operation["resource"]["type"] == VM)


class _Stack(auto.Stack):
    """The Automation API's stack, without the three questions that it asks the command line after every run."""

    def outputs(self) -> auto.OutputMap:
        """Leave outputs to who wants them."""
        return {}

    def info(self, show_secrets: bool = True) -> auto.UpdateSummary:
        """Leave the history alone."""
        return auto.UpdateSummary("update", datetime.now(UTC), "", {}, {}, "succeeded")


def _who_holds(text: str) -> str:
    found = LOCKED.search(text)
    who = f"process {found['pid']} on {found['host']}" if found else "somebody"
    return f"another run holds the stack: {who}; wait for it, or, if it is dead: pulumi cancel"


def _last_error(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if "error" in line), lines[-1] if lines else "the engine failed")
    return re.sub(r"^ *(stderr: )?(error: )?", "", last)


def reason(output: str) -> str:
    """Return the last error of what Pulumi printed, with the advice for it."""
    return _explained(_last_error(output))


def _explained(said: str) -> str:
    """Add what a person can do about what Pulumi says before it begins."""
    advice = next((advice for sign, advice in ADVICE.items() if sign in said), "")
    return f"{said}; {advice}: docs/start/go-live.md" if advice else said


def refuse_failures(outcome: Outcome, owners: Mapping[str, str]) -> None:
    """Turn the failures of a run into one message that names resource, node and host."""
    if not outcome.failures:
        return
    lines = []
    for failure in outcome.failures:
        owner = next((said for name, said in owners.items() if failure.resource.endswith(f"-{name}")), "")
        where = f"{failure.resource}{f' ({owner})' if owner else ''}: " if failure.resource else ""
        lines.append(where + SCRIPT.sub(": ", failure.message))
    done = not outcome.planned and (outcome.changed or any(failure.urn for failure in outcome.failures))
    advice = ["what was done is recorded: run the same command again to go on"] if done else []
    raise RunFailed("\n".join([*dict.fromkeys(lines), *advice]))

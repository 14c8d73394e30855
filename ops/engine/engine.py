"""Pulumi's engine for one stack, real or rehearsed: up, preview and destroy through the Automation API.

A folder with the program and the name of a stack come in, an `Outcome` goes out. Before a run it repairs the remains of
an interrupted one: processes and temporary files (`ops.engine.containment`), the lock of a dead process, half written
files of the backend, and VMs that were made but never recorded. An engine that only reads changes neither state nor
locks nor files. `ops.engine.run` continues; `ops.engine.timeline` shows the events.
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
SCRIPT = re.compile(r': running "(?:[^"\\]|\\.)*":\n')  # the text of a whole script would hide its error
PIDS = Path("/proc/self/ns/pid")
WRITING = 5.0  # seconds for which a lock may be half written while its run is alive
VM = "proxmoxve:index/vmLegacy:VmLegacy"
# Errors of Pulumi before it begins, each with the way to mend it; the stack is unchanged then.
ADVICE = {
    "PULUMI_ACCESS_TOKEN": "choose where the state is kept: export PULUMI_BACKEND_URL=file://FOLDER, or pulumi login",
    "unable to open state directory": "make the folder of PULUMI_BACKEND_URL, or choose another",
    "unable to open bucket": "make the folder of PULUMI_BACKEND_URL, or choose another",
    "PULUMI_CONFIG_PASSPHRASE_FILE: open": "make the file of PULUMI_CONFIG_PASSPHRASE_FILE, or choose another",
    "passphrase must be set": "choose the file that holds it: export PULUMI_CONFIG_PASSPHRASE_FILE=FILE",
    "incorrect passphrase": "PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE must hold that of the stack",
    "must be encrypted as it's secret": "set the secrets that ./homelab check lists",
}


@dataclass(frozen=True)
class Failure:
    """The error of one resource, or of the program."""

    urn: str
    message: str

    @property
    def resource(self) -> str:
        """The resource's logical name."""
        return self.urn.rsplit("::", 1)[-1] if self.urn else ""


@dataclass
class Outcome:
    """The result of a run."""

    changes: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    diagnostics: list[tuple[str, str]] = field(default_factory=list)
    """Messages that are no errors, each with its severity."""
    planned: bool = False
    """Whether it was a preview."""

    @property
    def changed(self) -> int:
        """The number of resources that changed."""
        return sum(count for operation, count in self.changes.items() if operation != "same")


class Engine:
    """One stack in one folder."""

    def __init__(
        self,
        folder: Path,
        stack: str,
        on_event: Callable[[EngineEvent], None] = lambda event: None,
        log: Callable[[str], None] = lambda text: None,
        purpose: Literal["change", "read"] = "change",
    ) -> None:
        """Select the stack; for a change, repair its files first, and make a stack that does not exist yet."""
        self.folder, self.name, self.on_event, self.log = folder, stack, on_event, log
        self.outcome = Outcome()
        self.env: dict[str, str] = {}
        self.repaired: list[str] = []
        self._workspace = auto.LocalWorkspace(work_dir=str(folder))
        if purpose == "change":
            # Processes of a dead run come first: they may hold the lock, or write the checkpoint.
            self.repaired = [*containment.clear(containment.runs_of(folder, stack)), *_break_dead_locks(stack)]
            if not _is_held(stack):  # a run that is alive may be writing its checkpoint
                self.repaired += _repair_backend(stack)
        try:
            self._stack = self._select(purpose)
        except auto.errors.CommandError as error:
            raise Declined(f"{stack}: {_explained(_last_error(str(error)))}") from None

    def _select(self, purpose: Literal["change", "read"]) -> _Stack:
        if purpose == "change":
            stack = _Stack(self.name, self._workspace, StackInitMode.CREATE_OR_SELECT)
            _note_origin(self.name)
            return stack
        try:
            return _Stack(self.name, self._workspace, StackInitMode.SELECT)
        except auto.errors.StackNotFoundError:
            # Nothing is recorded yet. A temporary state leaves the backend unchanged.
            beside = TemporaryDirectory(prefix="homelab-state-")
            atexit.register(beside.cleanup)
            self.env = self._workspace.env_vars = {"PULUMI_BACKEND_URL": f"file://{beside.name}"}
            return _Stack(self.name, self._workspace, StackInitMode.CREATE)

    def up(self, *, refresh: bool = False, targets: Sequence[str] = ()) -> Outcome:
        """Apply the desired state."""
        return self._run(lambda options: self._stack.up(refresh=refresh, target=list(targets) or None, **options))

    def preview(self, *, refresh: bool = False) -> Outcome:
        """Return the changes that `up` would make; with `refresh`, from the hosts' state and not the recorded one."""
        return self._run(lambda options: self._stack.preview(refresh=refresh or None, **options), preview=True)

    def destroy(self, targets: Sequence[str] = ()) -> Outcome:
        """Delete all resources."""
        return self._run(lambda options: self._stack.destroy(target=list(targets) or None, **options))

    def state(self, *, in_clear: bool = False) -> dict[str, Any]:
        """Return the recorded state; its secrets are encrypted unless `in_clear` opens them."""
        return dict(json.loads(self._export(*(("--show-secrets",) if in_clear else ()))).get("deployment") or {})

    def outputs(self) -> Mapping[str, Any]:
        """Return the stack's outputs."""
        return {name: output.value for name, output in auto.Stack.outputs(self._stack).items()}

    def set_secrets(self, values: Mapping[str, str]) -> None:
        """Encrypt values into the stack file under the one key that holds secrets."""
        config = {f"homelab:secrets.{name}": auto.ConfigValue(value, secret=True) for name, value in values.items()}
        self._stack.set_all_config(config, path=True)

    def unprotect(self) -> None:
        """Remove the protection of all resources."""
        self._pulumi("state", "unprotect", "--all", "--yes", "--stack", self.name)

    def repair(self) -> list[str]:
        """Repair the remains of an interrupted run; return lines that report it."""
        return [*self.repaired, *([] if _is_held(self.name) else self._adopt_pending())]

    def _adopt_pending(self) -> list[str]:
        """Record VMs that an interrupted run made but did not record; a refresh drops those that do not exist."""
        exported = json.loads(self._export())
        deployment = exported.get("deployment") or {}
        pending = deployment.get("pending_operations") or []
        interrupted = [operation for operation in pending if _makes_vm(operation)]
        if not interrupted:
            return []
        for operation in interrupted:
            resource = operation["resource"]
            made = {"id": str(int(resource["inputs"]["vmId"])), "outputs": resource["inputs"]}
            deployment["resources"].append(resource | made)
            pending.remove(operation)
        if json.loads(self._export()).get("deployment", {}).get("manifest") != deployment.get("manifest"):
            return ["another run has changed the state meanwhile: the VMs of the interrupted run are left to it"]
        with NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(exported, file)
            file.flush()
            self._pulumi("stack", "import", "--stack", self.name, "--file", file.name)
        targets = [part for operation in interrupted for part in ("--target", operation["resource"]["urn"])]
        self._pulumi("refresh", "--yes", "--skip-preview", "--non-interactive", "--stack", self.name, *targets)
        names = ", ".join(operation["resource"]["inputs"]["name"] for operation in interrupted)
        return [f"searched the hosts for VMs of an interrupted run: {names}"]

    def _export(self, *options: str) -> str:
        command, env = ("pulumi", "stack", "export", "--stack", self.name, *options), {**os.environ, **self.env}
        return programs.run(*command, cwd=self.folder, env=env, timeout=120).stdout

    def _pulumi(self, *arguments: str) -> None:
        with self._contained() as environment:
            programs.run(
                "pulumi", *arguments, cwd=self.folder, env={**os.environ, **self.env, **environment}, timeout=600
            )

    def _contained(self) -> AbstractContextManager[dict[str, str]]:
        """Return the context of one run; it yields an environment."""
        return containment.contained(containment.runs_of(self.folder, self.name), self.log)

    def _run(self, act: Callable[[dict[str, Any]], Any], *, preview: bool = False) -> Outcome:
        self.outcome = Outcome()
        options: dict[str, Any] = {"on_event": self._on_event, "on_output": lambda line: None}
        if not preview:
            options["show_secrets"] = False
        with self._contained() as environment:
            self._workspace.env_vars = {**self.env, **environment}
            try:
                act(options)
            except auto.errors.ConcurrentUpdateError as error:
                raise Declined(_holder(str(error))) from None
            except auto.errors.CommandError as error:
                if not self.outcome.failures:
                    self.outcome.failures.append(Failure("", _explained(_last_error(str(error)))))
            finally:
                self._workspace.env_vars = self.env
        self.outcome.planned = preview
        return self.outcome

    def _on_event(self, event: EngineEvent) -> None:
        diagnostic, summary = event.diagnostic_event, event.summary_event
        if diagnostic and diagnostic.message.strip():
            message = re.sub(r"<\{%[^%]*%\}>", "", diagnostic.message).strip()
            if diagnostic.severity == "error":
                if not message.startswith(("update failed", "preview failed", "an unhandled error occurred")):
                    self.outcome.failures.append(Failure(diagnostic.urn or "", message))
            else:
                self.outcome.diagnostics.append((diagnostic.severity, message))
        if summary:
            self.outcome.changes = {OpType(name).value: count for name, count in summary.resource_changes.items()}
        self.on_event(event)


def _backend(folder: str) -> Path:
    """Return a folder of the file backend; other backends keep locks and whole checkpoints themselves."""
    url = os.environ.get("PULUMI_BACKEND_URL", "")
    backend = Path(url.removeprefix("file://")).expanduser() if url.startswith("file://") else Path("/nonexistent")
    return backend / ".pulumi" / folder


def _locks(stack: str) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Yield each lock of a stack with its content; nothing for one that is half written."""
    for file in _backend("locks").glob(f"*/*/{stack}/*.json"):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue  # its run has ended
        except ValueError:
            content = None
        yield file, content if isinstance(content, dict) else None


def _break_dead_locks(stack: str) -> list[str]:
    """Remove locks of dead processes of this machine; return lines that report it."""
    lines = []
    for file, lock in _locks(stack):
        if lock is None and time.time() - file.stat().st_mtime > WRITING:
            file.unlink(missing_ok=True)
            lines.append(f"removed a half written lock ({file.name}): the last run was killed while it wrote it")
        elif lock and _is_dead(lock, stack):
            file.unlink(missing_ok=True)
            lines.append(f"removed the lock of a run that died (pid {lock['pid']})")
    return lines


def _is_held(stack: str) -> bool:
    return any(True for _ in _locks(stack))


def _is_dead(lock: Mapping[str, Any], stack: str) -> bool:
    """Return whether the process of a lock is dead; in another container its number may be alive."""
    if lock.get("hostname") != socket.gethostname() or started(int(lock["pid"])) is not None:
        return False
    try:
        origin = json.loads((_backend("runs") / f"{stack}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True  # a run of plain Pulumi: only the host's name is known
    here = _origin()
    if origin.get("machine") != here["machine"]:
        return False
    return bool(origin.get("boot") != here["boot"] or origin.get("pids") == here["pids"])


def _origin() -> dict[str, str]:
    """Return this machine, its boot and its process namespace: containers share the host's name, not its numbers."""
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


def _note_origin(stack: str) -> None:
    """Write the origin of this run for a later one that finds its lock; keep the note of a run that is alive."""
    folder = _backend("runs")
    if folder.parent.is_dir() and not _is_held(stack):
        write_private(folder / f"{stack}.json", json.dumps(_origin()))


def _repair_backend(stack: str) -> list[str]:
    """Repair files that a killed run left half written: the file backend does not write atomically."""
    lines = []
    # Attributes beside a file are no content; half written, they make reading the file fail with "EOF".
    for note in _backend("stacks").glob(f"*/{stack}.json*.attrs"):
        if not _is_whole(note):
            note.unlink(missing_ok=True)
            lines.append(f"removed a half written note ({note.name}): the last run was killed while it wrote it")
    for file in _backend("stacks").glob(f"*/{stack}.json"):
        backup = file.with_name(f"{file.name}.bak")
        if not _is_whole(file) and _is_whole(backup):
            shutil.copy2(backup, file)
            lines.append("restored the last whole checkpoint: the last run was killed while it wrote the next one")
    return lines


def _is_whole(file: Path) -> bool:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _makes_vm(operation: Mapping[str, Any]) -> bool:
    return bool(operation["type"] == "creating" and operation["resource"]["type"] == VM)


class _Stack(auto.Stack):
    """The Automation API's stack, without the three commands that it runs after every operation."""

    def outputs(self) -> auto.OutputMap:
        """Return nothing: `Engine.outputs` reads them where they are needed."""
        return {}

    def info(self, show_secrets: bool = True) -> auto.UpdateSummary:
        """Return a summary without reading the history."""
        return auto.UpdateSummary("update", datetime.now(UTC), "", {}, {}, "succeeded")


def _holder(text: str) -> str:
    found = LOCKED.search(text)
    holder = f"process {found['pid']} on {found['host']}" if found else "an unknown process"
    return f"another run holds the stack: {holder}; wait for it, or, if it is dead: pulumi cancel"


def _last_error(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if "error" in line), lines[-1] if lines else "the engine failed")
    return re.sub(r"^ *(stderr: )?(error: )?", "", last)


def reason(output: str) -> str:
    """Return the last error of Pulumi's output, with advice."""
    return _explained(_last_error(output))


def _explained(message: str) -> str:
    """Return a message of Pulumi, with the way to mend it where one is known."""
    advice = next((advice for sign, advice in ADVICE.items() if sign in message), "")
    return f"{message}; {advice}: docs/start/go-live.md" if advice else message


def refuse_failures(outcome: Outcome, owners: Mapping[str, str]) -> None:
    """Raise the failures of a run as one error, each with its resource, node and host."""
    if not outcome.failures:
        return
    lines = []
    for failure in outcome.failures:
        owner = next((text for name, text in owners.items() if failure.resource.endswith(f"-{name}")), "")
        where = f"{failure.resource}{f' ({owner})' if owner else ''}: " if failure.resource else ""
        lines.append(where + SCRIPT.sub(": ", failure.message))
    done = not outcome.planned and (outcome.changed or any(failure.urn for failure in outcome.failures))
    advice = ["completed changes are recorded: run the same command again to go on"] if done else []
    raise RunFailed("\n".join([*dict.fromkeys(lines), *advice]))

"""The engine's part of a report: what `up` would change in one stack, against the best state that can be had.

Folders of two revisions and the program of this checkout come in, an `Infrastructure` goes out. Where the state of the
stack is reachable, the engine previews in a temporary folder (`ops.review.plan` reads its events); else the desired
resources of both revisions are compared without an engine (`ops.review.desired`). A revision's own program never runs,
and nothing is written: no checkout, no stack file, no state.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pulumi.automation.events import EngineEvent

import programs
from config import derive
from config.load import read_stack
from config.model import Settings
from errors import Declined, HomelabError
from lab.layout import Lab
from manifests.redact import covered
from ops.argocd.client import with_kubeconfig
from ops.engine import containment
from ops.engine.engine import Engine, Outcome
from ops.engine.path import prepare_path
from ops.rehearsal.client import client_of
from ops.rehearsal.entry import PROGRAMS, enter
from ops.rehearsal.presence import refuse_absent
from ops.review.engine_inputs import PROGRAM, PROJECT, Source
from ops.review.plan import SECRET, Planned, Resource, components, counts
from ops.review.report import Infrastructure
from ops.toolchain.lookup import ensure

Against = Literal["state", "empty state", "base", "rehearsal", "unaffected", "not run"]
READ = ("apps", "patches")  # what the program reads beside the stack file
# Messages that other parts of the report have, or that concern this machine alone.
OF_OTHERS = ("machine configuration of ", "using pulumi-resource-")
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_CACHE_HOME")
SECONDS = 300.0
BACKEND, PASSPHRASE, LOCAL = "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE", "file://"


def infrastructure(
    program: Path,
    before: Path | None,
    after: Path,
    stack: str,
    *,
    source: Source = "state",
) -> Infrastructure:
    """Return the changes of one stack; without a reachable state those from `before` to `after`.

    With the source `base` neither state nor credentials are used: the revision may be a stranger's. The environment of
    this process is replaced while the engine runs.
    """
    file = f"Pulumi.{stack}.yaml"
    if not (after / file).is_file():
        note = f"{file} is removed: the resources of the stack stay until ./homelab destroy, run from an older commit"
        return Infrastructure(stack=stack, against="not run", note=note)
    if source == "rehearsal":
        return _rehearsed(program, stack)
    reason = "credentials are not used for this revision"
    if source == "state":
        try:
            return _against_state(program, after, stack)
        except HomelabError as error:
            reason = _line(str(error))
    return _against_base(program, before, after, stack, reason)


def _against_state(program: Path, after: Path, stack: str) -> Infrastructure:
    with engine_of(program, after, stack, "state") as (engine, planned):
        if engine.env:  # a temporary state: the backend has no such stack
            return previewed(stack, "empty state", "nothing is deployed yet", planned, engine.preview())
        with with_kubeconfig(str(engine.outputs().get("kubeconfig", ""))) as client:
            client.refuse_timeout()
        return previewed(stack, "state", "", planned, engine.preview())


def _rehearsed(program: Path, stack: str) -> Infrastructure:
    with engine_of(program, program, stack, "rehearsal") as (engine, planned):
        client_of(program, stack).refuse_timeout()
        return previewed(stack, "rehearsal", "", planned, engine.preview())


@contextmanager
def engine_of(
    program: Path,
    after: Path,
    stack: str,
    source: Literal["state", "rehearsal"],
    on_event: Callable[[EngineEvent], None] = lambda event: None,
) -> Iterator[tuple[Engine, Planned]]:
    """Yield an engine that only reads, and the collector of its events, in the environment that it needs.

    The user's state is read from a temporary folder; a rehearsal in its own, which `enter` brings up to date.
    """
    planned = Planned()
    settings = read_stack(after / f"Pulumi.{stack}.yaml").require()
    with _kept_environment(), TemporaryDirectory(prefix="homelab-preview-") as name:
        if source == "rehearsal":
            folder = _enter(program, stack, settings)
        else:
            folder = Path(name) / "project"
            _require_secrets(settings)
            prepare_path()
            os.environ.update({containment.RUNS: f"{name}/runs", "PYTHONDONTWRITEBYTECODE": "1"})
            os.environ.update(absolute(os.environ, program))
            _lay_out(folder, program, after, stack, derive.patch_files(settings))
        file = folder / f"Pulumi.{stack}.yaml"
        text = file.read_bytes()
        try:
            yield Engine(folder, stack, _both(planned.on_event, on_event), purpose="read"), planned
        finally:
            file.write_bytes(text)


def _enter(program: Path, stack: str, settings: Settings) -> Path:
    refuse_absent(program, [stack])
    enter(program, stack, settings, ensure(PROGRAMS))
    return Lab.of(program, stack).tree


def _require_secrets(settings: Settings) -> None:
    missing = derive.missing_secrets(settings)
    if missing:
        raise Declined(f"secrets are not set ({', '.join(missing)})")


def _lay_out(folder: Path, program: Path, revision: Path, stack: str, patches: Iterable[str]) -> None:
    """Fill a folder with this checkout's program and what it reads of a revision."""
    folder.mkdir()
    for name in PROGRAM:
        (folder / name).symlink_to((program / name).resolve())
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copyfile(program / PROJECT, folder / PROJECT)
    shutil.copyfile(revision / f"Pulumi.{stack}.yaml", folder / f"Pulumi.{stack}.yaml")
    for name in READ:
        if (revision / name).is_dir():
            shutil.copytree(revision / name, folder / name, symlinks=True)
    for name in patches:
        if (revision / name).is_file() and not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(revision / name, folder / name)


def previewed(stack: str, against: Against, note: str, plan: Planned, outcome: Outcome) -> Infrastructure:
    """Return the part of a report from the events and the outcome of a preview."""
    failures = [f"{one.resource}: {one.message}".removeprefix(": ") for one in outcome.failures]
    failed = [f"the preview failed and is not complete: {_line('; '.join(failures))}"] if failures else []
    shown = (text for severity, text in outcome.diagnostics if severity in ("info", "warning"))
    messages = (_line(text) for text in shown if not text.startswith(OF_OTHERS))
    return Infrastructure(
        stack=stack,
        against=against,
        note="; ".join(filter(None, (*failed, note))),
        counts=counts(plan.changed),
        components=components(plan.changed),
        messages=tuple(dict.fromkeys(messages)),
    )


def _against_base(program: Path, before: Path | None, after: Path, stack: str, reason: str) -> Infrastructure:
    """Compare the desired resources of both revisions, in a process without credentials."""
    base = before if before and (before / f"Pulumi.{stack}.yaml").is_file() else None
    given = {name: os.environ[name] for name in PASSED if name in os.environ}
    environment = {**given, "PYTHONPATH": str(program), "PYTHONDONTWRITEBYTECODE": "1"}
    command = ("-m", "ops.review.desired", stack, str(base or ""), str(after))
    try:
        answer = json.loads(
            programs.run(sys.executable, *command, cwd=program, env=environment, timeout=SECONDS).stdout
        )
    except HomelabError as error:
        return Infrastructure(stack=stack, against="not run", note=f"{reason}; {_line(str(error))}")
    of_base, of_head = answer["errors"]
    if of_head:
        note = f"{reason}; the program does not run with this change: {_line(of_head)}"
        return Infrastructure(stack=stack, against="not run", note=note)
    found = [Resource(**one) for one in answer["changes"]]
    against: Against = "empty state" if of_base or base is None else "base"
    notes = [reason, "compared without an engine: values that only the hosts know are not in the comparison"]
    notes += [f"the program does not run on the base: {_line(of_base)}"] if of_base else []
    notes += ["the stack is new"] if base is None else []
    return Infrastructure(
        stack=stack, against=against, note="; ".join(notes), counts=counts(found), components=components(found)
    )


def absolute(environment: Mapping[str, str], program: Path) -> dict[str, str]:
    """Return the places of state and passphrase in full: the engine runs in another folder than the checkout."""
    url, file = environment.get(BACKEND, ""), environment.get(PASSPHRASE, "")
    place = url.removeprefix(LOCAL)
    found = {BACKEND: f"{LOCAL}{program / place}"} if url.startswith(LOCAL) and not place.startswith(("/", "~")) else {}
    return found | ({PASSPHRASE: str(program / file)} if file else {})


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Restore the environment of this process afterwards."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _both(one: Callable[[EngineEvent], None], other: Callable[[EngineEvent], None]) -> Callable[[EngineEvent], None]:
    def on_event(event: EngineEvent) -> None:
        one(event)
        other(event)

    return on_event


def _line(text: str) -> str:
    """Return a message on one line, without credentials."""
    return str(covered(" ".join(text.split()), lambda value: SECRET))

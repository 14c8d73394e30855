"""Refusals before the engine starts, and files of a killed run that the next run repairs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path

import pytest

from config.derive import missing_secrets
from config.load import read_stack
from errors import Declined, RunFailed
from ops.engine.engine import Engine, Failure, Outcome, refuse_failures
from ops.stack import require_secrets
from ops.toolchain.lookup import ensure


@pytest.mark.parametrize(
    ("name", "left", "said"),
    [
        ("dev.json", 40, "restored the last whole checkpoint: the last run was killed while it wrote the next one"),
        (
            "dev.json.attrs",
            0,
            "removed a half written note (dev.json.attrs): the last run was killed while it wrote it",
        ),
    ],
)
def test_half_a_file_of_the_backend_is_mended(
    name: str, left: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = {"PULUMI_BACKEND_URL": f"file://{tmp_path}", "PULUMI_CONFIG_PASSPHRASE": ""}
    for variable, value in (ensure(("pulumi",)).env() | backend | {"PULUMI_HOME": str(tmp_path / "home")}).items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "Pulumi.yaml").write_text("{name: homelab, runtime: python}\n", encoding="utf-8")
    Engine(tmp_path, "dev").set_secrets({"gitToken": "x"})
    damaged = tmp_path / ".pulumi/stacks/homelab" / name
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:left])
    engine = Engine(tmp_path, "dev")
    assert engine.repair() == [said]
    engine.set_secrets({"gitToken": "y"})
    assert not damaged.exists() or len(damaged.read_bytes()) > left
    assert Engine(tmp_path, "dev").repair() == []


def test_half_a_lock_of_a_killed_run_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = {"PULUMI_BACKEND_URL": f"file://{tmp_path}", "PULUMI_CONFIG_PASSPHRASE": ""}
    for variable, value in (ensure(("pulumi",)).env() | backend | {"PULUMI_HOME": str(tmp_path / "home")}).items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "Pulumi.yaml").write_text("{name: homelab, runtime: python}\n", encoding="utf-8")
    Engine(tmp_path, "dev")
    lock = tmp_path / ".pulumi/locks/organization/homelab/dev/half.json"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("", encoding="utf-8")
    assert Engine(tmp_path, "dev").repair() == [], "its run may be writing it now"
    os.utime(lock, (0, 0))
    engine = Engine(tmp_path, "dev")
    assert engine.repair() == ["removed a half written lock (half.json): the last run was killed while it wrote it"]
    assert not lock.exists()


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a stack in a file backend of its own; return the backend's folder."""
    given = {"PULUMI_BACKEND_URL": f"file://{tmp_path}", "PULUMI_CONFIG_PASSPHRASE": ""}
    for variable, value in (ensure(("pulumi",)).env() | given | {"PULUMI_HOME": str(tmp_path / "home")}).items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "Pulumi.yaml").write_text("{name: homelab, runtime: python}\n", encoding="utf-8")
    Engine(tmp_path, "dev").set_secrets({"gitToken": "x"})
    return tmp_path / ".pulumi"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def lock(backend: Path, pid: int) -> Path:
    file = backend / "locks/organization/homelab/dev/one.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"pid": pid, "hostname": socket.gethostname(), "username": "x"}), encoding="utf-8")
    return file


def test_an_engine_that_reads_mends_nothing_and_makes_nothing(backend: Path, tmp_path: Path) -> None:
    lock(backend, 2**22 + 1)
    (backend / "stacks/homelab/dev.json.attrs").write_text("", encoding="utf-8")
    before = files(backend)
    with contextlib.suppress(Declined):
        Engine(tmp_path, "dev", purpose="read")
    (tmp_path / "Pulumi.other.yaml").write_bytes((tmp_path / "Pulumi.dev.yaml").read_bytes())
    assert Engine(tmp_path, "other", purpose="read").state().get("resources", []) == []
    assert files(backend) == before


def test_under_a_living_run_nothing_is_mended(backend: Path, tmp_path: Path) -> None:
    held = lock(backend, os.getpid())
    checkpoint = backend / "stacks/homelab/dev.json"
    half = checkpoint.read_bytes()[:40]
    checkpoint.write_bytes(half)
    with contextlib.suppress(Declined):
        assert Engine(tmp_path, "dev").repair() == []
    assert checkpoint.read_bytes() == half
    assert held.exists()


@pytest.mark.parametrize(("key", "gone"), [("pids", False), ("machine", False), ("boot", True), ("nothing", True)])
def test_locks_are_dead_only_where_their_process_ids_are_ours(
    backend: Path, tmp_path: Path, key: str, gone: bool
) -> None:
    note = backend / "runs/dev.json"
    note.write_text(json.dumps(json.loads(note.read_text(encoding="utf-8")) | {key: "another"}), encoding="utf-8")
    held = lock(backend, 2**22 + 1)
    Engine(tmp_path, "dev")
    assert held.exists() is not gone


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "export PULUMI_BACKEND_URL=file://FOLDER, or pulumi login: docs/start/go-live.md"),
        ({"PULUMI_BACKEND_URL": "file://{}/nope"}, "make the folder of PULUMI_BACKEND_URL"),
        ({"PULUMI_BACKEND_URL": "file://{}"}, "export PULUMI_CONFIG_PASSPHRASE_FILE=FILE: docs/start/go-live.md"),
        (
            {"PULUMI_BACKEND_URL": "file://{}", "PULUMI_CONFIG_PASSPHRASE_FILE": "{}/nope"},
            "make the file of PULUMI_CONFIG_PASSPHRASE_FILE",
        ),
    ],
)
def test_what_pulumi_lacks_to_begin_is_one_message(
    environment: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(variable, raising=False)
    given = {variable: value.format(tmp_path) for variable, value in environment.items()}
    for variable, value in (ensure(("pulumi",)).env() | given | {"PULUMI_HOME": str(tmp_path / "home")}).items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "Pulumi.yaml").write_text("{name: homelab, runtime: python}\n", encoding="utf-8")
    with pytest.raises(Declined) as refused:
        Engine(tmp_path, "dev")
    (line,) = str(refused.value).splitlines()
    assert line.startswith("dev: ")
    assert said in line


def test_only_a_run_that_did_something_advises_to_repeat_it() -> None:
    at_a_node = Failure("urn:pulumi:dev::homelab::type::vm-worker-1", "no disk left")
    with pytest.raises(RunFailed, match=r"worker-1, on pve-1.*\n.*run the same command again to go on"):
        refuse_failures(Outcome(failures=[at_a_node]), {"worker-1": "worker-1, on pve-1"})
    for outcome in (
        Outcome(failures=[at_a_node], planned=True),
        Outcome(failures=[Failure("", "incorrect passphrase")]),
    ):
        with pytest.raises(RunFailed) as refused:
            refuse_failures(outcome, {})
        assert "run the same command again" not in str(refused.value)


def test_a_stack_without_its_secrets_is_refused_with_the_command() -> None:
    settings = read_stack(Path(__file__).parents[3] / "Pulumi.homelab.yaml").require()
    assert missing_secrets(settings)
    with pytest.raises(Declined, match=r"still to set: proxmoxToken.*pulumi config set --stack homelab --secret"):
        require_secrets("homelab", settings)

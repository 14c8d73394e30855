"""Each tree of `trees/` is an attack: it is rejected in time, no program runs, nothing outside is read or reached.

A tree is one change to the small checkout of tests/manifests/rules. `expect` lists the files that must be rejected
with the check of each; `shape` marks those that need no render of an app; `teeth` those whose program runs under
kustomize alone, which proves that the tree is an attack; `rules` those that harm a cluster but not the machine that
renders them.
"""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
from errors import ProgramFailed
from manifests import sandbox
from manifests.boundary import LIMITS
from ops.__main__ import main
from ops.toolchain.lookup import ensure
from tests.manifests.rules.scenario import prepare

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
TREES = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("trees/*.yaml"))}
ALL = pytest.mark.parametrize("attack", TREES, indirect=True)
RENDERED = pytest.mark.parametrize(
    "attack", [one for one, told in TREES.items() if not {"shape", "rules"} & told.keys()], indirect=True
)
WITH_TEETH = pytest.mark.parametrize("attack", [one for one, told in TREES.items() if "teeth" in told], indirect=True)
CANARY = "canary-outside"
SECONDS = 10  # of this process alone; a second where nothing else runs
REPO_SERVER = ROOT / "apps/system/argocd/base/own/argocd-repo-server.yaml"


@dataclass
class Attack:
    """A tree on disk, the file that must not appear, and the recorded addresses."""

    root: Path
    told: dict[str, Any]
    witness: Path
    heard: list[bytes] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(200))

        threading.Thread(target=listen, daemon=True).start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def attack(request: pytest.FixtureRequest, tmp_path: Path, listener: tuple[int, list[bytes]]) -> Attack:
    root, outside, witness = tmp_path / "checkout", tmp_path / "outside", tmp_path / "witness"
    outside.mkdir()
    for name in ("secret.txt", "values.yaml", "patch.yaml"):
        (outside / name).write_text(f"apiVersion: v1\nkind: {CANARY}\nmetadata: {{name: {CANARY}}}\n", encoding="utf-8")
    places = {"witness": str(witness), "outside": str(outside), "port": str(listener[0])}
    told = TREES[request.param]
    written = {name: _filled(text, places) for name, text in told.get("write", {}).items()}
    prepare({"write": written, "remove": told.get("remove", [])}, root)
    for name, (start, part, times) in told.get("fill", {}).items():
        _parent(root / name).write_text(_filled(start, places) + part.replace("{{", "{") * times, encoding="utf-8")
    for name, target in told.get("link", {}).items():
        _parent(root / name).unlink(missing_ok=True)
        (root / name).symlink_to(_filled(target, places))
    for name in told.get("pipe", ()):
        os.mkfifo(_parent(root / name))
    for name in told.get("run", ()):
        (root / name).chmod(0o755)
    return Attack(root, told, witness, listener[1])


def _filled(text: str, places: dict[str, str]) -> str:
    for name, place in places.items():
        text = text.replace(f"{{{name}}}", place)
    return text.replace("{{", "{").replace("}}", "}") if any(f"{{{{{sign}" in text for sign in 'namkd"{') else text


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@ALL
def test_an_attack_is_refused_in_time_and_reaches_nothing(
    attack: Attack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    began = time.process_time()
    code = main(["check", "--json", *(["--shape"] if attack.told.get("shape") else []), "--root", str(attack.root)])
    assert time.process_time() - began < SECONDS
    out = capsys.readouterr().out
    problems = yaml.safe_load(io.StringIO(out))["problems"] if code else []
    for file, checks in attack.told["expect"].items():
        assert {one["check"] for one in problems if one["file"] == file} >= set(checks), out[-3000:]
    assert CANARY not in out
    assert not attack.witness.exists()
    assert attack.heard == []


@RENDERED
def test_an_attack_is_not_written_out(
    attack: Attack, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.stack.check_stack", lambda root, stack, tree: [])  # no platform in a checkout this small
    monkeypatch.setenv("CANARY", CANARY)
    output = tmp_path / "rendered"
    assert main(["render", "--stack", "home", "--manifests", "--root", str(attack.root), "--output", str(output)]) == 1
    assert any(f"[{check}]" in capsys.readouterr().err for check in LIMITS) or not output.exists()
    assert not output.exists()
    assert not attack.witness.exists()
    assert attack.heard == []
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == ["patch.yaml", "secret.txt", "values.yaml"]


def _build(root: Path, env: dict[str, str], command: tuple[str, ...] = ()) -> None:
    options = ("--enable-helm", "--load-restrictor", "LoadRestrictionsNone")
    try:
        words = [*command, "kustomize", "build", *options, "apps/media/evil/production"]
        programs.run(words[0], *words[1:], cwd=root, env=env, timeout=60)
    except ProgramFailed:
        return


@WITH_TEETH
def test_the_repo_server_runs_no_program_of_a_tree_either(attack: Attack) -> None:
    (container,) = yaml.safe_load(REPO_SERVER.read_text(encoding="utf-8"))["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one["value"] for one in container["env"]}
    env = ensure(("kustomize", "helm")).env() | {"NO_PROXY": "", "HTTPS_PROXY": "http://127.0.0.1:9"}
    _build(attack.root, env | given)
    assert not attack.witness.exists()
    _build(attack.root, env)
    assert attack.witness.exists(), "without the setting this tree is an attack no more: mend the tree"


@WITH_TEETH
def test_the_sandbox_does_not_run_a_program_of_the_tree(attack: Attack) -> None:
    if not sandbox.available():
        pytest.skip("this machine makes no namespaces")
    env = ensure(("kustomize", "helm")).env()
    _build(attack.root, env, sandbox.confined((), attack.root, attack.root, attack.root))
    assert not attack.witness.exists()

"""A mistake of a user or a failure of the machine is soon reported in one clear line, without a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from errors import MachineNotReady, ProgramFailed
from ops.__main__ import main
from ops.toolchain import compiler
from ops.toolchain.catalogue import TOOLS
from tests.manifests.rules.scenario import prepare

ROOT = Path(__file__).parents[2]
WHO = ("--repository", "https://git.example.com/me/homelab.git", "--domain", "home.example.com", "--stack", "mine")
NEW = ("media/abc", "--image", "ghcr.io/a/b:1.0.0", "--port", "8080", "--health", "/")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    prepare({}, root)
    monkeypatch.chdir(root)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    return root


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--control-planes", "99999999"), "--control-planes = 99999999: is more than 1000 nodes"),
        (("--workers", "100000000"), "--workers = 100000000: is more than 1000 nodes"),
        (("--workers", "9" * 9000), f"--workers = {'9' * 40}: is more than 1000 nodes"),
        (("--workers", "-1"), "'-1' is not a number of nodes; write digits"),
        (("--apps", ""), "--apps: has no application; write all, none, or names with commas between them"),
        (("--apps", " , "), "--apps: has no application"),
        (
            ("--apps", "media,nope"),
            "--apps = nope: is no category of applications and no app of dev; the categories are media",
        ),
        (("--root", "/nonexistent"), "apps/_settings has no environment to copy; git restore apps brings"),
    ],
)
def test_an_answer_that_init_cannot_take_is_refused_soon(
    arguments: tuple[str, str], said: str, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *WHO, *arguments]) == 1
    assert said in one_line(capsys)
    assert not (checkout / "Pulumi.mine.yaml").exists()


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("homelab 0.1.0 (Python 3.")


def test_nothing_to_end_is_said(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--all"]) == 0
    assert capsys.readouterr().out == f"there is no rehearsal in {checkout}/.lab\n"


def fails(number: int, name: str = "") -> Callable[..., None]:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), *([str(path)] if name else []))

    return fail


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES])
@pytest.mark.parametrize(
    ("verb", "arguments"), [("init", WHO), ("new", NEW), ("rehearse", ("--stack", "lab")), ("check", ())]
)
def test_an_unwritable_checkout_or_disk_is_reported_in_one_line(
    verb: str,
    arguments: tuple[str, ...],
    number: int,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ops.checking.settings.check_stack", lambda root, stack, tree: [])
    for module in ("init", "stack"):
        monkeypatch.setattr(f"ops.{module}.check_stack", lambda root, stack, tree: [])
    monkeypatch.setenv("XDG_CACHE_HOME", str(checkout / "cache"))
    for way in ("write_text", "mkdir", "write_bytes"):
        monkeypatch.setattr(Path, way, fails(number, "named"))
    assert main([verb, *arguments]) == 1
    line = one_line(capsys)
    assert os.strerror(number).lower() in line, line
    assert "stopped there" in line


def test_a_full_disk_is_reported_with_the_possible_places(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ops.check.read_tree", fails(errno.ENOSPC))
    assert main(["check"]) == 1
    line = one_line(capsys)
    assert line.startswith("check (the cache is ")
    assert "temporary files are in " in line
    assert line.endswith("no space left on device; stopped there")


def test_a_full_disk_under_pip_is_one_short_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"shutil.Error: {[(f'a{number}', 'b', '[Errno 28] No space left on device') for number in range(9999)]}"

    def run(*_: object, **__: object) -> None:
        raise ProgramFailed("pip", status=1, output=said)

    monkeypatch.setattr("programs.run", run)

    class Quiet:
        def update(self, text: str) -> None:
            """Show nothing."""

        def announce(self, text: str) -> None:
            """Show nothing."""

    with pytest.raises(MachineNotReady) as refused:
        compiler._install([TOOLS[0]], tmp_path, Quiet())
    assert len(str(refused.value)) < 300
    assert "no space left on device" in str(refused.value)


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1"])
def test_a_terminal_that_knows_ascii_alone_shows_every_name(encoding: str, checkout: Path) -> None:
    (checkout / "apps/media/ü\x1b[2Jü").mkdir()
    command = [sys.executable, "-m", "ops", "check", "--shape", "--root", str(checkout)]
    env = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT), "HOMELAB_CALLED_FROM": str(checkout)}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"\\u001b[2J" in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--stack", "a\x1b[2Jb"),
        ("new", "media/a\x1b[2Jb", *NEW[1:]),
        ("new", "media/abc", *NEW[1:], "--volume", "/a\x1b[2J:1Gi"),
        ("init", *WHO, "--email", "a\x1b[2J@example.com"),
        ("check", "--since", "a\x1b[2Jb"),
        ("a\x1b[2Jb",),
    ],
)
def test_a_control_character_of_an_argument_reaches_no_terminal(
    arguments: tuple[str, ...], checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(arguments)) in (1, 2)
    captured = capsys.readouterr()
    assert "\x1b" not in captured.err + captured.out
    assert "Traceback" not in captured.err

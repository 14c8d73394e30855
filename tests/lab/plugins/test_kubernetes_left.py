"""The stand-in leaves the same files as the official Kubernetes plugin, and waits as long."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab.control_plane.certificates import Authority, Subject, split
from lab.plugins import kubernetes
from tests.lab.plugins.calls import Calls
from tests.lab.plugins.things import config_map, widget


@pytest.fixture
def silent() -> Iterator[str]:
    """Yield the kubeconfig of an API server that accepts connections and never answers."""
    authority = Authority.self_signed("nobody")
    certificate, key = split(authority.sign(Subject("admin")))
    texts = [base64.b64encode(text).decode() for text in (authority.pem, certificate, key)]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = f"https://127.0.0.1:{listening.getsockname()[1]}"
        config = {
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": texts[0]}}],
            "users": [{"name": "u", "user": {"client-certificate-data": texts[1], "client-key-data": texts[2]}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        yield yaml.safe_dump(config)


def test_each_start_leaves_the_kubeconfig_in_the_temporary_folder(temporary_folder: Path) -> None:
    before = set(temporary_folder.iterdir())
    for _ in range(2):
        Calls.to("nonsense: true")
    left = set(temporary_folder.iterdir()) - before
    assert len(left) == 2
    for file in left:
        assert file.name.startswith("kubeconfig")
        assert file.read_text(encoding="utf-8") == "nonsense: true"
        assert file.stat().st_mode & 0o077 == 0


def test_a_silent_server_delays_the_start_and_custom_resources(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "SECONDS_OF_A_HANDSHAKE", 1)
    calls = Calls.to(silent)
    assert calls.plugin.is_silent

    def seconds(token: str, inputs: dict[str, object]) -> float:
        made = calls.make(token, "it", inputs, preview=True)
        began = time.monotonic()
        calls.compare(made, inputs)
        return time.monotonic() - began

    assert seconds("kubernetes:example.org/v1:Widget", widget("it", {})) >= 1
    assert seconds("kubernetes:core/v1:ConfigMap", config_map("it")) < 1


def test_a_server_that_refuses_is_not_waited_for() -> None:
    assert not Calls.to("nonsense: true").plugin.is_silent

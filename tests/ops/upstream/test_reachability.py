"""Silent hosts are found in seconds, and the setting that forbids requests is reported."""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from errors import Declined
from ops import test
from ops.__main__ import main
from ops.upstream import offline, reachability
from ops.upstream.reachability import host_of, silent


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://charts.example.com/stable", "https://charts.example.com/"),
        ("http://charts.example.com:8080", "http://charts.example.com:8080/"),
        ("oci://ghcr.io/stakater/charts", "https://ghcr.io/"),
        ("oci://127.0.0.1:5000/charts", "http://127.0.0.1:5000/"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]/"),
        ("github.com/org/repo//x?ref=v1", "https://github.com/"),
        ("git::https://example.com/x.git//y?ref=v1", "https://example.com/"),
        ("git@github.com:org/repo//x?ref=v1", ""),
        ("ssh://git@example.com/x", ""),
        ("file:///x//y?ref=v1", ""),
        ("https://example.com:port/x", ""),
    ],
)
def test_a_url_has_a_host_unless_git_chooses_it(url: str, host: str) -> None:
    assert host_of(url) == host


def test_a_host_that_accepts_but_never_answers_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(reachability, "CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert silent([host, "http://127.0.0.1:1/", ""]) == {
            host: "accepts the connection and does not answer",
            "http://127.0.0.1:1/": "Connection refused",
        }


def test_many_silent_hosts_share_one_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(reachability, "_ask", lambda host: str(over.wait(30)))
    began = time.monotonic()
    found = silent([f"https://{number}.example.com/" for number in range(40)], timeout=1)
    assert 1 <= time.monotonic() - began < 3
    assert len(found) == 40
    assert set(found.values()) == {"no answer within 1 s"}
    over.set()
    assert reachability.TIMEOUT <= 10


def test_a_proxy_that_refuses_makes_a_host_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")

        def refuse() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        assert silent(["https://charts.example.com/"]) == {"https://charts.example.com/": "403 Forbidden"}
        thread.join(5)


@pytest.mark.parametrize(
    ("value", "option", "reason"),
    [
        ("1", False, "HOMELAB_OFFLINE=1"),
        ("1", True, "--offline"),
        ("0", True, "--offline"),
        ("0", False, ""),
        ("", False, ""),
    ],
)
def test_an_option_and_a_variable_forbid_to_ask(
    value: str, option: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(offline.VARIABLE, value)
    assert offline.forbidden(argparse.Namespace(offline=option)) == reason


@pytest.mark.parametrize("verb", ["check", "status", "doctor"])
def test_another_value_of_the_variable_is_refused_whatever_the_verb(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(offline.VARIABLE, "yes")
    assert main([verb]) == 1
    assert capsys.readouterr().err == (
        "HOMELAB_OFFLINE = yes: must be 1 (no request to other hosts) or 0; set one of them, or unset it\n"
    )


@pytest.mark.parametrize("words", [("check", "--online"), ("render", "--fetch")])
def test_an_option_that_needs_other_hosts_is_refused_offline(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(offline.VARIABLE, "1")
    assert main([*words]) == 1
    said = f"{words[1]}: needs other hosts, and HOMELAB_OFFLINE=1 forbids requests to them; leave one of the two out\n"
    assert capsys.readouterr().err == said
    with pytest.raises(Declined, match="--offline forbids requests"):
        offline.require_online(argparse.Namespace(offline=True), "--online")


def test_tests_and_ci_ask_no_other_host(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.environ[offline.VARIABLE] == "1"
    given: list[str | None] = []

    def step(name: str, command: object, environment: dict[str, str], write: object) -> tuple[str, str, str]:
        given.append(environment.get(offline.VARIABLE))
        return name, "", "ok"

    monkeypatch.delenv(offline.VARIABLE)
    monkeypatch.setattr(test, "_step", step)
    assert test.run(argparse.Namespace(json=False, update=False, only=None, pytest=[], all=False)).code == 0
    assert given == ["1"] * len(test.STEPS)
    assert "\nexport HOMELAB_OFFLINE=1\n" in (Path(__file__).parents[3] / ".ci/run").read_text(encoding="utf-8")

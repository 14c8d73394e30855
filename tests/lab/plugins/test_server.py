"""The plugin as a process: its start, its answers, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped] # it ships none
import pytest
from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped] # likewise
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from local.process_table import started
from tests.lab.plugins.desk import PLUGINS
from tests.polling import until

NAMESPACE = "urn:pulumi:dev::desk::kubernetes:core/v1:Namespace::it"
COMMAND = "urn:pulumi:dev::desk::command:local:Command::it"
OURS = ("command", "random", "tls")


@contextlib.contextmanager
def plugin(name: str, folder: Path, **env: str) -> Iterator[tuple[subprocess.Popen[str], int, Any]]:
    """Start a plugin through a link, from a folder with modules of other projects, as the child of a shell."""
    link = folder / f"pulumi-resource-{name}"
    link.symlink_to(PLUGINS / link.name)
    (folder / "errors.py").write_text("raise SystemExit('imported from the wrong folder')")
    shell = subprocess.Popen(
        ["sh", "-c", f"{link} 127.0.0.1:9 & echo $!; wait"],
        cwd=folder,
        env={**os.environ, "HOMELAB_PYTHON": sys.executable, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert shell.stdout is not None
    with shell:
        pid = int(shell.stdout.readline())
        port = int(shell.stdout.readline())
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield shell, pid, provider_pb2_grpc.ResourceProviderStub(channel)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("name", OURS)
def test_a_plugin_starts_through_a_link_and_from_anywhere(name: str, tmp_path: Path) -> None:
    with plugin(name, tmp_path) as (*_, stub):
        assert stub.GetPluginInfo(empty_pb2.Empty()).version


def test_the_programs_of_all_plugins_are_there() -> None:
    names = {file.name.removeprefix("pulumi-resource-") for file in PLUGINS.iterdir() if os.access(file, os.X_OK)}
    assert names == {"command", "kubernetes", "proxmoxve", "random", "talos", "tls"}


def test_the_programs_are_clean_shell() -> None:
    files = sorted(str(file) for file in PLUGINS.iterdir())
    checker = Path(sys.executable).parent / "shellcheck"
    assert subprocess.run([checker, *files], check=False, capture_output=True, text=True).stdout == ""


def test_a_plugin_without_engine_finishes_its_command_and_ends(tmp_path: Path) -> None:
    with plugin("command", tmp_path) as (shell, pid, stub):
        properties = struct_pb2.Struct()
        properties.update({"create": f"sleep 4; echo late; touch {tmp_path}/done"})
        answer = stub.Create.future(provider_pb2.CreateRequest(urn=COMMAND, properties=properties))
        time.sleep(1)
        shell.kill()
        until((tmp_path / "done").exists, 30)
        until(lambda: started(pid) is None, 5)
        assert answer.result(timeout=60).id


def test_children_of_a_command_outlive_a_plugin_that_ends(tmp_path: Path) -> None:
    with plugin("command", tmp_path) as (_, pid, stub):
        properties = struct_pb2.Struct()
        properties.update({"create": f"touch {tmp_path}/begun; sleep 3; touch {tmp_path}/done"})
        answer = stub.Create.future(provider_pb2.CreateRequest(urn=COMMAND, properties=properties))
        until((tmp_path / "begun").exists, 30)
        os.kill(pid, signal.SIGTERM)
        until(lambda: started(pid) is None, 5)
        until((tmp_path / "done").exists, 30)
        assert answer.exception(timeout=60)


def test_sigint_ends_a_plugin_at_once_and_without_output(tmp_path: Path) -> None:
    command = [str(PLUGINS / "pulumi-resource-tls"), "127.0.0.1:9"]
    env = {**os.environ, "HOMELAB_PYTHON": sys.executable}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stdout.read() == ""


def test_a_cancelled_plugin_answers_that_its_command_was_ended(tmp_path: Path) -> None:
    with plugin("command", tmp_path) as (*_, stub):
        properties = struct_pb2.Struct()
        properties.update({"create": "sleep 5"})
        answer = stub.Create.future(provider_pb2.CreateRequest(urn=COMMAND, properties=properties))
        time.sleep(0.5)
        stub.Cancel(empty_pb2.Empty())
        assert answer.exception(timeout=60).details() == 'signal: killed: running "sleep 5":'


def test_unsupported_requests_of_the_protocol_are_reported_as_such(tmp_path: Path) -> None:
    with plugin("random", tmp_path) as (*_, stub), pytest.raises(grpc.RpcError) as refused:
        stub.Construct(provider_pb2.ConstructRequest())
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_skipped_server_leaves_old_inputs_and_no_new_ones(
    tmp_path: Path,
) -> None:
    news, olds, settings = struct_pb2.Struct(), struct_pb2.Struct(), struct_pb2.Struct()
    news.update({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})
    olds.update({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old"}})
    settings.update({"skipUpdateUnreachable": "true"})
    with plugin("kubernetes", tmp_path) as (*_, stub):
        stub.Configure(provider_pb2.ConfigureRequest(args=settings))
        new = stub.Check(provider_pb2.CheckRequest(urn=NAMESPACE, news=news))
        assert not new.HasField("inputs")
        empty = stub.Check(provider_pb2.CheckRequest(urn=NAMESPACE, news=news, olds=struct_pb2.Struct()))
        assert (empty.HasField("inputs"), len(empty.inputs.fields)) == (True, 0)
        assert stub.Check(provider_pb2.CheckRequest(urn=NAMESPACE, news=news, olds=olds)).inputs == olds

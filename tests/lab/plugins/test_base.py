"""The base converts the engine's requests, called directly."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pulumi.provider.experimental import provider as sdk

from errors import HomelabError
from lab.plugins import base
from lab.plugins.command import Commands
from lab.plugins.properties import UNKNOWN, Plain, engine_value, plain_map
from lab.plugins.random import Random
from tests.lab.plugins.probe import Probe

Given = Mapping[str, Any]
T = TypeVar("T")


def urn(token: str, name: str = "it") -> str:
    return f"urn:pulumi:dev::desk::{token}::{name}"


FILE, TROUBLE = urn("probe:index:File"), urn("probe:index:Trouble")


def wrapped(values: Given, secret: tuple[str, ...] = ()) -> dict[str, Any]:
    return {name: engine_value(value, secret=name in secret) for name, value in values.items()}


def run(step: Coroutine[Any, Any, T], before: Given | None = None) -> T:
    """Run one request as the server does, with the inputs that the state remembers."""

    async def alone() -> T:
        base.old_inputs.set(wrapped(before or {}))
        return await step

    return asyncio.run(alone())


def diff(old: Given, new: Given, probe: base.StandIn | None = None, at: str = FILE, state: Given | None = None) -> Any:
    request = sdk.DiffRequest(at, "id", wrapped(state or {**old, "size": 1}), wrapped(new), [])
    return run((probe or Probe()).diff(request), old)


def test_an_update_is_no_replacement_and_has_a_path() -> None:
    answer = diff({"path": "a", "labels": {"x": "1"}}, {"path": "a", "labels": {"x": "2", "y": "3"}, "mode": 7})
    kinds = {path: found.kind.name for path, found in answer.detailed_diff.items()}
    assert (answer.changes, answer.replaces) == (True, [])
    assert kinds == {"labels.x": "UPDATE", "labels.y": "ADD", "mode": "ADD"}
    assert sorted(answer.diffs) == ["labels", "mode"]


def test_replacing_properties_of_the_tables_replace() -> None:
    answer = diff({"path": "a"}, {"path": "b", "content": "x"})
    assert {path: found.kind.name for path, found in answer.detailed_diff.items()} == {
        "path": "UPDATE_REPLACE",
        "content": "ADD",
    }
    assert answer.replaces == ["path"]


def test_outputs_are_not_compared_with_inputs() -> None:
    assert diff({"path": "a"}, {"path": "a"}).changes is False


def test_every_change_replaces_a_kind_without_update() -> None:
    answer = diff({"length": 4}, {"length": 5}, Random(), urn("random:index/randomBytes:RandomBytes"))
    assert answer.replaces == ["length"]


def test_unknown_values_count_as_changed() -> None:
    assert diff({"path": "a", "content": "x"}, {"path": "a", "content": UNKNOWN}).changes is True


def test_a_preview_of_a_creation_knows_inputs_and_no_outputs(tmp_path: Path) -> None:
    given = {"path": str(tmp_path / "f"), "content": UNKNOWN, "mode": 7}
    answer = run(Probe().create(sdk.CreateRequest(FILE, wrapped(given), 0, preview=True)))
    assert plain_map(answer.properties) == {**given, "size": UNKNOWN, "digest": UNKNOWN}
    assert list(tmp_path.iterdir()) == []


def test_a_preview_of_a_change_retains_untouched_outputs() -> None:
    before = {"path": "a", "content": "x", "mode": 7}
    state = wrapped({**before, "size": 1, "digest": "d"})
    news = wrapped({"path": "a", "content": "y"})
    answer = run(Probe().update(sdk.UpdateRequest(FILE, "a", state, news, 0, [], preview=True)), before)
    assert plain_map(answer.properties) == {"path": "a", "content": "y", "size": UNKNOWN, "digest": "d"}


def test_an_output_is_secret_by_the_tables_or_its_input(tmp_path: Path) -> None:
    given = {"path": str(tmp_path / "f"), "content": "x", "mode": 7}
    answer = run(Probe().create(sdk.CreateRequest(FILE, wrapped(given, ("content",)), 0, preview=False)))
    assert {name for name, value in answer.properties.items() if value.is_secret} == {"content", "digest"}
    assert answer.resource_id == given["path"]


def test_a_missing_resource_is_read_as_missing(tmp_path: Path) -> None:
    assert not run(Probe().read(sdk.ReadRequest(FILE, str(tmp_path / "f"), wrapped({"path": "f"}), {}))).resource_id


def test_drift_becomes_an_input_and_stays_secret(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("other")
    inputs = {"path": str(file), "content": "x"}
    state = {**inputs, "size": 1, "digest": "digest-of-x"}
    secret = ("content",)
    answer = run(Probe().read(sdk.ReadRequest(FILE, str(file), wrapped(state, secret), wrapped(inputs, secret))))
    assert plain_map(answer.inputs) == {"path": str(file), "content": "other"}
    assert answer.inputs["content"].is_secret
    assert plain_map(answer.properties)["size"] == 5


def test_an_import_finds_its_inputs(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("there")
    answer = run(Probe().read(sdk.ReadRequest(FILE, str(file), {}, {})))
    assert plain_map(answer.inputs) == {"path": str(file), "content": "there"}


def test_all_problems_of_a_resource_are_reported_without_values() -> None:
    given = wrapped({"paht": "secret-value", "content": 1, "owner": {"id": "secret-value"}}, ("paht",))
    answer = run(Probe().check(sdk.CheckRequest(FILE, {}, given, b"")))
    assert sorted(failure.reason for failure in answer.failures or []) == [
        "Invalid or unknown key. Did you mean \"path\"? Examine values at 'it.paht'.",
        (
            'Missing required argument. The argument "name" is required, but no definition was found. '
            "Examine values at 'it.owner.name'."
        ),
        (
            'Missing required argument. The argument "path" is required, but no definition was found. '
            "Examine values at 'it.path'."
        ),
        "expected integer type, got string type. Examine values at 'it.owner.id'.",
        "expected string type, got integer type. Examine values at 'it.content'.",
    ]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (
            lambda it: it.check(sdk.CheckRequest(urn("probe:index:Disk"), {}, {}, b"")),
            "this stand-in of probe does not support probe:index:Disk",
        ),
        (
            lambda it: it.invoke(sdk.InvokeRequest("probe:index:whisper", {})),
            "this stand-in of probe does not support the function probe:index:whisper",
        ),
    ],
)
def test_a_stand_in_refuses_unknown_types_by_name(ask: Any, words: str) -> None:
    with pytest.raises(HomelabError) as refused:
        run(ask(Probe()))
    assert str(refused.value) == words


def test_a_function_answers_and_refuses() -> None:
    loud = run(Probe().invoke(sdk.InvokeRequest("probe:index:shout", wrapped({"text": "hey"}))))
    assert plain_map(loud.return_value or {}) == {"loud": "HEY"}
    assert (loud.return_value or {})["loud"].is_secret
    refused = run(Probe().invoke(sdk.InvokeRequest("probe:index:shout", wrapped({"txt": "hey"}))))
    assert len(refused.failures) == 2


def test_settings_of_a_provider_are_checked_and_read_from_json() -> None:
    probe, at = Probe(), urn("pulumi:providers:probe")
    given = wrapped({"root": "/r", "strict": "true", "version": "1.2.3", "__internal": {}})
    assert run(probe.check_config(sdk.CheckRequest(at, {}, given, b""))).failures == []
    run(probe.configure(sdk.ConfigureRequest({}, given, accept_secrets=True, accept_resources=True)))
    assert probe.settings == {"root": "/r", "strict": True}
    wrong = run(probe.check_config(sdk.CheckRequest(at, {}, wrapped({"strict": "perhaps", "rot": "/r"}), b"")))
    assert [failure.reason for failure in wrong.failures or []] == [
        (
            "could not validate provider configuration: expected boolean type, got string type. "
            "Examine values at 'it.strict'."
        ),
        (
            'could not validate provider configuration: Invalid or unknown key. Did you mean "root"? '
            "Examine values at 'it.rot'."
        ),
    ]


@pytest.mark.parametrize(("new", "replaces"), [({"root": "/s"}, ["root"]), ({"root": "/r", "strict": "true"}, [])])
def test_only_some_settings_of_a_provider_replace_everything(new: Plain, replaces: list[str]) -> None:
    request = sdk.DiffRequest(urn("pulumi:providers:probe"), "id", wrapped({"root": "/r"}), wrapped(new), [])
    answer = run(Probe().diff_config(request))
    assert (answer.changes, answer.replaces) == (True, replaces)


def test_a_plugin_has_the_version_of_its_sdk() -> None:
    assert Commands().version == "1.2.1"

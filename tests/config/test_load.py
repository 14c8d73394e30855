"""A stack file and a run of Pulumi give the same settings and messages; no input raises another error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.load import from_pulumi, read_stack
from errors import SettingsRefused
from tests.config.scenario import CHECKOUT, prepare, problems

BASE = "Pulumi.base.yaml"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Pass the sections of a stack file to the program as the engine does."""

    def hand_over(root: Path, **secrets: str) -> None:
        sections = yaml.safe_load((root / BASE).read_text(encoding="utf-8"))["config"]
        sections["homelab:secrets"] = secrets
        monkeypatch.setattr(pulumi, "get_stack", lambda: "base")
        config = {key: json.dumps(value) for key, value in sections.items()}
        pulumi.runtime.set_all_config(config, ["homelab:secrets"])

    yield hand_over
    pulumi.runtime.set_all_config({}, [])


TOKENS = {"proxmoxToken": "a@pam!b=c", "webhookSecret": "hunter2", "vaultToken": "hunter3"}


def test_the_engine_and_the_file_give_the_same_settings(engine: Any, tmp_path: Path) -> None:
    prepare({}, tmp_path)
    engine(tmp_path, **TOKENS)
    loaded = from_pulumi(tmp_path).require()
    on_disk = read_stack(tmp_path / BASE).require()
    assert loaded.model_copy(update={"secrets": on_disk.secrets}) == on_disk


def test_the_engine_and_the_file_refuse_in_the_same_words(engine: Any, tmp_path: Path) -> None:
    prepare({"replace": {BASE: {"vip: 10.0.0.5": "vip: 10.0.0.555", "role: worker": "rolle: worker"}}}, tmp_path)
    engine(tmp_path, **TOKENS)
    with pytest.raises(SettingsRefused) as refused:
        from_pulumi(tmp_path).require()
    assert sorted(refused.value.problems) == problems(tmp_path)
    assert len(refused.value.problems) == 3


def test_a_missing_secret_is_reported_with_its_command(engine: Any, tmp_path: Path) -> None:
    prepare({}, tmp_path)
    engine(tmp_path, webhookSecret="hunter2")
    with pytest.raises(SettingsRefused) as refused:
        from_pulumi(tmp_path).require()
    assert str(refused.value).splitlines() == [
        f"{BASE}:1: secrets.{name}: is required and not set; "
        f"pulumi config set --secret --path 'homelab:secrets.{name}' [secret-missing]"
        for name in ("proxmoxToken", "vaultToken")
    ] + ["2 problems"]


def test_load_balancers_default_to_the_first_addresses_of_the_range(tmp_path: Path) -> None:
    prepare({}, tmp_path)
    taken = dict(read_stack(tmp_path / BASE).require().network.load_balancers)
    assert {name: str(address) for name, address in taken.items()} == {
        "internal": "10.0.0.50",
        "public": "10.0.0.51",
        "passthrough": "10.0.0.52",
        "mosquitto": "10.0.0.53",
    }


def test_an_unknown_section_of_the_engine_is_refused(engine: Any, tmp_path: Path) -> None:
    prepare({}, tmp_path)
    engine(tmp_path, **TOKENS)
    pulumi.runtime.set_config("homelab:netwrok", "{}")
    with pytest.raises(SettingsRefused, match="homelab:netwrok: is not a known section; did you mean homelab:network"):
        from_pulumi(tmp_path).require()


def test_no_text_of_the_settings_shows_a_secret(engine: Any, tmp_path: Path) -> None:
    prepare({}, tmp_path)
    engine(tmp_path, **TOKENS)
    loaded = from_pulumi(tmp_path).require()
    assert "hunter" not in f"{loaded!r} {loaded} {loaded.model_dump()} {loaded.model_dump_json()}"


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
structures = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
WHOLE = yaml.safe_load((CHECKOUT / BASE).read_text(encoding="utf-8"))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    if isinstance(value, dict):
        return {key: replaced(inner, path[1:], by) if key == path[0] else inner for key, inner in value.items()}
    return [replaced(inner, path[1:], by) if index == path[0] else inner for index, inner in enumerate(value)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(where=st.sampled_from(list(places(WHOLE))), what=structures)
def test_anything_anywhere_is_accepted_or_refused_but_never_raises(where: Any, what: Any, tmp_path: Path) -> None:
    prepare({}, tmp_path)
    (tmp_path / BASE).write_text(yaml.safe_dump(replaced(WHOLE, where, what), allow_unicode=True), encoding="utf-8")
    for problem in problems(tmp_path):
        assert problem.rule
        assert problem.fix
        assert "\n" not in str(problem)

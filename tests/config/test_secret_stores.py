"""Every part of the project that depends on the kind of a secret store has an entry for each kind."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from config import derive
from config.app_settings import generated, key_of
from config.load import read_stack
from config.model import SecretSettings, Settings
from config.reference import settings as settings_reference
from config.secret_stores import KINDS, Kind, SecretStore

ROOT = Path(__file__).parents[2]
EACH_KIND = pytest.mark.parametrize(("name", "kind"), KINDS.items(), ids=KINDS)


def stack_with(kind: Kind) -> Settings:
    """Return the example stack with another secret store."""
    settings = read_stack(ROOT / "Pulumi.homelab.yaml").require()
    store = kind.section.model_validate(yaml.safe_load(kind.example))
    return settings.model_copy(
        update={"platform": settings.platform.model_copy(update={"secret_store": store}), "secrets": SecretSettings()}
    )


def test_settings_accept_the_kinds_of_the_table() -> None:
    union, _ = get_args(SecretStore)
    sections = {get_args(one.model_fields["kind"].annotation)[0]: one for one in get_args(union)}
    assert {name: kind.section for name, kind in KINDS.items()} == sections


@EACH_KIND
def test_kind_requires_its_own_token_alone(name: str, kind: Kind) -> None:
    tokens = {one.token for one in KINDS.values()} - {None}
    needed = set(derive.needed_secrets(stack_with(kind)))
    assert needed & tokens == {kind.token} - {None}
    assert kind.token_field is None or kind.token_field in SecretSettings.model_fields


@EACH_KIND
def test_token_setting_of_kind_is_read(name: str, kind: Kind) -> None:
    settings = stack_with(kind)
    if kind.token_field is None:
        assert derive.store_token(settings) is None
        return
    section = SecretSettings.model_validate({kind.token: "a-token-of-the-store"})
    token = derive.store_token(settings.model_copy(update={"secrets": section}))
    assert token is not None
    assert token.get_secret_value() == "a-token-of-the-store"


@EACH_KIND
def test_folder_of_kind_holds_its_store(name: str, kind: Kind) -> None:
    folder = ROOT / "apps/security/secret-stores/base" / name
    assert "cluster-secret-store.yaml" in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    store = yaml.safe_load((folder / "cluster-secret-store.yaml").read_text())
    assert store["metadata"]["annotations"]["homelab.dev/store"] == name
    assert list(store["spec"]["provider"]) == [kind.provider]


@EACH_KIND
def test_each_setting_of_a_kind_reaches_its_store(name: str, kind: Kind) -> None:
    folder = ROOT / "apps/security/secret-stores/base" / name
    replaced = yaml.safe_load((folder / "replacements.yaml").read_text())
    provider = (folder / "cluster-secret-store.yaml").read_text().partition("provider:")[2]
    of_settings = {one["source"]["fieldPath"].removeprefix("data.") for one in replaced}
    assert of_settings == set(re.findall(r"platformSecretStore\w+", provider))
    fields = {str(field.alias) for field in kind.section.model_fields.values()} - {"kind", "vaults"}
    assert of_settings == {key_of(f"platform.secretStore.{field}") for field in fields}


def component_of(kind: Kind) -> dict[str, Any]:
    """Return the generated component that takes a store into the apps."""
    stack = replace(read_stack(ROOT / "Pulumi.homelab.yaml"), settings=stack_with(kind))
    made: dict[str, Any] = yaml.safe_load(
        generated(stack, {})["apps/_settings/production/secret-store/kustomization.yaml"]
    )
    return made


@EACH_KIND
def test_settings_take_the_folder_of_the_kind(name: str, kind: Kind) -> None:
    made = component_of(kind)
    assert made["components"] == [f"../../../security/secret-stores/base/{name}"]
    assert ("patches" in made) == ("vaults" in kind.section.model_fields)


def test_vaults_are_searched_in_the_order_of_the_setting() -> None:
    kind = replace(KINDS["onepassword"], example="{kind: onepassword, server: https://c.example.com, vaults: [z, a]}")
    (patch,) = component_of(kind)["patches"]
    assert patch["target"] == {"kind": "ClusterSecretStore", "name": "homelab"}
    (operation,) = yaml.safe_load(patch["patch"])
    assert operation == {"op": "add", "path": "/spec/provider/onepassword/vaults", "value": {"z": 1, "a": 2}}


@EACH_KIND
def test_proposed_environment_has_a_store_of_such_kind(name: str, kind: Kind) -> None:
    folder = ROOT / "apps/_settings" / kind.environment / "secret-store"
    used = yaml.safe_load((folder / "kustomization.yaml").read_text())["components"]
    proposed_by = {one for one, row in KINDS.items() if row.environment == kind.environment}
    assert proposed_by & {one.rpartition("/")[2] for one in used}
    uses = yaml.safe_load((ROOT / f"apps/security/secret-stores/{kind.environment}/kustomization.yaml").read_text())
    assert f"../../../_settings/{kind.environment}/secret-store" in uses["components"]


@EACH_KIND
def test_documentation_has_kind(name: str, kind: Kind) -> None:
    assert f"(kind: {name})" in settings_reference()
    (page,) = (ROOT / "docs").rglob("secrets.md")
    token = f"`{kind.token}`" if kind.token else "none"
    assert re.search(rf"^\| `{name}` \| {re.escape(token)} \|", page.read_text(encoding="utf-8"), re.MULTILINE)

"""The borders of this tree that are objects: stores, and policies of who may connect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.components.mocks import ROOT


def objects(*kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((*ROOT.glob("apps/**/*.yaml"), *ROOT.glob("environments/**/*.yaml"))):
        text = file.read_text(encoding="utf-8")
        if any(f"kind: {kind}\n" in text for kind in kinds) and "{{" not in text:
            for item in yaml.safe_load_all(text):
                if isinstance(item, dict) and item.get("kind") in kinds:
                    yield str(file.relative_to(ROOT)), item


STORES = dict(objects("ClusterSecretStore"))


@pytest.mark.parametrize("file", STORES)
def test_a_store_serves_namespaces_of_categories_alone(file: str) -> None:
    chosen = {"matchExpressions": [{"key": "homelab.dev/category", "operator": "Exists"}]}
    assert STORES[file]["spec"]["conditions"] == [{"namespaceSelector": chosen}]


def test_every_kind_of_store_is_among_them() -> None:
    providers = {provider for store in STORES.values() for provider in store["spec"]["provider"]}
    assert providers == {"bitwardensecretsmanager", "fake", "kubernetes", "onepassword", "vault"}


def test_no_policy_lets_in_the_namespace_where_the_tunnel_ends() -> None:
    policies = list(objects("NetworkPolicy"))
    assert len(policies) > 5
    assert [file for file, one in policies if "networking" in repr(one["spec"].get("ingress"))] == []

"""The borders of this tree that are objects: stores, network policies, and kinds that stay in their namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from config.category import REACHING
from config.source import parse
from ops.toolchain.lookup import CRDS, ensure
from tests.components.mocks import ROOT

# Kinds that reach nothing beyond their namespace, or that their controllers read in their own namespace alone.
WITHIN = """\
Certificate ExternalSecret SealedSecret Experiment
Rollout HTTPRoute GRPCRoute TCPRoute TLSRoute UDPRoute BackendTLSPolicy ReferenceGrant XBackend
XBackendTrafficPolicy PodMonitor ServiceMonitor PrometheusRule CiliumEndpoint CiliumGatewayClassConfig
CiliumNetworkPolicy CiliumNodeConfig BFDProfile BGPAdvertisement BGPPeer Community ConfigurationState IPAddressPool
L2Advertisement ServiceBGPStatus ServiceL2Status Backup Cluster Database FailoverQuorum ImageCatalog Pooler Publication
ScheduledBackup Subscription ReplicationDestination ReplicationSource VolumeGroupSnapshot VolumeSnapshot EphemeralReport
PolicyReport ACRAccessToken ECRAuthorizationToken GCRAccessToken STSSessionToken Fake GeneratorState MFA Password SSHKey
UUID"""


def objects(*kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(ROOT.glob("apps/**/*.yaml")):
        text = file.read_text(encoding="utf-8")
        if any(f"kind: {kind}\n" in text for kind in kinds) and "{{" not in text:
            for item in yaml.safe_load_all(text):
                if isinstance(item, dict) and item.get("kind") in kinds:
                    yield str(file.relative_to(ROOT)), item


STORES = dict(objects("ClusterSecretStore"))


@pytest.mark.parametrize("file", STORES)
def test_a_store_serves_namespaces_of_categories_alone(file: str) -> None:
    chosen = [{"namespaceSelector": {"matchExpressions": [{"key": "homelab.dev/category", "operator": "Exists"}]}}]
    if is_patch(file):  # of a store in apps/, whose conditions stay unless the patch sets some
        assert STORES[file]["spec"].get("conditions", chosen) == chosen
    else:
        assert STORES[file]["spec"]["conditions"] == chosen


def is_patch(file: str) -> bool:
    path = ROOT / file
    kustomization = yaml.safe_load((path.parent / "kustomization.yaml").read_text(encoding="utf-8"))
    return path.name in [patch.get("path") for patch in kustomization.get("patches", ())]


def test_every_kind_of_store_is_among_them() -> None:
    providers = {provider for store in STORES.values() for provider in store["spec"]["provider"]}
    assert providers == {"bitwardensecretsmanager", "fake", "kubernetes", "onepassword", "vault"}


def test_no_policy_lets_in_the_namespace_where_the_tunnel_ends() -> None:
    policies = list(objects("NetworkPolicy"))
    assert len(policies) > 5
    assert [file for file, one in policies if "networking" in repr(one["spec"].get("ingress"))] == []


def test_every_installed_kind_is_closed_or_stays_in_its_namespace() -> None:
    folder = ensure((CRDS,)).manifests(CRDS)
    installed = set()
    for file in sorted(folder.rglob("*.yaml")):
        for document in parse(file.read_bytes(), file.name).documents:
            if isinstance(document.value, dict) and document.value.get("kind") == "CustomResourceDefinition":
                spec = document.value["spec"]
                if spec["scope"] == "Namespaced":
                    installed.add(f"{spec['names']['kind']}.{spec['group']}")
    assert len(installed) > 60
    assert {kind for kind in installed - set(REACHING) if kind.partition(".")[0] not in WITHIN.split()} == set()

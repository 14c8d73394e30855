"""Every operator that kwok plays, on a real API server with the real CRDs; Argo CD itself assesses the health."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from lab import operators, secret_store
from lab.api import Api, condition
from lab.control_plane import kubernetes
from ops.toolchain.lookup import ensure
from standins.crds import KnownCrds
from tests import polling
from tests.lab.bare_cluster import assessed, control_plane

pytestmark = pytest.mark.xdist_group("stages")

CRDS = "crds"
PROGRAMS = (*kubernetes.PARTS, "talosctl", "argocd", CRDS)
NAME = re.compile(r"""^  "?name"?: "?([a-z0-9.-]+)"?,?$""", re.MULTILINE)
OBJECTS = list(yaml.safe_load_all((Path(__file__).parent / "operated.yaml").read_text()))
# Argo CD has no health check for these and reports them as Healthy as soon as they exist.
UNJUDGED = {
    *("Alertmanager", "Backup", "Bundle", "CephBlockPool", "CephCluster", "CephFilesystem", "CephObjectStore"),
    *("ClusterPolicy", "Database", "GatewayClass", "IPAddressPool", "ReplicationDestination", "ReplicationSource"),
    *("StorageClass", "TLSRoute"),
}
ARGOCD = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "argocd-cm", "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": "argocd"}},
}
POD = {"containers": [{"name": "main", "image": "none.example/none:1"}]}
until = partial(polling.until, seconds=20)


@dataclass(frozen=True)
class PlayedCluster:
    """A cluster whose operators kwok plays."""

    api: Api
    env: dict[str, str]
    folder: Path

    def get(self, thing: dict[str, Any]) -> dict[str, Any]:
        """Return an object that must exist."""
        meta = thing["metadata"]
        found = self.api.get(thing["apiVersion"], thing["kind"], meta["name"], meta.get("namespace", ""))
        assert found
        return found

    def seen(self, kind: str, name: str, version: str = "v1") -> dict[str, Any]:
        return self.get({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}})

    def secret(self, name: str) -> dict[str, str]:
        """Return a Secret, once it exists."""
        until(lambda: self.api.get("v1", "Secret", name, "default") is not None)
        data = self.seen("Secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def health(self, thing: dict[str, Any]) -> str:
        """Return Argo CD's assessment of an object's present health."""
        return assessed(self.get(thing), json.dumps(ARGOCD), self.folder, self.env)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedCluster]:
    folder = tmp_path_factory.mktemp("stages")
    tools = ensure(PROGRAMS)
    env = tools.env()
    with control_plane(folder, env) as lab:
        api = Api.of(lab)
        _crds(KnownCrds(tools.manifests(CRDS)), api)
        kinds = api.metadata("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        kubernetes.reload_operators(lab, operators.playable({crd["name"] for crd in kinds}))
        api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}})
        for thing in OBJECTS:
            api.apply(thing, field_manager="test")
        secret_store.reconcile(lab, api, "")
        yield PlayedCluster(api, env, folder)


def _crds(crds: KnownCrds, api: Api) -> None:
    """Apply the CRDs of the operators; the others would take long."""
    acted_on = {crd for needed in operators._operators().values() for crd in needed}
    for text in (text for name in crds.names for text in crds.files(name).values()):
        if (found := NAME.search(text)) and found[1] in acted_on:
            api.create(yaml.load(text, Loader=yaml.CSafeLoader))


def test_an_operator_is_played_when_all_its_kinds_are_there() -> None:
    kinds = {f"{kind}.cert-manager.io" for kind in ("issuers", "clusterissuers", "certificates")}
    without = ["aggregated-apis.yaml", "volumes.yaml"]
    assert [file.name for file in operators.playable(kinds)] == sorted([*without, "cert-manager.yaml"])
    assert [file.name for file in operators.playable(kinds - {"issuers.cert-manager.io"})] == without


@pytest.mark.parametrize(
    ("group", "kind", "name"),
    [
        ("gateway.networking.k8s.io", "Gateway", "gateways"),
        ("gateway.networking.k8s.io", "GatewayClass", "gatewayclasses"),
        ("kyverno.io", "ClusterPolicy", "clusterpolicies"),
        ("monitoring.coreos.com", "Prometheus", "prometheuses"),
    ],
)
def test_a_kind_has_the_plural_that_its_crd_has(group: str, kind: str, name: str) -> None:
    assert operators.crd(group, kind) == f"{name}.{group}"


@pytest.mark.parametrize("file", sorted(kubernetes.OPERATORS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_head_of_an_operator_lists_its_limits(file: Path) -> None:
    if file in kubernetes.BASE:
        return
    top = re.sub(r"\n# ?", " ", file.read_text().partition("\napiVersion")[0])
    assert "Not simulated:" in top


def test_every_kind_that_is_acted_on_is_tried() -> None:
    acted_on = set()
    for file in set(kubernetes.OPERATORS.glob("*.yaml")) - set(kubernetes.BASE):
        for stage in yaml.safe_load_all(file.read_text()):
            acted_on.add((stage["spec"]["resourceRef"]["apiGroup"], stage["spec"]["resourceRef"]["kind"]))
    tried = {(thing["apiVersion"], thing["kind"]) for thing in OBJECTS}
    assert acted_on - tried == {("v1", "PersistentVolume")}, "a volume is made by a claim"


@pytest.mark.parametrize(
    "thing",
    [thing for thing in OBJECTS if thing["kind"] not in UNJUDGED],
    ids=lambda thing: f"{thing['kind']}-{thing['metadata']['name']}",
)
def test_argo_cd_finds_it_healthy(played: PlayedCluster, thing: dict[str, Any]) -> None:
    until(lambda: played.health(thing) == "Healthy")


def test_kinds_without_a_health_check_are_ready_too(played: PlayedCluster) -> None:
    by_kind = {thing["kind"]: thing for thing in OBJECTS}
    until(lambda: condition(played.get(by_kind["Alertmanager"]), "Available"))
    until(lambda: condition(played.get(by_kind["Bundle"]), "Synced"))
    until(lambda: condition(played.get(by_kind["CephCluster"]), "Ready"))
    until(lambda: condition(played.get(by_kind["ClusterPolicy"]), "Ready"))
    until(lambda: condition(played.get(by_kind["GatewayClass"]), "Accepted"))
    for kind in ("CephBlockPool", "CephFilesystem", "CephObjectStore"):
        assert played.get(by_kind[kind])["status"]["phase"] == "Ready"
    assert played.get(by_kind["Backup"])["status"]["phase"] == "completed"
    assert played.get(by_kind["Database"])["status"]["applied"] is True
    assert all(
        condition({"status": parent}, "Accepted") for parent in played.get(by_kind["TLSRoute"])["status"]["parents"]
    )


def test_a_certificate_gives_a_key_pair_for_its_names(played: PlayedCluster) -> None:
    pair = played.secret("wildcard-tls")
    made = x509.load_pem_x509_certificate(pair["tls.crt"].encode())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.home.example.com", "home.example.com"]
    assert made.subject.rfc4514_string() == "CN=rehearsed"
    assert "PRIVATE KEY" in pair["tls.key"]
    secret = played.seen("Secret", "wildcard-tls")
    assert (secret["type"], secret["metadata"]["labels"]["copied"]) == ("kubernetes.io/tls", "everywhere")


def test_an_external_secret_gives_every_key_also_after_changes(played: PlayedCluster) -> None:
    assert played.secret("forgejo-admin") == {
        "username": "rehearsed: forgejo-admin-user value",
        "password": "rehearsed: forgejo-admin-password value",
    }
    assert list(played.secret("restic")) == ["RESTIC_REPOSITORY"]
    assert played.seen("Secret", "restic")["metadata"]["annotations"] == {"note": "none"}
    asked = next(thing for thing in OBJECTS if thing["metadata"]["name"] == "forgejo-admin")
    data = [{"secretKey": "token", "remoteRef": {"key": "forgejo-token"}}]
    played.api.apply({**asked, "spec": {**asked["spec"], "data": data}}, field_manager="test")
    until(lambda: played.secret("forgejo-admin").get("token") == "rehearsed: forgejo-token")


def test_a_gateway_has_the_address_that_its_service_has_got(played: PlayedCluster) -> None:
    version = "gateway.networking.k8s.io/v1"
    until(lambda: condition(played.seen("Gateway", "internal", version), "Programmed"))
    status = played.seen("Gateway", "internal", version)["status"]
    assert status["addresses"] == [{"type": "IPAddress", "value": "10.0.0.50"}]
    assert [listener["supportedKinds"][0]["kind"] for listener in status["listeners"]] == [
        "HTTPRoute",
        "HTTPRoute",
        "TLSRoute",
    ]
    service = played.seen("Service", "cilium-gateway-internal")
    assert sorted(port["port"] for port in service["spec"]["ports"]) == [80, 443]


def test_a_service_without_a_requested_address_gets_an_unrouted_one(played: PlayedCluster) -> None:
    until(lambda: bool(played.seen("Service", "mosquitto")["status"]["loadBalancer"]))
    assert played.seen("Service", "mosquitto")["status"]["loadBalancer"]["ingress"][0]["ip"].startswith("198.18.")
    pool = played.seen("IPAddressPool", "homelab", "metallb.io/v1beta1")
    assert pool["status"]["availableIPv4"] == 12 + 16


def test_a_claim_waits_for_its_pod_if_its_class_does(played: PlayedCluster) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    for name in ("wanted", "unwanted"):
        meta = {"name": name, "namespace": "default"}
        played.api.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": claim})
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "wanted"}}]
    pod = {"name": "wants", "namespace": "default"}
    played.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": {**POD, "volumes": volumes}})
    until(lambda: played.seen("Pod", "wants")["status"]["phase"] == "Running")
    bound = played.seen("PersistentVolumeClaim", "wanted")
    assert bound["status"]["phase"] == "Bound"
    assert played.seen("PersistentVolumeClaim", "unwanted")["status"]["phase"] == "Pending"
    played.api.delete("v1", "Pod", "wants", "default")
    played.api.delete("v1", "PersistentVolumeClaim", "wanted", "default")
    until(lambda: played.api.get("v1", "PersistentVolume", bound["spec"]["volumeName"]) is None)


def test_a_database_has_its_services_and_its_owners_secret(played: PlayedCluster) -> None:
    secret = played.secret("forgejo-app")
    assert secret["uri"] == "postgresql://git:rehearsed@forgejo-rw.default:5432/forgejo"
    assert (secret["username"], secret["dbname"], secret["pgpass"][-1]) == ("git", "forgejo", "\n")
    for name in ("forgejo-rw", "forgejo-ro", "forgejo-r", "given-rw"):
        assert played.seen("Service", name)["spec"]["ports"][0]["port"] == 5432
    assert played.api.get("v1", "Secret", "given-app", "default") is None


def test_scheduled_copies_of_volsync_wait_and_manual_ones_are_done(played: PlayedCluster) -> None:
    version = "volsync.backube/v1alpha1"
    until(lambda: "conditions" in played.seen("ReplicationSource", "nightly", version).get("status", {}))
    assert "lastSyncTime" not in played.seen("ReplicationSource", "nightly", version)["status"]
    until(lambda: "lastManualSync" in played.seen("ReplicationDestination", "restored", version).get("status", {}))
    assert played.seen("ReplicationDestination", "restored", version)["status"]["lastManualSync"] == "first"


def test_an_aggregated_api_stays_available_without_a_server(played: PlayedCluster) -> None:
    found = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"}
    thing = {**found, "metadata": {"name": "v1beta1.metrics.k8s.io"}}
    until(lambda: condition(played.get(thing), "Available"))
    time.sleep(3)
    (available,) = played.get(thing)["status"]["conditions"]
    assert (available["status"], available["reason"]) == ("True", "Rehearsed")
    assert played.health(thing) == "Healthy"


def test_a_sealed_secret_gives_its_keys(played: PlayedCluster) -> None:
    assert played.secret("sealed") == {"token": "rehearsed: token"}
    assert played.seen("Secret", "sealed")["metadata"]["labels"] == {"sealed": "once"}

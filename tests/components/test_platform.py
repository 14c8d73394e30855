"""The platform: seeds that run once and in order, secrets that stay secret, credentials for Argo CD."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.platform.namespace_manifest import namespace_manifest
from components.platform.repositories import Repository, repository_data
from components.platform.seed import text
from config.tree import read_tree
from tests.components.mocks import ROOT, SECRETS, Program, Registered, run

STACKS = ("homelab", "staging", "dev")
URL = "https://git.example.com/homelab.git"


def seeds(program: Program) -> dict[str, Registered]:
    parts = ("crds", "cni", "certificates", "secrets", "argocd", "definitions")
    return {name: one for name, one in program.of("Command").items() if name.partition("-")[0] in parts}


@pytest.mark.parametrize("stack", STACKS)
def test_a_seed_runs_once_per_generation(stack: str) -> None:
    def raised(sections: dict[str, Any]) -> None:
        sections["homelab:cluster"]["generation"] = 7

    before, after = seeds(run(stack)), seeds(run(stack, raised))
    assert len(before) >= 8
    for name, seed in before.items():
        assert seed.inputs["create"] == text("definitions" if name == "definitions-all" else "seed")
        assert (seed.inputs["update"], "delete" in seed.inputs, "triggers" in seed.inputs) == (":", False, False)
        assert seed.options.retainOnDelete
        assert seed.options.deletedWith.endswith("::cluster-bootstrap")
        assert seed.options.replacement_trigger != after[name].options.replacement_trigger


@pytest.mark.parametrize(("stack", "environment"), [("homelab", "production"), ("staging", "staging"), ("dev", "dev")])
def test_a_seed_takes_the_folder_that_the_environment_runs(stack: str, environment: str) -> None:
    folders = [seed.inputs["environment"].get("FOLDER") for seed in seeds(run(stack)).values()]
    named = [folder for folder in folders if folder is not None]
    assert named
    for folder in named:
        assert (ROOT / folder / "kustomization.yaml").is_file()
        assert re.fullmatch(rf"(?:.*/)?apps/[\w-]+/[\w-]+/{environment}", folder)


def test_definitions_come_before_controllers_and_argo_cd_comes_last() -> None:
    found = seeds(run("homelab"))
    crds = {name for name in found if name.startswith("crds-")}
    assert crds == {f"crds-{app.name}" for app in read_tree(ROOT).apps_in("production", "crds")}
    assert crds <= found["cni-cilium"].depends_on
    assert crds <= found["definitions-all"].depends_on
    assert "cni-cilium" in found["certificates-cert-manager"].depends_on
    assert "secrets-stores" in found["certificates-issuers"].depends_on
    assert {"cni-cilium", "definitions-all", "argocd-repository-homelab"} <= found["argocd-argocd"].depends_on


def test_every_seed_says_what_has_to_be_ready() -> None:
    waits = {name: seed.inputs["environment"].get("WAITS", "") for name, seed in seeds(run("homelab")).items()}
    assert "kube-system/nodes/all" in waits["cni-cilium"].split()
    assert "cert-manager/clusterissuer/homelab" in waits["certificates-issuers"]
    assert "security/clustersecretstore/homelab" in waits["secrets-stores"]
    assert "security/deployment/bitwarden-sdk-server" in waits["secrets-external-secrets"]
    assert "argocd/statefulset/argocd-application-controller" in waits["argocd-argocd"]


def test_talos_own_network_needs_no_seed() -> None:
    def flannel(sections: dict[str, Any]) -> None:
        sections["homelab:platform"]["cni"] = "flannel"

    assert "cni-cilium" not in seeds(run("dev", flannel))


def test_secret_zero_is_in_one_secret_and_nowhere_else() -> None:
    program = run("homelab")
    holders = [one.name for one in program.resources if SECRETS["bitwardenToken"] in repr(one.inputs)]
    assert holders == ["secrets-secret-zero"]
    (secret,) = (one for one in program.of("Secret").values() if one.name == "secrets-secret-zero")
    assert secret.inputs["metadata"] == {"name": "secret-zero", "namespace": "security"}


def test_a_store_in_the_cluster_needs_no_secret_zero() -> None:
    assert {"secrets-secret-zero", "secrets-bitwarden-tls-certs"}.isdisjoint(run("dev").of("Secret"))


def test_bitwardens_server_has_one_trusted_certificate() -> None:
    program = run("homelab")
    certificate = program.of("SelfSignedCert")["secrets-bitwarden"].inputs
    assert certificate["isCaCertificate"] is True
    assert "bitwarden-sdk-server.security.svc.cluster.local" in certificate["dnsNames"]
    secret = program.of("Secret")["secrets-bitwarden-tls-certs"].inputs["stringData"]
    assert secret["tls.crt"] == secret["ca.crt"]


def test_the_internal_authority_is_a_kubernetes_tls_secret() -> None:
    secret = run("dev").of("Secret")["certificates-internal-ca"].inputs
    assert secret["type"] == "kubernetes.io/tls"
    assert set(secret["stringData"]) == {"tls.crt", "tls.key", "ca.crt"}


@pytest.mark.parametrize("stack", STACKS)
def test_every_namespace_is_made_with_its_level_and_stays(stack: str) -> None:
    made = run(stack).of("Namespace")
    for name, level in {"media": "restricted", "kube-system": "privileged"}.items():
        assert made[f"namespaces-{name}"].inputs["metadata"] == namespace_manifest(name, name, level)["metadata"]
    assert all(one.options.retainOnDelete for one in made.values())


@pytest.mark.parametrize(
    ("repository", "data"),
    [
        (Repository(URL), {"url": URL, "type": "git"}),
        (Repository(URL, password="t"), {"url": URL, "type": "git", "username": "git", "password": "t"}),
        (
            Repository("git@git.example.com:me/homelab.git", ssh_key="KEY"),
            {"url": "git@git.example.com:me/homelab.git", "type": "git", "sshPrivateKey": "KEY"},
        ),
        (
            Repository("https://charts.example.com", "helm", "me", password="t"),
            {"url": "https://charts.example.com", "type": "helm", "username": "me", "password": "t"},
        ),
        (
            Repository("oci://registry.example.com/charts", "oci", "me", password="t"),
            {
                "url": "registry.example.com/charts",
                "name": "registry.example.com/charts",
                "type": "helm",
                "enableOCI": "true",
                "username": "me",
                "password": "t",
            },
        ),
    ],
    ids=["public", "token", "deploy key", "charts", "oci"],
)
def test_a_repository_secret_has_the_keys_that_argo_cd_documents(
    repository: Repository[str], data: dict[str, str]
) -> None:
    assert repository_data(repository) == data


def test_argo_cd_finds_repository_secrets_by_their_label() -> None:
    secret = run("homelab").of("Secret")["argocd-repository-homelab"].inputs
    assert secret["metadata"]["namespace"] == "argocd"
    assert secret["metadata"]["labels"]["argocd.argoproj.io/secret-type"] == "repository"


def test_argo_cds_secret_has_keys_for_sessions_and_webhooks() -> None:
    secret = run("dev").of("Secret")["argocd-argocd-secret"].inputs["stringData"]
    hooks = {f"webhook.{host}.secret" for host in ("github", "gitlab", "gogs")}
    assert set(secret) == {"server.secretkey", *hooks}
    assert len({secret[hook] for hook in hooks}) == 1

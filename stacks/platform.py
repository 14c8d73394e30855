"""The platform of a stack: the order in which the cluster gets the services that applications need.

`stacks.homelab` passes the cluster in and takes the resources out that the handover must wait for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pydantic import SecretStr

from components.cluster.cluster import Cluster
from components.platform.argocd import ArgoCD, ArgoCDArgs
from components.platform.certificates import Certificates, CertificatesArgs
from components.platform.cni import Cni, CniArgs
from components.platform.crds import Crds, CrdsArgs
from components.platform.definitions import Definitions, DefinitionsArgs
from components.platform.namespaces import Namespaces, NamespacesArgs
from components.platform.repositories import Repository
from components.platform.secrets import Secrets, SecretsArgs
from components.platform.seed import Ground
from config.derive import platform_apps, store_kind, store_token
from config.load import reveal
from config.model import Settings
from config.tree import Tree, namespaces_of


@dataclass(frozen=True)
class PlatformOutputs:
    """The outputs of the platform that the handover needs."""

    ready: Sequence[pulumi.Resource]
    root_certificate: pulumi.Output[str]


def build_platform(
    settings: Settings, tree: Tree, cluster: Cluster, options: pulumi.ResourceOptions
) -> PlatformOutputs:
    """Make namespaces, then CRDs, then the CNI, then everything else in parallel."""
    folders = {app.label: app.path for app in tree.apps_in(settings.delivery.environment)}
    ground = Ground(
        kubeconfig=cluster.kubeconfig,
        kubernetes_version=str(settings.cluster.kubernetes_version),
        generation=settings.cluster.generation,
        gone_with=cluster.bootstrap,
    )
    spaces = Namespaces("namespaces", NamespacesArgs(namespaces_of(tree), cluster.bootstrap), options).made
    bundles = {app.name: app.path for app in tree.apps_in(settings.delivery.environment, "crds")}
    crds = Crds("crds", CrdsArgs(bundles, ground, [cluster.healthy]), options)
    definitions = Definitions("definitions", definitions_args(settings, tree, ground, crds.seeds), options)
    cilium = folders["kube-system/cilium"] if settings.platform.cni == "cilium" else None
    cni = Cni("cni", CniArgs(cilium, ground, [*crds.seeds, spaces["kube-system"]]), options)
    secrets = Secrets("secrets", secrets_args(settings, folders, ground, spaces["security"], cni.ready), options)
    certificates = Certificates(
        "certificates",
        CertificatesArgs(
            controller=folders["cert-manager/cert-manager"],
            issuers=folders["cert-manager/issuers"],
            organization=settings.cluster.name,
            ground=ground,
            namespace=spaces["cert-manager"],
            after=cni.ready,
            issuers_after=[secrets.ready],  # the token that proves ownership of a domain is in the store
        ),
        options,
    )
    before_argocd = [*cni.ready, definitions.made]
    argocd = ArgoCD("argocd", argocd_args(settings, folders, ground, spaces["argocd"], before_argocd), options)
    return PlatformOutputs([certificates.ready, secrets.ready, argocd.ready], certificates.root)


def definitions_args(
    settings: Settings, tree: Tree, ground: Ground, after: Sequence[pulumi.Resource]
) -> DefinitionsArgs:
    """Return the arguments of the definitions: categories of infrastructure, seeded apps apart."""
    delivery = settings.delivery
    chosen = tree.chosen(delivery.environment)
    names = [category.name for category in chosen if category.settings.layer == "infrastructure"]
    # A seed applies its own definitions.
    return DefinitionsArgs(names, list(platform_apps(settings)), delivery.environment, ground, after)


def secrets_args(
    settings: Settings,
    folders: Mapping[str, str],
    ground: Ground,
    namespace: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> SecretsArgs:
    """Return the arguments of the secrets: the kind of the store and the token that opens it."""
    return SecretsArgs(
        controller=folders["security/external-secrets"],
        stores=folders["security/secret-stores"],
        kind=settings.platform.secret_store.kind,
        token=secret(store_token(settings)),
        has_sdk_server=store_kind(settings).has_sdk_server,
        ground=ground,
        namespace=namespace,
        after=after,
    )


def argocd_args(
    settings: Settings,
    folders: Mapping[str, str],
    ground: Ground,
    namespace: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> ArgoCDArgs:
    """Return the arguments of Argo CD: its repositories and credentials."""
    secrets = settings.secrets
    return ArgoCDArgs(
        folder=folders["system/argocd"],
        highly_available=settings.platform.argocd.replicas == "ha",
        repositories=repositories(settings),
        webhook_secret=secret(secrets.webhook_secret),
        oidc_client_secret=secret(secrets.oidc_client_secret) if settings.platform.argocd.sso else None,
        notification_url=secret(secrets.notification_url),
        ground=ground,
        namespace=namespace,
        after=after,
    )


def repositories(settings: Settings) -> dict[str, Repository[pulumi.Input[str]]]:
    """Return every repository that Argo CD reads: this one, and those of the settings."""
    url, secrets = settings.delivery.repository, settings.secrets
    found: dict[str, Repository[pulumi.Input[str]]] = {
        "homelab": Repository(url, password=secret(secrets.git_token))
        if url.startswith("https://")
        else Repository(url, ssh_key=secret(secrets.git_ssh_key))
    }
    for repository in settings.platform.repositories:
        opens = secret(secrets.repositories.get(repository.name))
        is_ssh = repository.type == "git" and not repository.url.startswith("https://")
        found[repository.name] = Repository(
            repository.url,
            repository.type,
            repository.username,
            password=None if is_ssh else opens,
            ssh_key=opens if is_ssh else None,
        )
    return found


def secret(value: SecretStr | None) -> pulumi.Output[str] | None:
    """Return a secret setting as a secret of the engine."""
    revealed = reveal(value)
    return None if revealed is None else pulumi.Output.secret(revealed)

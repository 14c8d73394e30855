"""The content of a category.yaml: layer, namespaces, permitted kinds and sync policy of its apps.

`config.tree` reads these files; `components.handover` makes an AppProject, an ApplicationSet and namespaces of each.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import Field, PlainValidator

from config.rules import rule
from config.section import Section
from config.values import Name, Text, choice, refuse

Layer = Annotated[Literal["crds", "infrastructure", "applications"], choice("crds", "infrastructure", "applications")]
PodSecurity = Annotated[Literal["restricted", "baseline", "privileged"], choice("restricted", "baseline", "privileged")]
# Namespaced kinds with an effect beyond their namespace: permissions, writes to the secret store, requests of a
# controller to any address or with its own permissions, an entrance beside the gateways, an exception from the
# cluster's policies.
ReachingKind = Literal[
    "Alertmanager.monitoring.coreos.com",
    "AlertmanagerConfig.monitoring.coreos.com",
    "AnalysisRun.argoproj.io",
    "AnalysisTemplate.argoproj.io",
    "CertificateRequest.cert-manager.io",
    "Challenge.acme.cert-manager.io",
    "CiliumEnvoyConfig.cilium.io",
    "CiliumLocalRedirectPolicy.cilium.io",
    "CleanupPolicy.kyverno.io",
    "CloudsmithAccessToken.generators.external-secrets.io",
    "Gateway.gateway.networking.k8s.io",
    "GithubAccessToken.generators.external-secrets.io",
    "GitlabDeployToken.generators.external-secrets.io",
    "Grafana.generators.external-secrets.io",
    "Issuer.cert-manager.io",
    "ListenerSet.gateway.networking.k8s.io",
    "NamespacedDeletingPolicy.policies.kyverno.io",
    "NamespacedGeneratingPolicy.policies.kyverno.io",
    "NamespacedImageValidatingPolicy.policies.kyverno.io",
    "NamespacedMutatingPolicy.policies.kyverno.io",
    "NamespacedValidatingPolicy.policies.kyverno.io",
    "Order.acme.cert-manager.io",
    "Policy.kyverno.io",
    "PolicyException.kyverno.io",
    "PolicyException.policies.kyverno.io",
    "Probe.monitoring.coreos.com",
    "Prometheus.monitoring.coreos.com",
    "PrometheusAgent.monitoring.coreos.com",
    "PushSecret.external-secrets.io",
    "QuayAccessToken.generators.external-secrets.io",
    "Role.rbac.authorization.k8s.io",
    "RoleBinding.rbac.authorization.k8s.io",
    "ScrapeConfig.monitoring.coreos.com",
    "SecretStore.external-secrets.io",
    "ThanosRuler.monitoring.coreos.com",
    "UpdateRequest.kyverno.io",
    "VaultDynamicSecret.generators.external-secrets.io",
    "Webhook.generators.external-secrets.io",
]
REACHING: tuple[str, ...] = get_args(ReachingKind)
GROUP_KIND = re.compile(r"[A-Z][A-Za-z0-9]*(\.[a-z0-9-]+)+\Z")
WITHOUT_A_GROUP = ("Node", "PersistentVolume")


@rule("kind-malformed", scope="file", why="A project allows kinds by group; a kind without its group is ambiguous.")
def _group_kind(value: object) -> str:
    if value == "Namespace":
        refuse(
            "kind-malformed",
            "is a kind that an app must not make",
            "add it under `namespaces`, from which Pulumi makes it",
        )
    if not isinstance(value, str) or not (GROUP_KIND.match(value) or value in WITHOUT_A_GROUP):
        fix = "write Kind.group as kubectl does: ClusterRole.rbac.authorization.k8s.io"
        refuse("kind-malformed", "is not a kind with its group", fix)
    return value


GroupKind = Annotated[str, PlainValidator(_group_kind)]


class CategoryNamespace(Section):
    """One namespace of a category, which Pulumi makes with these labels."""

    pod_security: PodSecurity = Field(default="baseline", description="the Pod Security Standard that is enforced")


class Sync(Section):
    """The sync policy of Argo CD."""

    mode: Annotated[Literal["automatic", "manual"], choice("automatic", "manual")] = Field(
        default="automatic", description="`manual` syncs only after `./homelab sync`"
    )
    drift: Annotated[Literal["reported", "healed"], choice("reported", "healed")] = Field(
        default="reported", description="the reaction to a live edit: it is reported, or undone at once"
    )
    prune: Annotated[Literal["enabled", "disabled"], choice("enabled", "disabled")] = Field(
        default="enabled", description="whether Argo CD deletes objects that are no longer in the app's folder"
    )


class SyncPolicy(Sync):
    """The sync policy of a category, with the deviations of single environments."""

    environments: dict[Name, Sync] = Field(
        default_factory=dict, description="the policy of single environments, by their names"
    )
    reason: Text | None = Field(
        default=None, description="the reason for other values than the defaults, required then"
    )


class Category(Section):
    """One category.yaml."""

    layer: Layer = Field(description="the order of its apps: crds, then infrastructure, then applications")
    namespaces: dict[Name, CategoryNamespace] = Field(
        default_factory=dict, description="the namespaces of its apps (default: the category's own name)"
    )
    foundation: tuple[Name, ...] = Field(
        default=(), description="its apps that must be Healthy before the layer `applications` is generated"
    )
    cluster_kinds: tuple[GroupKind, ...] = Field(
        default=(), description="cluster-scoped kinds that its apps may create, as Kind.group"
    )
    namespaced_kinds: tuple[Annotated[ReachingKind, choice(*REACHING)], ...] = Field(
        default=(), description="kinds with an effect beyond a namespace that its applications may create nevertheless"
    )
    sync: SyncPolicy = Field(default_factory=SyncPolicy, description="the sync policy of its apps")
    removal: Annotated[Literal["keep", "delete"], choice("keep", "delete")] = Field(
        default="keep", description="the reaction to a deleted app folder: its objects are kept or deleted"
    )
    removal_reason: Text | None = Field(default=None, description="the reason for deleting them, required then")
    owners: tuple[Text, ...] = Field(
        default=(),
        description="its owners: groups of the login provider get a role in its project; `@user`, `@org/team` and mail"
        " addresses are written into CODEOWNERS",
    )

    @property
    def closed_kinds(self) -> tuple[str, ...]:
        """Return the namespaced kinds that its apps must not create: none before the layer of the applications."""
        declared = self.namespaced_kinds if self.layer == "applications" else REACHING
        return tuple(kind for kind in REACHING if kind not in declared)

    def sync_in(self, environment: str) -> Sync:
        """Return the policy of an environment."""
        return self.sync.environments.get(environment, self.sync)

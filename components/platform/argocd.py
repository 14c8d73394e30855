"""Argo CD, and the credentials with which it reads Git.

Its own secrets (Redis, session key, webhook) are made here and stay in the encrypted state; its ConfigMaps are in its
folder of apps/, which it syncs itself after the handover.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command.local import Command
from pulumi_kubernetes.core.v1 import Secret
from pulumi_random import RandomPassword

from components.contract import Component
from components.platform.repositories import Repository, repository_data
from components.platform.seed import Ground, Seed

NAMESPACE = "argocd"
PART_OF = {"app.kubernetes.io/part-of": "argocd"}
REPOSITORY = {**PART_OF, "argocd.argoproj.io/secret-type": "repository"}
KEY_LENGTH = 32
WAITS = (
    "deployment/argocd-redis",
    "deployment/argocd-repo-server",
    "deployment/argocd-applicationset-controller",
    "deployment/argocd-server",
    "statefulset/argocd-application-controller",
)
WAITS_HA = ("statefulset/argocd-redis-ha-server", *WAITS[1:])


@dataclass(frozen=True)
class ArgoCDArgs:
    """Argo CD's folder, its repositories, and the secrets that the operator set."""

    folder: str
    highly_available: bool
    repositories: Mapping[str, Repository[pulumi.Input[str]]]
    webhook_secret: pulumi.Output[str] | None
    oidc_client_secret: pulumi.Output[str] | None
    notification_url: pulumi.Output[str] | None
    ground: Ground
    namespace: pulumi.Resource
    after: Sequence[pulumi.Resource]


class ArgoCD(Component):
    """Argo CD with its secrets."""

    ready: Command

    def __init__(self, name: str, args: ArgoCDArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make its secrets, then seed the folder."""
        super().__init__(name, opts)
        self.args = args
        redis = self._password("redis")
        webhook = args.webhook_secret or self._password("webhook")
        own: dict[str, pulumi.Input[str]] = {
            "server.secretkey": self._password("session"),
            **{f"webhook.{host}.secret": webhook for host in ("github", "gitlab", "gogs")},
        }
        if args.oidc_client_secret is not None:
            own["oidc.clientSecret"] = args.oidc_client_secret
        secrets = [
            self._secret("argocd-redis", {"auth": redis}, PART_OF),
            self._secret("argocd-secret", own, PART_OF),
            *(
                self._secret(f"repository-{key}", dict(repository_data(repository)), REPOSITORY)
                for key, repository in args.repositories.items()
            ),
        ]
        if args.notification_url is not None:
            secrets.append(self._secret("argocd-notifications-secret", {"url": args.notification_url}, PART_OF))
        waits = tuple(f"{NAMESPACE}/{wait}" for wait in (WAITS_HA if args.highly_available else WAITS))
        self.ready = Seed(args.folder, NAMESPACE, waits).sow(
            self.child("argocd"), args.ground, self, [*args.after, args.namespace, *secrets]
        )
        self.webhook = webhook
        self.register_outputs({"folder": args.folder})

    def _password(self, what: str) -> pulumi.Output[str]:
        made = RandomPassword(self.child(what), length=KEY_LENGTH, special=False, opts=self.options())
        return made.result

    def _secret(self, secret: str, data: Mapping[str, pulumi.Input[str]], labels: Mapping[str, str]) -> Secret:
        return Secret(
            self.child(secret),
            metadata={"name": secret, "namespace": NAMESPACE, "labels": dict(labels)},
            string_data=data,
            opts=self.options(depends_on=[self.args.namespace], deleted_with=self.args.ground.gone_with),
        )

"""Secrets: External Secrets, its store, and secret zero.

The one credential that opens the store goes from Pulumi's encrypted settings into exactly one Secret; the cluster reads
all others from the store. Bitwarden's SDK server needs a certificate to start, which is made here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command.local import Command
from pulumi_kubernetes.core.v1 import Secret
from pulumi_tls import PrivateKey, SelfSignedCert

from components.contract import Component
from components.platform.seed import Ground, Seed
from config.secret_stores import NAMESPACE, SDK_CERTIFICATE, SECRET_ZERO

SDK_SERVER = "bitwarden-sdk-server"
TEN_YEARS, ONE_YEAR = 10 * 365 * 24, 365 * 24  # in hours


@dataclass(frozen=True)
class SecretsArgs:
    """The folders of the controller and its store, the kind of the store, and its token."""

    controller: str
    stores: str
    kind: str
    token: pulumi.Output[str] | None
    has_sdk_server: bool
    ground: Ground
    namespace: pulumi.Resource
    after: Sequence[pulumi.Resource]


class Secrets(Component):
    """External Secrets with a store that it can open."""

    ready: Command

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make secret zero, then the controller, then the store."""
        super().__init__(name, opts)
        self.args = args
        before: list[pulumi.Resource] = [args.namespace]
        if args.token is not None:
            before.append(self._secret(SECRET_ZERO, {"token": args.token}))
        if args.has_sdk_server:
            before.append(self._sdk_certificate())
        waits = [f"{NAMESPACE}/deployment/external-secrets", f"{NAMESPACE}/deployment/external-secrets-webhook"]
        waits += [f"{NAMESPACE}/deployment/{SDK_SERVER}"] if args.has_sdk_server else []
        controller = Seed(args.controller, NAMESPACE, tuple(waits)).sow(
            self.child("external-secrets"), args.ground, self, [*args.after, *before]
        )
        self.ready = Seed(args.stores, NAMESPACE, (f"{NAMESPACE}/clustersecretstore/homelab",)).sow(
            self.child("stores"), args.ground, self, [controller]
        )
        self.register_outputs({"kind": args.kind})

    def _secret(self, secret: str, data: Mapping[str, pulumi.Input[str]]) -> Secret:
        return Secret(
            self.child(secret),
            metadata={"name": secret, "namespace": NAMESPACE},
            string_data=data,
            opts=self.options(depends_on=[self.args.namespace], deleted_with=self.args.ground.gone_with),
        )

    def _sdk_certificate(self) -> Secret:
        key = PrivateKey(self.child("bitwarden"), algorithm="ECDSA", ecdsa_curve="P256", opts=self.options())
        names = [SDK_SERVER, f"{SDK_SERVER}.{NAMESPACE}", f"{SDK_SERVER}.{NAMESPACE}.svc"]
        certificate = SelfSignedCert(
            self.child("bitwarden"),
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,  # it signs itself: clients trust this certificate alone
            subject={"common_name": SDK_SERVER},
            dns_names=[*names, f"{names[-1]}.cluster.local", "localhost"],
            allowed_uses=["cert_signing", "digital_signature", "key_encipherment", "server_auth"],
            validity_period_hours=TEN_YEARS,
            early_renewal_hours=ONE_YEAR,
            opts=self.options(),
        )
        data = {"tls.crt": certificate.cert_pem, "tls.key": key.private_key_pem, "ca.crt": certificate.cert_pem}
        return self._secret(SDK_CERTIFICATE, data)

"""Certificates: cert-manager, its issuers, and an authority of the cluster's own.

The root of the internal authority is made here and stays in the encrypted state, so that clients which trusted the old
cluster trust a rebuilt one; its certificate is an output. Git decides which issuer signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command.local import Command
from pulumi_kubernetes.core.v1 import Secret
from pulumi_tls import PrivateKey, SelfSignedCert

from components.contract import Component
from components.platform.seed import Ground, Seed

NAMESPACE = "cert-manager"
ROOT_SECRET = "internal-ca"  # noqa: S105 - the name of a Secret
TEN_YEARS, ONE_YEAR = 10 * 365 * 24, 365 * 24  # in hours


@dataclass(frozen=True)
class CertificatesArgs:
    """The folders of cert-manager and its issuers, and the organization of the authority."""

    controller: str
    issuers: str
    organization: str
    ground: Ground
    namespace: pulumi.Resource
    after: Sequence[pulumi.Resource]
    issuers_after: Sequence[pulumi.Resource]


class Certificates(Component):
    """cert-manager, its issuers and the internal authority."""

    root: pulumi.Output[str]
    ready: Command

    def __init__(self, name: str, args: CertificatesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the root, then the controller, then the issuers."""
        super().__init__(name, opts)
        key = PrivateKey(self.child("root"), algorithm="ECDSA", ecdsa_curve="P384", opts=self.options())
        certificate = SelfSignedCert(
            self.child("root"),
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,
            subject={"common_name": f"{args.organization} root", "organization": args.organization},
            allowed_uses=["cert_signing", "crl_signing", "digital_signature"],
            validity_period_hours=TEN_YEARS,
            early_renewal_hours=ONE_YEAR,
            opts=self.options(),
        )
        self.root = certificate.cert_pem
        secret = Secret(
            self.child(ROOT_SECRET),
            metadata={"name": ROOT_SECRET, "namespace": NAMESPACE},
            type="kubernetes.io/tls",
            string_data={
                "tls.crt": certificate.cert_pem,
                "tls.key": key.private_key_pem,
                "ca.crt": certificate.cert_pem,
            },
            opts=self.options(depends_on=[args.namespace], deleted_with=args.ground.gone_with),
        )
        parts = ("cert-manager", "cert-manager-webhook", "cert-manager-cainjector")
        waits = tuple(f"{NAMESPACE}/deployment/{part}" for part in parts)
        controller = Seed(args.controller, NAMESPACE, waits).sow(
            self.child("cert-manager"), args.ground, self, [*args.after, args.namespace]
        )
        self.ready = Seed(args.issuers, NAMESPACE, (f"{NAMESPACE}/clusterissuer/homelab",)).sow(
            self.child("issuers"), args.ground, self, [controller, secret, *args.issuers_after]
        )
        self.register_outputs({"root": self.root})

"""The kinds of secret stores: one settings section and one row of `KINDS` per kind. A new kind is added here.

Every other module reads the row: `config.model` the section, `config.derive` the token, `stacks.platform` and
`components.platform.secrets` the Secrets to make, `ops.init` the example, `manifests.rules` the provider. A kind also
needs its token as a field of `config.model.SecretSettings`, a folder below apps/security/secret-stores and a row in
docs/understanding/secrets.md; tests/config/test_secret_stores.py compares all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from pydantic.alias_generators import to_camel

from config.section import Section
from config.values import Https, Name, Text

NAMESPACE = "security"
SECRET_ZERO = "secret-zero"  # noqa: S105 - the name of a Secret
SDK_CERTIFICATE = "bitwarden-tls-certs"


class BitwardenStore(Section):
    """Bitwarden Secrets Manager."""

    kind: Literal["bitwarden"]
    organization: Text = Field(description="the organization's id")
    project: Text = Field(description="the project's id")


class VaultStore(Section):
    """HashiCorp Vault or OpenBao with its KV engine."""

    kind: Literal["vault"]
    server: Https = Field(description="the URL of Vault")
    path: Text = Field(default="secret", description="the mount of the KV engine (version 2)")


class OnePasswordStore(Section):
    """1Password through a Connect server."""

    kind: Literal["onepassword"]
    server: Https = Field(description="the URL of the Connect server")
    vaults: tuple[Name, ...] = Field(min_length=1, description="the vaults to read, in order")


class KubernetesStore(Section):
    """Secrets in a namespace of this cluster: for trials and for stacks without a secret manager."""

    kind: Literal["kubernetes"]
    namespace: Name = Field(default="secret-source", description="the namespace that holds the source Secrets")


SecretStore = Annotated[BitwardenStore | VaultStore | OnePasswordStore | KubernetesStore, Field(discriminator="kind")]


@dataclass(frozen=True)
class Kind:
    """One kind of secret store."""

    section: type[Section]
    provider: str
    """The key of the provider in a ClusterSecretStore of External Secrets."""
    example: str
    """The value of `platform.secretStore` that `./homelab init` writes."""
    environment: str = "production"
    """The environment of this tree whose ClusterSecretStore is of this kind, which `./homelab init` proposes."""
    token_field: str | None = None
    """The field of `config.model.SecretSettings` with the credential that opens the store: secret zero."""
    has_sdk_server: bool = False
    """External Secrets reaches the store through its SDK server, which needs a certificate to start."""
    logs_in_for_each_entry: bool = False
    """The provider logs in for each entry that it reads: a second reader of an entry risks a rate limit."""

    @property
    def token(self) -> str | None:
        """Return the key of the token below `homelab:secrets`."""
        return to_camel(self.token_field) if self.token_field else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the names of the Secrets that Pulumi makes for this kind in the namespace of the store."""
        return (*([SECRET_ZERO] if self.token_field else []), *([SDK_CERTIFICATE] if self.has_sdk_server else []))


KINDS: Mapping[str, Kind] = {
    "bitwarden": Kind(
        BitwardenStore,
        provider="bitwardensecretsmanager",
        example="{kind: bitwarden, organization: YOUR-ORGANIZATION-ID, project: YOUR-PROJECT-ID}",
        token_field="bitwarden_token",  # noqa: S106 - the name of a field
        has_sdk_server=True,
        logs_in_for_each_entry=True,
    ),
    "vault": Kind(
        VaultStore,
        provider="vault",
        example="{kind: vault, server: https://vault.example.com:8200}",
        token_field="vault_token",  # noqa: S106 - the name of a field
    ),
    "onepassword": Kind(
        OnePasswordStore,
        provider="onepassword",
        example="{kind: onepassword, server: https://connect.example.com, vaults: [homelab]}",
        token_field="onepassword_token",  # noqa: S106 - the name of a field
    ),
    "kubernetes": Kind(KubernetesStore, provider="kubernetes", example="{kind: kubernetes}", environment="dev"),
}

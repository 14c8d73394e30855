"""The content of a repository credential for Argo CD.

Pure: secret values are passed on unchanged, wrapped or not; `components.platform.argocd` makes the Secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Value = TypeVar("Value")
TOKEN_USER = "git"  # with a token any user name is valid, an empty one is not  # noqa: S105


@dataclass(frozen=True)
class Repository(Generic[Value]):
    """One repository with its credentials."""

    url: str
    type: Literal["git", "helm", "oci"] = "git"
    username: str | None = None
    password: Value | None = None
    ssh_key: Value | None = None


def repository_data(repository: Repository[Value]) -> Mapping[str, str | Value]:
    """Return the keys that Argo CD documents for a repository Secret."""
    data: dict[str, str | Value] = {"url": repository.url, "type": repository.type}
    if repository.type == "oci":
        # To Argo CD, an OCI registry of charts is a Helm repository whose URL has no scheme.
        data |= {"type": "helm", "enableOCI": "true", "url": repository.url.removeprefix("oci://")}
        data["name"] = repository.url.removeprefix("oci://")
    if repository.ssh_key is not None:
        data["sshPrivateKey"] = repository.ssh_key
    if repository.password is not None:
        data["username"] = repository.username or TOKEN_USER
        data["password"] = repository.password
    return data

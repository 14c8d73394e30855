"""What Argo CD has to be told to read a repository: the shape of its credential Secret.

Pure: secret values are passed on untouched, whatever they are wrapped in; `components.platform.argocd` makes the
Secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Value = TypeVar("Value")
TOKEN_USER = "git"  # with a token the user's name does not matter, but there has to be one  # noqa: S105


@dataclass(frozen=True)
class Repository(Generic[Value]):
    """One repository with what opens it."""

    url: str
    type: Literal["git", "helm", "oci"] = "git"
    username: str | None = None
    password: Value | None = None
    ssh_key: Value | None = None


def repository_data(repository: Repository[Value]) -> Mapping[str, str | Value]:
    """Give the keys that Argo CD documents for a repository Secret."""
    data: dict[str, str | Value] = {"url": repository.url, "type": repository.type}
    if repository.type == "oci":
        # An OCI registry of charts is a Helm repository to Argo CD, named without its scheme.
        data |= {"type": "helm", "enableOCI": "true", "url": repository.url.removeprefix("oci://")}
        data["name"] = repository.url.removeprefix("oci://")
    if repository.ssh_key is not None:
        data["sshPrivateKey"] = repository.ssh_key
    if repository.password is not None:
        data["username"] = repository.username or TOKEN_USER
        data["password"] = repository.password
    return data

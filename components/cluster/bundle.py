"""The secrets of the cluster as the bundle that talosctl reads and that the operator puts into escrow.

Pure: the provider's machine secrets come in, the YAML of `talosctl gen secrets` goes out. Its holder can make every
certificate of the cluster again; it never expires, unlike the client certificates made from it.
`components.cluster.cluster` passes it to the commands and exports it.
"""

from __future__ import annotations

from typing import Any, Protocol

import yaml


class KeyPair(Protocol):
    """A certificate with its key."""

    cert: str
    key: str


def bundle(secrets: Any) -> str:
    """Return the secrets bundle as YAML."""
    certs = secrets.certs
    pairs = {"etcd": certs.etcd, "k8s": certs.k8s, "k8saggregator": certs.k8s_aggregator}
    document = {
        "cluster": {"id": secrets.cluster.id, "secret": secrets.cluster.secret},
        "secrets": {
            "bootstraptoken": secrets.secrets.bootstrap_token,
            "secretboxencryptionsecret": secrets.secrets.secretbox_encryption_secret,
        },
        "trustdinfo": {"token": secrets.trustdinfo.token},
        "certs": {
            **{name: _pair(pair) for name, pair in pairs.items()},
            "k8sserviceaccount": {"key": certs.k8s_serviceaccount.key},
            "os": _pair(certs.os),
        },
    }
    return yaml.safe_dump(document, sort_keys=False)


def _pair(pair: KeyPair) -> dict[str, str]:
    return {"crt": pair.cert, "key": pair.key}

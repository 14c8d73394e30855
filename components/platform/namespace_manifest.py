"""A namespace as its category wants it, with the Pod Security level that its pods are held to.

Pure: `components.platform.namespaces` makes the resource of it and `ops.render` the file.
"""

from __future__ import annotations

from typing import Any

LEVELS = ("enforce", "audit", "warn")


def namespace_manifest(name: str, category: str, level: str) -> dict[str, Any]:
    """Write a namespace; its labels say to the API server's admission which pods may live here."""
    labels = {"homelab.dev/category": category, **{f"pod-security.kubernetes.io/{mode}": level for mode in LEVELS}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}

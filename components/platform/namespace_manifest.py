"""The manifest of a namespace, with the Pod Security level of its category.

Pure: `components.platform.namespaces` makes the resource and `ops.render` the file.
"""

from __future__ import annotations

from typing import Any

LEVELS = ("enforce", "audit", "warn")


def namespace_manifest(name: str, category: str, level: str) -> dict[str, Any]:
    """Return a namespace; its labels tell the API server's admission which pods may run in it."""
    labels = {"homelab.dev/category": category, **{f"pod-security.kubernetes.io/{mode}": level for mode in LEVELS}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}

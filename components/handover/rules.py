"""What holds for every Application: its name, its namespace, how hard it tries.

Pure; `components.handover.application_sets` writes it as templates, and whoever has to know the same about one app asks
here too.
"""

from __future__ import annotations

from collections.abc import Sequence

NAMESPACE = "argocd"
IN_CLUSTER = "https://kubernetes.default.svc"
LAYERS = ("crds", "infrastructure", "applications")
CATEGORY, LAYER, DIGEST = "homelab.dev/category", "homelab.dev/layer", "homelab.dev/category-digest"
ALLOW_DELETION = "homelab.dev/allow-deletion"
# Finite, because a retry that never ends holds on to the revision it began with; long, because an app whose CRD comes
# late would otherwise stay failed for ever. Five minutes in all.
RETRY = {"limit": 20, "backoff": {"duration": "15s", "factor": 1, "maxDuration": "15s"}}


def namespace_of(app: str, namespaces: Sequence[str]) -> str:
    """Say where an app lives that does not say so itself: the namespace of its own name, else the category's first."""
    return app if app in namespaces else namespaces[0]


def namespace_template(namespaces: Sequence[str]) -> str:
    """Write the same rule for the template of an ApplicationSet."""
    first, *others = namespaces
    if not others:
        return first
    listed = " ".join(f'"{namespace}"' for namespace in namespaces)
    own = "{{ .path.basename }}"
    return f"{{{{ if has .path.basename (list {listed}) }}}}{own}{{{{ else }}}}{first}{{{{ end }}}}"

"""The defaults of every Application: names, namespace, retry.

Pure; `components.handover.application_sets` writes them as templates, other modules use them for a single app.
"""

from __future__ import annotations

from collections.abc import Sequence

NAMESPACE = "argocd"
IN_CLUSTER = "https://kubernetes.default.svc"
LAYERS = ("crds", "infrastructure", "applications")
CATEGORY, LAYER, DIGEST = "homelab.dev/category", "homelab.dev/layer", "homelab.dev/category-digest"
GENERATE_PATHS = "argocd.argoproj.io/manifest-generate-paths"
ALLOW_DELETION = "homelab.dev/allow-deletion"
# Two hours in all. Argo CD never retries a commit whose sync has failed for good, and on a first start the webhook that
# an app needs may still be downloading. Each attempt takes the newest commit, so that a fix in Git takes effect.
RETRY = {"limit": 125, "refresh": True, "backoff": {"duration": "15s", "factor": 2, "maxDuration": "1m"}}


def namespace_of(app: str, namespaces: Sequence[str]) -> str:
    """Return the default namespace of an app: the namespace of its own name, else the first one of its category."""
    return app if app in namespaces else namespaces[0]


def namespace_template(namespaces: Sequence[str], app: str) -> str:
    """Return the same rule as a template for an ApplicationSet."""
    first, *others = namespaces
    if not others:
        return first
    listed = " ".join(f'"{namespace}"' for namespace in namespaces)
    return f"{{{{ if has ({app.strip('{} ')}) (list {listed}) }}}}{app}{{{{ else }}}}{first}{{{{ end }}}}"

"""One AppProject per category, as narrow as the category allows: this repository, its namespaces, its cluster kinds.

An Application creates no namespaced kind whose effect reaches beyond its namespace, unless the category declares the
kind. Argo CD refuses the kinds of that list, even if others are allowed (`IsGroupKindNamePermitted`).

The private repositories of the settings are permitted too: Argo CD passes a project no credentials of other
repositories.

Gates of the stack that Argo CD itself holds are here: windows, and signatures. Argo CD verifies the commit that an
ApplicationSet or an Application is generated from if the template's `project` is a plain name, as here. It verifies no
Helm chart and no remote base.

Pure: a category comes in, the manifest goes out; `components.handover.handover` makes the resource.
"""

from __future__ import annotations

from typing import Any

from components.handover.application_defaults import CATEGORY, IN_CLUSTER, LAYER, NAMESPACE
from config.gates import Gates
from config.tree import CategoryFolder

NO_GATES = Gates()
OWNER = "owner"
ACTIONS = ("get", "sync", "action/*", "logs")


def project(category: CategoryFolder, repository: str, *beside: str, gates: Gates = NO_GATES) -> dict[str, Any]:
    """Return the AppProject of a category; `beside` are private repositories that charts may come from."""
    closed = category.settings.closed_kinds
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {
            "name": category.name,
            "namespace": NAMESPACE,
            "labels": {CATEGORY: category.name, LAYER: category.settings.layer},
        },
        "spec": {
            "description": f"apps/{category.name}, {category.settings.layer}",
            "sourceRepos": [repository, *beside],
            "destinations": [{"server": IN_CLUSTER, "namespace": namespace} for namespace in category.namespaces],
            "clusterResourceWhitelist": [_group_kind(kind) for kind in sorted(category.settings.cluster_kinds)],
            **({"namespaceResourceBlacklist": [_group_kind(kind) for kind in closed]} if closed else {}),
            **({"roles": [_owners(category)]} if _groups(category) else {}),
            **({"syncWindows": [window.spec() for window in gates.windows]} if gates.windows else {}),
            **({"sourceIntegrity": _signed(gates)} if gates.signatures == "required" else {}),
        },
    }


def _signed(gates: Gates) -> dict[str, Any]:
    """Return the policy that every commit of every Git repository is signed; a source without a policy is accepted.

    The signature of a commit covers its whole content. `strict` would verify its ancestors too, back to the first one.
    """
    gpg = {"mode": "head", "keys": list(gates.signing_keys)}
    return {"git": {"policies": [{"repos": [{"url": "*"}], "gpg": gpg}]}}


def _group_kind(text: str) -> dict[str, str]:
    kind, _, group = text.partition(".")
    return {"group": group, "kind": kind}


def _groups(category: CategoryFolder) -> list[str]:
    """Return the owners that a login provider can know: users and teams of GitHub begin with @."""
    return [owner for owner in category.settings.owners if not owner.startswith("@")]


def _owners(category: CategoryFolder) -> dict[str, Any]:
    """Return the role in which the owners' groups may view, sync and restart; they make changes in Git."""
    subject, scope = f"proj:{category.name}:{OWNER}", f"{category.name}/*"
    return {
        "name": OWNER,
        "groups": _groups(category),
        "policies": [
            f"p, {subject}, {'logs' if action == 'logs' else 'applications'}, "
            f"{'get' if action == 'logs' else action}, {scope}, allow"
            for action in ACTIONS
        ],
    }

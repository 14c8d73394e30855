"""The health of the apps of each environment, as the Argo CD of its stack reports it.

A checkout and its stacks come in; for each environment, the state of its Applications or the reason why it is unknown
goes out. A cluster that cannot be reached is no error: everything else of the matrix is in Git.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.model import Settings
from errors import HomelabError
from manifests.objects import Object
from ops.argocd.applications import followed
from ops.argocd.client import ArgoCDClient
from ops.promotion.evidence import app_evidence
from ops.promotion.matrix import EnvironmentHealth
from ops.promotion.report import CellHealth
from ops.rehearsal.client import client_of, has_rehearsal
from ops.toolchain.lookup import locate

NO_CLUSTER = "there is no rehearsal of its stack here, and KUBECONFIG is not set"
NO_KUBECTL = "kubectl is not here yet; ./homelab tools"
OTHER_CLUSTER = "the cluster of KUBECONFIG runs another environment"


def health_of(root: Path, stacks: Mapping[str, Settings], *, forbidden: str) -> Mapping[str, EnvironmentHealth]:
    """Return the health of each environment that a stack runs; `forbidden` is the reason to reach no other host."""
    by_environment: dict[str, list[str]] = {}
    for name, settings in stacks.items():
        by_environment.setdefault(settings.delivery.environment, []).append(name)
    return {
        environment: _first([_of_stack(root, name, stacks[name], forbidden) for name in names])
        for environment, names in by_environment.items()
    }


def _first(found: Sequence[EnvironmentHealth]) -> EnvironmentHealth:
    return next((one for one in found if one.origin), found[0])


def _of_stack(root: Path, name: str, settings: Settings, forbidden: str) -> EnvironmentHealth:
    is_rehearsed = has_rehearsal(root, name)
    if not is_rehearsed and (forbidden or not os.environ.get("KUBECONFIG")):
        return EnvironmentHealth(reason=f"{forbidden} allows no cluster" if forbidden else NO_CLUSTER)
    if locate(("kubectl",))[1]:
        return EnvironmentHealth(reason=NO_KUBECTL)
    try:
        return of_cluster(client_of(root, name), name, settings)
    except HomelabError as error:
        return EnvironmentHealth(reason=f"stack {name}: {str(error).splitlines()[0]}")


def of_cluster(client: ArgoCDClient, name: str, settings: Settings) -> EnvironmentHealth:
    """Return the health that the Argo CD of one cluster reports, unless it runs another environment."""
    client.refuse_timeout()
    found = client.argocd()
    if followed(found["ApplicationSet"]) != {(client.repository(settings), settings.delivery.environment)}:
        return EnvironmentHealth(reason=OTHER_CLUSTER)
    origin = f"stack {name} ({'rehearsal' if client.is_rehearsed else 'cluster'})"
    return EnvironmentHealth(origin, "", {one["metadata"]["name"]: cell_health(one) for one in found["Application"]})


def cell_health(found: Object) -> CellHealth:
    """Return the state of one Application, and since when the revision that it runs has been Healthy."""
    evidence = app_evidence(found)
    since = evidence.since(lambda revision: revision == evidence.revision) if evidence.is_good else None
    return CellHealth(health=evidence.health, sync=evidence.sync, since=since)

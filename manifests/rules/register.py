"""All rules, and running them on scenes: findings become problems with a file and a line.

Scenes and the checkout come in, problems go out. A new rule is one generator here, one reason in `manifests.rules.why`
and one scenario in `tests/manifests/rules`. `ops.checking.validation` continues.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from errors import Problem
from manifests.rules import (
    access,
    entries,
    network,
    ownership,
    references,
    routes,
    security,
    storage,
    wiring,
    workloads,
)
from manifests.rules.locate import Locator
from manifests.rules.stack_objects import Finding, Rule, Scene

RULES: tuple[Rule, ...] = (
    ownership.namespaces,
    ownership.unnamed,
    ownership.cluster_kinds,
    ownership.namespaced_kinds,
    access.escalating,
    ownership.owners,
    ownership.versions,
    ownership.unasked_hooks,
    ownership.exceptions,
    workloads.images,
    workloads.pulled,
    workloads.among_crds,
    workloads.resources,
    workloads.probes,
    workloads.policies,
    network.unguarded,
    network.outward,
    workloads.replacement,
    workloads.budgets,
    workloads.autoscaled,
    workloads.reloaded,
    wiring.quantities,
    wiring.mounts,
    wiring.ports,
    wiring.selectors,
    security.levels,
    security.movers,
    security.unexplained,
    storage.kept,
    storage.spread,
    storage.joined,
    storage.room,
    storage.asked,
    routes.hosts,
    routes.foreign,
    routes.published,
    routes.git_inside,
    routes.logins,
    routes.placeholders,
    references.existing,
    references.bound,
    entries.declared,
    entries.foreign,
)


def check(places: Locator, scenes: Iterable[Scene]) -> list[Problem]:
    """Run every rule on every scene; what two stacks share is told once."""
    return sorted({places.problem(found) for scene in scenes for found in findings(scene)})


def findings(scene: Scene) -> Iterator[Finding]:
    """Run every rule on a scene."""
    return asked(found for rule in RULES for found in rule(scene))


def asked(found: Iterable[Finding]) -> Iterator[Finding]:
    """Leave out what a person accepted with a reason."""
    return (one for one in found if not str(one.piece.accepted.get(one.check, "")).strip())

"""Traffic between pods and to the home: programs without a login are closed, public ones cannot connect anywhere.

The objects of a stack come in, findings go out. `manifests.rules.workloads` requires a policy for the clients of every
application.
"""

from __future__ import annotations

from collections.abc import Iterator

from config.rules import rule
from manifests.fields import entries, mapping, mappings, text
from manifests.rules.routes import PUBLIC, ROUTES
from manifests.rules.stack_objects import AppObject, ObjectFinding, Pods, StackObjects, selects, serves
from manifests.rules.storage import inward

# Infrastructure programs without a login, by the name that their Services select.
WITHOUT_A_LOGIN = ("alertmanager", "loki", "prometheus")
NAME = "app.kubernetes.io/name"


@rule("network-policy-missing", scope="stack")
def unguarded(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a NetworkPolicy for each infrastructure program without a login."""
    if not objects.whole:
        return
    kept = [one for one in objects.of("NetworkPolicy") if inward(one)]
    for obj in objects.of("Service"):
        labels = mapping(obj.spec, "selector")
        if obj.folder.settings.layer == "applications" or labels.get(NAME) not in WITHOUT_A_LOGIN:
            continue
        same = [one for one in kept if one.namespace == obj.namespace]
        if not any(selects(one.spec.get("podSelector") or {}, labels) for one in same):
            rule = "has no login, and no NetworkPolicy limits its clients: every pod of the cluster may connect"
            fix = f"add a NetworkPolicy that selects {NAME}: {labels[NAME]}, as apps/monitoring/loki has"
            yield ObjectFinding("network-policy-missing", obj, ("spec", "selector"), str(obj), rule, fix)


@rule(
    "egress-open",
    scope="stack",
    why="An intruder from outside could reach Proxmox, the router, Talos and the API server.",
)
def outward(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require an egress policy for pods of public applications."""
    if not objects.whole:
        return
    published = {
        (text(backend, "namespace") or route.namespace, text(backend, "name"))
        for route in objects.of(*ROUTES)
        if any(text(parent, "name") == PUBLIC for parent in mappings(route.spec, "parentRefs"))
        for rule in mappings(route.spec, "rules")
        for backend in mappings(rule, "backendRefs")
    }
    public = [one for one in objects.of("Service") if (one.namespace, one.name) in published]
    for pods in objects.pods:
        policies = objects.near(pods.obj, "NetworkPolicy", "CiliumNetworkPolicy")
        if pods.obj.folder.settings.layer != "applications" or any(_bounds(one, pods) for one in policies):
            continue
        if service := next((one for one in public if serves(one, pods)), None):
            rule = f"is behind {service} on the gateway {PUBLIC}, and may connect to hosts, nodes and the API server"
            fix = "use apps/_shared/egress, or add a policy for egress that selects these pods"
            yield ObjectFinding("egress-open", pods.obj, (*pods.path, "metadata", "labels"), str(pods.obj), rule, fix)


def _bounds(policy: AppObject, pods: Pods) -> bool:
    """Report whether a policy of their namespace limits the egress of pods."""
    if policy.kind == "NetworkPolicy":
        limits = "Egress" in entries(policy.spec, "policyTypes") and not any(
            not entries(one, "to") for one in mappings(policy.spec, "egress")
        )
        return limits and selects(policy.spec.get("podSelector") or {}, pods.labels)
    limits = bool(entries(policy.spec, "egress") or entries(policy.spec, "egressDeny"))
    return limits and selects(policy.spec.get("endpointSelector"), pods.labels)

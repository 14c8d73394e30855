"""Owners: the namespaces and cluster-wide kinds of a category, one app for each object, no hooks.

The objects of a stack come in, findings go out. An AppProject would refuse the same in the cluster; here it has a file
and a line, before a push.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from config.explain import nearest
from config.rules import REGISTER, rule
from manifests.fields import text
from manifests.objects import is_hook
from manifests.rules.stack_objects import ACCEPT, AppObject, ObjectFinding, StackObjects, is_cluster_wide, is_namespaced

# Removed APIs by the minor version that removed them, from the deprecated API migration guide.
REMOVED: Mapping[str, Mapping[str, int]] = {
    "admissionregistration.k8s.io/v1beta1": {"MutatingWebhookConfiguration": 22, "ValidatingWebhookConfiguration": 22},
    "apiextensions.k8s.io/v1beta1": {"CustomResourceDefinition": 22},
    "apiregistration.k8s.io/v1beta1": {"APIService": 22},
    "apps/v1beta1": {"Deployment": 16, "StatefulSet": 16},
    "apps/v1beta2": {"DaemonSet": 16, "Deployment": 16, "ReplicaSet": 16, "StatefulSet": 16},
    "autoscaling/v2beta1": {"HorizontalPodAutoscaler": 25},
    "autoscaling/v2beta2": {"HorizontalPodAutoscaler": 26},
    "batch/v1beta1": {"CronJob": 25},
    "certificates.k8s.io/v1beta1": {"CertificateSigningRequest": 22},
    "coordination.k8s.io/v1beta1": {"Lease": 22},
    "discovery.k8s.io/v1beta1": {"EndpointSlice": 25},
    "events.k8s.io/v1beta1": {"Event": 25},
    "extensions/v1beta1": {
        "DaemonSet": 16,
        "Deployment": 16,
        "Ingress": 22,
        "NetworkPolicy": 16,
        "PodSecurityPolicy": 16,
        "ReplicaSet": 16,
    },
    "flowcontrol.apiserver.k8s.io/v1beta1": {"FlowSchema": 26, "PriorityLevelConfiguration": 26},
    "flowcontrol.apiserver.k8s.io/v1beta2": {"FlowSchema": 29, "PriorityLevelConfiguration": 29},
    "flowcontrol.apiserver.k8s.io/v1beta3": {"FlowSchema": 32, "PriorityLevelConfiguration": 32},
    "networking.k8s.io/v1beta1": {"Ingress": 22, "IngressClass": 22},
    "node.k8s.io/v1beta1": {"RuntimeClass": 25},
    "policy/v1beta1": {"PodDisruptionBudget": 25, "PodSecurityPolicy": 25},
    "rbac.authorization.k8s.io/v1beta1": {"ClusterRole": 22, "ClusterRoleBinding": 22, "Role": 22, "RoleBinding": 22},
    "scheduling.k8s.io/v1beta1": {"PriorityClass": 22},
    "storage.k8s.io/v1beta1": {"CSIDriver": 22, "CSINode": 22, "CSIStorageCapacity": 27, "StorageClass": 22},
}


@rule(
    "namespace-made",
    scope="app",
    why="Namespaces carry their Pod Security level; an app that creates its own would choose it.",
)
@rule("namespace-foreign", scope="stack", why="The category's project rejects it, in the middle of a sync.")
def namespaces(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require namespaces of the app's category, which apps do not create; report each namespace once for an app."""
    astray: dict[tuple[str, str], list[AppObject]] = {}
    for obj in objects.all:
        if obj.kind == "Namespace" and not obj.group:
            fix = f"name it in {obj.folder.path}/category.yaml, from which namespaces are made"
            yield ObjectFinding("namespace-made", obj, ("kind",), str(obj), "is a namespace, and apps make none", fix)
        elif obj.astray and not is_cluster_wide(objects, obj):
            astray.setdefault((obj.app.path, obj.namespace), []).append(obj)
    for (_, namespace), (obj, *others) in astray.items():
        known = obj.folder.namespaces
        more = f" and {len(others)} more of this app" if others else ""
        rule = f"is no namespace of {obj.folder.name}: its project refuses {obj}{more}"
        fix = nearest(namespace, list(known), f"the category has {', '.join(known)}")
        yield ObjectFinding("namespace-foreign", obj, ("metadata", "namespace"), namespace, rule, fix)


@rule(
    "namespace-missing",
    scope="stack",
    why="A chart's object would land in the category's first namespace, and its rights in another.",
)
def unnamed(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a namespace in each namespaced object; report an app once."""
    bare: dict[str, list[AppObject]] = {}
    for obj in objects.all:
        if not (obj.released or text(obj.metadata, "namespace")) and is_namespaced(objects, obj):
            bare.setdefault(obj.app.path, []).append(obj)
    for obj, *others in bare.values():
        more = f" (and {len(others)} more of this app)" if others else ""
        rule = f"names no namespace{more}: Argo CD puts it into {obj.namespace}, the Application's own"
        fix = "add `namespace:`; for objects of a chart, a patch that adds /metadata/namespace"
        yield ObjectFinding("namespace-missing", obj, ("metadata",), str(obj), rule, fix)


@rule(
    "cluster-kind-undeclared",
    scope="stack",
    why="Its project rejects a kind that the category does not declare, in the middle of a sync.",
)
def cluster_kinds(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a declaration of the category for each cluster-wide kind."""
    for obj in objects.all:
        kind = f"{obj.kind}.{obj.group}" if obj.group else obj.kind
        if kind not in obj.folder.settings.cluster_kinds and kind != "Namespace" and is_cluster_wide(objects, obj):
            rule = f"belongs to no namespace, and {obj.folder.path}/category.yaml does not declare {kind}"
            yield ObjectFinding(
                "cluster-kind-undeclared", obj, ("kind",), str(obj), rule, "add it to clusterKinds there"
            )


@rule(
    "namespaced-kind-undeclared", scope="app", why="Its project rejects it: rights in a namespace can lead to the node."
)
def namespaced_kinds(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report kinds of applications that reach beyond their namespace and that no category declares."""
    for obj in objects.all:
        kind = f"{obj.kind}.{obj.group}"
        if kind in obj.folder.settings.closed_kinds:
            rule = f"reaches beyond its namespace, and {obj.folder.path}/category.yaml does not declare {kind}"
            fix = "remove it, or add it to namespacedKinds there"
            yield ObjectFinding("namespaced-kind-undeclared", obj, ("kind",), str(obj), rule, fix)


@rule("object-twice", scope="stack", why="Two Applications would revert each other's changes for ever.")
def owners(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report objects that two apps create, or one app twice."""
    first: dict[tuple[str, str, str, str], AppObject] = {}
    for obj in (one for one in objects.all if one.name):
        key = obj.group, obj.kind, "" if is_cluster_wide(objects, obj) else obj.namespace, obj.name
        owner = first.setdefault(key, obj)
        if owner is not obj:
            rule = f"is made by {owner.app.folder} already" if owner.app != obj.app else "is in this app twice"
            yield ObjectFinding("object-twice", obj, ("metadata", "name"), str(obj), rule, "keep it in one app")


@rule("api-removed", scope="app", why="The API server does not serve the kind; the sync would fail for ever.")
def versions(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report objects of an API that the stack's Kubernetes does not serve."""
    for obj in objects.all:
        removed = removed_in(objects, obj)
        if removed:
            rule = f"was removed in Kubernetes 1.{removed}, and {objects.stack} runs {objects.kubernetes}"
            fix = "write the version that took its place"
            kind = f"{obj.item['apiVersion']} {obj.kind}"
            yield ObjectFinding("api-removed", obj, ("apiVersion",), kind, rule, fix)


def removed_in(objects: StackObjects, obj: AppObject) -> int:
    """Return the minor version that removed an object's API, 0 if the stack's Kubernetes serves it."""
    removed = REMOVED.get(str(obj.item["apiVersion"]), {}).get(obj.kind, 0)
    return removed if removed <= int(objects.kubernetes.split(".")[1]) else 0


@rule("hook-unasked", scope="app", why="Argo CD does not keep a hook in sync, and runs it again with every sync.")
def unasked_hooks(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report hooks."""
    for obj in objects.all:
        if is_hook(obj.item):
            rule = "is a hook: it runs at every sync, and is never shown as missing or changed"
            fix = "write skipHooks: true for a chart; make of one that is meant a Job, or accept it with a reason"
            yield ObjectFinding("hook-unasked", obj, ("metadata", "annotations"), str(obj), rule, fix)


@rule(
    "exception-unexplained",
    scope="app",
    why="Half a year later it would be unknown whether the exception is still needed.",
)
def exceptions(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require of each annotation a check that an object can accept, and a reason."""
    known = [check.id for check in REGISTER.values() if check.accepted_by == "object"]
    for obj in objects.all:
        for check, reason in obj.accepted.items():
            if check not in known:
                rule, fix = "is no check that an object can accept", "docs/reference/checks.md lists those that it can"
                fix = f"remove the annotation: {fix}" if check in REGISTER else nearest(check, known, fix)
            elif not str(reason).strip():
                rule, fix = "is accepted without a reason", "write the reason as its value"
            else:
                continue
            yield ObjectFinding(
                "exception-unexplained", obj, ("metadata", "annotations", ACCEPT + check), check, rule, fix
            )

"""Rights of applications: no Role, and no binding, from which a pod could get all other rights.

The objects of a stack come in, findings go out. A category may declare Roles (`namespacedKinds`, `clusterKinds`): this
checks their rules by the rights that the API server treats as a way to more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from config.rules import rule
from manifests.fields import mapping, mappings, text, texts
from manifests.rules.stack_objects import AppObject, ObjectFinding, StackObjects

RBAC = "rbac.authorization.k8s.io"
FURTHER = {"bind", "escalate", "impersonate"}
WRITES = {"create", "delete", "deletecollection", "patch", "update"}
READS = {"get", "list", "watch"}
ALL = WRITES | READS
# The verbs that lead to more rights, by resource. Pods run as any ServiceAccount of their namespace.
RESOURCES = {
    "apiservices": WRITES,
    "applications": WRITES,
    "applicationsets": WRITES,
    "appprojects": WRITES,
    "certificaterequests": WRITES,
    "certificatesigningrequests/approval": WRITES,
    "ciliumclusterwidenetworkpolicies": WRITES,
    "ciliumnetworkpolicies": WRITES,
    "clusterpolicies": WRITES,
    "clusterrolebindings": WRITES,
    "clusterroles": WRITES,
    "clustersecretstores": WRITES,
    "cronjobs": WRITES,
    "daemonsets": WRITES,
    "deployments": WRITES,
    "externalsecrets": WRITES,
    "jobs": WRITES,
    "mutatingwebhookconfigurations": WRITES,
    "namespaces": WRITES,
    "networkpolicies": WRITES,
    "nodes/proxy": ALL,
    "persistentvolumes": WRITES,
    "pods": WRITES - {"delete", "deletecollection"},
    "pods/attach": ALL,
    "pods/ephemeralcontainers": WRITES,
    "pods/exec": ALL,
    "policies": WRITES,
    "pushsecrets": WRITES,
    "replicasets": WRITES,
    "replicationcontrollers": WRITES,
    "rolebindings": WRITES,
    "roles": WRITES,
    "rollouts": WRITES,
    "secrets": ALL,
    "secretstores": WRITES,
    "serviceaccounts/token": WRITES,
    "statefulsets": WRITES,
    "validatingadmissionpolicies": WRITES,
    "validatingadmissionpolicybindings": WRITES,
    "validatingwebhookconfigurations": WRITES,
}
NAMED = {"secrets", "pods/exec", "pods/attach"}
"""Where `resourceNames` bounds a right."""
AGGREGATES = f"{RBAC}/aggregate-to-"
HARMLESS = "view"
FIX = "give it the verbs and resources that it needs, or accept it with a reason"


@rule("role-escalates", scope="stack", why="A program with these rights can get all others, up to the node.")
def escalating(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report rights of applications that lead to more rights."""
    for obj in _of_applications(objects, "Role", "ClusterRole"):
        for index, granted in enumerate(mappings(obj.item, "rules")):
            if found := further(granted):
                yield ObjectFinding("role-escalates", obj, ("rules", index), *found, FIX)
        for label in mapping(obj.metadata, "labels"):
            if label.startswith(AGGREGATES):
                broken = f"adds its rules to the ClusterRole {label.removeprefix(AGGREGATES)} of the whole cluster"
                yield ObjectFinding("role-escalates", obj, ("metadata", "labels", label), label, broken, FIX)
    own = {obj.name: obj for obj in objects.of("ClusterRole") if obj.group == RBAC}
    for obj in _of_applications(objects, "RoleBinding", "ClusterRoleBinding"):
        name = text(obj.item, "roleRef", "name")
        if text(obj.item, "roleRef", "kind") == "ClusterRole" and (broken := _bound(name, own.get(name))):
            fix = "bind a Role of this app, or accept it with a reason"
            yield ObjectFinding("role-escalates", obj, ("roleRef", "name"), name, broken, fix)


def _of_applications(objects: StackObjects, *kinds: str) -> Iterator[AppObject]:
    return (one for one in objects.of(*kinds) if one.group == RBAC and one.folder.settings.layer == "applications")


def _bound(name: str, role: AppObject | None) -> str:
    """Return the reason why an application may not be bound to a ClusterRole, nothing where it may."""
    if role is None:
        return "" if name == HARMLESS else "is a ClusterRole that no app brings: it may hold any right"
    if role.folder.settings.layer == "applications":
        return ""  # its own rules are judged where they stand
    found = next((leads for rule in mappings(role.item, "rules") if (leads := further(rule))), None)
    return f"is a ClusterRole of {role.app.folder} with `{found[0]}`, which {found[1]}" if found else ""


def further(rule: dict[str, Any]) -> tuple[str, str] | None:
    """Return the part of a rule that leads to more rights, and why."""
    verbs, resources = set(texts(rule, "verbs")), texts(rule, "resources")
    if any("*" in texts(rule, key) for key in ("apiGroups", "resources", "verbs", "nonResourceURLs")):
        return "*", "stands for all there is, and for what is added later"
    if handed_on := sorted(verbs & FURTHER):
        return handed_on[0], "is a verb that hands on rights which its bearer does not have"
    for resource in resources:
        if resource in NAMED and texts(rule, "resourceNames"):
            continue
        for known, leading in RESOURCES.items():
            same = known == resource or (resource.startswith("*/") and known.endswith(resource[1:]))
            if same and (allowed := sorted(verbs & leading)):
                return f"{allowed[0]} {resource}", "leads to the rights of other pods, to Secrets, or to the API server"
    return None

"""The guards: no ApplicationSet or AppProject is deleted by accident, no label opens a namespace.

Deleting a set or a project cascades to its Applications, and under some settings to their workloads. The labels of a
namespace decide which pods may run there and which secret store it may read. Pure: the manifests of admission policies
go out; `components.handover.handover` makes them before the first ApplicationSet.
"""

from __future__ import annotations

from typing import Any

from components.handover.application_defaults import ALLOW_DELETION

NAME = "homelab-guard"
ALLOWED = (
    "has(oldObject.metadata.annotations) && "
    f"'{ALLOW_DELETION}' in oldObject.metadata.annotations && "
    f"oldObject.metadata.annotations['{ALLOW_DELETION}'] == 'true'"
)
MESSAGE = (
    "deleting an ApplicationSet or an AppProject takes its Applications with it; if that is meant, first: "
    f"kubectl -n argocd annotate <kind> <name> {ALLOW_DELETION}=true"
)


# The group of the certificate that Talos gives to Pulumi and to `kubectl`. No controller has it.
ADMINISTRATORS = "system:masters"
LABELS = "homelab-namespaces"
PREFIXES = ("pod-security.kubernetes.io/", "homelab.dev/")
GUARDED = f"({' || '.join(f'k.startsWith({prefix!r})' for prefix in PREFIXES)})"
KEPT = (
    f"variables.after.all(k, !{GUARDED} || variables.before[?k] == optional.of(variables.after[k])) && "
    f"variables.before.all(k, !{GUARDED} || k in variables.after)"
)
LABELS_MESSAGE = (
    f"labels of a namespace below {' and '.join(PREFIXES)} come from category.yaml: change them there, then "
    f"./homelab up; only members of {ADMINISTRATORS} set them"
)


def guards() -> tuple[dict[str, Any], ...]:
    """Return every policy, each followed by its binding."""
    return (*guard(), *labels())


def guard() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the policy that protects sets and projects from deletion."""
    rule = {"apiGroups": ["argoproj.io"], "operations": ["DELETE"], "resources": ["applicationsets", "appprojects"]}
    return _policy(NAME, rule, {"expression": ALLOWED, "message": MESSAGE})


def labels() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the policy that protects the labels of namespaces; their subresources accept labels as well."""
    resources = ["namespaces", "namespaces/finalize", "namespaces/status"]
    rule = {"apiGroups": [""], "operations": ["CREATE", "UPDATE"], "resources": resources}
    return _policy(
        LABELS,
        rule,
        {"expression": KEPT, "message": LABELS_MESSAGE},
        matchConditions=[
            {"name": "no-administrator", "expression": f"!({ADMINISTRATORS!r} in request.userInfo.?groups.orValue([]))"}
        ],
        variables=[
            {"name": "after", "expression": "object.metadata.?labels.orValue({})"},
            {"name": "before", "expression": "oldObject == null ? {} : oldObject.metadata.?labels.orValue({})"},
        ],
    )


def _policy(
    name: str, rule: dict[str, Any], validation: dict[str, Any], **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a policy and its binding."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            # The API server's defaults are set too: otherwise a policy that outlived the state could not be adopted.
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": {},
                "objectSelector": {},
                "resourceRules": [{"apiVersions": ["*"], "scope": "*", **rule}],
            },
            **more,
            "validations": [{**validation, "reason": "Forbidden"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return policy, binding

"""The guard: nobody deletes an ApplicationSet or an AppProject by accident.

Deleting one takes its Applications with it, and under some settings their workloads. Pure: the manifests of an
admission policy go out; `components.handover.handover` makes it before the first ApplicationSet.
"""

from __future__ import annotations

from typing import Any

from components.handover.rules import ALLOW_DELETION

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


def guard() -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the policy and its binding."""
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": NAME},
        "spec": {
            "failurePolicy": "Fail",
            # What the API server fills in is said too: else a policy that outlived the state could not be taken over.
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": {},
                "objectSelector": {},
                "resourceRules": [
                    {
                        "apiGroups": ["argoproj.io"],
                        "apiVersions": ["*"],
                        "operations": ["DELETE"],
                        "resources": ["applicationsets", "appprojects"],
                        "scope": "*",
                    }
                ],
            },
            "validations": [{"expression": ALLOWED, "message": MESSAGE, "reason": "Forbidden"}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": NAME},
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    }
    return policy, binding

"""The stand-in for the Kubernetes plugin on a real API server: deletions and waits."""

from __future__ import annotations

import time

import pytest

from errors import ApiFailed, TookTooLong
from lab.api import Api
from tests.lab.plugins.calls import Calls, meanwhile
from tests.lab.plugins.things import config_map, definition, widget

pytestmark = pytest.mark.xdist_group("kubernetes")

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
NAMESPACE = "kubernetes:core/v1:Namespace"
WIDGET = "kubernetes:example.org/v1:Widget"
HELD = "example.org/held"
# A deletion in the foreground waits for the garbage collector, which searches for new kinds twice a minute.
BACKGROUND = {"deletionPropagationPolicy": "background"}


def test_the_deletion_of_a_missing_resource_succeeds(calls: Calls, api: Api) -> None:
    made = calls.make(CONFIG_MAP, "twice", config_map("twice"))
    calls.unmake(made)
    calls.unmake(made)
    api.create(definition("Doodad"))
    thing = {**widget("one", {}, **BACKGROUND), "kind": "Doodad"}
    doodad = calls.make("kubernetes:example.org/v1:Doodad", "one", thing)
    api.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", "doodads.example.org")
    calls.unmake(doodad)


def test_a_deletion_waits_for_finalizers_and_then_names_them(calls: Calls, api: Api) -> None:
    thing = widget("held", {"size": 1}, **BACKGROUND)
    thing["metadata"]["finalizers"] = [HELD]
    made = calls.make(WIDGET, "held", thing)
    with pytest.raises(TookTooLong) as error:
        calls.unmake(made, timeout=0.5)
    assert str(error.value) == (
        'timed out waiting for the condition: Widget "held" is still there after 0 s; '
        f"finalizers might be preventing deletion ({HELD})"
    )
    assert ("info", f"finalizers might be preventing deletion ({HELD})") in calls.said
    path = api.path("example.org/v1", "Widget", "default", "held")
    meanwhile(
        lambda: api.request(
            "PATCH", path, content="application/merge-patch+json", body={"metadata": {"finalizers": None}}
        )
    )
    calls.unmake(made, timeout=20)
    assert api.get("example.org/v1", "Widget", "held", "default") is None


def test_a_terminating_namespace_refuses_objects_and_reports_its_wait(calls: Calls, api: Api) -> None:
    made = calls.make(NAMESPACE, "ending", {"metadata": {"name": "ending"}})
    held = widget("held", {})
    held["metadata"] = {"name": "held", "namespace": "ending", "finalizers": [HELD]}
    api.create(held)
    with pytest.raises(TookTooLong) as stuck:
        calls.unmake(made, timeout=7)
    assert f"Some content in the namespace has finalizers remaining: {HELD} in 1 resource instances" in str(stuck.value)
    with pytest.raises(ApiFailed, match="unable to create new content in namespace ending because it is being term"):
        calls.make(CONFIG_MAP, "late", config_map("late", "ending"))
    with pytest.raises(ApiFailed, match='object is being deleted: namespaces "ending" already exists'):
        calls.make(NAMESPACE, "ending", {"metadata": {"name": "ending"}})
    patch = {"metadata": {"finalizers": None}}
    path = api.path("example.org/v1", "Widget", "ending", "held")
    api.request("PATCH", path, content="application/merge-patch+json", body=patch)
    calls.unmake(made)
    assert api.get("v1", "Namespace", "ending") is None


def test_a_policy_refuses_a_deletion_in_its_own_words(calls: Calls) -> None:
    rules = {"apiGroups": ["example.org"], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["widgets"]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rules]},
        "validations": [{"expression": "oldObject.metadata.name != 'guarded'", "message": "guarded: ask first"}],
    }
    group = "kubernetes:admissionregistration.k8s.io/v1"
    policy = calls.make(f"{group}:ValidatingAdmissionPolicy", "guard", {"metadata": {"name": "guard"}, "spec": spec})
    bound = {"metadata": {"name": "guard"}, "spec": {"policyName": "guard", "validationActions": ["Deny"]}}
    binding = calls.make(f"{group}:ValidatingAdmissionPolicyBinding", "guard", bound)
    assert (policy.id, binding.id) == ("guard", "guard")
    assert not calls.compare(policy, {"metadata": {"name": "guard"}, "spec": spec}).changes
    deadline, said = time.monotonic() + 20, ""
    while "ask first" not in said:
        assert time.monotonic() < deadline
        made = calls.make(WIDGET, "guarded", widget("guarded", {}, **BACKGROUND))
        try:
            calls.unmake(made)
        except ApiFailed as error:
            said = str(error)
    assert said.endswith("ValidatingAdmissionPolicy 'guard' with binding 'guard' denied request: guarded: ask first")
    calls.unmake(binding)
    calls.unmake(policy)


def test_a_condition_is_waited_for(calls: Calls, api: Api) -> None:
    def report(status: str) -> None:
        condition = {"type": "Ready", "status": status, "reason": "Because", "message": "it was tried"}
        api.patch_status("example.org/v1", "Widget", "awaited", {"conditions": [condition]}, "default")

    meanwhile(lambda: report("False"), 0.3)
    meanwhile(lambda: report("True"), 0.8)
    made = calls.make(WIDGET, "awaited", widget("awaited", {}, waitFor="condition=Ready"))
    assert made.unfinished == ""
    assert made.live["status"]["conditions"][0]["status"] == "True"
    assert ("info", 'Waiting for condition=Ready (found "[Because] it was tried")') in calls.said


def test_an_unready_object_is_recorded_with_its_reason(calls: Calls) -> None:
    waits = '["condition=Ready", "jsonpath={.status.phase}=Done"]'
    made = calls.make(WIDGET, "never", widget("never", {}, waitFor=waits, timeoutSeconds="1"))
    assert made.id == "default/never"
    assert made.unfinished == (
        f'resource "{made.urn}" was successfully created, but the Kubernetes API server reported that it failed to '
        "fully initialize or become live: 'never' timed out waiting to be Ready: Waiting for condition=Ready; "
        "Waiting for {.status.phase}=Done"
    )
    assert calls.make(WIDGET, "skipped", widget("skipped", {}, waitFor=waits, skipAwait="true")).unfinished == ""


def test_a_deployment_is_waited_for(calls: Calls) -> None:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "none.example/none:1"}]},
    }
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    made = calls.make(DEPLOYMENT, "web", {"metadata": {"name": "web"}, "spec": spec})
    assert made.unfinished == ""
    wanted = {"metadata": {"name": "web"}, "spec": {**spec, "replicas": 1}}
    assert not calls.compare(made, wanted).replaces
    after = calls.change(made, wanted, timeout=2)
    assert "timed out waiting to be Ready: 0/1 " in after.unfinished
    assert (
        "0/1 availableReplicas: [MinimumReplicasUnavailable] Deployment does not have minimum availability."
        in after.unfinished
    )
    other = {"metadata": {"name": "web"}, "spec": {**spec, "selector": {"matchLabels": {"app": "other"}}}}
    assert calls.compare(made, other).replaces == ["spec"]
    calls.unmake(after)

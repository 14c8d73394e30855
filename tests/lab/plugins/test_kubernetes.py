"""The stand-in for the Kubernetes plugin on a real API server: creations, changes, refusals and previews."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pulumi.provider.experimental.property_value import PropertyValue

from errors import ApiFailed, HomelabError
from lab.api import Api
from lab.plugins import kubernetes_cluster
from lab.plugins.properties import UNKNOWN, engine_value, plain_map
from tests.lab.plugins.calls import Calls, Made, meanwhile
from tests.lab.plugins.things import config_map, definition, labelled, widget

pytestmark = pytest.mark.xdist_group("kubernetes")

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
NAMESPACE = "kubernetes:core/v1:Namespace"
SECRET = "kubernetes:core/v1:Secret"
QUOTA = "kubernetes:core/v1:ResourceQuota"
BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"
CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
DEFINITION = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"
WIDGET = "kubernetes:example.org/v1:Widget"
# A deletion in the foreground waits for the garbage collector, which searches for new kinds twice a minute.
BACKGROUND = {"deletionPropagationPolicy": "background"}


@pytest.fixture
def upserting(kubeconfig: str) -> Calls:
    return Calls.to(kubeconfig, upsertExistingObjects=True)


def managers(api: Api, name: str) -> list[tuple[str, str]]:
    live = api.get("v1", "ConfigMap", name, "default")
    assert live
    return sorted((entry["manager"], entry["operation"]) for entry in live["metadata"]["managedFields"])


# Creating


def test_a_created_object_is_recorded_with_its_inputs(calls: Calls) -> None:
    made = calls.make(CONFIG_MAP, "made", config_map("made", data={"a": "1"}))
    assert made.id == "default/made"
    assert made.live["__inputs"] == config_map("made", data={"a": "1"})
    assert made.live["__initialApiVersion"] == "v1"
    assert made.live["__fieldManager"].startswith("pulumi-kubernetes-")
    assert made.live["metadata"]["uid"]
    assert "managedFields" not in made.live["metadata"]


def test_an_object_without_a_name_gets_a_stable_one(calls: Calls) -> None:
    made = calls.make(CONFIG_MAP, "nameless", {"data": {"a": "1"}})
    name = made.live["metadata"]["name"]
    assert name.startswith("nameless-")
    assert made.live["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    assert not calls.compare(made, {"data": {"a": "1"}}).changes
    anew = calls.compare(made, {"data": {"a": "2"}})
    assert (anew.replaces, anew.delete_before_replace) == (["data"], False)


def test_an_existing_object_is_refused_by_up_and_not_previews(calls: Calls, api: Api) -> None:
    api.create(config_map("taken", data={"a": "theirs"}))
    assert calls.make(CONFIG_MAP, "taken", config_map("taken"), preview=True).id == ""
    refused = (
        'resource "urn:pulumi:dev::desk::kubernetes:core/v1:ConfigMap::taken" was not successfully created by the '
        'Kubernetes API server: configmaps "taken" already exists'
    )
    with pytest.raises(ApiFailed) as error:
        calls.make(CONFIG_MAP, "taken", config_map("taken"))
    assert str(error.value) == refused


def test_an_existing_object_is_adopted_if_the_provider_allows_it(upserting: Calls, api: Api) -> None:
    api.apply(config_map("adopted", data={"a": "theirs"}), field_manager="they")
    made = upserting.make(CONFIG_MAP, "adopted", config_map("adopted", data={"b": "ours"}))
    assert made.live["data"] == {"a": "theirs", "b": "ours"}
    assert managers(api, "adopted") == [(made.live["__fieldManager"], "Apply"), ("they", "Apply")]


def test_a_foreign_field_is_not_adopted_without_force(upserting: Calls, kubeconfig: str, api: Api) -> None:
    api.apply(config_map("disputed", data={"a": "theirs"}), field_manager="they")
    ours = config_map("disputed", data={"a": "ours"})
    with pytest.raises(ApiFailed) as error:
        upserting.make(CONFIG_MAP, "disputed", ours)
    assert "Server-Side Apply field conflict detected" in str(error.value)
    assert str(error.value).endswith('Apply failed with 1 conflict: conflict with "they": .data.a')
    forced = Calls.to(kubeconfig, upsertExistingObjects=True, enablePatchForce=True)
    assert forced.make(CONFIG_MAP, "disputed", ours).live["data"] == {"a": "ours"}


def test_a_preview_shows_the_refusal_of_the_server(calls: Calls) -> None:
    with pytest.raises(ApiFailed, match=r"was not successfully created .*a lowercase RFC 1123 subdomain"):
        calls.make(CONFIG_MAP, "wrong", config_map("Wrong"), preview=True)


@pytest.mark.parametrize("preview", [True, False])
def test_an_unknown_field_is_refused_if_creation_applies(upserting: Calls, preview: bool) -> None:
    typo = {"metadata": {"name": "typo", "lables": {"a": "1"}}}
    with pytest.raises(ApiFailed, match=r"\.metadata\.lables: field not declared in schema"):
        upserting.make(NAMESPACE, "typo", typo, preview=preview)


def test_a_preview_returns_the_dry_run_and_creates_nothing(calls: Calls, api: Api) -> None:
    foreseen = calls.make(NAMESPACE, "foreseen", {"metadata": {"name": "foreseen"}}, preview=True)
    assert foreseen.live["metadata"]["labels"] == {"kubernetes.io/metadata.name": "foreseen"}
    assert "status" not in foreseen.live
    assert api.get("v1", "Namespace", "foreseen") is None


@pytest.mark.parametrize(
    "thing",
    [
        config_map("unknown", data={"a": UNKNOWN}),
        config_map("early", "not-yet-there"),
        {"apiVersion": "example.org/v1", "kind": "Unheard", "metadata": {"name": "of"}},
    ],
    ids=["unknown value", "namespace that is not there yet", "kind that is not there yet"],
)
def test_a_preview_returns_inputs_that_the_server_cannot_know(calls: Calls, thing: dict[str, Any]) -> None:
    version = thing["apiVersion"].replace("v1", "core/v1") if thing["apiVersion"] == "v1" else thing["apiVersion"]
    made = calls.make(f"kubernetes:{version}:{thing['kind']}", "it", thing, preview=True)
    assert made.state == made.inputs


def test_an_object_waits_for_its_namespace(calls: Calls, api: Api) -> None:
    meanwhile(lambda: api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}}))
    assert calls.make(CONFIG_MAP, "early", config_map("early", "late")).id == "late/early"
    assert ("info", 'Retry #0; creation failed: namespaces "late" not found') in calls.said


def test_an_object_waits_for_its_definition(calls: Calls, api: Api) -> None:
    meanwhile(lambda: api.create(definition("Gadget")))
    gadget = {"apiVersion": "example.org/v1", "kind": "Gadget", "metadata": {"name": "one"}}
    assert calls.make("kubernetes:example.org/v1:Gadget", "one", gadget).id == "default/one"


def test_a_kind_that_never_comes_is_named(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_cluster, "RETRIES", (0.01, 0.01))
    thing = {"apiVersion": "example.org/v1", "kind": "Unheard", "metadata": {"name": "of"}}
    with pytest.raises(ApiFailed, match=r"Verify that any required CRDs.*no matches for kind \"Unheard\" in version"):
        calls.make("kubernetes:example.org/v1:Unheard", "of", thing)


def test_a_kind_without_namespaces_has_none(calls: Calls) -> None:
    role = {"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    made = calls.make("kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "reader", role)
    assert made.id == "reader"
    assert not calls.compare(made, role).changes


# Secrets


def test_a_secret_is_hidden_and_its_texts_are_encoded(calls: Calls) -> None:
    made = calls.make(SECRET, "token", {"metadata": {"name": "token"}, "stringData": {"key": "hunter2"}})
    assert made.inputs["data"].is_secret
    assert plain_map(made.inputs)["data"] == {"key": "aHVudGVyMg=="}
    assert "stringData" not in made.inputs
    recorded: Any = made.state["__inputs"].value
    assert (made.state["data"].is_secret, recorded["data"].is_secret) == (True, True)
    assert not calls.compare(made, {"metadata": {"name": "token"}, "stringData": {"key": "hunter2"}}).changes


def test_secret_inputs_stay_secret_and_their_neighbours_plain(calls: Calls) -> None:
    spec = PropertyValue({"size": engine_value(1), "free": PropertyValue({"key": engine_value("x", secret=True)})})
    made = calls.make(WIDGET, "hidden", {**widget("hidden", {}), "spec": spec})
    found: Any = made.state["spec"].value
    assert found["free"].value["key"].is_secret
    assert not found["size"].contains_secret()
    assert not made.state["metadata"].contains_secret()


# Changing


def test_a_removed_input_leaves_the_object_and_foreign_fields_stay(calls: Calls, api: Api) -> None:
    made = calls.make(CONFIG_MAP, "changing", labelled("changing", a="1", b="1"))
    assert managers(api, "changing") == [("pulumi-kubernetes", "Update")]
    api.apply(labelled("changing", c="1"), field_manager="they")
    after = calls.change(made, labelled("changing", a="2"))
    assert after.unfinished == ""
    assert after.live["metadata"]["labels"] == {"a": "2", "c": "1"}
    assert managers(api, "changing") == [(made.live["__fieldManager"], "Apply"), ("they", "Apply")]


def test_a_preview_names_the_field_and_managers_of_a_conflict(calls: Calls, api: Api) -> None:
    made = calls.make(CONFIG_MAP, "fought", labelled("fought", a="1"))
    api.apply(labelled("fought", a="2"), field_manager="they", force=True)
    conflict = 'Apply failed with 1 conflict: conflict with "they": .metadata.labels.a'
    with pytest.raises(ApiFailed, match=conflict) as foreseen:
        calls.change(made, labelled("fought", a="3"), preview=True)
    assert f'field manager "{made.live["__fieldManager"]}" had an apply conflict' in str(foreseen.value)
    after = calls.change(made, labelled("fought", a="3"))
    assert after.unfinished.startswith(
        'the Kubernetes API server reported that "default/fought" failed to fully initialize or become live: '
        "Server-Side Apply field conflict detected."
    )
    assert after.unfinished.endswith(conflict)
    assert after.live["metadata"]["labels"] == {"a": "2"}, "the state tells what is there"


def test_an_annotation_forces_a_conflict(calls: Calls, api: Api) -> None:
    made = calls.make(CONFIG_MAP, "forced", labelled("forced", a="1"))
    api.apply(labelled("forced", a="2"), field_manager="they", force=True)
    ours = labelled("forced", a="3")
    ours["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    assert calls.change(made, ours).live["metadata"]["labels"] == {"a": "3"}


def test_an_ignored_field_is_left_to_its_owner(calls: Calls, api: Api) -> None:
    made = calls.make(CONFIG_MAP, "shared", labelled("shared", a="1", b="1"))
    api.apply(labelled("shared", a="theirs"), field_manager="they", force=True)
    wanted, ignored = labelled("shared", a="ours", b="2"), ["metadata.labels.a"]
    assert list(calls.compare(made, wanted, ignored).detailed_diff or {}) == ["metadata.labels.b"]
    assert calls.change(made, wanted, ignored=ignored).live["metadata"]["labels"] == {"a": "theirs", "b": "2"}
    assert not calls.compare(made, wanted, ["*"]).changes


def test_an_annotation_changes_the_manager_and_releases_the_first(upserting: Calls, api: Api) -> None:
    made = upserting.make(CONFIG_MAP, "renamed", labelled("renamed", a="1", b="1"))
    thing = labelled("renamed", a="1")
    thing["metadata"]["annotations"] = {"pulumi.com/patchFieldManager": "me"}
    assert upserting.change(made, thing).live["metadata"]["labels"] == {"a": "1"}
    assert managers(api, "renamed") == [("me", "Apply")]


def test_an_object_that_was_deleted_cannot_be_changed(calls: Calls, api: Api) -> None:
    made = calls.make(CONFIG_MAP, "vanished", labelled("vanished", a="1"))
    api.delete("v1", "ConfigMap", "vanished", "default")
    with pytest.raises(ApiFailed, match=r'update of resource ".*::vanished" failed: ConfigMap "vanished" not found'):
        calls.change(made, labelled("vanished", a="2"))


def test_a_patch_changes_a_foreign_object_and_releases_it(calls: Calls, api: Api) -> None:
    labels = {"metadata": {"name": "default", "labels": {"patched": "yes"}}}
    patch = calls.make(
        "kubernetes:core/v1:NamespacePatch", "patch", {"kind": "Namespace", "apiVersion": "v1", **labels}
    )
    assert patch.live["metadata"]["labels"]["patched"] == "yes"
    calls.unmake(patch)
    live = api.get("v1", "Namespace", "default")
    assert live
    assert "patched" not in live["metadata"]["labels"]


def test_a_definition_retains_names_that_python_cannot_write(calls: Calls, api: Api) -> None:
    thing = definition("Gizmo")
    schema = thing["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    schema["status"] = {"type": "object", "x_kubernetes_preserve_unknown_fields": True}
    schema["spec"]["properties"].pop("free")
    made = calls.make(DEFINITION, "gizmos", thing)
    found = made.live["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    assert found["status"] == {"type": "object", "x_kubernetes_preserve_unknown_fields": True}
    assert not calls.compare(made, thing).changes
    thing["spec"]["names"]["shortNames"] = ["gz"]
    assert calls.change(made, thing).live["spec"]["names"]["shortNames"] == ["gz"]


# Replacing


@pytest.mark.parametrize(
    ("token", "first", "second", "path"),
    [
        (SECRET, {"data": {"a": "MQ=="}}, {"data": {"a": "Mg=="}}, "data.a"),
        (SECRET, {"type": "Opaque"}, {"type": "example.org/other"}, "type"),
        (CONFIG_MAP, {"data": {"a": "1"}}, {"data": {"a": "2"}}, "data.a"),
        (CONFIG_MAP, {"metadata": {"name": "it"}}, {"metadata": {"name": "other"}}, "metadata.name"),
        (
            BINDING,
            {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one"}},
            {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "two"}},
            "roleRef.name",
        ),
        (CLASS, {"provisioner": "none", "parameters": {"a": "1"}}, {"provisioner": "none"}, "parameters"),
    ],
)
def test_an_immutable_change_deletes_and_creates_the_object(
    calls: Calls, token: str, first: dict[str, Any], second: dict[str, Any], path: str
) -> None:
    made = calls.make(token, "it", {"metadata": {"name": "it"}, **first})
    try:
        found = calls.compare(made, {"metadata": {"name": "it"}, **second})
        assert list(found.detailed_diff or {}) == [path]
        assert found.replaces == [path.partition(".")[0]]
        assert found.delete_before_replace == (path != "metadata.name")
    finally:
        calls.unmake(made)


@pytest.mark.parametrize(
    ("token", "setting"), [(SECRET, "enableSecretMutable"), (CONFIG_MAP, "enableConfigMapMutable")]
)
def test_content_changes_in_place_if_the_provider_allows_it(kubeconfig: str, token: str, setting: str) -> None:
    calls = Calls.to(kubeconfig, **{setting: True})
    made = calls.make(token, "mutable", {"data": {"a": "MQ=="}})
    assert (calls.compare(made, {"data": {"a": "Mg=="}}).replaces or []) == []
    assert calls.change(made, {"data": {"a": "Mg=="}}).live["data"] == {"a": "Mg=="}
    assert calls.compare(made, {"data": {"a": "Mg=="}, "immutable": True}).replaces == ["data"]


def test_a_preview_refuses_fields_that_the_server_calls_immutable(calls: Calls) -> None:
    known = {"metadata": {"name": "fixed"}, "provisioner": "none"}
    made = calls.make(CLASS, "fixed", {**known, "volumeBindingMode": "Immediate"})
    wanted = {**known, "volumeBindingMode": "WaitForFirstConsumer"}
    assert (calls.compare(made, wanted).replaces or []) == []
    with pytest.raises(ApiFailed, match=r"volumeBindingMode: Invalid value: .*field is immutable"):
        calls.change(made, wanted, preview=True)


# Reading


def test_missing_objects_leave_the_state(calls: Calls, api: Api) -> None:
    made = calls.make(CONFIG_MAP, "gone", labelled("gone", a="1"))
    api.delete("v1", "ConfigMap", "gone", "default")
    assert calls.read(made) is None


def test_drift_appears_in_the_inputs_and_is_reverted(calls: Calls, api: Api) -> None:
    made = calls.make(CONFIG_MAP, "drifting", {**labelled("drifting", a="1"), "data": {"k": "v"}})
    api.apply(labelled("drifting", a="2", b="2"), field_manager="kubectl", force=True)
    seen = calls.read(made)
    assert seen
    assert plain_map(seen.inputs)["metadata"]["labels"] == {"a": "2"}
    wanted = {**labelled("drifting", a="1"), "data": {"k": "v"}}
    assert list(calls.compare(seen, wanted).detailed_diff or {}) == ["metadata.labels.a"]
    assert calls.change(seen, wanted).live["metadata"]["labels"]["a"] == "1"


def test_another_spelling_of_the_server_is_no_drift(calls: Calls) -> None:
    quota = {"metadata": {"name": "quota"}, "spec": {"hard": {"cpu": "1000m", "memory": "1024Mi"}}}
    made = calls.make(QUOTA, "quota", quota)
    assert made.live["spec"]["hard"] == {"cpu": "1", "memory": "1Gi"}
    assert not calls.compare(made, quota).changes
    seen = calls.read(made)
    assert seen
    assert not calls.compare(seen, quota).changes


def test_a_field_that_the_server_dropped_differs_in_every_run(calls: Calls) -> None:
    thing = widget("typo", {"size": 1, "sise": 2}, **BACKGROUND)
    made = calls.make(WIDGET, "typo", thing)
    assert list(calls.compare(made, thing).detailed_diff or {}) == ["spec.sise"]
    assert not calls.compare(made, widget("typo", {"size": 1}, **BACKGROUND)).changes


def test_an_object_is_imported_by_its_id(calls: Calls, api: Api) -> None:
    api.create({**labelled("imported", a="1"), "data": {"k": "v"}})
    seen = calls.read(Made(f"urn:pulumi:dev::desk::{CONFIG_MAP}::imported", "default/imported", {}, {}))
    assert seen
    assert plain_map(seen.inputs) == {**labelled("imported", a="1"), "data": {"k": "v"}}
    assert not calls.compare(seen, {**labelled("imported", a="1"), "data": {"k": "v"}}).changes
    missing = Made(f"urn:pulumi:dev::desk::{WIDGET}::missing", "default/missing", {}, {})
    assert calls.read(missing) is None


# Refusing


@pytest.mark.parametrize(
    ("token", "inputs", "said"),
    [
        (
            "kubernetes:helm.sh/v3:Release",
            {},
            "this stand-in of kubernetes does not make kubernetes:helm.sh/v3:Release: only objects of the cluster",
        ),
        (
            "kubernetes:core/v1:ConfigMapList",
            {},
            (
                "list resources exist for compatibility with YAML manifests and Helm charts, and cannot be created "
                "directly. Use the underlying resource type instead"
            ),
        ),
        (
            "kubernetes:core/v1:ConfigMapPatch",
            {"kind": "ConfigMap"},
            "patch resources require the `.metadata.name` field to be set",
        ),
        (
            CONFIG_MAP,
            {"metadata": {"generateName": "x-"}},
            "the `.metadata.generateName` field is not supported in Server-Side Apply mode",
        ),
        (
            WIDGET,
            widget("it", {}, waitFor="Ready"),
            'pulumi.com/waitFor: expected a "jsonpath=" or "condition=" prefix, got "Ready"',
        ),
        (
            WIDGET,
            widget("it", {}, waitFor="jsonpath={..phase}"),
            (
                'pulumi.com/waitFor: this stand-in reads {...} with .name, [0], ["name"] and [?(@.name=="value")] '
                "in a JSONPath, got {..phase}"
            ),
        ),
    ],
)
def test_unsupported_resources_are_refused_by_name(calls: Calls, token: str, inputs: dict[str, Any], said: str) -> None:
    assert calls.refusals(token, inputs) == [said]


@pytest.mark.parametrize(
    ("kubeconfig_text", "reason"),
    [
        ("", "no kubeconfig was given, and this stand-in searches for none"),
        ("nonsense: true", "failed to parse kubeconfig data in `kubernetes:config:kubeconfig`- KeyError"),
    ],
)
def test_without_a_kubeconfig_there_is_no_cluster(kubeconfig_text: str, reason: str) -> None:
    calls = Calls.to(kubeconfig_text)
    with pytest.raises(HomelabError, match=f"configured Kubernetes cluster is unreachable: {reason}"):
        calls.make(CONFIG_MAP, "it", config_map("it"))


def test_a_server_beyond_loopback_gets_no_request(kubeconfig: str) -> None:
    server = next(line for line in kubeconfig.splitlines() if "server:" in line)
    calls = Calls.to(kubeconfig.replace(server.split(": ")[1], "https://10.0.0.5:6443"))
    with pytest.raises(HomelabError, match=r"https://10\.0\.0\.5:6443 is not on loopback"):
        calls.make(CONFIG_MAP, "it", config_map("it"))


def test_a_kubeconfig_may_be_a_file_and_say_a_namespace(kubeconfig: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(kubeconfig)
    made = Calls.to(str(file), namespace="kube-public").make(CONFIG_MAP, "elsewhere", {"metadata": {"name": "it"}})
    assert made.id == "kube-public/it"

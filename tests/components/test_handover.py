"""The handover: projects, sets and their order, and the deletions that the guard admits."""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

import programs
from components.handover.application_defaults import LAYERS, RETRY, namespace_of
from components.handover.application_sets import GitSource, application_set, digest, sync_policy
from components.handover.guard import PREFIXES, guard, labels
from components.handover.projects import project
from components.platform.namespace_manifest import namespace_manifest
from config.category import Category, Sync
from config.gates import Gates
from config.load import read_stack
from config.tree import CategoryFolder, read_tree
from manifests.umbrella import values_files
from ops.toolchain.lookup import MANIFESTS, ensure
from tests.components.mocks import ROOT, run

URL = "https://git.example.com/homelab.git"
SOURCE = GitSource(URL, "main", ".", "production")
TREE = read_tree(ROOT)
SERVER = "https://kubernetes.default.svc"


def environment_of(stack: str) -> str:
    return read_stack(ROOT / f"Pulumi.{stack}.yaml").require().delivery.environment


def category(name: str = "media", **said: Any) -> CategoryFolder:
    return CategoryFolder(name, f"apps/{name}", Category.model_validate({"layer": "applications", **said}), ())


def generator(made: dict[str, Any]) -> dict[str, Any]:
    (one,) = made["spec"]["generators"]
    return dict(one["git"])


def generated(made: dict[str, Any], file: str, tmp_path: Path) -> dict[str, Any]:
    """Return the Application for a file of Git; helm evaluates templates as Argo CD does."""
    folder = tmp_path / "chart"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: of-a-test, version: 1.0.0}", encoding="utf-8")
    path = PurePosixPath(file)
    found = {"path": str(path.parent), "basename": path.parent.name, "filename": path.name}
    parameters = {"path": {**found, "segments": list(path.parent.parts)}}
    (folder / "values.yaml").write_text(yaml.safe_dump({"found": parameters}), encoding="utf-8")
    templates = {"application": yaml.safe_dump(made["spec"]["template"]), "patch": made["spec"]["templatePatch"]}
    for name, text in templates.items():
        wrapped = f"kind: {name}\n{{{{ with .Values.found }}}}{text}{{{{ end }}}}"
        (folder / f"templates/{name}.yaml").write_text(wrapped, encoding="utf-8")
    helm = ensure(("helm",)).places["helm"].file
    text = programs.run(str(helm), "template", "x", folder).stdout
    application, patch = sorted(yaml.safe_load_all(text), key=lambda one: str(one.pop("kind")))
    if patch:
        assert patch.keys() == {"spec"}
        assert patch["spec"].keys() == {"source"}
        application["spec"]["source"] |= patch["spec"]["source"]
    return dict(application)


def test_an_app_runs_where_it_has_a_folder_of_the_environment() -> None:
    found = generator(application_set(category(), SOURCE))
    assert (found["repoURL"], found["revision"]) == (URL, "main")
    assert found["files"] == [
        {"path": "apps/media/*/production/kustomization.yaml"},
        {"path": "apps/media/*/production/Chart.yaml"},
    ]


def test_an_application_names_every_place_that_it_is_rendered_from(tmp_path: Path) -> None:
    def places(path: str, file: str) -> str:
        made = application_set(category(), GitSource(URL, "main", path, "dev"))
        annotations = generated(made, file, tmp_path)["metadata"]["annotations"]
        return str(annotations["argocd.argoproj.io/manifest-generate-paths"])

    file = "apps/media/jellyfin/dev/kustomization.yaml"
    assert places(".", file) == ".;/apps/media/jellyfin/base;/apps/media/_*/*;/apps/_shared;/apps/_settings/dev"
    assert places("infra/lab", f"infra/lab/{file}").split(";")[1:] == [
        "/infra/lab/apps/media/jellyfin/base",
        "/infra/lab/apps/media/_*/*",
        "/infra/lab/apps/_shared",
        "/infra/lab/apps/_settings/dev",
    ]


def test_the_generator_says_what_argo_cd_would_write_into_it() -> None:
    empty = {"metadata": {}, "spec": {"destination": {}, "project": ""}}
    assert generator(application_set(category(), SOURCE))["template"] == empty


def test_a_missing_key_is_an_error() -> None:
    spec = application_set(category(), SOURCE)["spec"]
    assert (spec["goTemplate"], spec["goTemplateOptions"]) == (True, ["missingkey=error"])


def test_a_homelab_below_the_repositorys_root_is_found_there() -> None:
    found = generator(application_set(category(), GitSource(URL, "main", "./infra/homelab/", "dev")))
    assert found["files"] == [
        {"path": "infra/homelab/apps/media/*/dev/kustomization.yaml"},
        {"path": "infra/homelab/apps/media/*/dev/Chart.yaml"},
    ]


@pytest.mark.parametrize("top", [".", "infra/homelab"])
def test_an_application_has_its_categorys_project_and_follows_the_revision(top: str, tmp_path: Path) -> None:
    folder = str(PurePosixPath(top, "apps/media/jellyfin/production"))
    made = application_set(category(), GitSource(URL, "main", top, "production"))
    application = generated(made, f"{folder}/kustomization.yaml", tmp_path)
    assert application["metadata"]["name"] == "media-jellyfin"
    assert application["spec"]["project"] == "media"
    assert application["spec"]["source"] == {"repoURL": URL, "targetRevision": "main", "path": folder}
    assert "finalizers" not in application["metadata"]


@pytest.mark.parametrize("top", ["", "infra/homelab/"])
def test_an_umbrella_chart_gets_the_values_of_its_base_of_the_settings_and_its_own(top: str, tmp_path: Path) -> None:
    folder = f"{top}apps/selfhosted/nextcloud/staging"
    made = application_set(category("selfhosted"), GitSource(URL, "main", top or ".", "staging"))
    application = generated(made, f"{folder}/Chart.yaml", tmp_path)
    assert application["metadata"]["name"] == "selfhosted-nextcloud"
    files = application["spec"]["source"].pop("helm")
    assert files == {
        "valueFiles": [
            "../base/values.yaml",
            f"/{top}apps/_settings/staging/values/selfhosted/nextcloud.yaml",
            "values.yaml",
        ],
        "ignoreMissingValueFiles": True,
    }
    assert application["spec"]["source"] == {"repoURL": URL, "targetRevision": "main", "path": folder}


def test_a_render_takes_the_values_that_argo_cd_takes(tmp_path: Path) -> None:
    """A path with a slash in front begins at the top of the repository, another one at the chart."""
    folder = "apps/selfhosted/nextcloud/staging"
    made = application_set(category("selfhosted"), GitSource(URL, "main", ".", "staging"))
    files = generated(made, f"{folder}/Chart.yaml", tmp_path)["spec"]["source"]["helm"]["valueFiles"]
    here = [one.removeprefix("/") if one.startswith("/") else posixpath.normpath(f"{folder}/{one}") for one in files]
    assert here == list(values_files(folder))


@pytest.mark.parametrize(
    ("removal", "policy"),
    [
        ("keep", {"preserveResourcesOnDeletion": True, "applicationsSync": "create-update"}),
        ("delete", {"applicationsSync": "sync"}),
    ],
)
def test_removal_is_a_named_choice(removal: str, policy: dict[str, Any]) -> None:
    assert application_set(category(removal=removal), SOURCE)["spec"]["syncPolicy"] == policy


def test_what_nobody_said_is_automatic_pruned_and_only_reported() -> None:
    policy = sync_policy(Sync())
    assert policy["automated"] == {"prune": True}
    options = [
        "ServerSideApply=true",
        "Validate=false",
        "ApplyOutOfSyncOnly=true",
        "FailOnSharedResource=true",
        "RespectIgnoreDifferences=true",
    ]
    assert policy["syncOptions"] == options


def test_an_empty_folder_never_prunes_everything() -> None:
    for found in TREE.categories:
        policy = sync_policy(found.settings.sync_in("production"))
        assert "allowEmpty" not in policy.get("automated", {}), found.name


def test_healing_without_pruning_says_exactly_that() -> None:
    assert sync_policy(Sync(drift="healed", prune="disabled"))["automated"] == {"selfHeal": True}
    assert sync_policy(Sync(prune="disabled"))["automated"] == {}


def test_manual_means_that_nothing_is_automated() -> None:
    assert "automated" not in sync_policy(Sync(mode="manual"))
    assert sync_policy(Sync(mode="manual"))["retry"] == RETRY


def test_a_manual_gate_holds_every_category_and_opens_none() -> None:
    manual = Gates(sync="manual")
    automatic, by_hand = category(sync={"drift": "healed", "reason": "x"}), category(sync={"mode": "manual"})
    for gates, found, mode in (
        (manual, automatic, "manual"),
        (manual, by_hand, "manual"),
        (Gates(), automatic, "automatic"),
        (Gates(), by_hand, "manual"),
    ):
        source = replace(SOURCE, gates=gates)
        policy = application_set(found, source)["spec"]["template"]["spec"]["syncPolicy"]
        assert ("automated" in policy) == (mode == "automatic")
        assert source.holds(found) == (gates is manual and found is automatic)


def test_one_environment_may_differ() -> None:
    banking = category(sync={"environments": {"production": {"mode": "manual"}}, "reason": "books"})
    there = {
        name: application_set(banking, GitSource(URL, "main", ".", name))["spec"]["template"]["spec"]["syncPolicy"]
        for name in ("production", "dev")
    }
    assert ["automated" in policy for policy in there.values()] == [False, True]


def test_retries_outlast_slow_downloads_take_the_newest_commit_and_end() -> None:
    assert RETRY == {"limit": 125, "refresh": True, "backoff": {"duration": "15s", "factor": 2, "maxDuration": "1m"}}


def test_what_an_autoscaler_sets_is_no_difference() -> None:
    (ignored,) = application_set(category(), SOURCE)["spec"]["template"]["spec"]["ignoreDifferences"]
    assert ignored == {"group": "apps", "kind": "*", "managedFieldsManagers": ["kube-controller-manager"]}


def test_the_digest_tells_every_change_of_a_category() -> None:
    changes: list[dict[str, Any]] = [{}, {"removal": "delete"}, {"owners": ["a"]}, {"clusterKinds": ["A.b"]}]
    changes.append({"namespacedKinds": ["Gateway.gateway.networking.k8s.io"]})
    digests = [digest(category(**change).settings) for change in changes]
    assert len(set(digests)) == len(changes)
    annotations = application_set(category(), SOURCE)["metadata"]["annotations"]
    assert annotations == {"homelab.dev/category-digest": digests[0]}


NAMESPACES: dict[str, dict[str, Any]] = {"system": {}, "argocd": {}}


@pytest.mark.parametrize("app", ["argocd", "reloader", "system"])
@pytest.mark.parametrize("namespaces", [("system",), ("system", "argocd")])
def test_the_template_says_the_same_namespace_as_the_rule(
    app: str, namespaces: tuple[str, ...], tmp_path: Path
) -> None:
    made = application_set(category("system", namespaces={one: {} for one in namespaces}), SOURCE)
    application = generated(made, f"apps/system/{app}/production/kustomization.yaml", tmp_path)
    assert application["spec"]["destination"] == {"server": SERVER, "namespace": namespace_of(app, namespaces)}


def test_a_project_allows_its_namespaces_and_declared_kinds_alone() -> None:
    made = project(category("system", namespaces=NAMESPACES, clusterKinds=["PersistentVolume", "A.b.io"]), URL)["spec"]
    assert made["sourceRepos"] == [URL]
    assert made["destinations"] == [
        {"server": SERVER, "namespace": "system"},
        {"server": SERVER, "namespace": "argocd"},
    ]
    assert made["clusterResourceWhitelist"] == [
        {"group": "b.io", "kind": "A"},
        {"group": "", "kind": "PersistentVolume"},
    ]


def test_applications_create_only_declared_kinds_beyond_their_namespace() -> None:
    def closed(**said: Any) -> set[str]:
        spec = project(category(**said), URL)["spec"]
        return {f"{one['kind']}.{one['group']}" for one in spec.get("namespaceResourceBlacklist", [])}

    role = "Role.rbac.authorization.k8s.io"
    assert {role, "RoleBinding.rbac.authorization.k8s.io", "PushSecret.external-secrets.io"} <= closed()
    assert closed() - closed(namespacedKinds=[role]) == {role}
    assert closed(layer="infrastructure") == set()


@pytest.mark.parametrize("found", TREE.categories, ids=lambda one: one.name)
def test_no_project_has_a_wildcard_or_makes_namespaces(found: CategoryFolder) -> None:
    spec = project(found, URL)["spec"]
    assert "*" not in repr({key: value for key, value in spec.items() if key != "roles"})
    assert {"group": "", "kind": "Namespace"} not in spec["clusterResourceWhitelist"]


WINDOWS: list[dict[str, Any]] = [
    {"kind": "allow", "schedule": "0 2 * * sat", "duration": "4h", "timeZone": "Europe/Berlin"},
    {"kind": "deny", "schedule": "0 0 24-26 dec ?", "duration": "1d", "applications": ["media-*"]},
]
WINDOWS[1]["manualSync"] = "refused"


def test_windows_of_the_stack_are_those_of_every_project() -> None:
    gates = Gates.model_validate({"windows": WINDOWS})
    assert project(category(), URL, gates=gates)["spec"]["syncWindows"] == [
        {
            "kind": "allow",
            "schedule": "0 2 * * sat",
            "duration": "240m",
            "timeZone": "Europe/Berlin",
            "applications": ["*"],
            "manualSync": True,
        },
        {
            "kind": "deny",
            "schedule": "0 0 24-26 dec ?",
            "duration": "1440m",
            "timeZone": "UTC",
            "applications": ["media-*"],
        },
    ]
    assert "syncWindows" not in project(category(), URL)["spec"]


def test_required_signatures_hold_for_every_git_repository() -> None:
    gates = Gates.model_validate({"signatures": "required", "signingKeys": ["0x4aee18f83afdeb23"]})
    (policy,) = project(category(), URL, gates=gates)["spec"]["sourceIntegrity"]["git"]["policies"]
    assert policy == {"repos": [{"url": "*"}], "gpg": {"mode": "head", "keys": ["4AEE18F83AFDEB23"]}}
    assert (
        "sourceIntegrity"
        not in project(category(), URL, gates=Gates.model_validate({"signingKeys": ["4AEE18F83AFDEB23"]}))["spec"]
    )


def test_argo_cd_verifies_the_generator_too_as_no_project_is_a_template() -> None:
    """`resolveSourceIntegrity` of Argo CD skips a set whose template has a project with two braces."""
    assert all(
        application_set(one, SOURCE)["spec"]["template"]["spec"]["project"] == one.name for one in TREE.categories
    )


def test_the_definition_of_a_project_has_every_field_of_the_gates() -> None:
    gates = Gates.model_validate({"windows": WINDOWS, "signatures": "required", "signingKeys": ["4AEE18F83AFDEB23"]})
    spec = project(category(), URL, gates=gates)["spec"]
    unknown = list(_unknown(spec, _definition("AppProject")["properties"]["spec"]))
    assert unknown == []
    assert list(_unknown({"signed": True}, _definition("AppProject")["properties"]["spec"])) == ["signed"]


def _definition(kind: str) -> dict[str, Any]:
    folder = ensure((MANIFESTS,)).manifests(MANIFESTS) / "argo-cd/crds"
    (version,) = yaml.safe_load((folder / f"{kind.lower()}-crd.yaml").read_text(encoding="utf-8"))["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def _unknown(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the fields that the API server rejects: those without a schema, and values that no `enum` has."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in schema.get("properties", {}):
                yield f"{path}{key}"
            else:
                yield from _unknown(inner, schema["properties"][key], f"{path}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from _unknown(inner, schema["items"], path)
    elif value not in schema.get("enum", [value]):
        yield path.rstrip(".")


def test_owners_of_a_forge_get_no_role() -> None:
    assert "roles" not in project(category(owners=["@me", "@org/family"]), URL)["spec"]
    (role,) = project(category(owners=["@me", "family", "me@example.com"]), URL)["spec"]["roles"]
    assert role["groups"] == ["family", "me@example.com"]


def test_owners_look_and_sync_and_change_nothing() -> None:
    (role,) = project(category(owners=["family"]), URL)["spec"]["roles"]
    assert role["groups"] == ["family"]
    assert role["policies"] == [
        "p, proj:media:owner, applications, get, media/*, allow",
        "p, proj:media:owner, applications, sync, media/*, allow",
        "p, proj:media:owner, applications, action/*, media/*, allow",
        "p, proj:media:owner, logs, get, media/*, allow",
    ]
    assert "roles" not in project(category(), URL)["spec"]


def test_the_guard_refuses_to_delete_sets_and_projects() -> None:
    policy, binding = guard()
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["DELETE"], ["applicationsets", "appprojects"])
    assert policy["spec"]["failurePolicy"] == "Fail"
    message = policy["spec"]["validations"][0]["message"]
    assert "kubectl -n argocd annotate <kind> <name> homelab.dev/allow-deletion=true" in message
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


def test_only_administrators_change_the_labels_that_open_a_namespace() -> None:
    policy, binding = labels()
    (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["apiGroups"]) == (["CREATE", "UPDATE"], [""])
    assert rule["resources"] == ["namespaces", "namespaces/finalize", "namespaces/status"]
    (condition,) = policy["spec"]["matchConditions"]
    assert condition["expression"] == "!('system:masters' in request.userInfo.?groups.orValue([]))"
    (validation,) = policy["spec"]["validations"]
    assert all(repr(prefix) in validation["expression"] for prefix in PREFIXES)
    assert all(
        label.startswith(PREFIXES) for label in namespace_manifest("media", "media", "restricted")["metadata"]["labels"]
    )
    assert "category.yaml: change them there" in validation["message"]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


@pytest.mark.parametrize("stack", ["homelab", "staging", "dev"])
def test_the_guard_is_first_and_layers_wait_in_order(stack: str) -> None:
    program = run(stack)
    sets, projects, waits = (program.of(kind) for kind in ("ApplicationSet", "AppProject", "Command"))
    chosen = TREE.chosen(environment_of(stack))
    guards = {"handover-guard", "handover-binding", "handover-labels", "handover-labels-binding"}
    layers = [layer for layer in LAYERS if any(one.settings.layer == layer for one in chosen)]
    for found in chosen:
        at = layers.index(found.settings.layer)
        before = {f"handover-wait-{layers[at - 1]}"} if at else guards
        assert before <= projects[f"handover-project-{found.name}"].depends_on
        assert sets[f"handover-set-{found.name}"].depends_on == {f"handover-project-{found.name}"}
        assert f"handover-set-{found.name}" in waits[f"handover-wait-{found.settings.layer}"].depends_on


def test_a_destroyed_cluster_needs_no_single_deletions() -> None:
    program = run("dev")
    for kind in ("ApplicationSet", "AppProject", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        for resource in program.of(kind).values():
            assert resource.options.deletedWith.endswith("::cluster-bootstrap"), resource.name


def waits(stack: str, **delivery: Any) -> dict[str, dict[str, str]]:
    """Return the environment of each layer's wait."""

    def change(sections: dict[str, Any]) -> None:
        sections["homelab:delivery"] |= delivery

    commands = run(stack, change=change).of("Command")
    return {name: one.inputs["environment"] for name, one in commands.items() if name.startswith("handover-wait-")}


@pytest.mark.parametrize("stack", ["homelab", "staging", "dev"])
def test_only_the_named_foundation_stands_between_infrastructure_and_applications(stack: str) -> None:
    foundation = waits(stack)["handover-wait-infrastructure"]["FOUNDATION"].split()
    expected = {
        *("kube-system-cilium", "kube-system-snapshot-controller", "cert-manager-cert-manager"),
        *("networking-metallb", "networking-metallb-pool", "networking-gateways", "openebs-openebs"),
        *("security-external-secrets", "security-secret-stores", "cloudnative-pg-cloudnative-pg"),
    }
    runs = {app.category for app in TREE.apps_in(environment_of(stack))}
    ceph = {"rook-ceph-rook-ceph", "rook-ceph-cluster"} if "rook-ceph" in runs else set()
    assert set(foundation) == expected | ceph


def test_all_crds_precede_infrastructure_and_the_last_layer_is_free() -> None:
    told = waits("dev")
    definitions = [app.full_name for app in TREE.apps_in("dev", "crds")]
    assert told["handover-wait-crds"]["FOUNDATION"].split() == definitions
    assert told["handover-wait-applications"]["FOUNDATION"] == ""


def test_a_stack_that_waits_for_generation_alone_has_no_foundation() -> None:
    assert {told["FOUNDATION"] for told in waits("dev", wait="generated").values()} == {""}


def test_an_app_of_another_environment_is_no_foundation() -> None:
    staging, dev = (waits(stack)["handover-wait-infrastructure"]["FOUNDATION"].split() for stack in ("homelab", "dev"))
    assert "rook-ceph-cluster" in staging
    assert "rook-ceph-cluster" not in dev


def test_a_gated_stack_names_the_foundation_whose_first_sync_it_requests() -> None:
    assert {told["GATED"] for told in waits("dev").values()} == {""}
    gated = waits("dev", gates={"sync": "manual"})
    assert {told["GATED"] == told["FOUNDATION"] for told in gated.values()} == {True}
    assert gated["handover-wait-crds"]["GATED"]


def test_how_long_a_layer_may_stand_still_is_a_setting() -> None:
    assert {told["STALL_SECONDS"] for told in waits("dev").values()} == {"600"}
    assert {told["STALL_SECONDS"] for told in waits("dev", stallTimeout="25m").values()} == {"1500"}

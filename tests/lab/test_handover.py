"""The handover's permissions and refusals, none of which costs a workload."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from errors import ApiFailed, ProgramFailed
from lab.api import Object
from ops.argocd.report import EDITS
from tests.lab.home import ARGOPROJ, Home, eventually

pytestmark = pytest.mark.xdist_group("home")

CONTROLLER = "system:serviceaccount:argocd:argocd-application-controller"
INTRUDERS = {
    "a cluster role": (
        """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: intruder}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
""",
        "ClusterRole is not permitted in project media",
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "intruder", ""),
    ),
    "an object in kube-system": (
        """\
apiVersion: v1
kind: ConfigMap
metadata: {name: intruder, namespace: kube-system}
""",
        "namespace kube-system is not permitted in project 'media'",
        ("v1", "ConfigMap", "intruder", "kube-system"),
    ),
    "a binding": (
        """\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: intruder}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: default, namespace: media}]
""",
        "RoleBinding is not permitted in project media",
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "intruder", "media"),
    ),
    "a namespace": (
        """\
apiVersion: v1
kind: Namespace
metadata: {name: intruder}
""",
        "Namespace is not permitted in project media",
        ("v1", "Namespace", "intruder", ""),
    ),
}
SCALED = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: elastic}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: elastic}}
  template:
    metadata: {labels: {app.kubernetes.io/name: elastic}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: app
          image: example.com/elastic:1.0.0
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: elastic}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: elastic}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
"""
ROLLED = """\
apiVersion: v1
kind: Service
metadata: {name: rolled}
spec: {selector: {app.kubernetes.io/name: rolled}, ports: [{port: 80}]}
"""
SET, PROJECT = (ARGOPROJ, "ApplicationSet", "media", "argocd"), (ARGOPROJ, "AppProject", "media", "argocd")


def deployments(home: Home) -> dict[str, str]:
    """Return the UIDs of the workloads, which differ for workloads that were created again."""
    found = home.api.list("apps/v1", "Deployment")
    return {f"{one['metadata']['namespace']}/{one['metadata']['name']}": one["metadata"]["uid"] for one in found}


@pytest.fixture
def workloads(home: Home) -> Iterator[None]:
    """Require that every workload is the same object afterwards."""
    before = deployments(home)
    assert {"media/shelf", "ai/toy", "argocd/argocd-server", "cert-manager/cert-manager"} <= set(before)
    yield
    assert deployments(home) == before


def meant(home: Home, place: tuple[str, str, str, str]) -> None:
    """Delete a guarded object, as a user with the intention does."""
    home.api.annotate(*place[:3], {"homelab.dev/allow-deletion": "true"}, place[3])
    assert home.api.delete(*place)


def resource(home: Home) -> dict[str, Any]:
    shelf = home.api.get("apps/v1", "Deployment", "shelf", "media")
    assert shelf
    found: dict[str, Any] = shelf["spec"]["template"]["spec"]["containers"][0]["resources"]
    return found


@pytest.mark.usefixtures("workloads")
class TestDrift:
    """Live edits, and their report or revert."""

    def test_a_live_edit_stays_and_names_its_manager(self, home: Home) -> None:
        # An Application that never had to sync, as after its set was made again, syncs once at the first difference.
        home.push_change("blue")
        container = {"name": "app", "image": "example.com/shelf:1.0.0", "resources": {"limits": {"memory": "1Gi"}}}
        change = {"spec": {"template": {"spec": {"containers": [container]}}}}
        home.strategic_merge("apps/v1", "Deployment", "media", "shelf", change)
        home.wait_for("media-shelf", lambda one: (one or {})["status"]["sync"]["status"] == "OutOfSync", "OutOfSync")
        said = home.run("status")
        assert said.code == 1
        path = "spec.template.spec.containers[app].resources.limits.memory"
        assert f"{EDITS}:" in said.out
        assert f"Deployment media/shelf: {path} (by kubectl-edit, " in said.out
        assert resource(home) == {"limits": {"memory": "1Gi"}}

    def test_an_unrelated_commit_undoes_it(self, home: Home) -> None:
        home.push_change("red")
        assert resource(home) == {"limits": {"memory": "64Mi"}}
        applied = (home.app("media-shelf") or {})["status"]["operationState"]["syncResult"]["resources"]
        assert {one["kind"] for one in applied} == {"ConfigMap", "Deployment"}, "what is in sync is left alone"
        assert "live edits" not in home.settled()

    def test_a_hand_is_undone_where_the_category_heals(self, home: Home) -> None:
        home.merge("v1", "ConfigMap", "ai", "toy", {"data": {"colour": "by hand"}})
        eventually("healed", lambda: (home.api.get("v1", "ConfigMap", "toy", "ai") or {})["data"] == {"colour": "red"})

    @pytest.mark.nightly  # a minute
    def test_a_misspelt_field_is_refused_though_nothing_is_validated_before(self, home: Home) -> None:
        home.write_app("media/typo", "{apiVersion: v1, kind: ConfigMap, metadata: {name: typo}, dat: {}}\n")
        home.push()
        home.wait_for_condition("media-typo", ".dat: field not declared in schema")
        home.remove("apps/media/typo")
        home.push()
        home.delete_application("media-typo")

    def test_a_changed_category_waits_for_up(self, home: Home) -> None:
        text = home.read("apps/media/category.yaml")
        home.write("apps/media/category.yaml", text + "removal: delete\nremovalReason: toys\n")
        said = home.status()
        home.write("apps/media/category.yaml", text)
        assert "category.yaml that waits for up:\n  media" in said

    @pytest.mark.nightly  # a minute
    def test_the_scale_of_an_autoscaler_is_no_drift(self, home: Home) -> None:
        home.write_app("media/elastic", SCALED)
        commit = home.push()

        # Not Healthy: no metrics are served here, and the autoscaler is Degraded as soon as it has requested them.
        def synced(one: Object | None) -> bool:
            sync = (one or {}).get("status", {}).get("sync", {})
            return (sync.get("status"), sync.get("revision")) == ("Synced", commit)

        home.wait_for("media-elastic", synced, "Synced")
        scale = f"{home.api.path('apps/v1', 'Deployment', 'media', 'elastic')}/scale"
        answer = home.api.request(
            "PATCH", scale, content="application/merge-patch+json", body={"spec": {"replicas": 3}}
        )
        assert answer.ok, answer.message
        elastic = home.api.get("apps/v1", "Deployment", "elastic", "media") or {}
        assert elastic["spec"]["replicas"] == 3
        at = max(one["time"] for one in elastic["metadata"]["managedFields"])
        found = home.wait_for("media-elastic", lambda one: (one or {})["status"]["reconciledAt"] > at, "looked at")
        assert found["status"]["sync"]["status"] == "Synced"
        home.remove("apps/media/elastic")
        home.push()
        home.delete_application("media-elastic")
        for version, kind in (("autoscaling/v2", "HorizontalPodAutoscaler"), ("apps/v1", "Deployment")):
            assert home.api.delete(version, kind, "elastic", "media")

    @pytest.mark.nightly  # a minute
    def test_the_hash_of_argo_rollouts_survives_syncs(self, home: Home) -> None:
        home.write_app("media/rolled", ROLLED)
        home.wait_healthy("media-rolled", home.push())
        turned = {"rollouts-pod-template-hash": "6cf78c66c5"}
        home.merge("v1", "Service", "media", "rolled", {"spec": {"selector": turned}}, by="rollouts-controller")
        rolled = home.api.get("v1", "Service", "rolled", "media") or {}
        at = max(one["time"] for one in rolled["metadata"]["managedFields"])
        found = home.wait_for("media-rolled", lambda one: (one or {})["status"]["reconciledAt"] > at, "looked at")
        assert found["status"]["sync"]["status"] == "Synced"
        home.write_app("media/rolled", ROLLED.replace("name: rolled}, ports", "part: front}, ports"))
        home.wait_healthy("media-rolled", home.push())
        rolled = home.api.get("v1", "Service", "rolled", "media") or {}
        assert rolled["spec"]["selector"] == {"app.kubernetes.io/part": "front", **turned}
        home.remove("apps/media/rolled")
        home.push()
        home.delete_application("media-rolled")
        assert home.api.delete("v1", "Service", "rolled", "media")

    def test_an_unready_object_is_reported_with_its_reason(self, home: Home) -> None:
        nowhere = SCALED.partition("---")[0].replace("    spec:\n", "    spec:\n      nodeSelector: {some: where}\n")
        home.write_app("media/elastic", nowhere)
        home.push()
        home.wait_for("media-elastic", lambda one: "0 of 1 updated" in str(one), "waiting for its pods")
        assert "Deployment/elastic: Waiting for rollout to finish: 0 of 1" in home.status()
        home.remove("apps/media/elastic")
        home.push()
        home.delete_application("media-elastic")
        assert home.api.delete("apps/v1", "Deployment", "elastic", "media")


@pytest.mark.usefixtures("workloads")
class TestCredentials:
    """The token that opens the repository, over https, verified by the rehearsal's own Git server."""

    def test_the_secret_has_the_shape_that_argo_cd_documents(self, home: Home) -> None:
        secret = home.api.get("v1", "Secret", "repository-homelab", "argocd")
        assert secret
        assert secret["metadata"]["labels"]["argocd.argoproj.io/secret-type"] == "repository"
        assert set(secret["data"]) == {"url", "type", "username", "password"}

    @pytest.mark.parametrize("wrong", ["wrong", pytest.param("", marks=pytest.mark.nightly)], ids=["wrong", "empty"])
    def test_a_wrong_token_is_reported_with_repository_and_secret(self, home: Home, wrong: str) -> None:
        secret = home.api.get("v1", "Secret", "repository-homelab", "argocd")
        assert secret
        right = secret["data"]["password"]
        home.merge(
            "v1",
            "Secret",
            "argocd",
            "repository-homelab",
            {"data": {"password": base64.b64encode(wrong.encode()).decode()}},
        )
        home.refresh("media-shelf")
        home.wait_for_condition("media-shelf", "authentication")
        said = home.run("status")
        home.merge("v1", "Secret", "argocd", "repository-homelab", {"data": {"password": right}})
        assert said.code == 1
        url = home.settings.delivery.repository
        holds = "Secret argocd/repository-homelab holds its credentials"
        assert f"repositories that Argo CD cannot read:\n  {url}: authentication required; {holds}" in said.out
        assert base64.b64decode(right).decode() not in said.out
        home.refresh(*(one["metadata"]["name"] for one in home.apps()))
        home.wait_healthy("media-shelf")

    def test_a_missing_secret_is_reported_with_its_repository(self, home: Home) -> None:
        secret = home.api.get("v1", "Secret", "repository-homelab", "argocd")
        assert secret
        (manager,) = {one["manager"] for one in secret["metadata"]["managedFields"] if one["operation"] == "Apply"}
        secret["metadata"] = {key: secret["metadata"][key] for key in ("name", "namespace", "labels")}
        assert home.api.delete("v1", "Secret", "repository-homelab", "argocd")
        home.refresh("media-shelf")
        home.wait_for_condition("media-shelf", "authentication")
        said = home.run("status")
        home.api.apply(secret, field_manager=manager)
        assert said.code == 1
        assert home.settings.delivery.repository in said.out
        assert "Secret argocd/repository-homelab" in said.out
        home.refresh(*(one["metadata"]["name"] for one in home.apps()))
        home.wait_healthy("media-shelf")


class TestFiles:
    """The handover as `render` writes it, which a user applies."""

    @pytest.mark.nightly
    def test_the_api_server_accepts_every_file_and_changes_nothing(self, home: Home, tmp_path: Path) -> None:
        ran = home.run("render", "--output", str(tmp_path / "files"))
        assert ran.code == 0, ran.err
        files = ("--server-side", "--recursive", "--filename", str(tmp_path / "files"))
        said = home.kubectl("apply", "--dry-run=server", *files)
        made = ("namespace/media", "validatingadmissionpolicy.admissionregistration.k8s.io/homelab-guard")
        for one in (*made, "appproject.argoproj.io/media", "applicationset.argoproj.io/media"):
            assert f"{one} serverside-applied (server dry run)\n" in said
        assert home.kubectl("diff", *files) == ""


@pytest.mark.usefixtures("workloads")
class TestProjects:
    """Limits of an Application."""

    def test_a_category_makes_nothing_outside_its_own(self, home: Home) -> None:
        intruders = {f"intruder-{number}": one for number, one in enumerate(INTRUDERS.values())}
        for name, (text, _, _) in intruders.items():
            home.write_app(f"media/{name}", text)
        home.push()
        for name, (_, refusal, place) in intruders.items():
            home.wait_for_condition(f"media-{name}", refusal)
            assert home.api.get(*place) is None
            assert f"media-{name}" in home.status()
            home.remove(f"apps/media/{name}")
        home.push()
        for name in intruders:
            home.delete_application(f"media-{name}")

    @pytest.mark.parametrize(("project", "foreign"), [("media", "https://git.example.org/other.git"), ("default", "")])
    def test_applications_of_foreign_repositories_or_without_category_are_refused(
        self, home: Home, project: str, foreign: str
    ) -> None:
        repository = foreign or home.settings.delivery.repository
        spec = {
            "project": project,
            "source": {"repoURL": repository, "path": "apps/media/shelf/dev", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "media"},
        }
        metadata = {"name": "foreign", "namespace": "argocd"}
        home.api.create({"apiVersion": ARGOPROJ, "kind": "Application", "metadata": metadata, "spec": spec})
        home.wait_for_condition("foreign", f"application repo {repository} is not permitted in project '{project}'")
        home.delete_application("foreign")


@pytest.mark.usefixtures("workloads")
class TestGuard:
    """Deletions of sets and projects, also by Pulumi."""

    @pytest.mark.parametrize("place", [SET, PROJECT], ids=lambda place: place[1])
    def test_a_deletion_is_refused_with_the_remedy(self, home: Home, place: tuple[str, str, str, str]) -> None:
        with pytest.raises(ApiFailed, match="if that is meant, first: kubectl -n argocd annotate") as refused:
            home.api.delete(*place)
        assert "homelab.dev/allow-deletion=true" in str(refused.value)
        assert home.api.get(*place)

    @pytest.mark.parametrize("subresource", [(), ("--subresource=status",)], ids=["itself", "status"])
    @pytest.mark.parametrize(
        "label", ['"pod-security.kubernetes.io/enforce":"privileged"', '"homelab.dev/category":null']
    )
    def test_no_controller_changes_the_labels_that_open_a_namespace(
        self, home: Home, label: str, subresource: tuple[str, ...]
    ) -> None:
        change = f'{{"metadata":{{"labels":{{{label}}}}}}}'
        words = ("patch", "namespace", "media", "--type=merge", f"--patch={change}", f"--as={CONTROLLER}", *subresource)
        before = home.api.get("v1", "Namespace", "media")
        with pytest.raises(ProgramFailed, match=r"come from category\.yaml: change them there"):
            home.kubectl(*words)
        assert home.api.get("v1", "Namespace", "media") == before

    def test_other_labels_of_a_namespace_are_free(self, home: Home) -> None:
        home.kubectl("label", "namespace", "media", "example.com/seen=yes", f"--as={CONTROLLER}")
        home.kubectl("label", "namespace", "media", "example.com/seen-", f"--as={CONTROLLER}")
        words = ("label", "namespace", "media", "--overwrite", "--dry-run=server")
        assert "labeled" in home.kubectl(*words, "pod-security.kubernetes.io/enforce=baseline")

    @pytest.mark.nightly
    def test_a_targeted_destroy_of_the_handover_is_refused(self, home: Home) -> None:
        applications = {one["metadata"]["uid"] for one in home.apps()}
        words = (
            "destroy",
            "--yes",
            "--skip-preview",
            "--target",
            "**homelab:handover:Handover**",
            "--target-dependents",
        )
        ran = home.pulumi(*words)
        assert ran.returncode != 0
        assert "deleting an ApplicationSet or an AppProject takes its Applications with it" in ran.stdout + ran.stderr
        assert {one["metadata"]["uid"] for one in home.apps()} == applications
        home.whole()
        assert set(home.whole()["changes"]) == {"same"}

    def test_a_confirmed_deletion_retains_workloads_under_keep(self, home: Home) -> None:
        meant(home, SET)
        eventually("gone", lambda: home.app("media-shelf") is None)
        said = home.run("status")
        assert said.code == 1
        assert "missing:\n  ApplicationSet media" in said.out

    def test_a_refreshing_run_recreates_the_set_which_adopts_its_objects(self, home: Home) -> None:
        assert home.whole("--refresh")["changes"].get("create") == 1
        home.wait_healthy("media-shelf")

    @pytest.mark.nightly
    def test_a_deleted_project_costs_no_workload_and_is_recreated(self, home: Home) -> None:
        meant(home, PROJECT)
        home.refresh_sets()
        home.refresh("media-shelf")
        home.wait_for_condition("media-shelf", "project media which does not exist")
        said = home.run("status")
        assert said.code == 1
        assert "missing:\n  AppProject media" in said.out
        assert home.whole("--refresh")["changes"].get("create") == 1
        home.refresh_sets()
        home.refresh("media-shelf")
        home.wait_healthy("media-shelf")
        eventually("recovered", lambda: not home.failing_sets())

"""The tree's own canary and blue-green pair, under the real controller of Argo Rollouts on a real API server.

kwok runs the pods, and a simulated Prometheus answers the analyses; Argo CD itself assesses the health. Only times
differ from the tree: minutes are seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

import programs
from config.tree import read_tree
from lab import caretaker, prometheus, rollouts
from lab.api import Api
from lab.control_plane import kubernetes
from lab.layout import Lab
from lab.running import servers
from manifests.sources import Chart
from ops.argocd.applications import ABORTED, UNTIL_PROMOTED
from ops.rehearsal.entry import PROGRAMS, ROLLOUTS, programs_of
from ops.toolchain.catalogue import BY_PROGRAM, FOLDER, ProgramVersion, pinned
from ops.toolchain.lookup import ensure
from standins.charts import StandInCharts
from standins.crds import KnownCrds
from tests import polling
from tests.lab.bare_cluster import assessed, control_plane

pytestmark = pytest.mark.xdist_group("rollouts")

ROOT = Path(__file__).resolve().parents[2]
VERSION, NAMESPACE, HASH = "argoproj.io/v1alpha1", "selfhosted", "rollouts-pod-template-hash"
CANARY, BLUE_GREEN = "podinfo-canary", "podinfo-bluegreen"
ROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute", CANARY, NAMESPACE)
PODS = {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2}
# The controller reconciles within seconds; two cores may be busy.
until = partial(polling.until, seconds=60)


@dataclass(frozen=True)
class RolledCluster:
    """A cluster with the controller and both examples."""

    lab: Lab
    api: Api
    env: dict[str, str]
    folder: Path
    seconds: float
    """From the first Rollout to both being Healthy."""

    def rollout(self, name: str) -> dict[str, Any]:
        """Return a Rollout."""
        found = self.api.get(VERSION, "Rollout", name, NAMESPACE)
        assert found
        return found

    def status(self, name: str) -> dict[str, Any]:
        """Return the status of a Rollout, empty until the controller has seen its last change."""
        found = self.rollout(name)
        status: dict[str, Any] = found.get("status") or {}
        return status if status.get("observedGeneration") == str(found["metadata"]["generation"]) else {}

    def is_in(self, name: str, phase: str) -> bool:
        """Report whether a Rollout is in a phase."""
        return bool(self.status(name).get("phase") == phase)

    def patch(self, name: str, body: dict[str, Any], subresource: str = "") -> None:
        """Change a Rollout, or its status."""
        path = self.api.path(VERSION, "Rollout", NAMESPACE, name) + subresource
        assert self.api.request("PATCH", path, content="application/merge-patch+json", body=body).ok

    def raise_image(self, name: str, tag: str) -> None:
        """Change the version, as a commit does."""
        container = self.rollout(name)["spec"]["template"]["spec"]["containers"][0]
        image = f"{container['image'].partition(':')[0]}:{tag}"
        template = {"spec": {"containers": [{**container, "image": image}]}}
        self.patch(name, {"spec": {"template": template}})

    def weights(self) -> tuple[int, ...]:
        """Return the weights of the stable and of the new Service in the canary's route."""
        route = self.api.get(*ROUTE)
        assert route
        return tuple(one["weight"] for one in route["spec"]["rules"][0]["backendRefs"])

    def selected(self, service: str) -> str:
        """Return the hash of the pods that a Service selects."""
        found = self.api.get("v1", "Service", service, NAMESPACE)
        assert found
        return str(found["spec"]["selector"].get(HASH, ""))

    def pods(self, name: str, tag: str) -> dict[str, Any]:
        """Return the numbers of pods of one version."""
        for one in self.api.list("apps/v1", "ReplicaSet", NAMESPACE, f"app.kubernetes.io/name={name}"):
            if one["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f":{tag}"):
                return {key: one["status"].get(key, 0) for key in PODS}
        return dict.fromkeys(PODS, 0)

    def last_run(self, name: str) -> dict[str, Any]:
        """Return the last AnalysisRun of a Rollout."""
        runs = self.api.list(VERSION, "AnalysisRun", NAMESPACE)
        ours = [one for one in runs if one["metadata"]["ownerReferences"][0]["name"] == name]
        return max(ours, key=lambda one: str(one["metadata"]["creationTimestamp"]))

    def tag(self, name: str) -> str:
        """Return the version that a Rollout asks for."""
        image = self.rollout(name)["spec"]["template"]["spec"]["containers"][0]["image"]
        return str(image.partition(":")[2])

    def is_previewed(self) -> bool:
        """Report whether the blue-green pair waits for a promotion after a good analysis."""
        if not self.is_in(BLUE_GREEN, "Paused") or self.selected(BLUE_GREEN) == self.selected(f"{BLUE_GREEN}-preview"):
            return False
        run = self.last_run(BLUE_GREEN)
        return bool(run["metadata"]["name"].endswith("-pre") and run["status"].get("phase") == "Successful")

    def rests(self, name: str) -> bool:
        """Report whether a Rollout does not change for a moment: a promotion during a change is lost."""
        before = self.rollout(name)["metadata"]["resourceVersion"]
        time.sleep(2)
        return bool(self.rollout(name)["metadata"]["resourceVersion"] == before)

    def health(self, name: str) -> str:
        """Return Argo CD's assessment of a Rollout."""
        settings = (ROOT / "apps/system/argocd/base/own/argocd-cm.yaml").read_text()
        return assessed(self.rollout(name), settings, self.folder, self.env)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolledCluster]:
    folder = tmp_path_factory.mktemp("rollouts")
    tools = ensure((*kubernetes.PARTS, "talosctl", "argocd", "helm", "kustomize", "crds", *ROLLOUTS))
    env = tools.env()
    with control_plane(folder, env) as lab:
        api = Api.of(lab)
        _install(api, KnownCrds(tools.manifests("crds")), folder, env)
        caretaker.poll_once(lab, api, caretaker.LastPoll(), KnownCrds(tools.manifests("crds")))
        assert servers.runs(lab, rollouts.NAME)
        began = time.monotonic()
        for thing in (*_example(CANARY, env), *_example(BLUE_GREEN, env)):
            api.apply(thing, field_manager="test")
        made = RolledCluster(lab, api, env, folder, 0)
        until(lambda: made.is_in(CANARY, "Healthy") and made.is_in(BLUE_GREEN, "Healthy"))
        yield RolledCluster(lab, api, env, folder, time.monotonic() - began)


def _install(api: Api, crds: KnownCrds, folder: Path, env: dict[str, str]) -> None:
    """Install the CRDs, the namespaces, a node, Prometheus' Service, and the controller's Deployment with its roles."""
    routes = crds.files("gateway-api")["gateway.networking.k8s.io_httproutes.yaml"]
    for text in (*crds.files("argo-rollouts").values(), routes):
        api.apply(yaml.load(text, Loader=yaml.CSafeLoader), field_manager="test")
    for version, kind in (ROUTE[:2], (VERSION, "Rollout"), (VERSION, "AnalysisRun"), (VERSION, "AnalysisTemplate")):
        until(partial(api.knows, version, kind))
    for name in ("system", "selfhosted", "monitoring"):
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}})
    meta = {"name": "kube-prometheus-stack-prometheus", "namespace": "monitoring"}
    spec = {"ports": [{"port": 9090}]}
    api.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    app = ROOT / "apps/system/argo-rollouts"
    (asked,) = yaml.safe_load((app / "production/kustomization.yaml").read_text())["helmCharts"]
    chart = StandInCharts(folder, crds, real=None).chart(Chart(asked["name"], asked["version"], asked["repo"]))
    assert chart
    values = ["--values", str(app / "base/values.yaml"), "--set", "controller.metrics.serviceMonitor.enabled=false"]
    made = programs.run("helm", "template", asked["releaseName"], chart, "--namespace", "system", *values, env=env)
    for thing in yaml.safe_load_all(made.stdout):
        if thing and thing["kind"] not in ("CustomResourceDefinition", "ServiceMonitor"):
            api.apply(thing, field_manager="test")


def _example(name: str, env: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of an example with times in seconds, without its PodMonitor."""
    build = ["build", "--load-restrictor", "LoadRestrictionsNone", str(ROOT / f"apps/selfhosted/{name}/production")]
    for thing in yaml.safe_load_all(programs.run("kustomize", *build, env=env).stdout):
        if thing["kind"] == "PodMonitor":
            continue
        if thing["kind"] == "AnalysisTemplate":
            for metric in thing["spec"]["metrics"]:
                metric |= {"initialDelay": "1s", "interval": "1s"}
        if name == CANARY and thing["kind"] == "Rollout":
            for step in thing["spec"]["strategy"]["canary"]["steps"]:
                if "pause" in step:
                    step["pause"] = {"duration": "8s"}
        yield thing


def test_the_first_version_runs_at_once_and_without_an_analysis(cluster: RolledCluster) -> None:
    assert cluster.seconds < 60
    assert cluster.api.list(VERSION, "AnalysisRun", NAMESPACE) == []
    assert cluster.weights() == (100, 0)
    assert cluster.pods(CANARY, "6.9.2") == cluster.pods(BLUE_GREEN, "6.9.2") == PODS
    assert cluster.health(CANARY) == cluster.health(BLUE_GREEN) == "Healthy"


def test_the_controller_has_the_rights_of_its_account_and_no_port(cluster: RolledCluster) -> None:
    log = servers.log_of(cluster.lab, rollouts.NAME).read_text()
    assert f"version=v{BY_PROGRAM[rollouts.PROGRAM].version}+unknown" in log
    assert "forbidden" not in log
    kubeconfig = yaml.safe_load((cluster.lab.control_plane / "rollouts-controller.kubeconfig").read_text())
    assert kubeconfig["users"][0]["user"]["as"] == "system:serviceaccount:system:argo-rollouts"
    assert not servers.listens(8090)
    assert not servers.listens(8080)


class TestCanary:
    """A version that gets a share of the requests first."""

    def test_a_good_one_gets_all_requests_step_by_step(self, cluster: RolledCluster) -> None:
        prometheus.answer_with(cluster.lab, "1")
        cluster.raise_image(CANARY, "6.9.3")
        until(lambda: cluster.weights() == (90, 10))
        assert cluster.health(CANARY) in ("Suspended", "Progressing")
        label = (cluster.api.get(*ROUTE) or {})["metadata"]["labels"]["rollouts.argoproj.io/gatewayapi-canary"]
        assert label == "in-progress"
        until(lambda: cluster.weights() == (50, 50))
        until(lambda: cluster.is_in(CANARY, "Healthy"))
        until(lambda: cluster.weights() == (100, 0))
        assert cluster.pods(CANARY, "6.9.3") == PODS
        assert cluster.selected(f"{CANARY}-stable") == cluster.status(CANARY)["stableRS"]
        assert cluster.health(CANARY) == "Healthy"
        run = cluster.last_run(CANARY)["status"]
        assert run["phase"] == "Successful"
        assert "simulated: a rehearsal answers every query with 1" in json.dumps(run["metricResults"])

    def test_a_bad_one_is_aborted_and_the_old_one_has_all_requests(self, cluster: RolledCluster) -> None:
        stable, before = cluster.status(CANARY)["stableRS"], cluster.rollout(CANARY)["spec"]["template"]
        good = cluster.tag(CANARY)
        prometheus.answer_with(cluster.lab, "0.5")
        cluster.raise_image(CANARY, "6.9.4")
        until(lambda: cluster.weights() == (90, 10))
        until(lambda: cluster.is_in(CANARY, "Degraded"))
        status = cluster.status(CANARY)
        assert status["abort"] is True
        assert status["stableRS"] == stable
        assert status["message"].startswith(f"{ABORTED}: ")
        assert 'Metric "answered" assessed Failed due to failed (2) > failureLimit (1)' in status["message"]
        assert cluster.last_run(CANARY)["status"]["phase"] == "Failed"
        assert cluster.health(CANARY) == "Degraded"
        until(lambda: cluster.weights() == (100, 0))
        assert cluster.pods(CANARY, good) == PODS
        assert cluster.selected(f"{CANARY}-stable") == stable
        # Git still has the bad version: only its reversal ends the state.
        cluster.patch(CANARY, {"spec": {"template": before}})
        until(lambda: cluster.is_in(CANARY, "Healthy"))
        assert cluster.health(CANARY) == "Healthy"

    @pytest.mark.nightly
    def test_one_without_requests_waits_for_a_person(self, cluster: RolledCluster) -> None:
        prometheus.answer_with(cluster.lab, prometheus.NOTHING)
        cluster.raise_image(CANARY, "6.9.5")
        reasons: list[str] = []

        def is_inconclusive() -> bool:
            reasons[:] = [one["reason"] for one in cluster.status(CANARY).get("pauseConditions") or ()]
            return "InconclusiveAnalysisRun" in reasons

        until(is_inconclusive)
        assert cluster.health(CANARY) == "Suspended"
        until(lambda: cluster.status(CANARY)["message"] in UNTIL_PROMOTED)
        assert cluster.last_run(CANARY)["status"]["phase"] == "Inconclusive"
        cluster.patch(CANARY, {"status": {"abort": True}}, "/status")
        until(lambda: cluster.is_in(CANARY, "Degraded"))
        until(lambda: cluster.weights() == (100, 0))
        prometheus.answer_with(cluster.lab, prometheus.GOOD)
        cluster.patch(CANARY, {"status": {"abort": False}}, "/status")
        until(lambda: cluster.weights() == (90, 10))
        cluster.patch(CANARY, {"status": {"promoteFull": True, "pauseConditions": None}}, "/status")
        until(lambda: cluster.is_in(CANARY, "Healthy"))
        assert cluster.pods(CANARY, "6.9.5") == PODS


class TestBlueGreen:
    """A version beside the old one, until it is promoted."""

    def test_a_good_one_is_a_preview_until_it_is_promoted(self, cluster: RolledCluster) -> None:
        prometheus.answer_with(cluster.lab, "1")
        old = cluster.status(BLUE_GREEN)["blueGreen"]["activeSelector"]
        cluster.raise_image(BLUE_GREEN, "6.9.3")
        until(cluster.is_previewed)
        assert cluster.selected(BLUE_GREEN) == old
        assert cluster.pods(BLUE_GREEN, "6.9.2") == cluster.pods(BLUE_GREEN, "6.9.3") == PODS
        assert cluster.health(BLUE_GREEN) == "Suspended"
        assert cluster.status(BLUE_GREEN)["message"] in UNTIL_PROMOTED
        time.sleep(3)
        assert cluster.selected(BLUE_GREEN) == old, "only a promotion may switch it"
        cluster.patch(BLUE_GREEN, {"status": {"pauseConditions": None}}, "/status")
        until(lambda: cluster.is_in(BLUE_GREEN, "Healthy"))
        assert cluster.selected(BLUE_GREEN) == cluster.selected(f"{BLUE_GREEN}-preview") != old
        assert cluster.health(BLUE_GREEN) == "Healthy"
        assert cluster.last_run(BLUE_GREEN)["metadata"]["name"].endswith("-post")

    def test_a_bad_one_is_refused_before_the_promotion(self, cluster: RolledCluster) -> None:
        old, before = cluster.selected(BLUE_GREEN), cluster.rollout(BLUE_GREEN)["spec"]["template"]
        good = cluster.tag(BLUE_GREEN)
        prometheus.answer_with(cluster.lab, "0")
        cluster.raise_image(BLUE_GREEN, "6.9.4")
        until(lambda: cluster.is_in(BLUE_GREEN, "Degraded"))
        assert cluster.selected(BLUE_GREEN) == old
        assert cluster.pods(BLUE_GREEN, good) == PODS
        assert cluster.health(BLUE_GREEN) == "Degraded"
        cluster.patch(BLUE_GREEN, {"spec": {"template": before}})
        until(lambda: cluster.is_in(BLUE_GREEN, "Healthy"))

    @pytest.mark.nightly
    def test_the_old_one_is_back_if_the_new_one_fails_after_the_promotion(self, cluster: RolledCluster) -> None:
        old, good = cluster.selected(BLUE_GREEN), cluster.tag(BLUE_GREEN)
        prometheus.answer_with(cluster.lab, "1")
        cluster.raise_image(BLUE_GREEN, "6.9.5")
        until(cluster.is_previewed)
        until(lambda: cluster.rests(BLUE_GREEN))
        prometheus.answer_with(cluster.lab, "0.5")
        cluster.patch(BLUE_GREEN, {"status": {"pauseConditions": None}}, "/status")
        until(lambda: cluster.is_in(BLUE_GREEN, "Degraded"))
        until(lambda: cluster.selected(BLUE_GREEN) == old)
        assert cluster.pods(BLUE_GREEN, good) == PODS


def _mistake(cluster: RolledCluster, name: str, change: dict[str, Any]) -> None:
    """Make a copy of the canary with Services of its own and a mistake."""
    labels, found = {"app.kubernetes.io/name": name}, cluster.rollout(CANARY)
    services = {"stableService": f"{name}-stable", "canaryService": f"{name}-canary"}
    for service in services.values():
        meta = {"name": service, "namespace": NAMESPACE}
        spec: dict[str, Any] = {"selector": labels, "ports": [{"port": 80}]}
        cluster.api.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    canary = {**found["spec"]["strategy"]["canary"], **services, **change}
    template = {**found["spec"]["template"], "metadata": {"labels": labels}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "strategy": {"canary": canary}, "template": template}
    meta = {"name": name, "namespace": NAMESPACE}
    cluster.api.create({"apiVersion": VERSION, "kind": "Rollout", "metadata": meta, "spec": spec})


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("without-analysis", {"analysis": {"templates": [{"templateName": "absent"}]}}, "'absent' not found"),
        ("without-service", {"canaryService": "absent"}, 'service "absent" not found'),
    ],
)
def test_a_missing_reference_is_degraded(
    cluster: RolledCluster, name: str, change: dict[str, Any], reason: str
) -> None:
    _mistake(cluster, name, change)
    until(lambda: cluster.is_in(name, "Degraded"))
    assert cluster.status(name)["message"].startswith(f'InvalidSpec: The Rollout "{name}" is invalid: ')
    assert cluster.status(name)["message"].endswith(reason)
    assert cluster.health(name) == "Degraded"


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "plugins", "reason"),
    [
        ("without-route", {rollouts.GATEWAY_API: {"httpRoute": "absent"}}, '"absent" not found'),
        ("in-no-backend", {rollouts.GATEWAY_API: {"httpRoute": CANARY}}, "backendRef was not found in httpRoute"),
        (
            "of-another-kind",
            {rollouts.GATEWAY_API: {"tcpRoute": "absent"}},
            "as far as a rehearsal knows it: json: unknown",
        ),
        ("of-another-plugin", {"some/other": {}}, "plugin some/other not configured in configmap"),
    ],
)
def test_a_route_that_gets_no_weights_is_never_healthy(
    cluster: RolledCluster, name: str, plugins: dict[str, Any], reason: str
) -> None:
    _mistake(cluster, name, {"trafficRouting": {"plugins": plugins}})
    log = servers.log_of(cluster.lab, rollouts.NAME)
    until(lambda: any(f"rollout={name}" in line and reason in line.replace("\\", "") for line in lines(log)))
    time.sleep(3)
    assert cluster.status(name)["phase"] == cluster.health(name) == "Progressing"


def lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines()


def test_prometheus_answers_only_queries_to_services_of_the_cluster(cluster: RolledCluster) -> None:
    proxies = {"http": f"http://127.0.0.1:{servers.port(cluster.lab, rollouts.PROMETHEUS)}"}

    def answered(url: str) -> tuple[int, str]:
        said = requests.post(url, data={"query": "up"}, proxies=proxies, timeout=10)
        return said.status_code, said.json().get("error", "")

    there, absent = "kube-prometheus-stack-prometheus.monitoring.svc", "prometheus.nowhere.svc"
    assert answered(f"http://{there}:9090/api/v1/query") == (HTTPStatus.OK, "")
    error = f"{absent}: no Service of the rehearsed cluster has this name"
    assert answered(f"http://{absent}:9090/api/v1/query") == (HTTPStatus.BAD_GATEWAY, error)
    assert answered("http://example.com/api/v1/query")[0] == HTTPStatus.BAD_GATEWAY
    error = "/api/v1/series: only /api/v1/query is simulated"
    assert answered(f"http://{there}:9090/api/v1/series") == (HTTPStatus.NOT_FOUND, error)


def test_the_controller_runs_as_long_as_its_deployment(cluster: RolledCluster) -> None:
    """The last test: no other one has a controller afterwards."""
    state = rollouts.reconcile(cluster.lab, cluster.api, "")
    servers.stop(cluster.lab, rollouts.NAME)
    assert rollouts.reconcile(cluster.lab, cluster.api, state) == state
    assert servers.runs(cluster.lab, rollouts.NAME)
    path = cluster.api.path("apps/v1", "Deployment", "system", "argo-rollouts")
    body = {"spec": {"replicas": 0}}
    assert cluster.api.request("PATCH", path, content="application/merge-patch+json", body=body).ok
    assert rollouts.reconcile(cluster.lab, cluster.api, "") == ""
    assert not servers.runs(cluster.lab, rollouts.NAME)
    assert not servers.runs(cluster.lab, rollouts.PROMETHEUS)


def test_the_controller_has_the_minor_version_of_the_chart_and_of_the_crds() -> None:
    tool = BY_PROGRAM[rollouts.PROGRAM]
    chart = yaml.safe_load((ROOT / "standins/data/charts/argo-rollouts.yaml").read_text())
    minor = (tool.version.major, tool.version.minor)
    for other in (ProgramVersion.read(chart["app"]), pinned(FOLDER / "crds", tool.module)):
        assert other
        assert (other.major, other.minor) == minor


def test_only_a_stack_with_a_rollout_needs_the_controller() -> None:
    tree = read_tree(ROOT)
    assert programs_of(ROOT, tree, "dev") == PROGRAMS
    assert programs_of(ROOT, tree, "production") == (*PROGRAMS, *ROLLOUTS)

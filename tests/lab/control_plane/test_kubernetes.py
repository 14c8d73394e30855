"""A real control plane from a generated machine configuration: its behaviour, and its recovery after kills."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
from errors import ApiFailed, ProgramFailed, TookTooLong
from lab.api import Api, condition
from lab.control_plane import kubernetes
from lab.layout import Lab
from lab.running import servers
from local import process_table
from ops.toolchain.lookup import ensure
from tests import polling

pytestmark = pytest.mark.xdist_group("control plane")

PROGRAMS = (*kubernetes.PARTS, "kubectl", "talosctl", "etcdctl")
STEADY = 15
until = partial(polling.until, seconds=20)
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "worker-1",
        "labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/hostname": "worker-1"},
    },
    "spec": {"taints": [{"key": "reserved", "value": "web", "effect": "NoSchedule"}]},
    "status": {
        "addresses": [
            {"type": "InternalIP", "address": "10.0.0.21"},
            {"type": "Hostname", "address": "worker-1"},
        ],
        "capacity": {"cpu": "2", "memory": "4Gi", "pods": "110"},
        "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "boot",
            "containerRuntimeVersion": "containerd://2.1.0",
            "kernelVersion": "6.18.0-talos",
            "kubeProxyVersion": "",
            "kubeletVersion": "v1.36.3",
            "machineID": "machine",
            "operatingSystem": "linux",
            "osImage": "Talos (v1.13.0)",
            "systemUUID": "system",
        },
    },
}
TOLERATES = [{"key": "reserved", "operator": "Exists"}]
WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
WIDGETS_BECOME_READY = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: widget-ready}
spec:
  resourceRef: {apiGroup: example.org/v1, kind: Widget}
  selector:
    matchExpressions: [{key: .status.phase, operator: NotIn, values: [Ready]}]
  steps: [{patch: {subresource: status, root: status, type: merge, template: "phase: Ready"}}]
"""


@dataclass(frozen=True)
class Rehearsed:
    """A control plane that runs, and its machine configuration."""

    lab: Lab
    configuration: dict[str, Any]
    api: Api
    env: dict[str, str]

    def pids(self) -> dict[str, int]:
        return {server.name: server.pid for server in servers.alive(self.lab)}

    def start(self) -> None:
        kubernetes.start(self.lab, self.configuration)

    def run(self, name: str, program: dict[str, Any]) -> None:
        """Create a pod, which can run on the existing node."""
        containers = [{"name": "main", "image": "none.example/none:1"}]
        pod = {"tolerations": TOLERATES, "containers": containers, **program}
        self.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": named(name), "spec": pod})


def named(name: str, namespace: str = "default") -> dict[str, Any]:
    return {"name": name, "namespace": namespace}


def generated(folder: Path, name: str) -> dict[str, Any]:
    """Generate the configuration of a control plane, as the program does."""
    secrets = folder / f"{name}.yaml"
    programs.run("talosctl", "gen", "secrets", "-o", secrets)
    which = ["--with-secrets", str(secrets), "--output-types", "controlplane", "-o", "-"]
    said = programs.run("talosctl", "gen", "config", *which, name, "https://10.0.0.5:6443")
    document: dict[str, Any] = next(yaml.safe_load_all(said.stdout))
    return document


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsed]:
    folder = tmp_path_factory.mktemp("rehearsal")
    env = ensure(PROGRAMS).env()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATH", env["PATH"])
        # A proxy that leads nowhere: no request of these tests may use it.
        environment.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        lab, configuration = Lab(folder / "lab"), generated(folder, "homelab")
        try:
            kubernetes.start(lab, configuration)
            api = Api.of(lab)
            api.create(NODE)
            yield Rehearsed(lab, configuration, api, {**env, "KUBECONFIG": str(lab.kubeconfig)})
        finally:
            servers.stop_all(lab)
    assert process_table.marked(lab.root) == {}


def test_kubectl_works_with_the_kubeconfig(rehearsed: Rehearsed) -> None:
    said = programs.run("kubectl", "config", "current-context", env=rehearsed.env)
    assert said.stdout.strip() == "admin@homelab"
    assert programs.run("kubectl", "auth", "whoami", "-o", "json", env=rehearsed.env).stdout.count("system:masters")
    written = yaml.safe_load(rehearsed.lab.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = base64.b64decode(rehearsed.configuration["cluster"]["ca"]["crt"])
    assert base64.b64decode(written["certificate-authority-data"]) == authority
    assert kubernetes.admin_kubeconfig(rehearsed.lab, rehearsed.configuration) == rehearsed.lab.kubeconfig.read_text()


def test_starting_again_changes_nothing(rehearsed: Rehearsed) -> None:
    before, began = rehearsed.pids(), time.monotonic()
    rehearsed.start()
    assert rehearsed.pids() == before
    assert time.monotonic() - began < 2


def test_a_registered_node_becomes_ready_and_retains_its_fields(rehearsed: Rehearsed) -> None:
    node = rehearsed.api.wait(
        "v1", "Node", "worker-1", until=lambda node: condition(node, "Ready"), what="Ready", seconds=20
    )
    assert node
    for key in ("addresses", "capacity", "nodeInfo"):
        assert node["status"][key] == NODE["status"][key]  # type: ignore[index] # a literal above
    assert node["metadata"]["labels"].items() >= NODE["metadata"]["labels"].items()  # type: ignore[index] # as above
    until(lambda: taints(rehearsed) == ["reserved"])


def taints(rehearsed: Rehearsed) -> list[str]:
    node = rehearsed.api.get("v1", "Node", "worker-1")
    return [taint["key"] for taint in node["spec"].get("taints", [])] if node else []


def test_a_deployment_becomes_available_with_init_containers_and_readiness_gates(rehearsed: Rehearsed) -> None:
    spec = {
        "tolerations": TOLERATES,
        "initContainers": [
            {"name": "first", "image": "none.example/none:1"},
            {"name": "beside", "image": "none.example/none:1", "restartPolicy": "Always"},
        ],
        "containers": [
            {"name": "web", "image": "none.example/none:1", "readinessProbe": {"httpGet": {"path": "/", "port": 80}}}
        ],
        "readinessGates": [{"conditionType": "example.org/ready"}],
    }
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    selector = {"matchLabels": {"app": "web"}}
    deployment = {"replicas": 2, "selector": selector, "template": template}
    thing = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named("web"), "spec": deployment}
    rehearsed.api.apply(thing, field_manager="test")
    until(lambda: condition(rehearsed.api.get("apps/v1", "Deployment", "web", "default"), "Available"))
    until(lambda: len(pods(rehearsed, "app=web")) == 2)
    pod = pods(rehearsed, "app=web")[0]["status"]
    assert pod["hostIP"] == "10.0.0.21"
    assert pod["podIP"].startswith("10.244.")
    assert {"PodScheduled", "Ready", "example.org/ready"} <= {one["type"] for one in pod["conditions"]}


def pods(rehearsed: Rehearsed, labels: str) -> list[dict[str, Any]]:
    return rehearsed.api.list("v1", "Pod", "default", labels)


def test_a_pod_that_is_marked_unready_is_ready_again(rehearsed: Rehearsed) -> None:
    pod = pods(rehearsed, "app=web")[0]
    said = [one | {"status": "False"} if one["type"] == "Ready" else one for one in pod["status"]["conditions"]]
    rehearsed.api.patch_status("v1", "Pod", pod["metadata"]["name"], {"conditions": said}, "default")
    until(lambda: all(condition(one, "Ready") for one in pods(rehearsed, "app=web")))


def test_a_deleted_deployment_takes_its_pods_with_it(rehearsed: Rehearsed) -> None:
    assert rehearsed.api.delete("apps/v1", "Deployment", "web", "default")
    assert not rehearsed.api.delete("apps/v1", "Deployment", "none", "default")
    until(lambda: pods(rehearsed, "app=web") == [])


def test_a_job_and_a_pod_that_is_not_restarted_succeed(rehearsed: Rehearsed) -> None:
    containers = [{"name": "main", "image": "none.example/none:1"}]
    template = {"spec": {"tolerations": TOLERATES, "restartPolicy": "OnFailure", "containers": containers}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": named("migrate"), "spec": {"template": template}}
    rehearsed.api.create(job)
    rehearsed.run("hook", {"restartPolicy": "Never"})
    until(lambda: condition(rehearsed.api.get("batch/v1", "Job", "migrate", "default"), "Complete"))
    until(lambda: phase(rehearsed, "hook") == "Succeeded")


def phase(rehearsed: Rehearsed, name: str) -> str:
    pod = rehearsed.api.get("v1", "Pod", name, "default")
    return str(pod["status"].get("phase")) if pod else "gone"


def test_the_pod_security_of_talos_is_enforced(rehearsed: Rehearsed) -> None:
    with pytest.raises(ApiFailed, match=r'violates PodSecurity "baseline:latest": host namespaces') as refused:
        rehearsed.run("host", {"hostNetwork": True})
    assert refused.value.code == 403


def test_the_api_server_never_contacts_the_addresses_of_its_nodes(rehearsed: Rehearsed) -> None:
    rehearsed.run("silent", {})
    until(lambda: phase(rehearsed, "silent") == "Running")
    with pytest.raises(
        ProgramFailed, match=r"10\.0\.0\.21:10250/containerLogs.*dial unix .*/no-way-out: connect: no such"
    ):
        programs.run("kubectl", "logs", "silent", env=rehearsed.env)


def test_a_webhook_without_a_server_refuses_nothing(rehearsed: Rehearsed) -> None:
    webhook = {
        "name": "nobody.example.org",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": {"service": {"name": "nobody", "namespace": "default"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    rehearsed.api.create({**kind, "metadata": {"name": "nobody"}, "webhooks": [webhook]})
    rehearsed.api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": named("unrefused")})


def test_creating_an_existing_object_is_refused(rehearsed: Rehearsed) -> None:
    with pytest.raises(ApiFailed, match='nodes "worker-1" already exists'):
        rehearsed.api.create(NODE)
    assert rehearsed.api.get("v1", "Node", "worker-2") is None
    assert rehearsed.api.get("example.org/v1", "Unheard", "of") is None
    with pytest.raises(TookTooLong, match=r"Node/worker-2: not Ready after 0 s; last seen: it does not exist"):
        rehearsed.api.wait("v1", "Node", "worker-2", until=lambda node: node is not None, what="Ready", seconds=0)


def test_secrets_are_encrypted_in_etcd_which_requires_a_certificate(rehearsed: Rehearsed) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": named("canary"), "stringData": {"key": "canary-value"}}
    rehearsed.api.create(secret)
    port = servers.port(rehearsed.lab, "etcd", "clients")
    pair = rehearsed.lab.pki / "etcd-client.pem"
    identity = [f"--cacert={rehearsed.lab.pki / 'etcd-ca.crt'}", f"--cert={pair}", f"--key={pair}"]
    where = [f"--endpoints=https://127.0.0.1:{port}", "get", "/registry/secrets/default/canary", "--print-value-only"]
    stored = programs.run("etcdctl", *identity, *where, env=rehearsed.env).stdout
    assert stored.startswith("k8s:enc:secretbox:v1:key2:")
    assert "canary-value" not in stored


def test_all_listen_on_loopback_only(rehearsed: Rehearsed) -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("who listens where is read from /proc")
    handles = [handle for pid in rehearsed.pids().values() for handle in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {str(handle.readlink()) for handle in handles}
    listening: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                listening.add(fields[1].partition(":")[0])
    assert listening == {"0100007F"}


@pytest.mark.parametrize("part", kubernetes.PARTS)
def test_the_next_start_restores_a_killed_part_without_loss(rehearsed: Rehearsed, part: str) -> None:
    before = rehearsed.pids()
    os.kill(before[part], signal.SIGKILL)
    rehearsed.start()
    assert {name for name, pid in rehearsed.pids().items() if before[name] != pid} == {part}
    assert process_table.marked(rehearsed.lab.root) == {name: [pid] for name, pid in rehearsed.pids().items()}
    until(lambda: is_created(rehearsed, f"after-{part}"))
    until(lambda: phase(rehearsed, f"after-{part}") == "Running")


def is_created(rehearsed: Rehearsed, name: str) -> bool:
    """Report whether an API server that lost its etcd has found it again, which takes a second or two."""
    try:
        rehearsed.run(name, {})
    except ApiFailed as error:
        return error.code == 409
    return True


def test_an_operator_whose_kind_is_unknown_is_refused(rehearsed: Rehearsed, tmp_path: Path) -> None:
    stages = tmp_path / "widgets.yaml"
    stages.write_text(WIDGETS_BECOME_READY)
    before = rehearsed.pids()
    with pytest.raises(TookTooLong, match=r"kinds that the cluster does not serve: Widget of example\.org/v1$"):
        kubernetes.reload_operators(rehearsed.lab, [stages], seconds=0.5)
    assert rehearsed.pids() == before


def test_an_operator_is_played_once_its_kind_is_there(
    rehearsed: Rehearsed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stages = tmp_path_factory.mktemp("operators") / "widgets.yaml"
    stages.write_text(WIDGETS_BECOME_READY)
    rehearsed.api.create(yaml.safe_load(WIDGETS))
    kubernetes.reload_operators(rehearsed.lab, [stages])
    before = rehearsed.pids()
    kubernetes.reload_operators(rehearsed.lab, [stages])
    rehearsed.start()
    assert rehearsed.pids() == before
    rehearsed.api.create({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": named("one")})
    until(lambda: "Ready" in str(rehearsed.api.get("example.org/v1", "Widget", "one", "default")))
    rehearsed.run("beside-widgets", {})
    until(lambda: phase(rehearsed, "beside-widgets") == "Running", seconds=5)


def test_an_operator_with_a_removed_kind_blocks_no_start(rehearsed: Rehearsed) -> None:
    rehearsed.api.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", "widgets.example.org")
    until(lambda: rehearsed.api.get("example.org/v1", "Widget", "one", "default") is None)
    os.kill(rehearsed.pids()["kwok"], signal.SIGKILL)
    rehearsed.start()
    rehearsed.run("after-widgets", {})
    until(lambda: phase(rehearsed, "after-widgets") == "Running", seconds=5)


def test_the_node_was_always_ready_and_renews_its_lease(rehearsed: Rehearsed) -> None:
    node = rehearsed.api.get("v1", "Node", "worker-1")
    assert node
    ready = next(one for one in node["status"]["conditions"] if one["type"] == "Ready")
    since = datetime.fromisoformat(ready["lastTransitionTime"])
    assert (since - datetime.fromisoformat(node["metadata"]["creationTimestamp"])).total_seconds() <= 5
    time.sleep(max(0.0, STEADY - (datetime.now(UTC) - since).total_seconds()))
    now = rehearsed.api.get("v1", "Node", "worker-1")
    lease = rehearsed.api.get("coordination.k8s.io/v1", "Lease", "worker-1", "kube-node-lease")
    assert now
    assert lease
    assert next(one for one in now["status"]["conditions"] if one["type"] == "Ready") == ready
    renewed = datetime.fromisoformat(lease["spec"]["renewTime"])
    assert (datetime.now(UTC) - renewed).total_seconds() < 15
    assert now["status"]["nodeInfo"] == NODE["status"]["nodeInfo"]  # type: ignore[index] # a literal above
    assert taints(rehearsed) == ["reserved"]


def test_an_unknown_flag_is_reported_with_the_output(rehearsed: Rehearsed) -> None:
    wrong = deepcopy(rehearsed.configuration)
    wrong["cluster"]["scheduler"]["extraArgs"] = {"no-such-flag": "1"}
    with pytest.raises(TookTooLong, match=r"(?s)kube-scheduler: ended by itself\n.*unknown flag: --no-such-flag.*log"):
        kubernetes.start(rehearsed.lab, wrong)
    rehearsed.start()
    assert set(rehearsed.pids()) == set(kubernetes.PARTS)


def test_another_configuration_restarts_only_the_changed_parts(rehearsed: Rehearsed) -> None:
    before = rehearsed.pids()
    other = deepcopy(rehearsed.configuration)
    other["cluster"]["apiServer"]["certSANs"] = ["api.home.arpa"]
    other["cluster"]["apiServer"]["admissionControl"][0]["configuration"]["exemptions"]["namespaces"] = ["default"]
    kubernetes.start(rehearsed.lab, other)
    assert {name for name, pid in rehearsed.pids().items() if before[name] != pid} == {"kube-apiserver"}
    rehearsed.run("host", {"hostNetwork": True})
    server = f"--server=https://127.0.0.1:{servers.port(rehearsed.lab, 'kube-apiserver')}"
    named_so = ["--tls-server-name=api.home.arpa", "get", "--raw", "/readyz"]
    assert programs.run("kubectl", server, *named_so, env=rehearsed.env).stdout == "ok"


def test_after_a_stop_nothing_runs_and_nothing_is_forgotten(rehearsed: Rehearsed) -> None:
    kubernetes.stop(rehearsed.lab)
    assert process_table.marked(rehearsed.lab.root) == {}
    rehearsed.start()
    assert phase(rehearsed, "after-widgets") == "Running"


def test_a_cluster_with_other_authorities_begins_with_nothing(rehearsed: Rehearsed, tmp_path: Path) -> None:
    kubernetes.start(rehearsed.lab, generated(tmp_path, "again"))
    api = Api.of(rehearsed.lab)
    assert api.list("v1", "Node") == []
    assert programs.run("kubectl", "config", "current-context", env=rehearsed.env).stdout.strip() == "admin@again"
    kubernetes.erase(rehearsed.lab)
    assert process_table.marked(rehearsed.lab.root) == {}
    assert not rehearsed.lab.kubeconfig.exists()
    assert json.loads(rehearsed.lab.ports.read_text()), "ports are kept"

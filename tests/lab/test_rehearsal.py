"""A first rehearsal, a second one, and the changes in the life of a stack.

One production rehearsal, until its network, tests machines and cluster; day-2 changes share one of staging, in their
natural order. All three stacks are rehearsed completely every night, and a smaller tree in every run, by
`test_handover`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import programs
from config.load import read_stack
from config.tree import read_tree
from errors import ExitCode
from lab.running import servers
from ops.toolchain.lookup import ensure
from tests.docs.pages import ROOT, of_page
from tests.lab.checkout import Checkout, kill_group
from tests.lab.parity import differences


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout.make(tmp_path_factory.mktemp("production"), "homelab")
    checkout.until = "network"
    checkout.rehearse()
    yield checkout
    checkout.end()


@pytest.mark.xdist_group("production")
class TestProduction:
    """One stack as a whole, from its creation to its end."""

    def test_all_nodes_are_ready_with_roles_addresses_and_versions(self, production: Checkout) -> None:
        nodes = production.nodes()
        assert production.ready() == {"cp-1", "cp-2", "cp-3", "worker-1", "worker-2", "worker-3"}
        plane, worker = nodes["cp-2"], nodes["worker-3"]
        assert "node-role.kubernetes.io/control-plane" in plane["metadata"]["labels"]
        assert plane["spec"]["taints"] == [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
        assert worker["metadata"]["labels"]["homelab.dev/storage"] == "true"
        assert {"type": "InternalIP", "address": "10.0.0.22"} in worker["status"]["addresses"]
        info = worker["status"]["nodeInfo"]
        assert (info["kubeletVersion"], info["osImage"]) == ("v1.36.3", "Talos (v1.13.10) simulated")

    @pytest.mark.nightly  # minutes; the parity test below runs each stack twice
    def test_a_second_run_changes_nothing(self, production: Checkout) -> None:
        before = production.rack.journal()
        assert set(production.rehearse()["changes"]) == {"same"}
        assert production.rack.journal() == before

    def test_replaced_and_simulated_parts_are_reported(self, production: Checkout) -> None:
        result = production.said[0].result
        assert [one["what"] for one in result["replaced"]] == ["proxmox.endpoint", "homelab:secrets"]
        assert {"proxmoxve", "talos"} <= set(result["simulated"])
        assert result["refused"] == []
        assert result["originals"] == {"fetched": [], "absent": {}, "reasons": ["HOMELAB_OFFLINE=1"]}

    def test_the_api_server_has_the_admission_that_talos_configures(self, production: Checkout) -> None:
        from errors import ApiFailed  # noqa: PLC0415 - only here

        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "nosy", "namespace": "default"},
            "spec": {"hostNetwork": True, "containers": [{"name": "a", "image": "a:1"}]},
        }
        with pytest.raises(ApiFailed, match='violates PodSecurity "baseline:latest"'):
            production.api.create(pod)

    def test_no_secret_is_printed_logged_or_stored_in_clear(self, production: Checkout) -> None:
        kubeconfig = production.lab.kubeconfig.read_text(encoding="utf-8")
        secret = re.compile(r"(?:key|token|secret|secretboxEncryptionSecret|client-key-data): (\S{40,})")
        texts = [kubeconfig, *(node.configuration for node in production.rack.nodes())]
        # From the middle: keys begin and end alike.
        canaries = {found[40:80] for text in texts for found in secret.findall(text) if len(found) > 80}
        assert len(canaries) > 5
        places = dict(production.places())
        assert len(places) > 20
        assert [place for place, text in places.items() if any(canary in text for canary in canaries)] == []

    def test_a_person_can_use_the_kubeconfig(self, production: Checkout) -> None:
        environment = ensure(("kubectl",)).env(
            {"KUBECONFIG": str(production.lab.kubeconfig), "PATH": "/usr/bin:/bin", "HOME": str(production.root)}
        )
        assert "node/worker-3" in programs.run("kubectl", "get", "nodes", "-o", "name", env=environment).stdout

    def test_destroy_refuses_before_it_touches_anything(self, production: Checkout) -> None:
        before = production.rack.journal()
        refused = production.run("destroy", "--rehearsal", "--yes")
        assert refused.code == 1
        assert "protected, and nothing was changed: cluster-secrets, machines-cp-1, machines-cp-2" in refused.err
        assert "--unprotect" in refused.err
        assert production.rack.journal() == before

    def test_destroy_deletes_everything_without_requests_to_the_api(self, production: Checkout) -> None:
        mark = len(production.rack.journal())
        assert production.run("destroy", "--rehearsal", "--yes", "--unprotect").code == 0
        acted = {event for event, _, _ in production.rack.journal()[mark:]}
        assert acted == {"delete vm", "remove file", "leave etcd", "control plane gone"}
        assert production.rack.vms() == []
        assert not servers.runs(production.lab, "etcd")

    def test_down_leaves_no_process_no_port_and_no_file(self, production: Checkout) -> None:
        assert production.run("down").code == 0
        assert not production.lab.root.exists()
        assert servers.alive(production.lab) == []


@pytest.mark.nightly
@pytest.mark.parametrize("stack", ["homelab", "staging", "dev"])
def test_argo_cd_reports_a_whole_stack_as_synced_and_healthy(stack: str, tmp_path: Path) -> None:
    checkout = Checkout.make(tmp_path / "checkout", stack)
    try:
        result = checkout.whole()
        settings = read_stack(checkout.root / f"Pulumi.{stack}.yaml").require()
        chosen = read_tree(checkout.root).chosen(settings.delivery.environment)
        assert result["good"] is True
        assert result["applications"] == sum(len(category.apps) for category in chosen)
        assert set(checkout.whole()["changes"]) == {"same"}
        compared, different = differences(checkout)
        assert different == []
        print(f"{stack}: {compared} objects rendered alike by Argo CD and by the project")
        if stack == "homelab":
            follow_the_gitops_guide(checkout)
    finally:
        checkout.end()


def follow_the_gitops_guide(checkout: Checkout) -> None:
    """Run every kubectl command of the page; one makes a live edit, which a sync undoes."""
    environment = ensure(("kubectl",)).env() | {"KUBECONFIG": str(checkout.lab.kubeconfig)}
    typed = [command for command in of_page(ROOT / "docs" / "start" / "gitops.md") if command.whole]
    shown = [command.words for command in typed if command.program == "kubectl"]
    assert len(shown) > 10
    assert [words for words in shown if not programs.run(*words, env=environment).stdout.strip()] == []
    assert checkout.run("sync", "selfhosted-whoami").code == 0


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout.make(tmp_path_factory.mktemp("staging"), "staging")
    checkout.until = "network"  # an upgrade waits for nodes that are Ready
    checkout.rehearse()
    yield checkout
    checkout.end()


def since(checkout: Checkout, mark: int, *events: str) -> list[tuple[str, str]]:
    return [(event, subject) for event, subject, _ in checkout.rack.journal()[mark:] if event in events]


def kill_when(checkout: Checkout, moment: Callable[[], bool]) -> None:
    """Start a rehearsal and kill all of it at a moment."""
    process = checkout.start("rehearse", "--until", "network")
    deadline = time.monotonic() + 300
    while not moment():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the moment does not come"
        time.sleep(0.1)
    kill_group(process)


def raise_talos(checkout: Checkout, version: str) -> str:
    """Write another Talos version to the stack file, and return the old one."""
    before = str(read_stack(checkout.root / f"Pulumi.{checkout.stack}.yaml").require().cluster.talos_version)
    checkout.edit(f"talosVersion: {before}", f"talosVersion: {version}")
    return before


@pytest.mark.nightly  # minutes
@pytest.mark.xdist_group("staging")
class TestDayTwo:
    """Changes after the first day, in order."""

    def test_a_worker_is_one_entry(self, staging: Checkout) -> None:
        entry = "      - {name: worker-1, role: worker, address: 10.0.10.20, host: pve-2}\n"
        staging.edit(entry, entry + entry.replace("worker-1", "worker-2").replace(".20,", ".21,"))
        mark = len(staging.rack.journal())
        staging.rehearse()
        assert "worker-2" in staging.nodes()
        acted = since(staging, mark, "create vm", "boot", "configure", "bootstrap", "reboot", "delete vm")
        assert acted == [("create vm", "worker-2"), ("boot", "worker-2"), ("configure", "worker-2")]

    def test_a_changed_configuration_is_previewed_and_reboots_no_node(self, staging: Checkout) -> None:
        staging.edit(
            "    nameservers: [10.0.10.1]\n", "    nameservers: [10.0.10.1]\n    timeServers: [ntp.example.com]\n"
        )
        mark = len(staging.rack.journal())
        foreseen = staging.run("preview", "--rehearse", "--json")
        assert foreseen.code == 0, foreseen.err
        nodes = {one["node"]: one for one in foreseen.result["machines"]}
        assert set(nodes) == {"cp-1", "cp-2", "cp-3", "worker-1", "worker-2"}
        assert nodes["worker-2"]["cost"] == "nothing"
        assert {"-      - time.cloudflare.com", "+      - ntp.example.com"} <= set(nodes["worker-2"]["difference"])
        assert since(staging, mark, "configure", "reboot") == []
        staging.rehearse()
        assert {subject for _, subject in since(staging, mark, "configure")} == {
            "cp-1",
            "cp-2",
            "cp-3",
            "worker-1",
            "worker-2",
        }
        assert since(staging, mark, "reboot", "api outage") == []

    def test_a_talos_upgrade_is_one_at_a_time_workers_first(self, staging: Checkout) -> None:
        before = raise_talos(staging, "1.13.20")
        mark = len(staging.rack.journal())
        staging.rehearse()
        upgraded = [subject for _, subject in since(staging, mark, "upgrade talos")]
        assert upgraded == ["worker-1", "worker-2", "cp-1", "cp-2", "cp-3"]
        events = [(event, subject, detail) for event, subject, detail in staging.rack.journal()[mark:]]
        for name in upgraded:
            at = events.index(("upgrade talos", name, f"{before} -> 1.13.20"))
            around = [detail for event, _, detail in events[max(0, at - 12) : at] if event == "talosctl"]
            after = [detail for event, _, detail in events[at : at + 12] if event == "talosctl"]
            assert {"etcd members", "etcd status"} <= set(around), f"nothing was asked before {name}"
            assert {"version", "etcd members", "etcd status"} <= set(after), f"nothing was asked after {name}"
        assert {node["status"]["nodeInfo"]["osImage"] for node in staging.nodes().values()} == {
            "Talos (v1.13.20) simulated"
        }
        assert since(staging, mark, "create vm", "delete vm") == []
        assert staging.cordoned() == set()

    def test_an_upgrade_killed_in_a_drain_continues_and_uncordons(self, staging: Checkout) -> None:
        raise_talos(staging, "1.13.21")
        kill_when(staging, lambda: bool(staging.cordoned()))
        staging.rehearse()
        assert {node.talos for node in staging.rack.nodes()} == {"1.13.21"}
        assert staging.cordoned() == set()

    def test_a_drain_blocked_by_a_budget_names_the_pod(self, staging: Checkout) -> None:
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "held", "namespace": "kube-system"},
            "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": "held"}}},
        }
        pods = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "held", "namespace": "kube-system"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "held"}},
                "template": {
                    "metadata": {"labels": {"app": "held"}},
                    "spec": {
                        "nodeSelector": {"kubernetes.io/hostname": "worker-1"},
                        "containers": [{"name": "a", "image": "example.com/a:1"}],
                    },
                },
            },
        }
        for made in (budget, pods):
            staging.api.create(made)
        raise_talos(staging, "1.13.22\n    drainTimeout: 20s")
        mark = len(staging.rack.journal())
        refused = staging.run("rehearse", "--until", "network")
        assert refused.code == ExitCode.TRY_AGAIN
        assert "violate the pod's disruption budget" in refused.err
        assert "raise cluster.drainTimeout" in refused.err
        assert ("upgrade talos", "worker-1") not in since(staging, mark, "upgrade talos")
        assert staging.cordoned() == set()
        staging.api.delete("policy/v1", "PodDisruptionBudget", "held", "kube-system")
        staging.rehearse()
        assert {node.talos for node in staging.rack.nodes()} == {"1.13.22"}

    def test_a_kubernetes_upgrade_begins_with_a_dry_run(self, staging: Checkout) -> None:
        staging.edit("kubernetesVersion: 1.36.3", "kubernetesVersion: 1.36.4")
        mark = len(staging.rack.journal())
        staging.rehearse()
        acted = [
            (event, detail)
            for event, _, detail in staging.rack.journal()[mark:]
            if event in ("upgrade kubernetes", "configure")
        ]
        assert acted[0] == ("upgrade kubernetes", "dry run 1.36.4")
        kinds = [event for event, _ in acted]
        assert kinds.index("configure") > max(i for i, kind in enumerate(kinds) if kind == "upgrade kubernetes")
        assert {node["status"]["nodeInfo"]["kubeletVersion"] for node in staging.nodes().values()} == {"v1.36.4"}

    def test_a_skipped_minor_version_is_refused_by_the_node_itself(self, staging: Checkout) -> None:
        staging.edit("kubernetesVersion: 1.36.4", "kubernetesVersion: 1.34.1")
        refused = staging.run("rehearse", "--until", "network")
        assert refused.code == ExitCode.TRY_AGAIN
        assert "nodes run Kubernetes 1.36.4: 1.34.1 is not the next minor version" in refused.err
        staging.edit("kubernetesVersion: 1.34.1", "kubernetesVersion: 1.36.4")
        staging.rehearse()

    def test_a_removed_worker_is_drained_and_deleted_in_this_order(self, staging: Checkout) -> None:
        staging.edit("      - {name: worker-2, role: worker, address: 10.0.10.21, host: pve-2}\n", "")
        mark = len(staging.rack.journal())
        staging.rehearse()
        assert since(staging, mark, "delete vm") == [("delete vm", "worker-2")]
        assert staging.logged('"verb":"patch"', '"name":"worker-2"'), "the audit log has no line of the cordon"
        assert "worker-2" not in staging.nodes()

    def test_a_raised_generation_replaces_a_lost_control_plane_alone(self, staging: Checkout) -> None:
        vm = next(vm for vm in staging.rack.vms() if vm.name == "cp-2")
        staging.rack.delete_vm(vm.vm_id)
        staging.edit("name: cp-2, role: control-plane,", "name: cp-2, generation: 2, role: control-plane,")
        mark = len(staging.rack.journal())
        staging.rehearse("--refresh")
        acted = since(staging, mark, "create vm", "configure", "bootstrap", "leave etcd", "join etcd", "delete vm")
        assert acted[-2:] == [("configure", "cp-2"), ("join etcd", "cp-2")]
        assert sorted(acted[:-2]) == [("create vm", "cp-2"), ("leave etcd", "cp-2")]
        assert set(staging.nodes()) == {"cp-1", "cp-2", "cp-3", "worker-1"}
        assert set(staging.rehearse()["changes"]) == {"same"}

    def test_control_planes_leave_one_by_one_even_in_killed_runs(self, staging: Checkout) -> None:
        text = (staging.root / "Pulumi.staging.yaml").read_text(encoding="utf-8")
        lines = [
            line for line in text.splitlines(keepends=True) if "name: cp-2" not in line and "name: cp-3" not in line
        ]
        (staging.root / "Pulumi.staging.yaml").write_text("".join(lines), encoding="utf-8")
        mark = len(staging.rack.journal())
        kill_when(staging, lambda: bool(since(staging, mark, "leave etcd")))
        staging.rehearse()
        left = since(staging, mark, "leave etcd", "delete vm")
        assert [entry for entry in left if entry[0] == "leave etcd"] == [("leave etcd", "cp-3"), ("leave etcd", "cp-2")]
        for name in ("cp-2", "cp-3"):
            assert left.index(("leave etcd", name)) < left.index(("delete vm", name))
        assert set(staging.rack.members()) == {"cp-1"}
        assert set(staging.nodes()) == {"cp-1", "worker-1"}

    def test_the_state_of_it_all_holds_no_plain_secret(self, staging: Checkout) -> None:
        state = json.dumps(staging.state())
        assert "PRIVATE KEY" not in state
        assert Path(staging.lab.root / "passphrase").read_text(encoding="utf-8") not in state

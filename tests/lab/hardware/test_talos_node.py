"""The product's scripts against the stand-in of Talos, as slow as the real one and with the same refusals."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import pytest

from errors import HardwareRefused
from lab.hardware import etcd, kubelets, talos_node
from tests.lab.hardware.site import IMAGE, RackSite


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RackSite:
    return RackSite.make(tmp_path, monkeypatch)


def refused(*words: str) -> str:
    return re.escape(" ".join(words))


def test_a_node_refuses_the_bootstrap_before_cri_is_up(site: RackSite) -> None:
    site.boot("cp-1")
    site.configure("cp-1")
    with pytest.raises(HardwareRefused, match=refused("FailedPrecondition desc = bootstrap is not available yet")):
        talos_node.bootstrap(site.lab, site.rack, site.address("cp-1"))


def test_bootstrap_is_tried_again_until_the_node_can_begin_etcd(site: RackSite) -> None:
    site.boot("cp-1")
    site.configure("cp-1")
    done = site.run("bootstrap", "cp-1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "etcd started on cp-1"
    assert set(site.rack.members()) == {"cp-1"}
    assert site.run("bootstrap", "cp-1").stdout.strip() == "the cluster is bootstrapped already"


def test_a_bootstrap_that_can_never_succeed_is_not_tried_again(site: RackSite) -> None:
    for name in ("worker-1", "cp-1"):
        site.boot(name)
        site.configure(name)
    site.settle_all()
    site.planes = ("worker-1", "cp-1")
    done = site.run("bootstrap", "worker-1")
    assert done.returncode == 1
    assert "bootstrap is only available on control plane nodes" in done.stderr


def test_control_planes_join_one_at_a_time_as_learners(site: RackSite) -> None:
    site.cluster()
    site.rack.remove_member("cp-2")
    site.rack.remove_member("cp-3")
    for name in ("cp-2", "cp-3"):
        site.rack.schedule(site.node(name).vm.vm_id, etcd.JOIN, -1)
    talos_node.advance(site.lab, site.rack)
    assert etcd.learners(site.rack) == {"cp-2"}
    assert set(site.rack.members()) == {"cp-1", "cp-2"}
    health = site.run("health", "cp-1", NODES="", GENERATION="1")
    assert health.returncode == 0, health.stderr
    assert etcd.voters(site.rack) == {"cp-1", "cp-2", "cp-3"}
    assert [subject for _, subject, _ in site.rack.journal("promote")] == ["cp-2", "cp-3"]


def test_no_second_etcd_begins_beside_a_living_one(site: RackSite) -> None:
    site.cluster()
    site.lose("cp-1")
    site.boot("cp-1")
    site.configure("cp-1")
    done = site.run("bootstrap", "cp-1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the cluster is bootstrapped already"
    assert site.rack.journal("bootstrap") == []


def test_the_rehearsal_fails_where_a_second_etcd_would_begin(site: RackSite) -> None:
    site.cluster()
    site.lose("cp-1")
    site.boot("cp-1")
    site.configure("cp-1")
    vm = site.node("cp-1").vm.vm_id
    site.rack.schedule(vm, etcd.JOIN, 60)
    site.rack.schedule(vm, talos_node.CRI, -1)
    talos_node.advance(site.lab, site.rack)
    with pytest.raises(HardwareRefused, match="would begin a second etcd beside that of cp-1, cp-2, cp-3"):
        talos_node.bootstrap(site.lab, site.rack, site.address("cp-1"))


def test_a_snapshot_starts_no_etcd_beside_a_running_one(site: RackSite) -> None:
    site.cluster()
    done = site.run("bootstrap", "cp-1", RECOVER_FROM="etcd.snapshot")
    assert done.returncode == 1
    assert "etcd runs already, with cp-1 cp-2 cp-3" in done.stderr


def test_most_voters_gone_is_no_leader(site: RackSite) -> None:
    site.cluster()
    site.lose("cp-2")
    etcd.require_leader(site.rack)
    site.lose("cp-3")
    with pytest.raises(HardwareRefused, match="etcdserver: no leader"):
        etcd.require_leader(site.rack)


def test_a_removed_control_plane_leaves_etcd_before_its_deletion(site: RackSite) -> None:
    site.cluster()
    done = site.run("retire", "cp-3")
    assert done.returncode == 0, done.stderr
    assert set(site.rack.members()) == {"cp-1", "cp-2"}
    assert site.asked("drain", "delete") == ["drain", "delete"]


def test_another_control_plane_removes_a_lost_one_from_etcd(site: RackSite) -> None:
    site.cluster()
    site.lose("cp-3")
    done = site.run("retire", "cp-3")
    assert done.returncode == 0, done.stderr
    assert "removing cp-3 from etcd" in done.stderr
    assert set(site.rack.members()) == {"cp-1", "cp-2"}


def test_a_control_plane_that_the_quorum_needs_is_not_deleted(site: RackSite) -> None:
    site.cluster()
    site.lose("cp-2")
    done = site.run("retire", "cp-3")
    assert done.returncode == 1
    assert "removing cp-3 would leave 1 healthy members of 2 in etcd, which is no quorum" in done.stderr
    assert "cp-3" in site.rack.members()


def test_a_worker_is_drained_and_nothing_of_it_is_reset(site: RackSite) -> None:
    site.cluster()
    site.boot("worker-1")
    site.configure("worker-1")
    done = site.run("retire", "worker-1")
    assert done.returncode == 0, done.stderr
    assert site.asked("drain", "delete") == ["drain", "delete"]


def test_an_unknown_member_is_reported_by_the_health_check(site: RackSite) -> None:
    site.cluster()
    site.planes = ("cp-1", "cp-2")
    done = site.ask("etcd_is_whole", "cp-1")
    assert done.returncode == 1
    assert done.stdout.strip().startswith("etcd has the member cp-3, which is no control plane of the settings")


def test_a_learner_keeps_etcd_from_being_whole(site: RackSite) -> None:
    site.cluster()
    site.rack.schedule(site.node("cp-2").vm.vm_id, etcd.PROMOTE, 60)
    done = site.ask("etcd_is_whole", "cp-1")
    assert done.returncode == 1
    assert done.stdout.strip() == "cp-2 is a learner in etcd, which does not vote yet"


def test_members_that_leave_in_this_run_are_healthy(site: RackSite) -> None:
    site.cluster()
    site.planes = ("cp-1",)
    before = "etcd, API and 3 nodes answer\ncontrol planes: cp-1 cp-2 cp-3"
    done = site.run("health", "cp-1", NODES="", GENERATION="1", PULUMI_COMMAND_STDOUT=before)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "control planes: cp-1"


def test_a_drain_of_talosctl_that_times_out_installs_without_reboot(
    site: RackSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.cluster()
    (site.root / "stuck").touch()
    monkeypatch.setenv("PATH", f"{site.root}:/usr/bin:/bin")
    monkeypatch.setenv("SITE", str(site.root))
    with pytest.raises(HardwareRefused, match='error draining node "cp-1": error: global timeout reached'):
        talos_node.upgrade(site.lab, site.rack, site.address("cp-1"), IMAGE, drain="5m")
    assert site.node("cp-1").talos == "1.13.0"
    assert site.rack.journal("reboot") == []
    talos_node.reboot(site.lab, site.rack, site.node("cp-1"))
    assert site.node("cp-1").talos == "1.13.10"


def test_a_node_is_drained_before_and_uncordoned_after_its_upgrade(site: RackSite) -> None:
    site.cluster()
    done = site.run("upgrade-talos", "cp-1", VERSION="1.13.10", IMAGE=IMAGE)
    assert done.returncode == 0, done.stderr
    assert "draining cp-1: its pods move, disruption budgets are respected, for up to 30 min" in done.stderr
    assert site.node("cp-1").talos == "1.13.10"
    assert site.asked("annotate", "cordon", "drain", "uncordon") == [
        "annotate",
        "cordon",
        "drain",
        "uncordon",
        "annotate",
    ]


def test_a_drain_that_times_out_installs_nothing(site: RackSite) -> None:
    site.cluster()
    (site.root / "stuck").touch()
    done = site.run("upgrade-talos", "cp-1", VERSION="1.13.10", IMAGE=IMAGE)
    assert done.returncode == 1
    assert "global timeout reached" in done.stderr
    assert "raise cluster.drainTimeout" in done.stderr
    assert site.rack.journal("upgrade talos") == []
    assert not (site.root / "cordoned").exists()
    assert not (site.root / "mark").exists()


def test_the_next_run_uncordons_a_node_of_an_interrupted_upgrade(site: RackSite) -> None:
    site.cluster()
    for name in ("mark", "cordoned"):
        (site.root / name).write_text("yes", encoding="utf-8")
    site.rack.set_node(site.node("cp-1").vm.vm_id, talos="1.13.10")
    done = site.run("upgrade-talos", "cp-1", VERSION="1.13.10", IMAGE=IMAGE)
    assert done.stdout.strip() == "cp-1 runs Talos 1.13.10 already", done.stderr
    assert not (site.root / "cordoned").exists()


def test_a_node_that_an_operator_cordoned_stays_cordoned(site: RackSite) -> None:
    site.cluster()
    (site.root / "cordoned").touch()
    done = site.run("upgrade-talos", "cp-1", VERSION="1.13.10", IMAGE=IMAGE)
    assert done.returncode == 0, done.stderr
    assert (site.root / "cordoned").exists()


def test_a_node_is_not_drained_without_room_for_its_pods(site: RackSite) -> None:
    site.cluster()
    done = site.run("upgrade-talos", "cp-1", VERSION="1.13.10", IMAGE=IMAGE, OTHERS_TAKE_PODS="no")
    assert done.returncode == 0, done.stderr
    assert "no other node could run its pods" in done.stderr
    assert site.asked("cordon", "drain") == []


@pytest.mark.parametrize(
    ("runs", "before", "after", "words"),
    [
        ("1.13.10", "1.36.3", "1.37.0", 'unsupported upgrade path 1.36->1.37 (from "1.36.3" to "1.37.0")'),
        ("1.14.1", "1.36.3", "1.36.4", "compatibility with version 1.14.1 is not supported"),
        ("1.13.10", "1.29.3", "1.30.4", "version of Kubernetes 1.30.4 is too old to be used with Talos 1.13.10"),
    ],
)
def test_kubernetes_versions_unknown_to_talosctl_are_refused_in_its_words(
    site: RackSite, runs: str, before: str, after: str, words: str
) -> None:
    site.cluster()
    for name in site.planes:
        site.rack.set_node(site.node(name).vm.vm_id, talos=runs)
    with pytest.raises(HardwareRefused, match=re.escape(words)):
        talos_node.upgrade_kubernetes(site.lab, site.rack, before, after, dry_run=True)


def test_three_api_servers_that_restart_together_are_an_outage(site: RackSite) -> None:
    site.cluster()
    for name in site.planes:
        site.configure(name, "10.0.0.5")
    assert len(site.rack.journal("api outage")) == 1


def test_control_planes_are_configured_one_after_the_other(site: RackSite) -> None:
    site.cluster()
    for name in site.planes:
        site.configure(name, "10.0.0.5")
        site.settle_all()
    assert site.rack.journal("api outage") == []
    assert [subject for _, subject, _ in site.rack.journal(talos_node.API)] == ["cp-1", "cp-2", "cp-3"]


def test_a_control_plane_is_done_with_the_new_static_pod(site: RackSite) -> None:
    site.cluster()
    pod = site.root / "pod"
    pod.write_text(f"    {talos_node.CONFIG_VERSION}: before\n", encoding="utf-8")
    version = talos_node.api_version(site.node("cp-1").configuration)
    later = Timer(3, lambda: pod.write_text(f'    {talos_node.CONFIG_VERSION}: "{version}"\n', encoding="utf-8"))
    later.start()
    began = time.monotonic()
    done = site.run("settle", "cp-1")
    later.join()
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "cp-1 runs its configuration"
    assert time.monotonic() - began > 3


def test_nothing_is_waited_for_before_etcd_has_begun(site: RackSite) -> None:
    site.boot("cp-1")
    site.configure("cp-1")
    assert site.run("settle", "cp-1").stdout.strip() == "etcd does not run yet"


@pytest.mark.parametrize(
    ("name", "machine", "takes"),
    [
        ("worker-1", {"nodeLabels": {"example.com/gpu": "true", "node.kubernetes.io/a": ""}}, True),
        ("worker-1", {"nodeLabels": {"example.com/gpu": "true", "node-role.kubernetes.io/worker": ""}}, False),
        ("worker-1", {"nodeLabels": {"example.com/gpu": "true"}, "nodeTaints": {"gpu": ":NoSchedule"}}, False),
        ("cp-1", {"nodeLabels": {"node-role.kubernetes.io/worker": ""}, "nodeTaints": {"gpu": ":NoSchedule"}}, True),
    ],
)
def test_a_worker_loses_all_labels_with_one_forbidden_label(
    site: RackSite, name: str, machine: dict[str, dict[str, str]], takes: bool
) -> None:
    site.boot(name)
    site.configure(name)
    assert kubelets.may_label(site.node(name), machine) is takes


def test_neither_talosctl_nor_a_plugin_imports_the_model_of_the_settings() -> None:
    script = "import sys, lab.hardware.talosctl, lab.plugins.proxmoxve; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

"""A rack with Talos nodes on it, without a control plane: the product's scripts run against the stand-in alone.

`talosctl` is the stand-in in a process of its own, as in a rehearsal; `kubectl` answers from files and logs its
arguments.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from components import shell
from components.cluster.script_inputs import SCRIPTS, script
from config.values import GIBI
from lab.hardware import talos_node
from lab.hardware.rack import Rack, TalosNode
from lab.layout import Lab

ROOT = Path(__file__).parents[3]
AUTHORITY = base64.b64encode(b"authority").decode()
IMAGE = "factory.example.com/nocloud-installer/abc:v1.13.10"
DISK_IMAGE = "local:import/talos.qcow2"
TALOSCTL = f"""#!{sys.executable}
import shutil, sys
from pathlib import Path
if sys.argv[1] == "gen":
    shutil.copy(Path(__file__).with_name("talosconfig"), sys.argv[sys.argv.index("--output") + 1])
    sys.exit()
from lab.hardware import talosctl
if "bootstrap" in sys.argv:
    from lab.control_plane import kubernetes
    kubernetes.start = lambda lab, configuration: None
sys.exit(talosctl.main(sys.argv[1:]))
"""
KUBECTL = """#!/bin/sh
shift 2 # --kubeconfig FILE
case "$1" in --request-timeout=*) shift ;; esac
echo "$*" >>"$SITE/asked"
case "$*" in
    *jsonpath=*annotations*) cat "$SITE/mark" 2>/dev/null ;;
    *jsonpath=*unschedulable*) [ ! -e "$SITE/cordoned" ] || echo true ;;
    annotate*=*) echo yes >"$SITE/mark" ;;
    annotate*) rm "$SITE/mark" ;;
    uncordon*) rm "$SITE/cordoned" ;;
    cordon*) touch "$SITE/cordoned" ;;
    *"get pod"*) cat "$SITE/pod" ;;
    drain*) [ ! -e "$SITE/stuck" ] || { echo "error: global timeout reached: 30m0s" >&2; exit 1; } ;;
esac
"""


@dataclass
class RackSite:
    """The rack, and a way to run a script about one of its nodes."""

    root: Path
    lab: Lab
    rack: Rack
    planes: tuple[str, ...] = ("cp-1", "cp-2", "cp-3")

    @classmethod
    def make(cls, root: Path, monkeypatch: pytest.MonkeyPatch) -> RackSite:
        monkeypatch.setattr(talos_node, "validate", lambda configuration: None)
        lab = Lab(root / "lab")
        lab.make()
        lab.kubeconfig.write_text("kubeconfig", encoding="utf-8")
        rack = Rack(lab.rack)
        rack.set_hosts({"pve-1": (256 * GIBI, 4096 * GIBI)})
        rack.download("pve-1", DISK_IMAGE, "https://factory.example.com/image/abc/v1.13.0/nocloud-amd64.qcow2")
        for name, text in (("talosctl", TALOSCTL), ("kubectl", KUBECTL), ("talosconfig", _talosconfig())):
            (root / name).write_text(text, encoding="utf-8")
            (root / name).chmod(0o755)
        (root / "tmp").mkdir()
        return cls(root, lab, rack)

    def address(self, name: str) -> str:
        kind, _, number = name.partition("-")
        return f"10.0.0.{(10 if kind == 'cp' else 20) + int(number)}"

    def boot(self, name: str) -> None:
        """Create a VM, which waits for a configuration."""
        self.rack.create_vm(
            {
                "vmId": 1000 + int(self.address(name).rpartition(".")[2]),
                "name": name,
                "nodeName": "pve-1",
                "memory": {"dedicated": 2048},
                "disks": [{"size": 20, "importFrom": DISK_IMAGE}],
                "initialization": {"ipConfigs": [{"ipv4": {"address": f"{self.address(name)}/24"}}]},
            }
        )

    def configure(self, name: str, *sans: str) -> None:
        """Apply a configuration to a node."""
        machine = {
            "machine": {
                "type": "controlplane" if name.startswith("cp") else "worker",
                "ca": {"crt": AUTHORITY},
                "certSANs": list(sans),
                "kubelet": {"image": "ghcr.io/siderolabs/kubelet:v1.36.3"},
            },
            "cluster": {},
        }
        named = {"apiVersion": "v1alpha1", "kind": "HostnameConfig", "hostname": name}
        text = yaml.safe_dump_all([machine, named])
        talos_node.apply(self.lab, self.rack, self.address(name), text, "staged_if_needing_reboot")

    def cluster(self) -> None:
        """Start all control planes, as members of one etcd."""
        for name in self.planes:
            self.boot(name)
            self.configure(name)
        self.settle_all()
        for name in self.planes:
            self.rack.add_member(name, self.address(name))

    def settle_all(self) -> None:
        """Advance until all scheduled events have happened."""
        for moment in self.rack.rows("SELECT vm_id, event FROM moments"):
            self.rack.schedule(moment["vm_id"], moment["event"], -1)
        talos_node.advance(self.lab, self.rack)

    def lose(self, name: str) -> None:
        """Delete a VM without its removal from etcd."""
        self.rack.delete_vm(next(vm.vm_id for vm in self.rack.vms() if vm.name == name))

    def node(self, name: str) -> TalosNode:
        return next(node for node in self.rack.nodes() if node.name == name)

    def run(self, name: str, about: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the product about one node."""
        return self.shell(script(name), about, **more)

    def ask(self, function: str, about: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one function of the file that every script begins with."""
        return self.shell(f"{shell.script(SCRIPTS / 'talos.sh')}\n{function}", about, **more)

    def shell(self, text: str, about: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **self.lab.environment,
            "PATH": f"{self.root}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.root / "tmp"),
            "SITE": str(self.root),
            "SECRETS": "{}",
            "CLUSTER": "test",
            "ENDPOINT": "https://10.0.0.5:6443",
            "CONTROL_PLANES": " ".join(f"{plane}={self.address(plane)}" for plane in self.planes),
            "NODE_NAME": about,
            "NODE": self.address(about),
            "ROLE": "control-plane" if about.startswith("cp") else "worker",
            "DRAIN_SECONDS": "1800",
            "OTHERS_TAKE_PODS": "yes",
            "PAUSE": "0.2",
            "SETTLE": "0",
            **more,
        }
        return subprocess.run(
            ["sh", "-c", text], env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def asked(self, *verbs: str) -> list[str]:
        """Return the calls of kubectl with a verb."""
        file = self.root / "asked"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [line.split()[0] for line in lines if line.split()[0] in verbs]


def _talosconfig() -> str:
    return yaml.safe_dump({"context": "test", "contexts": {"test": {"ca": AUTHORITY}}})

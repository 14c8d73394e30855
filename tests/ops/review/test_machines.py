"""The cost and the difference of machine configurations, by changes of a stack file and of patches."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import yaml

from config.load import read_stack
from config.model import Settings
from errors import Declined
from ops.review.machines import configurations
from ops.review.report import NodeConfiguration

ROOT = Path(__file__).parents[3]
CANARY = "canary" + "5D1x9"
RANDOM = f"aB3{CANARY}aB3{CANARY}"
WIREGUARD = base64.b64encode(b"password" * 4).decode()

# A stack that sets one more patch of all nodes, and the change of the patch.
PATCHES = {
    "kubelet": ("machine: {kubelet: {extraArgs: {v: '1'}}}", "service restart", "the kubelet restarts"),
    "sysctl": ("machine: {sysctls: {a: '1'}}", "nothing", "Talos applies machine.sysctls without a reboot"),
    "label": ("machine: {nodeLabels: {a: b}}", "nothing", "Talos applies machine.nodeLabels without a reboot"),
    "feature": (
        "machine: {features: {kubePrism: {port: 7446}}}",
        "nothing",
        "Talos applies machine.features without a reboot",
    ),
    "other feature": (
        "machine: {features: {rbac: false}}",
        "reboot",
        "machine.features takes effect at the next reboot of the node",
    ),
    "kernel arguments": (
        "machine: {install: {extraKernelArgs: [quiet]}}",
        "nothing",
        "machine.install takes effect at the next upgrade of Talos",
    ),
    "disk encryption": (
        "machine: {systemDiskEncryption: {state: {provider: luks2}}}",
        "reboot",
        "machine.systemDiskEncryption takes effect at the next reboot of the node",
    ),
    "file": (
        "machine: {files: [{path: /var/x, content: x, permissions: 0o644}]}",
        "reboot",
        "machine.files takes effect at the next reboot of the node",
    ),
    "API server": (
        "cluster: {apiServer: {extraArgs: {v: '1'}}}",
        "service restart",
        "static pods of the control plane restart",
    ),
    "etcd": (
        "cluster: {etcd: {extraArgs: {a: b}}}",
        "reboot",
        "etcd reads cluster.etcd when it starts: at the next reboot of the node",
    ),
    "discovery": ("cluster: {discovery: {enabled: false}}", "nothing", "Talos applies cluster.discovery without a"),
    "extension": (
        "apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: x\nenvironment: [A=b]",
        "service restart",
        "the service of the extension restarts",
    ),
    "volume": (
        "apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: x\nprovisioning: {maxSize: 1GiB}",
        "nothing",
        "Talos applies UserVolumeConfig without a reboot",
    ),
}
CREDENTIALS = {
    "token": f"machine: {{token: {CANARY}}}",
    "token of the cluster": f"cluster: {{token: {CANARY}, secret: {CANARY}}}",
    "key of a ca": f"machine: {{ca: {{crt: {CANARY}, key: {CANARY}}}}}",
    "secretbox": f"cluster: {{secretboxEncryptionSecret: {CANARY}, aescbcEncryptionSecret: {CANARY}}}",
    "service account": f"cluster: {{serviceAccount: {{key: {CANARY}}}}}",
    "wireguard": f"machine: {{network: {{interfaces: [{{interface: wg0, wireguard: {{privateKey: {WIREGUARD}}}}}]}}}}",
    "wireguard document": f"kind: WireguardConfig\nname: wg0\nprivateKey: {WIREGUARD}\n",
    "preshared key": f"kind: WireguardConfig\nname: wg0\npeers: [{{publicKey: x, presharedKey: {WIREGUARD}}}]\n",
    "env": f"machine: {{env: {{GITHUB_TOKEN: {CANARY}, X: {RANDOM}}}}}",
    "env document": f"kind: EnvironmentConfig\nvariables: {{GITHUB_TOKEN: {CANARY}, X: {RANDOM}}}\n",
    "files": f"machine: {{files: [{{path: /var/x, content: 'x {CANARY}'}}]}}",
    "extension": f"kind: ExtensionServiceConfig\nname: x\nenvironment: [TS_AUTHKEY={CANARY}]\n",
    "extension's file": f"kind: ExtensionServiceConfig\nname: x\nconfigFiles: [{{content: 'x {CANARY}'}}]\n",
    "registry": f"machine: {{registries: {{config: {{r: {{auth: {{username: u, password: {CANARY}}}}}}}}}}}",
    "registry's token": f"machine: {{registries: {{config: {{r: {{auth: {{identityToken: {CANARY}}}}}}}}}}}",
    "client key": f"machine: {{registries: {{config: {{r: {{tls: {{clientIdentity: {{key: {CANARY}}}}}}}}}}}}}",
    "passphrase": f"machine: {{systemDiskEncryption: {{state: {{keys: [{{static: {{passphrase: {CANARY}}}}}]}}}}}}",
    "of a volume": f"kind: VolumeConfig\nname: X\nencryption: {{keys: [{{static: {{passphrase: {CANARY}}}}}]}}\n",
    "join token": f"kind: SideroLinkConfig\napiUrl: 'https://x.example.com/?jointoken={CANARY}'\n",
    "user in a URL": f"machine: {{logging: {{destinations: [{{endpoint: 'tcp://u:{CANARY}@x:1'}}]}}}}",
    "manifest": f"cluster: {{inlineManifests: [{{name: x, contents: 'kind: Secret, data: {CANARY}'}}]}}",
    "header": f"cluster: {{extraManifestHeaders: {{Authorization: 'Bearer {CANARY}'}}}}",
    "kernel argument": f"machine: {{install: {{extraKernelArgs: ['x.jointoken={CANARY}']}}}}",
}


def stack(folder: Path, *changes: tuple[str, str], patch: str = "", name: str = "dev") -> Settings:
    """Write a stack with changes of its text into a folder, and one more patch of all nodes."""
    text = (ROOT / f"Pulumi.{name}.yaml").read_text(encoding="utf-8")
    for old, new in (*changes, ("all: [patches/openebs.yaml]", "all: [patches/openebs.yaml, patches/own.yaml]")):
        assert old in text
        text = text.replace(old, new)
    (folder / "patches").mkdir(parents=True)
    (folder / f"Pulumi.{name}.yaml").write_text(text, encoding="utf-8")
    for file in (ROOT / "patches").iterdir():
        (folder / "patches" / file.name).write_bytes(file.read_bytes())
    (folder / "patches/own.yaml").write_text(f"{patch or '{}'}\n", encoding="utf-8")
    return read_stack(folder / f"Pulumi.{name}.yaml").require()


def compared(
    folder: Path, *changes: tuple[str, str], before: str = "", after: str = ""
) -> dict[str, NodeConfiguration]:
    """Compare the stack of this checkout with a changed one."""
    one, other = folder / "before", folder / "after"
    old, new = stack(one, patch=before), stack(other, *changes, patch=after)
    return {change.node: change for change in configurations("dev", old, new, one, other)}


def test_an_unchanged_stack_has_no_changed_node(tmp_path: Path) -> None:
    assert compared(tmp_path) == {}


@pytest.mark.parametrize("name", PATCHES)
def test_the_cost_of_a_changed_patch_is_that_of_talos(name: str, tmp_path: Path) -> None:
    patch, cost, why = PATCHES[name]
    found = compared(tmp_path, after=patch)
    assert set(found) == {"cp-1", "worker-1"}
    assert {change.cost for change in found.values()} == {cost}
    assert all(change.why.startswith(why) for change in found.values())
    assert any(line.startswith("+") for line in found["cp-1"].difference)


@pytest.mark.parametrize(
    ("change", "nodes", "cost", "why"),
    [
        (("1.13.10", "1.13.9"), {"cp-1", "worker-1"}, "reboot", "Talos is upgraded, one node after the other"),
        (("1.36.3", "1.36.2"), {"cp-1", "worker-1"}, "service restart", "Kubernetes is upgraded, one node after the"),
        (("memory: 16GiB", "memory: 8GiB"), {"worker-1"}, "reboot", "memory.dedicated of the VM takes effect when"),
        (("disk: 40GiB", "disk: 60GiB"), {"worker-1"}, "nothing", "Proxmox changes the disks of the running VM"),
        (("firstVmId: 3000", "firstVmId: 3100"), {"cp-1", "worker-1"}, "replacement", "the VM is deleted and made"),
        (("tags: [talos]", "tags: [talos, x]"), {"cp-1", "worker-1"}, "nothing", "Proxmox changes tags of the running"),
        (
            ("10.0.20.20, host: pve-1}", "10.0.20.20, host: pve-1, generation: 2}"),
            {"worker-1"},
            "replacement",
            "the gen",
        ),
        (
            ("10.0.20.20, host: pve-1}", "10.0.20.20, host: pve-1, extensions: [siderolabs/iscsi-tools]}"),
            {"worker-1"},
            "reboot",
            "extensions or kernel arguments change",
        ),
        (
            ("cluster:\n    name: dev", "cluster:\n    boot: secure\n    name: dev"),
            {"cp-1", "worker-1"},
            "replacement",
            "",
        ),
    ],
)
def test_the_cost_of_a_changed_setting(
    change: tuple[str, str], nodes: set[str], cost: str, why: str, tmp_path: Path
) -> None:
    found = compared(tmp_path, change)
    assert set(found) == nodes
    assert {one.cost for one in found.values()} == {cost}
    assert all(one.why.startswith(why) for one in found.values())


def test_the_difference_names_the_changed_line(tmp_path: Path) -> None:
    one = compared(tmp_path, before="machine: {sysctls: {a: '1'}}", after="machine: {sysctls: {a: '2'}}")["worker-1"]
    assert [line for line in one.difference if line[0] in "+-"] == ["-      a: '1'", "+      a: '2'"]


def test_the_highest_cost_counts_and_each_reason_is_reported_once(tmp_path: Path) -> None:
    patch = "machine: {sysctls: {a: '1', b: '2'}, kubelet: {extraArgs: {v: '1'}}, udev: {rules: [x]}}"
    one = compared(tmp_path, after=patch)["cp-1"]
    assert one.cost == "reboot"
    assert one.why == (
        "machine.udev takes effect at the next reboot of the node; the kubelet restarts; "
        "Talos applies machine.sysctls without a reboot"
    )


def test_nodes_that_join_and_leave_are_whole(tmp_path: Path) -> None:
    line = "      - {name: worker-1, role: worker, address: 10.0.20.20, host: pve-1}\n"
    more = line + line.replace("worker-1", "worker-2").replace("20.20,", "20.21,")
    joined = compared(tmp_path / "1", (line, more))
    assert [(one.node, one.cost) for one in joined.values()] == [("worker-2", "nothing")]
    assert joined["worker-2"].why == "the node is new: its VM is made and joins the cluster"
    assert all(line[0] in "+@" for line in joined["worker-2"].difference)
    left = compared(tmp_path / "2", (line, line.replace("worker-1", "worker-9")))
    assert {one.node: one.cost for one in left.values()} == {"worker-1": "replacement", "worker-9": "nothing"}


def test_a_stack_that_only_one_side_has_is_compared_with_nothing(tmp_path: Path) -> None:
    settings = stack(tmp_path / "x")
    added = configurations("dev", None, settings, tmp_path / "none", tmp_path / "x")
    assert {one.node: one.cost for one in added} == {"cp-1": "nothing", "worker-1": "nothing"}
    removed = configurations("dev", settings, None, tmp_path / "x", tmp_path / "none")
    assert {one.node: one.cost for one in removed} == {"cp-1": "replacement", "worker-1": "replacement"}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_no_credential_of_a_patch_is_shown_and_its_change_is_reported(name: str, tmp_path: Path) -> None:
    after = CREDENTIALS[name]
    before = after.replace(CANARY, CANARY[::-1]).replace(WIREGUARD, WIREGUARD.replace("cGFz", "cGFa"))
    assert yaml.safe_load(before) != yaml.safe_load(after)
    for number, old in enumerate((before, "")):
        found = compared(tmp_path / str(number), before=old, after=after)
        assert set(found) == {"cp-1", "worker-1"}
        assert all(one.difference for one in found.values())
        text = json.dumps([one.model_dump() for one in found.values()])
        assert not any(secret in text for secret in (CANARY, CANARY[::-1], WIREGUARD[4:]))


def test_a_changed_credential_has_a_line_without_its_value(tmp_path: Path) -> None:
    old, new = (
        f"machine: {{registries: {{config: {{r: {{auth: {{password: {one}}}}}}}}}}}" for one in ("a1b2", CANARY)
    )
    one = compared(tmp_path, before=old, after=new)["worker-1"]
    assert one.difference == (" machine configuration.machine.registries.config.r.auth.password: (covered), changed",)
    assert one.cost == "reboot"


@pytest.mark.parametrize("text", ["a: [", "a: &a [*a]\nb: \x01", None])
def test_a_patch_that_cannot_be_read_is_refused_by_name(text: str | None, tmp_path: Path) -> None:
    settings = stack(tmp_path / "x")
    file = tmp_path / "x/patches/own.yaml"
    file.unlink() if text is None else file.write_text(text, encoding="utf-8")
    with pytest.raises(Declined, match=r"^patches/own.yaml: cannot be read as a patch of machine configurations: "):
        configurations("dev", None, settings, tmp_path, tmp_path / "x")


def test_a_link_out_of_the_checkout_is_not_read(tmp_path: Path) -> None:
    settings = stack(tmp_path / "x")
    (tmp_path / "outside.yaml").write_text(f"machine: {{sysctls: {{a: {CANARY}}}}}\n", encoding="utf-8")
    file = tmp_path / "x/patches/own.yaml"
    file.unlink()
    file.symlink_to(tmp_path / "outside.yaml")
    with pytest.raises(Declined, match=r"^patches/own.yaml: is a link out of the checkout"):
        configurations("dev", None, settings, tmp_path, tmp_path / "x")

"""The cluster: its configurations, the order of its resources, and the resources that are never undone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import programs
from components import shell
from components.cluster.bundle import bundle
from components.cluster.configuration_diff import COVERED, difference, readable
from components.cluster.patches import EXCLUDED, patches
from components.cluster.script_inputs import REMEMBER_GENERATION, in_order_of_upgrade, script
from components.machines.images import image_of, installer
from config import derive
from config.load import read_stack
from config.model import Settings
from ops.toolchain.lookup import ensure
from stacks.nodes import surroundings
from tests.components.mocks import ROOT, Program, run
from tests.config.test_leaks import PW, SECRETS

SETTINGS = read_stack(ROOT / "Pulumi.homelab.yaml").require()
MACHINES = {machine.name: machine for machine in derive.machines(SETTINGS)}


def merged(name: str) -> dict[str, Any]:
    text = readable(patches(MACHINES[name], surroundings(SETTINGS), "installer:v1"), {"talos": "1.13.0"})
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_every_node_gets_its_disk_address_and_name() -> None:
    machine = merged("worker-1")["machine configuration"]["machine"]
    assert machine["install"] == {"disk": "/dev/sda", "image": "installer:v1"}
    interface = machine["network"]["interfaces"][0]
    assert interface["deviceSelector"] == {"hardwareAddr": MACHINES["worker-1"].mac}
    assert interface["addresses"] == ["10.0.0.20/24"]
    assert merged("worker-1")["HostnameConfig"]["hostname"] == "worker-1"


def test_control_planes_share_the_vip_and_workers_do_not() -> None:
    def vip(name: str) -> Any:
        return merged(name)["machine configuration"]["machine"]["network"]["interfaces"][0].get("vip")

    assert vip("cp-1") == {"ip": "10.0.0.5"}
    assert vip("worker-1") is None


def test_certificates_name_the_vip_every_control_plane_and_loopback() -> None:
    configuration = merged("cp-1")["machine configuration"]
    expected = ["10.0.0.5", "10.0.0.11", "10.0.0.12", "10.0.0.13", "127.0.0.1"]
    assert configuration["machine"]["certSANs"] == expected
    assert configuration["cluster"]["apiServer"]["certSANs"] == expected


def test_cilium_takes_the_place_of_cni_and_kube_proxy() -> None:
    cluster = merged("worker-1")["machine configuration"]["cluster"]
    assert cluster["network"]["cni"] == {"name": "none"}
    assert cluster["proxy"] == {"disabled": True}


def test_labels_taints_and_mirrors_reach_the_node() -> None:
    def change(sections: dict[str, Any]) -> None:
        sections["homelab:cluster"]["nodes"][1] |= {
            "labels": {"a/b": "c"},
            "taints": ["gpu=true:NoSchedule", "x:NoExecute"],
        }
        sections["homelab:cluster"]["registryMirrors"] = {"docker.io": ["https://mirror.example.com"]}

    document = yaml.safe_load(run("dev", change).outputs["nodeConfigurations"]["worker-1"])
    machine = document["machine configuration"]["machine"]
    assert machine["nodeLabels"] == {"a/b": "c"}
    # A worker changes no taint of its own once it has registered.
    assert machine["kubelet"]["extraConfig"]["registerWithTaints"] == [
        {"key": "gpu", "value": "true", "effect": "NoSchedule"},
        {"key": "x", "value": "", "effect": "NoExecute"},
    ]
    assert machine["registries"]["mirrors"]["docker.io"]["endpoints"] == ["https://mirror.example.com"]


def generated(settings: Settings, folder: Path) -> dict[str, str]:
    """Generate the configuration of every node as the provider does, validated by talosctl."""
    environment = ensure(("talosctl",)).env()
    secrets, found = folder / "secrets.yaml", {}
    programs.run("talosctl", "gen", "secrets", "-o", secrets, env=environment)
    for machine in derive.machines(settings):
        version = str(settings.cluster.talos_version)
        image = installer("factory.talos.dev", image_of(machine), version)
        flags = []
        for index, patch in enumerate(patches(machine, surroundings(settings), image)):
            (folder / f"{index}.yaml").write_text(patch, encoding="utf-8")
            flags += [f"--config-patch-{machine.role}", f"@{folder / f'{index}.yaml'}"]
        kind = "controlplane" if machine.role == "control-plane" else "worker"
        out = folder / f"{machine.name}.yaml"
        flags += ["--with-secrets", str(secrets), "--output-types", kind, "--output", str(out)]
        flags += ["--talos-version", f"v{settings.cluster.talos_contract}"]
        programs.run("talosctl", "gen", "config", "x", derive.endpoint(settings), *flags, env=environment)
        programs.run("talosctl", "validate", "--strict", "--mode", "cloud", "--config", out, env=environment)
        found[machine.name] = out.read_text(encoding="utf-8")
    return found


@pytest.mark.parametrize("stack", ["homelab", "staging", "dev"])
def test_talos_accepts_the_configuration_of_every_node(stack: str, tmp_path: Path) -> None:
    settings = read_stack(ROOT / f"Pulumi.{stack}.yaml").require()
    assert set(generated(settings, tmp_path)) == {node.name for node in settings.cluster.nodes}


@pytest.mark.parametrize("workloads", ["allowed", "refused"])
def test_control_planes_with_workloads_announce_load_balancers(workloads: str, tmp_path: Path) -> None:
    settings = read_stack(ROOT / "Pulumi.dev.yaml").require()
    cluster = settings.cluster.model_copy(update={"workloads_on_control_planes": workloads})
    text = generated(settings.model_copy(update={"cluster": cluster}), tmp_path)["cp-1"]
    labels = yaml.safe_load(text.split("\n---")[0])["machine"].get("nodeLabels", {})
    assert (EXCLUDED in labels) == (workloads == "refused")


@pytest.mark.parametrize("index", [0, 1])
def test_talos_takes_taints_of_control_planes_and_of_workers(index: int, tmp_path: Path) -> None:
    settings = read_stack(ROOT / "Pulumi.dev.yaml").require()
    nodes = list(settings.cluster.nodes)
    nodes[index] = nodes[index].model_copy(update={"taints": ("gpu=true:NoSchedule",)})
    cluster = settings.cluster.model_copy(update={"nodes": tuple(nodes)})
    text = generated(settings.model_copy(update={"cluster": cluster}), tmp_path)[nodes[index].name]
    machine = yaml.safe_load(text.split("\n---")[0])["machine"]
    registered = [{"key": "gpu", "value": "true", "effect": "NoSchedule"}]
    expected = ({"gpu": "true:NoSchedule"}, None) if index == 0 else (None, registered)
    assert (machine.get("nodeTaints"), machine["kubelet"].get("extraConfig", {}).get("registerWithTaints")) == expected


def test_the_audit_log_has_each_request_without_a_rule(tmp_path: Path) -> None:
    text = generated(read_stack(ROOT / "Pulumi.dev.yaml").require(), tmp_path)["cp-1"]
    rules = yaml.safe_load(text.split("\n---")[0])["cluster"]["apiServer"]["auditPolicy"]["rules"]
    assert rules[-1] == {"level": "Metadata"}


def test_what_talos_replaces_in_a_merge_is_shown_replaced() -> None:
    own = "cluster: {apiServer: {auditPolicy: {rules: [{level: Request}]}}, network: {podSubnets: [10.1.0.0/16]}}"
    first = patches(MACHINES["cp-1"], surroundings(SETTINGS), "installer:v1")
    cluster = yaml.safe_load(readable([*first, own], {}))["machine configuration"]["cluster"]
    assert cluster["apiServer"]["auditPolicy"] == {"rules": [{"level": "Request"}]}
    assert cluster["network"]["podSubnets"] == ["10.1.0.0/16"]


def test_credentials_of_own_patches_are_covered() -> None:
    patch = "machine: {registries: {config: {r.example.com: {auth: {username: u, password: hunter2}}}}}"
    pem = "cluster: {x: '-----BEGIN PRIVATE KEY-----'}"
    text = readable([patch, pem], {})
    assert "hunter2" not in text
    assert "PRIVATE KEY" not in text
    assert text.count(COVERED) == 2


@pytest.mark.parametrize("name", [name for name, (file, _) in SECRETS.items() if file.startswith("patches/")])
def test_a_patch_that_git_refuses_shows_no_canary(name: str) -> None:
    assert PW not in readable([SECRETS[name][1]], {})


@pytest.mark.parametrize(
    "patch",
    [
        f"kind: ExtensionServiceConfig\nenvironment: [TS_AUTHKEY={PW}, X=aB3{PW}aB3{PW}aB3]\n",
        f"kind: ExtensionServiceConfig\nconfigFiles: [{{content: 'anything {PW}', mountPath: /x}}]\n",
        f"machine: {{files: [{{content: 'anything {PW}', path: /x}}]}}\n",
        f"cluster: {{inlineManifests: [{{name: x, contents: 'kind: Secret, data: {PW}'}}]}}\n",
        f"machine: {{env: {{https_proxy: 'http://u:{PW}@proxy:3128'}}}}\n",
        f"machine: {{install: {{extraKernelArgs: ['a.jointoken={PW}']}}}}\n",
    ],
)
def test_a_canary_in_a_patch_is_covered(patch: str) -> None:
    assert PW not in readable([patch], {})


def test_a_difference_shows_changed_lines_only() -> None:
    before = readable(["machine: {sysctls: {a: '1', b: '2'}}"], {"talos": "1.13.0"})
    after = readable(["machine: {sysctls: {a: '1', b: '3'}}"], {"talos": "1.13.0"})
    assert [line for line in difference(before, after).splitlines() if line[0] in "+-"] == [
        "-      b: '2'",
        "+      b: '3'",
    ]
    assert difference(before, before) == ""


words = st.text(alphabet="abc", min_size=1, max_size=3)
maps = st.recursive(words, lambda inner: st.dictionaries(words, inner, max_size=3) | st.lists(words, max_size=3))


@given(st.dictionaries(words, maps, max_size=3))
def test_a_patch_merged_twice_says_the_same(patch: dict[str, Any]) -> None:
    text = yaml.safe_dump(patch)
    assert readable([text, text], {}) == readable([text], {})


def test_workers_are_upgraded_before_control_planes_one_after_the_other() -> None:
    order = [machine.name for machine in in_order_of_upgrade(MACHINES.values())]
    assert order == ["worker-1", "worker-2", "worker-3", "cp-1", "cp-2", "cp-3"]
    commands = run("homelab").of("Command")
    for before, after in pairwise(order):
        assert f"cluster-talos-{before}" in commands[f"cluster-talos-{after}"].depends_on


def test_kubernetes_is_upgraded_after_talos_and_before_configurations() -> None:
    program = run("homelab")
    assert "cluster-talos-cp-3" in program.of("Command")["cluster-kubernetes"].depends_on
    for configuration in program.of("ConfigurationApply").values():
        assert "cluster-kubernetes" in configuration.depends_on


def test_an_upgrade_runs_on_change_only_and_replaces_nothing() -> None:
    for name, command in run("homelab").of("Command").items():
        if name.startswith(("cluster-talos", "cluster-kubernetes", "cluster-forget", "cluster-retire")):
            assert command.inputs["create"] in (shell.NOTHING, REMEMBER_GENERATION)
        assert "triggers" not in command.inputs


def test_a_new_vm_gets_a_new_configuration_and_undoes_nothing() -> None:
    def triggers(program: Program) -> dict[str, Any]:
        found = {**program.of("ConfigurationApply"), "bootstrap": program.of("Command")["cluster-bootstrap"]}
        assert all(resource.options.retainOnDelete for resource in found.values())
        return {name: resource.options.replacement_trigger.string_value for name, resource in found.items()}

    before = triggers(run("dev"))
    node = triggers(run("dev", lambda s: s["homelab:cluster"]["nodes"][1].update(generation=2)))
    assert {name for name in before if before[name] != node[name]} == {"cluster-configuration-worker-1"}
    anew = triggers(run("dev", lambda s: s["homelab:cluster"]["nodes"][1].update(vmId=3333)))
    assert {name for name in before if before[name] != anew[name]} == {"cluster-configuration-worker-1"}
    moved = triggers(run("homelab", lambda s: s["homelab:cluster"]["nodes"][4].update(host="pve-1")))
    assert moved == triggers(run("homelab"))
    whole = triggers(run("dev", lambda s: s["homelab:cluster"].update(generation=2)))
    assert all(before[name] != whole[name] for name in before)


def test_a_node_leaves_before_its_vm_is_deleted() -> None:
    commands = run("dev").of("Command")
    retire = commands["cluster-retire-worker-1"]
    assert "cluster-configuration-worker-1" in retire.depends_on
    assert retire.options.deletedWith.endswith("::cluster-bootstrap")
    assert retire.inputs["delete"] == script("retire")


def test_control_planes_are_configured_one_after_the_other() -> None:
    program = run("homelab")
    configurations, settled = program.of("ConfigurationApply"), program.of("Command")["cluster-settle-cp-1"]
    assert "cluster-configuration-cp-1" in settled.depends_on
    assert settled.inputs["update"] == script("settle")
    assert "cluster-settle-cp-1" in configurations["cluster-configuration-cp-2"].depends_on
    assert "cluster-configuration-cp-1" in configurations["cluster-configuration-cp-2"].depends_on
    assert "cluster-configuration-cp-1" not in configurations["cluster-configuration-worker-1"].depends_on


def test_the_vip_is_never_a_talos_endpoint() -> None:
    program = run("homelab")
    for resource in (*program.of("ConfigurationApply").values(), *program.of("Kubeconfig").values()):
        assert resource.inputs["endpoint"] != "10.0.0.5"
    planes = {
        pair.split("=")[1]
        for pair in program.of("Command")["cluster-health"].inputs["environment"]["CONTROL_PLANES"].split()
    }
    assert planes == {"10.0.0.11", "10.0.0.12", "10.0.0.13"}


def test_a_name_of_the_api_is_in_its_certificates() -> None:
    def change(sections: dict[str, Any]) -> None:
        sections["homelab:network"]["endpoint"] = "api.dev.example.com"

    program = run("dev", change)
    assert program.outputs["endpoint"] == "https://api.dev.example.com:6443"
    configuration = yaml.safe_load(program.outputs["nodeConfigurations"]["cp-1"])["machine configuration"]
    assert "api.dev.example.com" in configuration["cluster"]["apiServer"]["certSANs"]


def test_a_kubeconfig_is_made_again_when_the_endpoint_changes() -> None:
    def vip(sections: dict[str, Any]) -> None:
        sections["homelab:network"]["vip"] = "10.0.20.5"

    def trigger(program: Program) -> str:
        made = program.of("Kubeconfig")["cluster-kubeconfig"]
        return str(made.options.replacement_trigger.string_value)

    assert trigger(run("dev")) == "https://10.0.20.11:6443"
    assert trigger(run("dev", vip)) == "https://10.0.20.5:6443"


def test_a_drain_has_a_timeout_and_needs_other_nodes() -> None:
    commands = run("homelab").of("Command")
    given = commands["cluster-talos-worker-1"].inputs["environment"]
    assert (given["DRAIN_SECONDS"], given["OTHERS_TAKE_PODS"]) == ("1800", "yes")
    assert run("dev").of("Command")["cluster-talos-worker-1"].inputs["environment"]["OTHERS_TAKE_PODS"] == "no"
    assert commands["cluster-retire-worker-1"].inputs["environment"]["DRAIN_SECONDS"] == "1800"


def test_an_upgrade_waits_for_the_vm_and_its_schematic() -> None:
    assert "machines-worker-1" in run("homelab").of("Command")["cluster-talos-worker-1"].depends_on


def test_talosctl_reads_the_secrets_bundle(tmp_path: Path) -> None:
    environment = ensure(("talosctl",)).env()
    original = tmp_path / "secrets.yaml"
    programs.run("talosctl", "gen", "secrets", "-o", original, env=environment)
    document = yaml.safe_load(original.read_text(encoding="utf-8"))
    assert yaml.safe_load(bundle(_as_provider(document))) == document


class Named(dict[str, Any]):
    """A map whose keys are attributes, like the provider's outputs."""

    __getattr__ = dict.__getitem__


def _as_provider(document: dict[str, Any]) -> Any:
    certs = document["certs"]

    def pair(name: str) -> Named:
        return Named(cert=certs[name]["crt"], key=certs[name]["key"])

    return Named(
        cluster=Named(document["cluster"]),
        secrets=Named(
            bootstrap_token=document["secrets"]["bootstraptoken"],
            secretbox_encryption_secret=document["secrets"]["secretboxencryptionsecret"],
        ),
        trustdinfo=Named(document["trustdinfo"]),
        certs=Named(
            etcd=pair("etcd"),
            k8s=pair("k8s"),
            k8s_aggregator=pair("k8saggregator"),
            k8s_serviceaccount=Named(key=certs["k8sserviceaccount"]["key"]),
            os=pair("os"),
        ),
    )

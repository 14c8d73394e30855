"""The stand-in for Talos retains secrets, and renews certificates that are about to end, as the official one does."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from pulumi.provider.experimental import provider as sdk

from errors import HomelabError
from lab.hardware import talos_node
from lab.plugins.properties import UNKNOWN, Plain, plain_map
from lab.plugins.talos import CLIENT, KUBERNETES_CLIENT, Kubeconfig, MachineSecrets, Talos, a_month_after, duration
from ops.toolchain import lookup
from tests.lab.control_plane.test_kubernetes import generated
from tests.lab.hardware.site import RackSite
from tests.lab.plugins.desk import Desk
from tests.lab.plugins.test_base import diff, run, urn, wrapped

SECRETS, KUBECONFIG = urn("talos:machine/secrets:Secrets"), urn("talos:cluster/kubeconfig:Kubeconfig")
VERSION = {"talosVersion": "v1.13"}
SOON, LATER = timedelta(days=20), timedelta(days=40)
OF_KUBERNETES = {f"kubernetesClientConfiguration.{name}" for name in KUBERNETES_CLIENT}
PROGRAM = """
    import pulumi
    from pulumiverse_talos import cluster, machine

    secrets = machine.Secrets("secrets", talos_version="v1.13")
    kubeconfig = cluster.Kubeconfig("kubeconfig", client_configuration=secrets.client_configuration, node="10.0.0.11")
    pulumi.export("bundle", secrets.machine_secrets)
"""


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATH", lookup.ensure(("talosctl",)).env()["PATH"])
        return yaml.safe_dump(generated(tmp_path_factory.mktemp("generated"), "home"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: str) -> RackSite:
    """Yield a rack whose only control plane has a configuration; no API server runs."""
    site = RackSite.make(tmp_path, monkeypatch)
    (tmp_path / "talosctl-real").symlink_to(lookup.ensure(("talosctl",)).places["talosctl"].file)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in site.lab.environment.items():
        monkeypatch.setenv(name, value)
    site.boot("cp-1")
    talos_node.apply(site.lab, site.rack, site.address("cp-1"), configuration, "auto")
    return site


def certificate(left: timedelta) -> str:
    """Return a certificate with a given rest of its life, in the form of Talos."""
    key, name, now = ed25519.Ed25519PrivateKey.generate(), x509.Name([]), datetime.now(UTC)
    begun = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=300), now + left)
    return base64.b64encode(begun.sign(key, None).public_bytes(serialization.Encoding.PEM)).decode()


def life(client: Plain) -> timedelta:
    """Return the rest of the life of a client's certificate."""
    found = x509.load_pem_x509_certificate(base64.b64decode(client["clientCertificate"]))
    return found.not_valid_after_utc - datetime.now(UTC)


def aged(outputs: Plain, name: str, left: timedelta) -> Plain:
    return {**outputs, name: {**outputs[name], "clientCertificate": certificate(left)}}


def preview(at: str, before: Plain, state: Plain, news: Plain) -> Plain:
    """Return the outputs of a preview of an update."""
    request = sdk.UpdateRequest(at, "id", wrapped(state), wrapped(news), 0, [], preview=True)
    return plain_map(run(Talos().update(request), before).properties)


def made(kind: type[MachineSecrets | Kubeconfig], inputs: Plain) -> Plain:
    return {**inputs, **kind(Talos()).create(inputs, preview=False)[1]}


def kubeconfig_inputs(**more: Any) -> Plain:
    return {"clientConfiguration": dict.fromkeys(CLIENT, ""), "node": "10.0.0.11", **more}


def test_secrets_are_unchanged_until_the_certificates_last_month(site: RackSite) -> None:
    state = made(MachineSecrets, VERSION)
    assert life(state["clientConfiguration"]) > timedelta(days=360)
    for left in (timedelta(days=360), LATER):
        assert diff(VERSION, VERSION, Talos(), SECRETS, aged(state, "clientConfiguration", left)).changes is False


def test_the_client_certificate_is_renewed_in_its_last_month(site: RackSite) -> None:
    state = aged(made(MachineSecrets, VERSION), "clientConfiguration", SOON)
    answer = diff(VERSION, VERSION, Talos(), SECRETS, state)
    assert {path: (found.kind.name, found.input_diff) for path, found in answer.detailed_diff.items()} == {
        f"clientConfiguration.{name}": ("UPDATE", False) for name in CLIENT
    }
    assert answer.replaces == []
    foreseen = preview(SECRETS, VERSION, state, VERSION)
    assert foreseen == {**state, "clientConfiguration": dict.fromkeys(CLIENT, UNKNOWN)}
    renewed = MachineSecrets(Talos()).update("machine_secrets", state, VERSION, preview=False)
    assert renewed.keys() == {"clientConfiguration"}
    assert life(renewed["clientConfiguration"]) > timedelta(days=360)
    assert renewed["clientConfiguration"]["caCertificate"] == state["machineSecrets"]["certs"]["os"]["cert"]


def test_another_version_retains_the_secrets_which_previews_leave_open(site: RackSite) -> None:
    state, raised = made(MachineSecrets, VERSION), {"talosVersion": "v1.14"}
    unknown = {"machineSecrets": UNKNOWN, "clientConfiguration": UNKNOWN}
    assert diff(VERSION, raised, Talos(), SECRETS, state).replaces == []
    assert preview(SECRETS, VERSION, state, raised) == {**raised, **unknown}
    assert MachineSecrets(Talos()).update("machine_secrets", state, raised, preview=False) == {}


def test_a_kubeconfig_has_the_defaults_of_the_official_provider(site: RackSite) -> None:
    state = made(Kubeconfig, kubeconfig_inputs())
    assert (state["endpoint"], state["certificateRenewalDuration"]) == ("10.0.0.11", "720h")
    given = kubeconfig_inputs(endpoint="10.0.0.12", certificateRenewalDuration="24h")
    state = made(Kubeconfig, given)
    assert (state["endpoint"], state["certificateRenewalDuration"]) == ("10.0.0.12", "24h")


def test_a_changed_kubeconfig_is_retained_without_a_request(site: RackSite) -> None:
    before = kubeconfig_inputs()
    state, news = made(Kubeconfig, before), kubeconfig_inputs(node="10.0.0.99", certificateRenewalDuration="721h")
    answer = diff(before, news, Talos(), KUBECONFIG, state)
    assert set(answer.detailed_diff) == {"node", "certificateRenewalDuration"}
    assert answer.replaces == []
    assert preview(KUBECONFIG, before, state, news)["kubeconfigRaw"] == state["kubeconfigRaw"]
    # No server answers at that address: a request would fail.
    changed = Kubeconfig(Talos()).update("kubeconfig", state, news, preview=False)
    assert changed == {**news, "endpoint": "10.0.0.99"}


def test_a_kubeconfig_is_requested_again_within_the_renewal_duration(site: RackSite) -> None:
    inputs = kubeconfig_inputs()
    state = aged(made(Kubeconfig, inputs), "kubernetesClientConfiguration", SOON)
    answer = diff(inputs, inputs, Talos(), KUBECONFIG, state)
    assert set(answer.detailed_diff) == {"kubeconfigRaw", *OF_KUBERNETES}
    assert not any(found.input_diff for found in answer.detailed_diff.values())
    foreseen = preview(KUBECONFIG, inputs, state, inputs)
    assert foreseen["kubeconfigRaw"] is UNKNOWN
    assert foreseen["kubernetesClientConfiguration"] == dict.fromkeys(KUBERNETES_CLIENT, UNKNOWN)
    renewed = Kubeconfig(Talos()).update("kubeconfig", state, inputs, preview=False)
    assert life(renewed["kubernetesClientConfiguration"]) > timedelta(days=300)
    assert yaml.safe_load(renewed["kubeconfigRaw"])["kind"] == "Config"


@pytest.mark.parametrize(
    ("left", "text", "due"), [(SOON, "470h", False), (LATER, "960h1m", True), (LATER, "1h", False)]
)
def test_the_renewal_duration_decides(left: timedelta, text: str, due: bool, site: RackSite) -> None:
    inputs = kubeconfig_inputs(certificateRenewalDuration=text)
    state = aged(made(Kubeconfig, inputs), "kubernetesClientConfiguration", left)
    assert diff(inputs, inputs, Talos(), KUBECONFIG, state).changes is due


def test_a_kubeconfig_of_an_unknown_node_is_not_renewed(site: RackSite) -> None:
    inputs = kubeconfig_inputs()
    state = aged(made(Kubeconfig, inputs), "kubernetesClientConfiguration", SOON)
    assert set(diff(inputs, {**inputs, "node": UNKNOWN}, Talos(), KUBECONFIG, state).detailed_diff) == {"node"}


@pytest.mark.parametrize(
    ("text", "hours"), [("720h", 720), ("1h30m", 1.5), ("90m", 1.5), (".5h", 0.5), ("1.5h", 1.5), ("3600000ms", 1)]
)
def test_durations_are_read_as_go_writes_them(text: str, hours: float) -> None:
    assert duration(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "720", "30d", "1h x", "h"])
def test_a_duration_that_go_does_not_read_is_refused(text: str) -> None:
    with pytest.raises(HomelabError, match=f'failed to parse certificate renewal duration: .* duration "{text}"'):
        duration(text)


@pytest.mark.parametrize(
    ("moment", "after"),
    [
        ("2026-01-31", "2026-03-03"),
        ("2028-01-31", "2028-03-02"),
        ("2026-12-15", "2027-01-15"),
        ("2026-05-31", "2026-07-01"),
    ],
)
def test_a_month_is_added_as_go_does(moment: str, after: str) -> None:
    assert a_month_after(datetime.fromisoformat(moment)) == datetime.fromisoformat(after)


@pytest.mark.xdist_group("engine")
def test_the_engine_updates_renewed_outputs_once(
    site: RackSite, new_desk: Callable[[str], Desk], tmp_path: Path
) -> None:
    desk = new_desk("talos")
    desk.env.update({**site.lab.environment, "PATH": f"{tmp_path}:{desk.env['PATH']}"})
    assert desk.up(PROGRAM).counts() == {"created": 3}
    bundle = desk.outputs()["bundle"]
    state = json.loads(desk.raw_state())
    for item in state["checkpoint"]["latest"]["resources"]:
        for name in {"clientConfiguration", "kubernetesClientConfiguration"} & item.get("outputs", {}).keys():
            item["outputs"][name]["clientCertificate"] = certificate(SOON)
    desk.write_state(json.dumps(state))
    foreseen = desk.preview()
    assert "~ 2 to update" in foreseen.text, foreseen.text
    assert desk.up().counts() == {"updated": 2, "unchanged": 1}
    assert desk.up().counts() == {"unchanged": 3}
    assert desk.outputs()["bundle"] == bundle

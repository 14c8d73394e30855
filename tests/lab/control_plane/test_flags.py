"""The flags of the rehearsed control plane are Talos' own, then the operator's; flags without effect are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.control_plane import flags
from lab.control_plane.flags import Ports
from lab.layout import Lab

LAB = Lab(Path("/lab"))
PORTS = Ports(etcd=1, etcd_peers=2, api_server=3, controller_manager=4, scheduler=5, kwok=6)


def cluster(**sections: Any) -> dict[str, Any]:
    return {
        "controlPlane": {"endpoint": "https://10.0.0.5:6443"},
        "network": {"dnsDomain": "home.arpa", "podSubnets": ["10.244.0.0/16"], "serviceSubnets": ["10.96.0.0/12"]},
        **sections,
    }


def extra(**arguments: Any) -> dict[str, Any]:
    return cluster(apiServer={"extraArgs": {name.replace("_", "-"): value for name, value in arguments.items()}})


def api_server(wanted: dict[str, Any]) -> list[str]:
    return flags.api_server(wanted, LAB, PORTS)


def test_an_argument_of_the_operator_is_added_or_replaces_talos() -> None:
    given = api_server(extra(event_ttl="10m", anonymous_auth="true"))
    assert "--event-ttl=10m" in given
    assert [flag for flag in given if flag.startswith("--anonymous-auth=")] == ["--anonymous-auth=true"]


def test_admission_plugins_are_added_to_those_of_talos() -> None:
    given = api_server(extra(enable_admission_plugins="AlwaysPullImages"))
    assert "--enable-admission-plugins=NodeRestriction,AlwaysPullImages" in given


def test_webhooks_stay_off_beside_other_disabled_plugins() -> None:
    given = api_server(extra(disable_admission_plugins="LimitRanger"))
    assert "--disable-admission-plugins=MutatingAdmissionWebhook,ValidatingAdmissionWebhook,LimitRanger" in given


def test_an_argument_with_several_values_is_given_several_times() -> None:
    given = api_server(extra(service_account_issuer=["https://one", "https://two"]))
    assert [flag for flag in given if "issuer" in flag] == [
        "--service-account-issuer=https://one",
        "--service-account-issuer=https://two",
    ]


def test_an_argument_beyond_loopback_is_dropped_and_reported() -> None:
    wanted = extra(bind_address="0.0.0.0", oidc_issuer_url="https://login.home.arpa", tracing_config_file="x")
    given = api_server(wanted)
    assert "--bind-address=127.0.0.1" in given
    assert not any("oidc" in flag or "tracing" in flag for flag in given)
    assert flags.not_honoured(wanted) == [
        "kube-apiserver --bind-address: a rehearsal listens on loopback, on ports of its own",
        "kube-apiserver --oidc-issuer-url: needs a host that a rehearsal must not reach",
        "kube-apiserver --tracing-config-file: needs a host that a rehearsal must not reach",
    ]


def test_a_file_of_the_node_is_not_looked_for_here() -> None:
    wanted = cluster(controllerManager={"extraArgs": {"terminated-pod-gc-threshold": "5", "flex": "/usr/libexec"}})
    given = flags.controller_manager(wanted, LAB, PORTS)
    assert "--terminated-pod-gc-threshold=5" in given
    assert flags.not_honoured(wanted) == ["kube-controller-manager --flex: refers to a file that only the node has"]


def test_every_part_listens_on_loopback_despite_other_settings() -> None:
    everywhere = {"extraArgs": {"bind-address": "0.0.0.0", "secure-port": "1234"}}
    metrics = {"extraArgs": {"listen-metrics-urls": "http://0.0.0.0:2381"}}
    wanted = cluster(etcd=metrics, apiServer=everywhere, controllerManager=everywhere, scheduler=everywhere)
    given = [
        *flags.etcd(wanted, LAB, PORTS, Path("/lab/data")),
        *flags.api_server(wanted, LAB, PORTS),
        *flags.controller_manager(wanted, LAB, PORTS),
        *flags.scheduler(wanted, LAB, PORTS),
    ]
    assert [flag for flag in given if "0.0.0.0" in flag or "1234" in flag] == []
    assert len(flags.not_honoured(wanted)) == 7


def test_the_certificate_names_endpoint_service_operator_and_loopback() -> None:
    names = flags.api_server_names(cluster(apiServer={"certSANs": ["api.home.arpa", "10.0.0.5"]}))
    assert names == [
        "localhost",
        "127.0.0.1",
        "10.0.0.5",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.home.arpa",
        "10.96.0.1",
        "api.home.arpa",
    ]


def test_secrets_are_encrypted_with_the_configured_keys_in_talos_order() -> None:
    wanted = cluster(secretboxEncryptionSecret="box", aescbcEncryptionSecret="cbc")
    document = flags.documents(wanted, LAB)[LAB.control_plane / "encryption.yaml"]
    assert [next(iter(provider)) for provider in document["resources"][0]["providers"]] == [
        "secretbox",
        "aescbc",
        "identity",
    ]


def test_the_scheduler_keeps_the_profiles_of_the_operator() -> None:
    wanted = cluster(scheduler={"config": {"profiles": [{"schedulerName": "packing"}]}})
    document = flags.documents(wanted, LAB)[LAB.control_plane / "scheduler.yaml"]
    assert document["profiles"] == [{"schedulerName": "packing"}]
    assert document["leaderElection"] == {"leaderElect": False}

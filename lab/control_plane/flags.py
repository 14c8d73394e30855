"""From a generated machine configuration to the flags and files of the control plane's programs, as pure decisions.

The `cluster` section of the machine configuration comes in, with the lab's folder and the ports. Arguments and
documents go out: Talos' own flags and merge rules, then the operator's additions, then the requirements of a rehearsal.
`not_honoured` reports each setting of the operator that a rehearsal cannot honour, with the reason.
`lab.control_plane.kubernetes` continues from here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.layout import Lab

Flags = dict[str, list[str]]

LOOPBACK = "a rehearsal listens on loopback, on ports of its own"
OWN_FILE = "a rehearsal has this file of its own"
ON_THE_NODE = "refers to a file that only the node has"
AWAY = "needs a host that a rehearsal must not reach"
ALONE = "there is one of each, so that no election takes place"
SMALL_LOG = "the audit log goes into the lab's logs and stays small"

TLS = {"tls-cert-file": OWN_FILE, "tls-private-key-file": OWN_FILE, "tls-sni-cert-key": OWN_FILE, "cert-dir": OWN_FILE}
LISTENING = {"bind-address": LOOPBACK, "secure-port": LOOPBACK}
KUBECONFIGS = dict.fromkeys(("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"), OWN_FILE)

# A name that ends with a dash stands for all flags that begin so.
NOT_HONOURED: Mapping[str, Mapping[str, str]] = {
    "etcd": {
        "listen-": LOOPBACK,
        "advertise-": LOOPBACK,
        "initial-": ALONE,
        "discovery-": AWAY,
        "name": ALONE,
        "data-dir": OWN_FILE,
        "cert-file": OWN_FILE,
        "key-file": OWN_FILE,
        "trusted-ca-file": OWN_FILE,
        "peer-": OWN_FILE,
    },
    "kube-apiserver": {
        **TLS,
        **LISTENING,
        "advertise-address": LOOPBACK,
        "endpoint-reconciler-type": LOOPBACK,
        "etcd-": LOOPBACK,
        "audit-log-": SMALL_LOG,
        "audit-policy-file": OWN_FILE,
        "audit-webhook-": AWAY,
        "authentication-token-webhook-": AWAY,
        "authorization-": AWAY,
        "oidc-": AWAY,
        "tracing-config-file": AWAY,
        "egress-selector-config-file": AWAY,
        "admission-control-config-file": OWN_FILE,
        "client-ca-file": OWN_FILE,
        "encryption-provider-config": OWN_FILE,
        "kubelet-certificate-authority": OWN_FILE,
        "kubelet-client-": OWN_FILE,
        "proxy-client-": OWN_FILE,
        "requestheader-client-ca-file": OWN_FILE,
        "service-account-key-file": OWN_FILE,
        "service-account-signing-key-file": OWN_FILE,
    },
    "kube-controller-manager": {
        **TLS,
        **LISTENING,
        **KUBECONFIGS,
        "cluster-signing-": OWN_FILE,
        "leader-elect": ALONE,
        "leader-elect-": ALONE,
        "root-ca-file": OWN_FILE,
        "service-account-private-key-file": OWN_FILE,
    },
    "kube-scheduler": {
        **TLS,
        **LISTENING,
        **KUBECONFIGS,
        "config": OWN_FILE,
        "leader-elect": ALONE,
        "leader-elect-": ALONE,
    },
}
# The section of the machine configuration with a program's arguments.
SECTIONS = {
    "etcd": "etcd",
    "kube-apiserver": "apiServer",
    "kube-controller-manager": "controllerManager",
    "kube-scheduler": "scheduler",
}
# Flags to which an operator's value is added, as Talos does; others are replaced.
ADDITIVE = (
    "controllers",
    "disable-admission-plugins",
    "enable-admission-plugins",
    "feature-gates",
    "service-cluster-ip-range",
    "tls-cipher-suites",
)


@dataclass(frozen=True)
class Ports:
    """The port of each part on 127.0.0.1."""

    etcd: int
    etcd_peers: int
    api_server: int
    controller_manager: int
    scheduler: int
    kwok: int


def api_server_names(cluster: Mapping[str, Any]) -> list[str]:
    """Return the names and addresses in the API server's certificate: Talos' own, the operator's, and ours."""
    network = cluster["network"]
    first = [str(ipaddress.ip_network(subnet)[1]) for subnet in network["serviceSubnets"]]
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    service.append(f"kubernetes.default.svc.{network['dnsDomain']}")
    wanted = cluster.get("apiServer", {}).get("certSANs") or []
    host = urlsplit(cluster["controlPlane"]["endpoint"]).hostname or ""
    return list(dict.fromkeys(["localhost", "127.0.0.1", host, *service, *first, *wanted]))


def etcd(cluster: Mapping[str, Any], lab: Lab, ports: Ports, data: Path) -> list[str]:
    """Return etcd's arguments: one member, TLS by the cluster's own etcd authority, no write forced to disk."""
    clients, peers = f"https://127.0.0.1:{ports.etcd}", f"https://127.0.0.1:{ports.etcd_peers}"
    pair, authority = str(lab.pki / "etcd.pem"), str(lab.pki / "etcd-ca.crt")
    flags = {
        "name": ["rehearsal"],
        "data-dir": [str(data)],
        "listen-client-urls": [clients],
        "advertise-client-urls": [clients],
        "listen-peer-urls": [peers],
        "initial-advertise-peer-urls": [peers],
        "initial-cluster": [f"rehearsal={peers}"],
        "client-cert-auth": ["true"],
        "cert-file": [pair],
        "key-file": [pair],
        "trusted-ca-file": [authority],
        "peer-client-cert-auth": ["true"],
        "peer-cert-file": [pair],
        "peer-key-file": [pair],
        "peer-trusted-ca-file": [authority],
        # The data survives the end of the process, not of the machine: it is useless then.
        "unsafe-no-fsync": ["true"],
        "log-level": ["warn"],
    }
    return _merged("etcd", cluster, flags)


def api_server(cluster: Mapping[str, Any], lab: Lab, ports: Ports) -> list[str]:
    """Return kube-apiserver's arguments: those of Talos 1.13, on loopback."""
    pki, settings = lab.pki, lab.control_plane
    endpoint = cluster["controlPlane"]["endpoint"]
    flags = {
        "admission-control-config-file": [f"{settings}/admission.yaml"],
        "allow-privileged": ["true"],
        "anonymous-auth": ["false"],
        "api-audiences": [endpoint],
        "advertise-address": ["127.0.0.1"],
        "bind-address": ["127.0.0.1"],
        "secure-port": [str(ports.api_server)],
        # No client of the rehearsal uses the address of the service.
        "endpoint-reconciler-type": ["none"],
        "client-ca-file": [f"{pki}/ca.crt"],
        "enable-admission-plugins": ["NodeRestriction"],
        # Operators answer webhooks, and those are simulated: without an answer, every object would be refused.
        "disable-admission-plugins": ["MutatingAdmissionWebhook,ValidatingAdmissionWebhook"],
        "egress-selector-config-file": [f"{settings}/egress.yaml"],
        "requestheader-client-ca-file": [f"{pki}/aggregator-ca.crt"],
        "requestheader-allowed-names": ["front-proxy-client"],
        "requestheader-extra-headers-prefix": ["X-Remote-Extra-"],
        "requestheader-group-headers": ["X-Remote-Group"],
        "requestheader-username-headers": ["X-Remote-User"],
        "proxy-client-cert-file": [f"{pki}/front-proxy-client.pem"],
        "proxy-client-key-file": [f"{pki}/front-proxy-client.pem"],
        "enable-bootstrap-token-auth": ["true"],
        "tls-min-version": ["VersionTLS12"],
        "encryption-provider-config": [f"{settings}/encryption.yaml"],
        "audit-policy-file": [f"{settings}/audit-policy.yaml"],
        "audit-log-path": [f"{lab.logs}/audit.log"],
        "audit-log-maxbackup": ["1"],
        "audit-log-maxsize": ["10"],
        # Talos writes each event before it answers; here no program relies on the log.
        "audit-log-mode": ["batch"],
        "profiling": ["false"],
        "etcd-cafile": [f"{pki}/etcd-ca.crt"],
        "etcd-certfile": [f"{pki}/etcd-client.pem"],
        "etcd-keyfile": [f"{pki}/etcd-client.pem"],
        "etcd-servers": [f"https://127.0.0.1:{ports.etcd}"],
        "kubelet-client-certificate": [f"{pki}/kubelet-client.pem"],
        "kubelet-client-key": [f"{pki}/kubelet-client.pem"],
        "kubelet-preferred-address-types": ["InternalIP,ExternalIP,Hostname"],
        "authorization-mode": ["Node,RBAC"],
        "service-account-issuer": [endpoint],
        "service-account-key-file": [f"{pki}/service-account.key"],
        "service-account-signing-key-file": [f"{pki}/service-account.key"],
        "service-cluster-ip-range": [",".join(cluster["network"]["serviceSubnets"])],
        "tls-cert-file": [f"{pki}/kube-apiserver.pem"],
        "tls-private-key-file": [f"{pki}/kube-apiserver.pem"],
    }
    return _merged("kube-apiserver", cluster, flags)


def controller_manager(cluster: Mapping[str, Any], lab: Lab, ports: Ports) -> list[str]:
    """Return kube-controller-manager's arguments: those of Talos 1.13, alone and on loopback."""
    pki, kubeconfig = lab.pki, f"{lab.control_plane}/kube-controller-manager.kubeconfig"
    flags = {
        "use-service-account-credentials": ["true"],
        # Forty controllers request their identities before the first one works: 5 s at the default of 20 requests a
        # second.
        "kube-api-qps": ["300"],
        "kube-api-burst": ["600"],
        "allocate-node-cidrs": ["true"],
        "bind-address": ["127.0.0.1"],
        "secure-port": [str(ports.controller_manager)],
        "cluster-cidr": [",".join(cluster["network"]["podSubnets"])],
        "service-cluster-ip-range": [",".join(cluster["network"]["serviceSubnets"])],
        "cluster-signing-cert-file": [f"{pki}/ca.crt"],
        "cluster-signing-key-file": [f"{pki}/ca.key"],
        "controllers": ["*,tokencleaner"],
        "configure-cloud-routes": ["false"],
        "kubeconfig": [kubeconfig],
        "authentication-kubeconfig": [kubeconfig],
        "authorization-kubeconfig": [kubeconfig],
        "leader-elect": ["false"],
        "root-ca-file": [f"{pki}/ca.crt"],
        "service-account-private-key-file": [f"{pki}/service-account.key"],
        "profiling": ["false"],
        "tls-min-version": ["VersionTLS13"],
    }
    return _merged("kube-controller-manager", cluster, flags)


def scheduler(cluster: Mapping[str, Any], lab: Lab, ports: Ports) -> list[str]:
    """Return kube-scheduler's arguments: those of Talos 1.13, alone and on loopback."""
    kubeconfig = f"{lab.control_plane}/kube-scheduler.kubeconfig"
    flags = {
        "config": [f"{lab.control_plane}/scheduler.yaml"],
        "authentication-tolerate-lookup-failure": ["false"],
        "authentication-kubeconfig": [kubeconfig],
        "authorization-kubeconfig": [kubeconfig],
        "bind-address": ["127.0.0.1"],
        "secure-port": [str(ports.scheduler)],
        "leader-elect": ["false"],
        "profiling": ["false"],
        "tls-min-version": ["VersionTLS13"],
    }
    return _merged("kube-scheduler", cluster, flags)


def kwok(lab: Lab, ports: Ports, stages: list[Path]) -> list[str]:
    """Return kwok's arguments: it simulates the kubelet of every node, and operators, by these files.

    Pods get addresses from the range of their node, and nodes have their own: kwok is given neither.
    """
    return [
        f"--kubeconfig={lab.control_plane}/kwok.kubeconfig",
        "--manage-all-nodes=true",
        "--node-ip=",
        "--node-port=0",
        f"--server-address=127.0.0.1:{ports.kwok}",
        "--node-lease-duration-seconds=40",
        *(f"--config={stage}" for stage in stages),
    ]


def documents(cluster: Mapping[str, Any], lab: Lab) -> dict[Path, dict[str, Any]]:
    """Return the files that the flags refer to; the only key in them is the one for secrets at rest."""
    server = cluster.get("apiServer", {})
    plugins = [
        {"name": plugin["name"], "configuration": plugin["configuration"]}
        for plugin in server.get("admissionControl") or []
    ]
    settings = lab.control_plane
    return {
        settings / "admission.yaml": {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": plugins,
        },
        settings / "audit-policy.yaml": server.get("auditPolicy")
        or {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]},
        settings / "egress.yaml": {
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            # Nodes have the addresses of the real machines: requests of the API server to a kubelet, a service or a pod
            # go to a socket that does not exist.
            "egressSelections": [
                {
                    "name": "cluster",
                    "connection": {
                        "proxyProtocol": "HTTPConnect",
                        "transport": {"uds": {"udsName": f"{lab.run}/no-way-out"}},
                    },
                }
            ],
        },
        settings / "encryption.yaml": {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": list(_providers(cluster))}],
        },
        settings / "scheduler.yaml": {
            **(cluster.get("scheduler", {}).get("config") or {}),
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": f"{settings}/kube-scheduler.kubeconfig", "qps": 300, "burst": 600},
            "leaderElection": {"leaderElect": False},
        },
    }


def not_honoured(cluster: Mapping[str, Any]) -> list[str]:
    """Return every argument of the operator that the rehearsed control plane does not honour, with the reason."""
    found = [
        f"{program} --{flag}: {reason}"
        for program in SECTIONS
        for flag, values in _extra(program, cluster).items()
        if (reason := _reason(program, flag, values))
    ]
    if cluster.get("apiServer", {}).get("authorizationConfig"):
        found.append(f"kube-apiserver authorizationConfig: {AWAY}")
    return found


def _providers(cluster: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the providers that encrypt secrets, in Talos' order and with its names for the keys."""
    if key := cluster.get("secretboxEncryptionSecret"):
        yield {"secretbox": {"keys": [{"name": "key2", "secret": key}]}}
    if key := cluster.get("aescbcEncryptionSecret"):
        yield {"aescbc": {"keys": [{"name": "key1", "secret": key}]}}
    yield {"identity": {}}


def _extra(program: str, cluster: Mapping[str, Any]) -> Flags:
    given = (cluster.get(SECTIONS[program]) or {}).get("extraArgs") or {}
    listed = {flag: value if isinstance(value, list) else [value] for flag, value in given.items()}
    return {flag: [str(value) for value in values] for flag, values in listed.items()}


def _reason(program: str, flag: str, values: list[str]) -> str:
    for name, reason in NOT_HONOURED[program].items():
        if flag == name or (name.endswith("-") and flag.startswith(name)):
            return reason
    return ON_THE_NODE if any(value.startswith("/") for value in values) else ""


def _merged(program: str, cluster: Mapping[str, Any], flags: Flags) -> list[str]:
    merged = dict(flags)
    for flag, values in _extra(program, cluster).items():
        if not _reason(program, flag, values):
            before = merged.get(flag, []) if flag in ADDITIVE else []
            merged[flag] = [",".join([*before, *values])] if before else values
    return [f"--{flag}={value}" for flag, values in sorted(merged.items()) for value in values]

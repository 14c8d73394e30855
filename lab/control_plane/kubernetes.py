"""The rehearsed control plane: etcd, API server, controller manager, scheduler and kwok as processes on loopback.

    start(lab, machine_configuration)    starts every part that does not run or differs
    stop(lab)                            retains the data
    erase(lab)                           deletes the data too

A generated machine configuration of a Talos control plane comes in: the rehearsed cluster has its authorities, its
networks and its settings of the API server. Five servers and a kubeconfig go out, see `lab.layout`.
`lab.control_plane.flags` makes their arguments, `lab.running.servers` runs them; `lab.caretaker` continues with
`reload_operators`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import programs
from errors import ApiFailed, Bug, ProgramMissing, TookTooLong
from lab.api import Api
from lab.control_plane import flags
from lab.control_plane.certificates import Authority, Subject, split
from lab.control_plane.flags import Ports
from lab.layout import Lab
from lab.running import servers
from lab.running.locks import lock
from local.files import private_folder, write_private

PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
OPERATORS = Path(__file__).resolve().parents[1] / "operators"
BASE = (OPERATORS / "nodes.yaml", OPERATORS / "pods.yaml")
ADMINISTRATOR = Subject("admin", ("system:masters",))
POLL = 0.05


@dataclass(frozen=True)
class ControlPlaneServer:
    """One of the five: its arguments, the files that it reads when it starts, and a check of its readiness."""

    name: str
    arguments: list[str]
    files: list[Path]
    lacks: Callable[[], str]
    before: Callable[[], None] = lambda: None


def start(lab: Lab, machine_configuration: Mapping[str, Any], seconds: float = 60) -> None:
    """Run the control plane of this machine configuration, and wait until all of it works."""
    cluster = machine_configuration["cluster"]
    if missing := [name for name in PARTS if not programs.find(name)]:
        raise ProgramMissing(f"{', '.join(missing)}: not on the PATH; build them: ./homelab tools")
    lab.make()
    with lock(lab, "control-plane"):
        data = _data_of(lab, cluster)
        ports = _ports(lab)
        _write(lab, cluster, ports)
        deadline = time.monotonic() + seconds
        _run(lab, [_etcd(lab, cluster, ports, data), _api_server(lab, cluster, ports)], deadline)
        others = [_controller_manager(lab, cluster, ports), _scheduler(lab, cluster, ports)]
        # A kind may have been removed meanwhile, and kwok would not start at all.
        operators = [file for file in _operators(data) if not _unknown_kinds(Api.of(lab), [file])]
        _run(lab, [*others, _kwok(lab, ports, operators)], deadline)


def stopped(lab: Lab) -> list[str]:
    """Return the parts that do not run, of a control plane that was started."""
    begun = any(lab.control_plane.glob("cluster-*"))
    return [name for name in PARTS if begun and not servers.runs(lab, name)]


def stop(lab: Lab) -> None:
    """Stop all parts at once: an API server that outlives its etcd would wait for it."""
    servers.stop(lab, *PARTS)


def erase(lab: Lab) -> None:
    """Stop all parts and delete all of their data."""
    with lock(lab, "control-plane"):
        stop(lab)
        for folder in lab.control_plane.glob("cluster-*"):
            shutil.rmtree(folder)
        lab.kubeconfig.unlink(missing_ok=True)


def reload_operators(lab: Lab, files: Iterable[Path], seconds: float = 60) -> None:
    """Play these operators, and no others, with kwok beside nodes and pods, once the server serves their kinds."""
    with lock(lab, "control-plane"):
        data = next(lab.control_plane.glob("cluster-*"), None)
        if data is None or not servers.runs(lab, "kube-apiserver"):
            raise Bug("operators need a control plane that runs")
        api, wanted = Api.of(lab), sorted({file.resolve() for file in files})
        # Files that are played already need no check: each new CRD of a rehearsal leads here.
        new = [file for file in wanted if file not in _operators(data)]
        deadline = time.monotonic() + seconds
        while unknown := _unknown_kinds(api, new):
            if time.monotonic() > deadline:
                raise TookTooLong(f"kwok: operators act on kinds that the cluster does not serve: {', '.join(unknown)}")
            time.sleep(POLL)
        _run(lab, [_kwok(lab, _ports(lab), wanted)], deadline)
        write_private(data / "operators.json", json.dumps([str(file) for file in wanted]) + "\n")


def admin_kubeconfig(lab: Lab, machine_configuration: Mapping[str, Any]) -> str:
    """Return the administrator's kubeconfig of the rehearsed API server, with the names that Talos uses."""
    return _kubeconfig(lab, machine_configuration["cluster"], ADMINISTRATOR, _ports(lab))


def _run(lab: Lab, parts: list[ControlPlaneServer], deadline: float) -> None:
    """Start parts together, then wait for each."""
    began = time.time()
    records = [_start(lab, part) for part in parts]
    for part, found in zip(parts, records, strict=True):
        record = found
        while lacking := part.lacks():
            ended = not servers.runs(lab, part.name)
            if ended and record.began < began:
                record = _start(lab, part)  # it was killed, and was still ending when we started it
            elif ended or time.monotonic() > deadline:
                why = "ended by itself" if ended else lacking
                raise TookTooLong(f"{part.name}: {why}\n{servers.last_lines(lab, part.name)}")
            time.sleep(POLL)


def _start(lab: Lab, part: ControlPlaneServer) -> servers.ServerRecord:
    # The API server spent a quarter of its time on garbage collection; it may use more memory before one.
    env = {"HOME": str(lab.control_plane), "GOGC": "200"}
    # The data is useless after the rehearsal, and survives a killed process: no grace period.
    return servers.start(lab, part.name, part.name, part.arguments, env, files=part.files, grace=0, before=part.before)


def _etcd(lab: Lab, cluster: Mapping[str, Any], ports: Ports, data: Path) -> ControlPlaneServer:
    files = [lab.pki / "etcd.pem", lab.pki / "etcd-ca.crt"]
    return ControlPlaneServer("etcd", flags.etcd(cluster, lab, ports, data / "etcd"), files, _silence(ports.etcd))


def _api_server(lab: Lab, cluster: Mapping[str, Any], ports: Ports) -> ControlPlaneServer:
    api = Api.of(lab)

    def lacks() -> str:
        try:
            api.ask("/readyz?verbose")
        except ApiFailed as error:
            return str(error)
        return ""

    pki = ("ca.crt", "aggregator-ca.crt", "etcd-ca.crt", "service-account.key", "kube-apiserver.pem")
    pairs = ("etcd-client.pem", "front-proxy-client.pem", "kubelet-client.pem")
    settings = ("admission.yaml", "audit-policy.yaml", "egress.yaml", "encryption.yaml")
    files = [*(lab.pki / name for name in (*pki, *pairs)), *(lab.control_plane / name for name in settings)]
    return ControlPlaneServer("kube-apiserver", flags.api_server(cluster, lab, ports), files, lacks)


def _controller_manager(lab: Lab, cluster: Mapping[str, Any], ports: Ports) -> ControlPlaneServer:
    name = "kube-controller-manager"
    pki = [lab.pki / file for file in ("ca.crt", "ca.key", "service-account.key")]
    files = [*pki, lab.control_plane / f"{name}.kubeconfig"]
    return ControlPlaneServer(
        name, flags.controller_manager(cluster, lab, ports), files, _silence(ports.controller_manager)
    )


def _scheduler(lab: Lab, cluster: Mapping[str, Any], ports: Ports) -> ControlPlaneServer:
    name = "kube-scheduler"
    files = [lab.control_plane / f"{name}.kubeconfig", lab.control_plane / "scheduler.yaml"]
    return ControlPlaneServer(name, flags.scheduler(cluster, lab, ports), files, _silence(ports.scheduler))


def _kwok(lab: Lab, ports: Ports, operators: list[Path]) -> ControlPlaneServer:
    def release() -> None:
        # A kwok that follows another waits until its predecessor's leases end: no node and no pod for 40 seconds.
        Api.of(lab).delete_all("coordination.k8s.io/v1", "Lease", "kube-node-lease")

    stages = [*BASE, *operators]
    files = [lab.control_plane / "kwok.kubeconfig", *stages]
    return ControlPlaneServer("kwok", flags.kwok(lab, ports, stages), files, _silence(ports.kwok), release)


def _silence(port: int) -> Callable[[], str]:
    return lambda: "" if servers.listens(port) else f"no program listens on 127.0.0.1:{port}"


def _ports(lab: Lab) -> Ports:
    return Ports(
        etcd=servers.port(lab, "etcd", "clients"),
        etcd_peers=servers.port(lab, "etcd", "peers"),
        api_server=servers.port(lab, "kube-apiserver"),
        controller_manager=servers.port(lab, "kube-controller-manager"),
        scheduler=servers.port(lab, "kube-scheduler"),
        kwok=servers.port(lab, "kwok"),
    )


def _data_of(lab: Lab, cluster: Mapping[str, Any]) -> Path:
    """Return the folder for the data of this cluster, and delete that of a cluster with other authorities."""
    identity = hashlib.sha256(f"{cluster.get('id')} {cluster['ca']['crt']} {cluster['etcd']['ca']['crt']}".encode())
    data = lab.control_plane / f"cluster-{identity.hexdigest()[:12]}"
    if others := [folder for folder in lab.control_plane.glob("cluster-*") if folder != data]:
        stop(lab)
        for other in others:
            shutil.rmtree(other)
    private_folder(data)
    return data


def _operators(data: Path) -> list[Path]:
    """Return the operators that kwok played last."""
    file = data / "operators.json"
    names: list[str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return [Path(name) for name in names if Path(name).exists()]


def _unknown_kinds(api: Api, operators: list[Path]) -> list[str]:
    """Return the kinds of operators that the API server does not serve: kwok would end."""
    documents = [document for file in operators for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    stages = [document["spec"]["resourceRef"] for document in documents if document and document["kind"] == "Stage"]
    kinds = {(stage["apiGroup"], stage["kind"]) for stage in stages}
    return sorted(f"{kind} of {version}" for version, kind in kinds if not api.knows(version, kind))


def _write(lab: Lab, cluster: Mapping[str, Any], ports: Ports) -> None:
    """Write every file that the parts read."""
    authority, aggregator, etcd = (
        Authority.from_talos(pair) for pair in (cluster["ca"], cluster["aggregatorCA"], cluster["etcd"]["ca"])
    )
    pki = lab.pki
    write_private(pki / "ca.crt", authority.pem)
    write_private(pki / "ca.key", authority.key_pem)
    write_private(pki / "aggregator-ca.crt", aggregator.pem)
    write_private(pki / "etcd-ca.crt", etcd.pem)
    write_private(pki / "service-account.key", base64.b64decode(cluster["serviceAccount"]["key"]))
    etcd.keep_signed(pki / "etcd.pem", Subject("etcd"), ["localhost", "127.0.0.1"])
    etcd.keep_signed(pki / "etcd-client.pem", Subject("kube-apiserver"))
    authority.keep_signed(pki / "kube-apiserver.pem", Subject("kube-apiserver"), flags.api_server_names(cluster))
    authority.keep_signed(pki / "kubelet-client.pem", Subject("apiserver-kubelet-client", ADMINISTRATOR.groups))
    aggregator.keep_signed(pki / "front-proxy-client.pem", Subject("front-proxy-client"))
    for file, document in flags.documents(cluster, lab).items():
        write_private(file, yaml.safe_dump(document, sort_keys=False))
    for name in ("kube-controller-manager", "kube-scheduler"):
        subject = Subject(f"system:{name}", (f"system:{name}",))
        write_private(lab.control_plane / f"{name}.kubeconfig", _kubeconfig(lab, cluster, subject, ports))
    administrator = _kubeconfig(lab, cluster, ADMINISTRATOR, ports)
    write_private(lab.control_plane / "kwok.kubeconfig", administrator)
    write_private(lab.kubeconfig, administrator)


def _kubeconfig(lab: Lab, cluster: Mapping[str, Any], subject: Subject, ports: Ports) -> str:
    """Return a kubeconfig with the identity and the API server inside, which refers to no other file."""
    authority = Authority.from_talos(cluster["ca"])
    file = authority.keep_signed(lab.pki / f"{subject.name.removeprefix('system:')}.pem", subject)
    certificate, key = split(file.read_bytes())
    name, user = cluster["clusterName"], f"{subject.name}@{cluster['clusterName']}"
    server = {"server": f"https://127.0.0.1:{ports.api_server}", "certificate-authority-data": _base64(authority.pem)}
    identity = {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": server}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": user, "context": {"cluster": name, "user": user}}],
        "current-context": user,
    }
    return yaml.safe_dump(config, sort_keys=False)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()

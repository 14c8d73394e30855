"""Argo CD's own programs as processes, configured by the objects in the cluster.

The workloads and ConfigMaps that the program has applied are read from the API server. Each container's arguments and
environment are resolved as the kubelet does; only addresses, folders and Redis are replaced, because they differ for a
process on this machine. Each program acts as its own service account, by impersonation, so that the applied roles limit
it. `lab.caretaker` calls `run_programs` after each change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.api import Api, Object, acting_as
from lab.delivery import git_server, web_ui
from lab.layout import Lab
from lab.running import proxy, servers, sockets
from local.files import private_folder, write_private

NAMESPACE = "argocd"
REDIS = "redis"
LOOPBACK = "127.0.0.1"
ASK_PASS = "ask"  # noqa: S105 - the name of a socket: git reads credentials from the repo-server through it


@dataclass(frozen=True)
class ArgoCDProgram:
    """One program of Argo CD."""

    program: str
    kind: str
    controls: bool
    """Whether it connects to the API server."""


PARTS = (
    ArgoCDProgram("argocd-repo-server", "Deployment", controls=False),
    ArgoCDProgram("argocd-application-controller", "StatefulSet", controls=True),
    ArgoCDProgram("argocd-applicationset-controller", "Deployment", controls=True),
)
SERVER = ArgoCDProgram(web_ui.SERVER, "Deployment", controls=True)


def run_programs(lab: Lab, api: Api) -> None:
    """Run every program whose workload exists, and stop the others."""
    workloads = {part: api.get("apps/v1", part.kind, part.program, NAMESPACE) for part in parts()}
    wanted = {
        part: workload for part, workload in workloads.items() if workload and workload["spec"].get("replicas", 1)
    }
    idle = [one.program for one in (*PARTS, SERVER) if one not in wanted and servers.runs(lab, one.program)]
    if idle:
        servers.stop(lab, *idle)
    if not wanted:
        return
    servers.start(lab, REDIS, "miniredis", [_address(lab, REDIS)], {"HOME": str(lab.root)}, grace=0)
    texts = _Texts(api)
    _write_mounts(lab, texts)
    for part, workload in wanted.items():
        container = workload["spec"]["template"]["spec"]["containers"][0]
        arguments = [*(container.get("command") or []), *(container.get("args") or [])][1:]
        environment = {**_environment(texts, container), **_own_environment(lab, part)}
        if part.controls:
            account = workload["spec"]["template"]["spec"]["serviceAccountName"]
            administrator = lab.kubeconfig.read_text(encoding="utf-8")
            write_private(_kubeconfig(lab, part), acting_as(administrator, account, NAMESPACE))
        servers.start(lab, part.program, part.program, [*arguments, *_own_arguments(lab, part)], environment)


def parts() -> tuple[ArgoCDProgram, ...]:
    """Return the programs that a rehearsal runs: argocd-server only if it embeds a web UI."""
    return (*PARTS, SERVER) if web_ui.is_embedded() else PARTS


def names() -> tuple[str, ...]:
    """Return the names of the processes."""
    return (REDIS, *(part.program for part in parts()))


class _Texts:
    """ConfigMaps, each read once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._maps: dict[str, Mapping[str, str]] = {}

    def map(self, name: str) -> Mapping[str, str]:
        """Return the data of a ConfigMap."""
        if name not in self._maps:
            self._maps[name] = (self._api.get("v1", "ConfigMap", name, NAMESPACE) or {}).get("data") or {}
        return self._maps[name]


def _environment(texts: _Texts, container: Object) -> dict[str, str]:
    """Resolve a container's variables, without the password of Redis: the one here has none."""
    found: dict[str, str] = {}
    for variable in container.get("env") or []:
        source = variable.get("valueFrom") or {}
        if "value" in variable:
            found[variable["name"]] = str(variable["value"])
        elif "configMapKeyRef" in source:
            value = texts.map(source["configMapKeyRef"]["name"]).get(source["configMapKeyRef"]["key"])
            if value is not None:
                found[variable["name"]] = value
        elif "fieldRef" in source and source["fieldRef"]["fieldPath"] == "metadata.namespace":
            found[variable["name"]] = NAMESPACE
    return found


def _own_environment(lab: Lab, part: ArgoCDProgram) -> dict[str, str]:
    root = _folder(lab)
    home = root / part.program
    private_folder(home / "tmp")
    way_out = f"http://{LOOPBACK}:{servers.port(lab, 'proxy')}"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GOGC": "200",
        "TMPDIR": str(home / "tmp"),
        "XDG_CONFIG_HOME": str(home),
        # One part of the ApplicationSet controller ignores --kubeconfig.
        "KUBECONFIG": str(_kubeconfig(lab, part)),
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_TLS_DATA_PATH": str(root / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(root / "ssh"),
        "ARGOCD_PLUGINSOCKFILEPATH": str(root / "plugins"),
        "ARGOCD_ASK_PASS_SOCK": str(sockets.path(lab, ASK_PASS)),
        "ARGOCD_RECONCILIATION_JITTER": "0",
        "REDIS_PASSWORD": "",
        "HTTPS_PROXY": way_out,
        "HTTP_PROXY": way_out,
        "NO_PROXY": f"{LOOPBACK},localhost",
    }


def _own_arguments(lab: Lab, part: ArgoCDProgram) -> list[str]:
    repo_server = f"{LOOPBACK}:{servers.port(lab, 'argocd-repo-server')}"
    metrics = str(servers.port(lab, part.program, "metrics"))
    if part.program == "argocd-repo-server":
        port = str(servers.port(lab, part.program))
        where = [
            f"--address={LOOPBACK}",
            f"--port={port}",
            f"--metrics-address={LOOPBACK}",
            f"--metrics-port={metrics}",
        ]
        # The path of the clients' authority has a default, and is refused beside --disable-tls.
        return [*where, "--disable-tls", "--client-ca-path=", f"--redis={_address(lab, REDIS)}"]
    kubeconfig = f"--kubeconfig={_kubeconfig(lab, part)}"
    if part.program == "argocd-application-controller":
        repository = [f"--repo-server={repo_server}", "--repo-server-plaintext"]
        # Its metrics listen on every address: no flag limits them.
        return [
            kubeconfig,
            f"--namespace={NAMESPACE}",
            *repository,
            f"--redis={_address(lab, REDIS)}",
            f"--metrics-port={metrics}",
        ]
    if part is SERVER:
        return [
            kubeconfig,
            f"--namespace={NAMESPACE}",
            f"--repo-server={repo_server}",
            "--repo-server-plaintext",
            f"--redis={_address(lab, REDIS)}",
            "--insecure",  # plain HTTP, on loopback only
            f"--address={LOOPBACK}",
            f"--port={servers.port(lab, part.program)}",
            f"--metrics-address={LOOPBACK}",
            f"--metrics-port={metrics}",
            f"--staticassets={_folder(lab) / 'static'}",
        ]
    others = [f"--{name}-addr={_address(lab, part.program, name)}" for name in ("metrics", "probe", "webhook")]
    return [
        kubeconfig,
        f"--namespace={NAMESPACE}",
        f"--argocd-repo-server={repo_server}",
        "--repo-server-plaintext",
        *others,
    ]


def _write_mounts(lab: Lab, texts: _Texts) -> None:
    """Write the files that containers mount; the lab's authority is trusted for the lab's own hosts alone."""
    root = _folder(lab)
    for folder, name in (("tls", "argocd-tls-certs-cm"), ("ssh", "argocd-ssh-known-hosts-cm")):
        for file, text in texts.map(name).items():
            write_private(root / folder / file, text)
    for host in proxy.served(lab):
        write_private(root / "tls" / host.rpartition(":")[0], git_server.own_authority(lab).pem)
    private_folder(root / "plugins")


def _folder(lab: Lab) -> Path:
    private_folder(lab.root / "argocd")
    return lab.root / "argocd"


def _kubeconfig(lab: Lab, part: ArgoCDProgram) -> Path:
    return _folder(lab) / f"{part.program}.kubeconfig"


def _address(lab: Lab, name: str, purpose: str = "") -> str:
    return f"{LOOPBACK}:{servers.port(lab, name, purpose)}"

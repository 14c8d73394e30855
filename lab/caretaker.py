"""The behaviour of a cluster's machines, while a rehearsal runs.

The caretaker polls the API server and starts the consequences of applied objects: kwok plays the operators whose CRDs
exist, the programs of Argo CD and Argo Rollouts run as their workloads require, and nodes become Ready when there is a
CNI. It can be killed and started again at any time. `lab.running.servers` runs it.

    python -m lab.caretaker FOLDER_OF_CRDS
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from errors import HomelabError
from lab import operators, rollouts, secret_store
from lab.api import Api
from lab.control_plane import kubernetes
from lab.delivery import argocd
from lab.hardware import kubelets
from lab.hardware.rack import Rack
from lab.layout import Lab
from lab.running import servers, sockets
from standins.crds import KnownCrds

NAME = "caretaker"
PAUSE, ENTRIES_PAUSE = 0.5, 2.0
# Operators that create their CRDs when they start.
OPERATORS = {"cilium": ("kube-system", "cilium-operator")}
CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
WATCHED = (
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
)


@dataclass
class LastPoll:
    """The state at the last poll."""

    definitions: int = 0
    argocd: dict[str, str] = field(default_factory=dict)
    networked: bool = False
    registered: set[str] = field(default_factory=set)
    entries: str = ""
    rollouts: str = ""
    judged: float = 0.0


def start(lab: Lab, environment: dict[str, str], crds: Path) -> None:
    """Start the caretaker."""
    sockets.path(lab, argocd.ASK_PASS)  # refused here, a path that is too long reaches the user and not only a log
    servers.start(lab, NAME, sys.executable, ["-m", "lab.caretaker", str(crds)], environment)


def poll_once(lab: Lab, api: Api, seen: LastPoll, crds: KnownCrds) -> None:
    """Poll once, and start the consequences."""
    for name, (namespace, operator) in OPERATORS.items():
        if name not in seen.registered and api.get("apps/v1", "Deployment", operator, namespace):
            for text in crds.registered_by(name).values():
                api.apply(yaml.load(text, Loader=yaml.CSafeLoader), field_manager=operator, force=True)
            seen.registered.add(name)
    definitions = api.count(*CRD)
    if definitions != seen.definitions:
        kinds = frozenset(crd["name"] for crd in api.metadata(*CRD))
        kubernetes.reload_operators(lab, operators.playable(kinds))
        seen.definitions = definitions
    if time.monotonic() - seen.judged > ENTRIES_PAUSE:
        seen.entries, seen.judged = secret_store.reconcile(lab, api, seen.entries), time.monotonic()
        seen.rollouts = rollouts.reconcile(lab, api, seen.rollouts)
    versions = _versions(api)
    if versions != seen.argocd or (versions and not all(servers.runs(lab, name) for name in argocd.names())):
        argocd.run_programs(lab, api)
        seen.argocd = versions
    networked = kubelets.has_network(api)
    if networked != seen.networked:
        kubelets.register(lab, Rack(lab.rack))
        seen.networked = networked


def _versions(api: Api) -> dict[str, str]:
    """Return the versions of all objects that configure Argo CD's programs."""
    found = {}
    for version, kind in WATCHED:
        for thing in api.metadata(version, kind, argocd.NAMESPACE):
            found[f"{kind}/{thing['name']}"] = str(thing.get("generation") or thing["resourceVersion"])
    return found


def main() -> None:
    """Poll until the process ends; a server that does not answer now may answer later."""
    lab, crds, seen = Lab.from_environment(), KnownCrds(Path(sys.argv[1])), LastPoll()
    reported, read = "", ""
    while True:
        try:
            if lab.kubeconfig.exists() and servers.runs(lab, "kube-apiserver"):
                # One identity, one connection: a new TLS handshake at every poll costs more than all requests.
                if read != (kubeconfig := lab.kubeconfig.read_text(encoding="utf-8")):
                    api, read = Api(kubeconfig), kubeconfig
                poll_once(lab, api, seen, crds)
            elif seen != LastPoll():
                servers.stop(lab, *argocd.names())
                rollouts.stop(lab)
                seen = LastPoll()
            reported = ""
        except (HomelabError, OSError) as error:
            if str(error) != reported:
                reported = str(error)
                sys.stderr.write(f"{time.strftime('%H:%M:%S')} {reported}\n")
                sys.stderr.flush()
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()

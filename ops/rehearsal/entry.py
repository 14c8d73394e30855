"""The way into a rehearsal: its lock, its environment, its rack, and the servers that must run before the engine does.

A checkout, a stack and its settings come in; afterwards this process works in the rehearsal and nothing of the user's
own environment leads out of it. `ops.rehearse` makes a rehearsal here; `ops.preview` and `ops.destroy` enter one.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from config import derive
from config.model import Settings
from config.rights import HIGH_AVAILABILITY
from config.values import GIBI, TEBI
from errors import ApiFailed, Declined
from lab.api import Api
from lab.control_plane import kubernetes
from lab.delivery import git_server, prepared_tree
from lab.delivery.prepared_tree import ReplacedSetting
from lab.hardware import talos_node
from lab.hardware.rack import Rack
from lab.layout import Lab
from lab.running import servers
from local import process_table
from ops.argocd.report import LOOK, LOOK_AT_SET
from ops.engine.engine import Engine
from ops.engine.path import prepare_path
from ops.engine.timeline import Timeline
from ops.rehearsal.plugins import Plugin
from ops.toolchain.lookup import Toolchain, ensure

PROGRAMS = (
    "pulumi",
    "pulumi-language-python",
    "talosctl",
    "kubectl",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "kustomize",
    "helm",
    "argocd",
    "argocd-server",
    "argocd-repo-server",
    "argocd-application-controller",
    "argocd-applicationset-controller",
    "miniredis",
    "crds",
    "argocd-manifests",
)
ENGINE = "engine"
STAND_INS = Path("lab/plugins/bin")
GIT_TOKEN = "gitToken"  # noqa: S105 - the name of a setting
ARGOPROJ = "argoproj.io/v1alpha1"
LOOKS: dict[str, Sequence[Mapping[str, str | None]]] = {"ApplicationSet": LOOK_AT_SET, "Application": (LOOK,)}
USUAL_MEMORY, USUAL_DISK = 128 * GIBI, 4 * TEBI


def revive(lab: Lab, timeline: Timeline) -> None:
    """Start the parts of the control plane again that have died: the engine does not notice it."""
    rack = Rack(lab.rack)
    planes = [node.configuration for node in rack.nodes() if node.name in rack.members()]
    rack.close()
    if planes and (dead := kubernetes.stopped(lab)):
        timeline.say(f"starting again: {', '.join(dead)}")
        kubernetes.start(lab, talos_node.documents(planes[0])[0])


def look_again(lab: Lab) -> None:
    """Have Argo CD, where it runs, look at Git now and not at its next turn."""
    if not servers.runs(lab, "kube-apiserver"):
        return
    api = Api.of(lab)
    try:
        api.ask("/readyz")
    except ApiFailed:
        return  # it was killed at its beginning, or begins: nobody is there who could look
    for kind, wishes in LOOKS.items():
        for one in api.metadata(ARGOPROJ, kind, "argocd") if api.knows(ARGOPROJ, kind) else ():
            for wish in wishes:
                api.annotate(ARGOPROJ, kind, one["name"], wish, "argocd")


def place(root: Path, options: argparse.Namespace, settings: Settings) -> Path:
    """Give the folder that a verb runs in: the checkout, or the rehearsal's tree after entering it."""
    if not options.rehearsal:
        prepare_path()
        return root
    lab = Lab.of(root, options.stack)
    if not lab.rack.exists():
        raise Declined(f"{options.stack}: there is no rehearsal; ./homelab rehearse --stack {options.stack}")
    enter(root, options.stack, settings, ensure(PROGRAMS))
    return lab.tree


def enter(
    root: Path, stack: str, settings: Settings, tools: Toolchain, plugins: Sequence[Plugin] = ()
) -> list[ReplacedSetting]:
    """Go into the rehearsal: tree, PATH, proxy and rack; nothing of the person's own environment leads out of it.

    Without a choice of plugins those of the last rehearsal stay.
    """
    lab = Lab.of(root, stack)
    lab.make()
    _lay_out(lab.bin, root, tools.env()["PATH"], plugins)
    environment = prepared_tree.environment(lab, tools.env(), Path(sys.executable), root)
    os.environ.clear()
    # Whatever the engine starts carries a mark: what a killed run leaves behind is ended before the next begins.
    os.environ.update({**environment, process_table.MARK: process_table.mark(lab.root, ENGINE)})
    replaced = prepared_tree.prepare(lab, root, stack)
    port = servers.port(lab, "proxy")
    few = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", *lab.environment)}
    servers.start(lab, "proxy", sys.executable, ["-m", "lab.running.proxy", str(port)], few)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        os.environ[name] = f"http://127.0.0.1:{port}"
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    furnish_rack(lab, settings)
    return replaced


def furnish_rack(lab: Lab, settings: Settings) -> None:
    """Set up on the rack what the settings say is there: hosts, storages, a pool, resource mappings."""
    proxmox = settings.proxmox
    rack = Rack(lab.rack)
    rack.set_hosts(
        {host.name: (host.memory.bytes if host.memory else USUAL_MEMORY, USUAL_DISK) for host in proxmox.hosts}
    )
    for host in proxmox.hosts:
        rack.add_storage(host.name, host.images, "import", shared=proxmox.image_storage == "shared")
    for machine in derive.machines(settings):
        for storage in derive.storages(settings, machine):
            rack.add_storage(machine.host, storage, "images")
        for kind, name in derive.mappings(machine):
            rack.add_things(kind, [name])
    rack.add_things("right", [HIGH_AVAILABILITY] if proxmox.high_availability != "none" else [])
    rack.add_things("pool", [proxmox.pool] if proxmox.pool else [])
    rack.close()


def _lay_out(folder: Path, root: Path, path: str, plugins: Sequence[Plugin]) -> None:
    """Put the programs there that answer for hardware, and the plugins; the real talosctl keeps a name of its own."""
    links = {file.name: file for file in (root / "lab/bin").iterdir()}
    links |= {file.name: file for file in (root / STAND_INS).iterdir() if not (folder / file.name).exists()}
    links |= {one.file: one.program for one in plugins}
    real = next(Path(place) / "talosctl" for place in path.split(os.pathsep) if (Path(place) / "talosctl").exists())
    links["talosctl-real"] = real
    for name, target in links.items():
        link = folder / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def encrypt(lab: Lab, engine: Engine, settings: Settings) -> None:
    """Give every secret setting a value, once."""
    missing = prepared_tree.missing_secrets(lab, settings)
    if missing:
        if GIT_TOKEN in missing:
            git_server.accept_password(lab, missing[GIT_TOKEN])
        engine.set_secrets(missing)
        prepared_tree.keep_secrets(lab, engine.name)


@contextmanager
def alone(lab: Lab) -> Iterator[None]:
    """Keep two rehearsals of one stack from treading on each other."""
    lab.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (lab.root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Declined(f"another rehearsal of {lab.root.name} is at work; wait for it") from None
        yield

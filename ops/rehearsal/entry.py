"""The start of a rehearsal: its lock, its environment, its rack, and the servers that must run before the engine.

A checkout, a stack and its settings come in; afterwards this process works in the rehearsal, and its environment has
no variable of the user that leads to real hosts. `ops.rehearse` makes a rehearsal here; `ops.preview` and `ops.destroy`
enter one.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from config import derive
from config.model import Settings
from config.rights import HIGH_AVAILABILITY
from config.tree import Tree
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
from ops.argocd.report import REFRESH, REFRESH_SET
from ops.engine import containment
from ops.engine.engine import Engine
from ops.engine.path import prepare_path
from ops.engine.timeline import Timeline
from ops.rehearsal.plugins import Plugin
from ops.rehearsal.presence import refuse_absent
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
# Its build takes minutes, and few stacks have a Rollout.
ROLLOUTS = ("rollouts-controller", "rollouts-gateway-plugin")
ROLLOUT = re.compile(r"^kind: Rollout$", re.MULTILINE)
ENGINE = "engine"
STAND_INS = Path("lab/plugins/bin")
GIT_TOKEN = "gitToken"  # noqa: S105 - the name of a setting
ARGOPROJ = "argoproj.io/v1alpha1"
REFRESHES: dict[str, Sequence[Mapping[str, str | None]]] = {"ApplicationSet": REFRESH_SET, "Application": (REFRESH,)}
USUAL_MEMORY, USUAL_DISK = 128 * GIBI, 4 * TEBI


def programs_of(root: Path, tree: Tree, environment: str) -> tuple[str, ...]:
    """Return the programs of a rehearsal, with Argo Rollouts if an app of the environment has a Rollout."""
    folders = {folder for app in tree.apps_in(environment) for folder in (app.base, app.path)}
    files = (file for folder in sorted(folders) for file in (root / folder).rglob("*.yaml"))
    return (*PROGRAMS, *(ROLLOUTS if any(ROLLOUT.search(file.read_text(encoding="utf-8")) for file in files) else ()))


def restart_dead(lab: Lab, timeline: Timeline) -> None:
    """Restart dead servers of the control plane: the engine does not notice that they died."""
    rack = Rack(lab.rack)
    planes = [node.configuration for node in rack.nodes() if node.name in rack.members()]
    rack.close()
    if planes and (dead := kubernetes.stopped(lab)):
        timeline.log(f"starting again: {', '.join(dead)}")
        kubernetes.start(lab, talos_node.documents(planes[0])[0])


def refresh_argocd(lab: Lab) -> None:
    """Refresh Argo CD, where it runs, at once: it receives no webhooks in a rehearsal."""
    if not servers.runs(lab, "kube-apiserver"):
        return
    api = Api.of(lab)
    try:
        api.ask("/readyz")
    except ApiFailed:
        return  # the API server is starting, or was killed
    for kind, refreshes in REFRESHES.items():
        for one in api.metadata(ARGOPROJ, kind, "argocd") if api.knows(ARGOPROJ, kind) else ():
            for annotation in refreshes:
                api.annotate(ARGOPROJ, kind, one["name"], annotation, "argocd")


def rehearsal_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option that chooses the rehearsal."""
    parser.add_argument("--rehearsal", action="store_true", help="act on the rehearsal, not on real hosts")


def folder_of(root: Path, options: argparse.Namespace, settings: Settings) -> Path:
    """Return the folder that the engine runs in: the checkout, or the rehearsal's tree after entering it."""
    if not options.rehearsal:
        prepare_path()
        return root
    refuse_absent(root, [options.stack])
    enter(root, options.stack, settings, ensure(PROGRAMS))
    return Lab.of(root, options.stack).tree


def enter(
    root: Path, stack: str, settings: Settings, tools: Toolchain, plugins: Sequence[Plugin] = ()
) -> list[ReplacedSetting]:
    """Enter the rehearsal: prepare tree, PATH, proxy and rack, and drop the user's own environment.

    Without a choice of plugins those of the last rehearsal stay.
    """
    lab = Lab.of(root, stack)
    lab.make()
    _link_programs(lab.bin, root, tools.env()["PATH"], plugins)
    environment = prepared_tree.environment(lab, tools.env(), Path(sys.executable), root)
    os.environ.clear()
    # All processes of the engine have a mark: the next run ends those that a killed run left behind.
    mark = process_table.mark(lab.root, ENGINE)
    own = {process_table.MARK: mark, containment.RUNS: str(lab.root), "HOMELAB_PINS": str(lab.root / "pins")}
    os.environ.update({**environment, **own})
    replaced = prepared_tree.prepare(lab, root, stack)
    port = servers.port(lab, "proxy")
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", *lab.environment)}
    servers.start(lab, "proxy", sys.executable, ["-m", "lab.running.proxy", str(port)], inherited)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        os.environ[name] = f"http://127.0.0.1:{port}"
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    fill_rack(lab, settings)
    return replaced


def fill_rack(lab: Lab, settings: Settings) -> None:
    """Make the hosts, storages, pool and resource mappings of the settings on the rack."""
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


def _link_programs(folder: Path, root: Path, path: str, plugins: Sequence[Plugin]) -> None:
    """Make links to the stand-ins for hardware and to the plugins; the real talosctl gets a name of its own."""
    links = {file.name: file for file in (root / "lab/bin").iterdir()}
    links |= {file.name: file for file in (root / STAND_INS).iterdir() if not (folder / file.name).exists()}
    links |= {one.file: one.program for one in plugins}
    real = next(file for one in path.split(os.pathsep) if (file := Path(one) / "talosctl").exists())
    links["talosctl-real"] = real
    for name, target in links.items():
        link = folder / name
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def set_secrets(lab: Lab, engine: Engine, settings: Settings) -> None:
    """Set every secret that has no value yet."""
    missing = prepared_tree.missing_secrets(lab, settings)
    if missing:
        if GIT_TOKEN in missing:
            git_server.accept_password(lab, missing[GIT_TOKEN])
        engine.set_secrets(missing)
        prepared_tree.keep_secrets(lab, engine.name)


@contextmanager
def locked(lab: Lab) -> Iterator[None]:
    """Hold the lock of a rehearsal: two runs of one stack would disturb each other."""
    lab.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (lab.root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Declined(f"another rehearsal of {lab.root.name} is running; wait for its end") from None
        yield

"""Run a whole stack on this machine: the same program, the same settings, hardware and kubelets simulated."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from config import derive
from config.gap import Gap, gaps, looked_up
from config.model import Settings
from config.rights import HIGH_AVAILABILITY
from config.tree import read_tree
from config.values import GIBI, TEBI
from errors import ApiFailed, Declined
from lab import caretaker, operators
from lab.api import Api
from lab.control_plane import kubernetes
from lab.delivery import git_server, prepared_tree, web_ui
from lab.delivery.prepared_tree import Replaced
from lab.hardware import talos_node
from lab.hardware.rack import Rack
from lab.layout import Lab
from lab.running import proxy, servers
from local import process_table
from ops import leftovers
from ops.cluster import Cluster
from ops.drive import checked, drive, report, stack_arguments
from ops.engine import Engine, Outcome
from ops.furnish import Furnished, furnish
from ops.offline import forbidden, offline_argument
from ops.originals import bring_for
from ops.plugins import STAND_IN, WISHES, Plugin, choose
from ops.settling import Settling
from ops.show import count, table
from ops.status import LOOK, LOOK_AT_SET, Report, wait, written
from ops.sync import sync
from ops.timeline import Timeline
from ops.toolchain import CRDS, Toolchain, ensure
from ops.up import prepare_path

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
COMPARED = ("argocd", "helm", "kustomize", "pulumi")  # what the settings and the tree pin is compared anyway
ENGINE = "engine"
STAND_INS = Path("lab/plugins/bin")
GIT_TOKEN = "gitToken"  # noqa: S105 - the name of a setting
# The components of each part; providers belong to all.
PARTS = {
    "cluster": ("machines:Machines", "cluster:Cluster"),
    "network": ("machines:Machines", "cluster:Cluster", "platform:Namespaces", "platform:Crds", "platform:Cni"),
}
ARGOPROJ = "argoproj.io/v1alpha1"
LOOKS: dict[str, Sequence[Mapping[str, str | None]]] = {"ApplicationSet": LOOK_AT_SET, "Application": (LOOK,)}
SECONDS_FOR_WEB_UI = 20
USUAL_MEMORY, USUAL_DISK = 128 * GIBI, 4 * TEBI


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stack."""
    stack_arguments(parser)
    parser.add_argument("--refresh", action="store_true", help="look at the rack's state of every resource first")
    offline_argument(parser)
    parser.add_argument(
        "--plugins", choices=WISHES, help="of command, kubernetes, random, tls (default: official if any)"
    )
    parser.add_argument("--until", choices=tuple(PARTS), help="only the first part of the story, to try things quickly")


def run(options: argparse.Namespace) -> int:
    """Prepare, run the engine, wait until Argo CD says that all is there, report, and leave everything running."""
    root, began = Path.cwd(), time.monotonic()
    _, settings = checked(root, options.stack)
    lab = Lab.of(root, options.stack)
    with Timeline() as timeline, alone(lab):
        servers.stop(lab, ENGINE)
        for said in leftovers.clear(lab.root):
            timeline.say(said)
        tools = ensure(PROGRAMS)
        # From `enter` on nothing leads out of the rehearsal.
        offline = forbidden(options)
        brought = bring_for(root, settings, tools.env(), offline)
        brought.require()
        plugins = choose(options.plugins, root / STAND_INS, tools.env(), timeline.say, offline)
        replaced = enter(root, options.stack, settings, tools, plugins)
        timeline.say(f"prepared {lab.tree.relative_to(root)}: {count(len(replaced), 'setting')} replaced")
        revive(lab, timeline)
        folders = read_tree(lab.tree)
        furnished = furnish(lab, settings, folders, tools)
        timeline.say(f"serving it from Git: {furnished.commit[:8]}")
        categories = folders.chosen(settings.delivery.categories, settings.delivery.exclude)
        if furnished.is_new:
            look_again(lab)
        caretaker.start(lab, dict(os.environ), tools.manifests(CRDS))

        def act(engine: Engine) -> Outcome:
            encrypt(lab, engine, settings)
            return engine.up(refresh=options.refresh, targets=targets(options.until))

        _, outcome = drive(lab.tree, settings, options.stack, timeline, act)
        if not options.until:
            timeline.say("waiting until Argo CD says that all is Synced and Healthy")
    settling = None if options.until else Settling(Cluster.of(root, options.stack), settings, categories)
    synced, found = settle(settling) if settling else ([], None)
    given = settling.filled.stood_in if settling else []
    refused = proxy.refused(lab)
    simulated = sorted(simulations(outcome) & {one.name for one in plugins if one.kind == STAND_IN})
    more = {"replaced": [vars(one) for one in replaced], "refused": refused, "simulated": simulated}
    behind = gaps(root, folders, settings, {name: str(tools.places[name].version) for name in COMPARED})
    more |= {
        "originals": brought.as_dict(),
        "plugins": [one.as_dict() for one in plugins],
        "standIns": furnished.stand_ins,
        "syncedByHand": synced,
        "behind": [vars(gap) for gap in behind],
    }
    if found:
        more["webUi"] = web_ui.address(lab, SECONDS_FOR_WEB_UI) if web_ui.is_embedded() else ""
        names = [one.name for one in found.unfinished]
        more |= {"entriesGiven": given, "good": found.is_good, "applications": len(found.counted), "unfinished": names}
    report(options, timeline, outcome, time.monotonic() - began, **more)
    if not options.json:
        _tell(options.stack, lab, replaced, refused, plugins, furnished, behind, brought.why)
        if given:
            print(f"entries that a person gives to the secret store, with values of the rehearsal: {', '.join(given)}")
        if synced:
            print(f"synced by hand, as nobody is here to approve: {', '.join(synced)}")
        if found:
            print(web_ui.report(lab))
        until = f"the story was told until {options.until}; without --until it goes on"
        print("\n" + (written(found) if found else until))
    return 0 if found is None or found.is_good else 1


def targets(until: str | None) -> list[str]:
    """Say to the engine which resources a part of the story has; nothing means all."""
    return [*(f"**homelab:{part}**" for part in PARTS[until]), "**pulumi:providers:**"] if until else []


def settle(settling: Settling) -> tuple[list[str], Report]:
    """Wait for the end state, and sync by hand what the stack leaves to a person."""
    of = settling.cluster, settling.settings, settling.categories
    found = wait(*of, settling.mend)
    names = [one.name for one in found.waiting_for_sync]
    if names:
        sync(*of, names)
        found = wait(*of, settling.mend)
    return names, found


def revive(lab: Lab, timeline: Timeline) -> None:
    """Start the parts of the control plane again that have died: the engine does not notice it."""
    rack = Rack(lab.rack)
    planes = [node.configuration for node in rack.nodes() if node.name in rack.members()]
    rack.close()
    if planes and (dead := kubernetes.dead(lab)):
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
) -> list[Replaced]:
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
            git_server.expect(lab, missing[GIT_TOKEN])
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


def simulations(outcome: Outcome) -> set[str]:
    """Name the plugins that the engine itself reports to have taken from the PATH."""
    said = [text.split(" from $PATH", maxsplit=1)[0] for _, text in outcome.said if " from $PATH" in text]
    return {text.rsplit("pulumi-resource-", 1)[-1] for text in said if "pulumi-resource-" in text}


def _tell(
    stack: str,
    lab: Lab,
    replaced: list[Replaced],
    refused: list[str],
    plugins: Sequence[Plugin],
    furnished: Furnished,
    behind: list[Gap],
    why: str,
) -> None:
    print("\n" + table(("replaced in the settings", "was", "is"), [(r.what, r.before, r.now) for r in replaced]))
    print("\nsimulated: hosts, VMs, Talos nodes and kubelets\n")
    print(table(("plugin", "version", "is", "why"), [tuple(one.as_dict().values()) for one in plugins]) + "\n")
    kinds = frozenset(one["name"] for one in Api.of(lab).metadata(*caretaker.CRD))
    print(f"operators played by kwok: {', '.join(file.stem for file in operators.playable(kinds)) or 'none'}")
    if furnished.stand_ins:
        print("\n" + table(("not its author's own", "version", "but"), furnished.stand_ins))
        print(f"because the real ones are not in the cache{f': {why}' if why else ''}")
    if behind:
        rows = [(gap.name, gap.here, gap.newest) for gap in behind]
        print("\n" + table((f"behind what was known in {looked_up()}", "here", "newest"), rows))
    if refused:
        print(f"refused on the way out: {', '.join(refused)}")
    kubeconfig = lab.kubeconfig.relative_to(Path.cwd())
    print(f"\nall is left running: export KUBECONFIG={kubeconfig}; kubectl get nodes")
    print(f"to end it: ./homelab down --stack {stack}")

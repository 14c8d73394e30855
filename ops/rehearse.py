"""Run a whole stack on this machine: the same program, the same settings, hardware and kubelets simulated."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from config.outdated_releases import Outdated, looked_up, outdated
from config.tree import read_tree
from lab import caretaker, operators
from lab.api import Api
from lab.delivery import web_ui
from lab.delivery.prepared_tree import ReplacedSetting
from lab.layout import Lab
from lab.running import proxy, servers
from ops.argocd.client import Cluster
from ops.argocd.report import Report, wait, written
from ops.argocd.syncing import sync
from ops.engine import containment
from ops.engine.engine import Engine, Outcome
from ops.engine.run import drive, report
from ops.engine.timeline import Timeline
from ops.rehearsal.entry import ENGINE, PROGRAMS, STAND_INS, alone, encrypt, enter, look_again, revive
from ops.rehearsal.plugins import STAND_IN, WISHES, Plugin, choose
from ops.rehearsal.sources import Furnished, furnish
from ops.settling import Settling
from ops.stack import checked, stack_arguments
from ops.terminal import count, table
from ops.toolchain.lookup import CRDS, ensure
from ops.upstream.offline import forbidden, offline_argument
from ops.upstream.originals import bring_for

COMPARED = ("argocd", "helm", "kustomize", "pulumi")  # what the settings and the tree pin is compared anyway
# The components of each part; providers belong to all.
PARTS = {
    "cluster": ("machines:Machines", "cluster:Cluster"),
    "network": ("machines:Machines", "cluster:Cluster", "platform:Namespaces", "platform:Crds", "platform:Cni"),
}
SECONDS_FOR_WEB_UI = 20


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
        for said in containment.clear(lab.root):
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
    behind = outdated(root, folders, settings, {name: str(tools.places[name].version) for name in COMPARED})
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


def simulations(outcome: Outcome) -> set[str]:
    """Name the plugins that the engine itself reports to have taken from the PATH."""
    said = [text.split(" from $PATH", maxsplit=1)[0] for _, text in outcome.said if " from $PATH" in text]
    return {text.rsplit("pulumi-resource-", 1)[-1] for text in said if "pulumi-resource-" in text}


def _tell(
    stack: str,
    lab: Lab,
    replaced: list[ReplacedSetting],
    refused: list[str],
    plugins: Sequence[Plugin],
    furnished: Furnished,
    behind: list[Outdated],
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

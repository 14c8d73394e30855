"""Rehearse a whole stack on this machine: the same program and settings; hardware and kubelets are simulated."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.model import Settings
from config.outdated_releases import Outdated, looked_up, outdated
from config.tree import Tree, read_tree
from lab import caretaker, operators, rollouts
from lab.api import Api
from lab.delivery import web_ui
from lab.delivery.prepared_tree import ReplacedSetting
from lab.layout import Lab
from lab.running import proxy, servers
from ops.argocd.report import SyncReport, as_text
from ops.argocd.syncing import wait_and_sync
from ops.engine import containment
from ops.engine.engine import Engine, Outcome
from ops.engine.run import drive, facts, summary
from ops.engine.timeline import Timeline
from ops.rehearsal.client import client_of, refusals
from ops.rehearsal.entry import ENGINE, STAND_INS, enter, locked, programs_of, refresh_argocd, restart_dead, set_secrets
from ops.rehearsal.plugins import CHOICES, STAND_IN, Plugin, choose
from ops.rehearsal.sources import Served, serve
from ops.result import Result
from ops.settling import Settling
from ops.stack import checked, require_pins, stack_argument
from ops.terminal import count, table
from ops.toolchain.lookup import CRDS, Toolchain, ensure
from ops.upstream.offline import forbidden, offline_argument
from ops.upstream.originals import Fetched, fetch_for

COMPARED = ("argocd", "helm", "kustomize", "pulumi")  # settings and tree pin the other versions, compared anyway
# The components of each part; providers belong to all.
PARTS = {
    "cluster": ("machines:Machines", "cluster:Cluster"),
    "network": ("machines:Machines", "cluster:Cluster", "platform:Namespaces", "platform:Crds", "platform:Cni"),
}
SECONDS_FOR_WEB_UI = 20
SHOWN = 8


@dataclass(frozen=True)
class Prepared:
    """A rehearsal that the engine can run in."""

    lab: Lab
    tree: Tree
    fetched: Fetched
    plugins: Sequence[Plugin]
    replaced: Sequence[ReplacedSetting]
    served: Served
    behind: Sequence[Outdated]


@dataclass
class Settled:
    """The state of the applications at the end; nothing without them."""

    report: SyncReport | None = None
    synced: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    stack_argument(parser)
    parser.add_argument("--refresh", action="store_true", help="read the rack's state of every resource first")
    offline_argument(parser)
    parser.add_argument(
        "--plugins", choices=CHOICES, help="of command, kubernetes, random, tls (default: official if any)"
    )
    parser.add_argument("--until", choices=tuple(PARTS), help="stop after this part of the stack")


def run(options: argparse.Namespace) -> Result:
    """Prepare, run the engine, wait until all is Synced and Healthy, report, and leave everything running."""
    root, began = Path.cwd(), time.monotonic()
    _, settings, tree = checked(root, options.stack)
    require_pins(root, tree, settings.delivery.environment)
    lab = Lab.of(root, options.stack)
    with Timeline() as timeline, locked(lab):
        prepared = _prepare(root, options, settings, tree, lab, timeline)

        def act(engine: Engine) -> Outcome:
            set_secrets(lab, engine, settings)
            return engine.up(refresh=options.refresh, targets=targets(options.until))

        _, outcome = drive(lab.tree, settings, options.stack, timeline, act)
        if not options.until:
            timeline.log("waiting until Argo CD reports that all is Synced and Healthy")
    settled = Settled() if options.until else _settle(root, options.stack, settings, prepared.tree)
    seconds, refused = time.monotonic() - began, proxy.refused(lab)
    report = settled.report
    data = {
        **facts(options.stack, timeline, outcome, seconds),
        **_facts(prepared, settled, outcome),
        "refused": refused,
    }
    text = [summary(timeline, outcome, seconds), *_lines(options.stack, prepared, refused), *_settled_lines(settled)]
    text += [web_ui.report(lab)] if report else []
    text.append("\n" + (as_text(report) if report else f"stopped after {options.until}; --until was given"))
    return Result("\n".join(text), data, good=report is None or report.is_good)


def _prepare(
    root: Path, options: argparse.Namespace, settings: Settings, tree: Tree, lab: Lab, timeline: Timeline
) -> Prepared:
    """Fetch charts and bases, enter the rehearsal, and start its servers."""
    servers.stop(lab, ENGINE)
    for line in containment.clear(lab.root):
        timeline.log(line)
    tools = ensure(programs_of(root, tree, settings.delivery.environment))
    # After `enter` no request leaves this machine.
    offline = forbidden(options)
    fetched = fetch_for(root, settings, tree, tools.env(), offline)
    fetched.require()
    plugins = choose(options.plugins, root / STAND_INS, tools.env(), timeline.log, offline)
    replaced = enter(root, options.stack, settings, tools, plugins)
    timeline.log(f"prepared {lab.tree.relative_to(root)}: {count(len(replaced), 'setting')} replaced")
    restart_dead(lab, timeline)
    rehearsed = read_tree(lab.tree)
    served = serve(lab, root, settings, rehearsed, tools)
    timeline.log(f"serving it from Git: {served.commit[:8]}")
    if served.is_new:
        refresh_argocd(lab)
    caretaker.start(lab, dict(os.environ), tools.manifests(CRDS))
    return Prepared(lab, rehearsed, fetched, plugins, replaced, served, _behind(root, rehearsed, settings, tools))


def _behind(root: Path, tree: Tree, settings: Settings, tools: Toolchain) -> Sequence[Outdated]:
    return outdated(root, tree, settings, {name: str(tools.places[name].version) for name in COMPARED})


def targets(until: str | None) -> list[str]:
    """Return the engine's targets for a part of the stack; none means all resources."""
    return [*(f"**homelab:{part}**" for part in PARTS[until]), "**pulumi:providers:**"] if until else []


def _settle(root: Path, stack: str, settings: Settings, tree: Tree) -> Settled:
    """Wait for the applications, and sync those whose policy is manual, as `sync --all` does."""
    client = client_of(root, stack)
    categories = tree.chosen(settings.delivery.environment)
    settling = Settling(client, settings, categories)
    report, names = wait_and_sync(client, settings, categories, _manual, settling.repair)
    return Settled(report, names, settling.filled.stood_in)


def _manual(report: SyncReport) -> list[str]:
    return [one.name for one in report.waiting_for_sync if one.name not in report.refusing]


def simulations(outcome: Outcome) -> set[str]:
    """Return the plugins that the engine took from the PATH, by its own messages."""
    messages = [text.split(" from $PATH", maxsplit=1)[0] for _, text in outcome.diagnostics if " from $PATH" in text]
    return {text.rsplit("pulumi-resource-", 1)[-1] for text in messages if "pulumi-resource-" in text}


def _facts(prepared: Prepared, settled: Settled, outcome: Outcome) -> dict[str, Any]:
    stand_ins = {one.name for one in prepared.plugins if one.kind == STAND_IN}
    data: dict[str, Any] = {
        "replaced": [vars(one) for one in prepared.replaced],
        "simulated": sorted(simulations(outcome) & stand_ins),
        "originals": prepared.fetched.as_dict(),
        "plugins": [one.as_dict() for one in prepared.plugins],
        "standIns": prepared.served.stand_ins,
        "syncedByHand": settled.synced,
        "behind": [vars(one) for one in prepared.behind],
    }
    if report := settled.report:
        data |= {
            "webUi": web_ui.address(prepared.lab, SECONDS_FOR_WEB_UI) if web_ui.is_embedded() else "",
            "entriesGiven": settled.given,
            "good": report.is_good,
            "applications": len(report.counted),
            "unfinished": [one.name for one in report.unfinished],
        }
    return data


def _lines(stack: str, prepared: Prepared, refused: Sequence[str]) -> list[str]:
    """Return the report about the rehearsal itself: replaced settings, plugins, stand-ins, and how to use it."""
    replaced = [(one.what, one.before, one.now) for one in prepared.replaced]
    lines = ["", table(("replaced in the settings", "was", "is"), replaced)]
    lines += ["", "simulated: hosts, VMs, Talos nodes and kubelets", ""]
    lines += [
        table(("plugin", "version", "is", "why"), [tuple(one.as_dict().values()) for one in prepared.plugins]),
        "",
    ]
    kinds = frozenset(one["name"] for one in Api.of(prepared.lab).metadata(*caretaker.CRD))
    lines.append(f"operators played by kwok: {', '.join(file.stem for file in operators.playable(kinds)) or 'none'}")
    if servers.runs(prepared.lab, rollouts.NAME):
        lines.append(
            "the real controller of Argo Rollouts runs; its plugin for routes and its Prometheus are simulated"
        )
    if prepared.served.stand_ins:
        why = f": {prepared.fetched.why}" if prepared.fetched.why else ""
        lines += ["", table(("stand-in for", "version", "used instead"), prepared.served.stand_ins)]
        lines.append(f"because the real ones are not in the cache{why}")
    if prepared.behind:
        rows = [(one.name, one.here, one.newest) for one in prepared.behind]
        lines += ["", table((f"older than the newest of {looked_up()}", "here", "newest"), rows)]
    lines += refusals(refused)
    kubeconfig = prepared.lab.kubeconfig.relative_to(Path.cwd())
    lines.append(f"\neverything is left running: export KUBECONFIG={kubeconfig}; kubectl get nodes")
    return [*lines, f"to end it: ./homelab down --stack {stack}"]


def _settled_lines(settled: Settled) -> list[str]:
    lines = []
    if settled.given:
        lines.append(
            f"secret store entries that you must give, with values of the rehearsal: {', '.join(settled.given)}"
        )
    if settled.synced:
        names = settled.synced
        listed = ", ".join(names) if len(names) <= SHOWN else f"{count(len(names), 'application')}; --json lists them"
        lines.append(f"the rehearsal ended with `./homelab sync --all` for manual applications: {listed}")
    return lines

"""Say whether everything is synced: one table of all Applications, and whatever else a person has to know."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from config.load import read_stack
from config.model import Settings
from config.tree import CategoryFolder
from errors import TryAgain
from lab.delivery import web_ui
from lab.running import proxy, servers
from ops.argocd.client import Cluster
from ops.argocd.report import PAUSE, as_dict, chosen, look, refuse_strangers, wait, written
from ops.stack import file_of, stack_arguments
from ops.terminal import count


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take which cluster, and how long to look."""
    stack_arguments(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--wait", action="store_true", help="until all is Synced and Healthy")
    how.add_argument("--watch", action="store_true", help="until interrupted")


def run(options: argparse.Namespace) -> int:
    """Look, print, and give 0 only when all is Synced and Healthy at the expected revision."""
    root = Path.cwd()
    settings = read_stack(file_of(root, options.stack)).require()
    cluster = Cluster.of(root, options.stack)
    refuse_strangers(cluster, settings, options.stack)
    categories = chosen(settings, root)
    if options.watch:
        watch(cluster, settings, categories, for_machines=options.json)
    report = wait(cluster, settings, categories) if options.wait else look(cluster, settings, categories)
    if options.json:
        print(json.dumps(as_dict(report), indent=2))
    else:
        print(written(report))
        _tell_machines(cluster)
    return 0 if report.is_good else 1


def watch(
    cluster: Cluster, settings: Settings, categories: Sequence[CategoryFolder], *, for_machines: bool = False
) -> None:
    """Look until interrupted; machines get a line each time."""
    while True:
        try:
            report = look(cluster, settings, categories)
            text = json.dumps(as_dict(report)) if for_machines else written(report)
        except TryAgain as error:
            text = json.dumps(error.as_dict()) if for_machines else str(error)
        print(f"\033[2J\033[H{text}" if sys.stdout.isatty() and not for_machines else text, flush=True)
        time.sleep(PAUSE)


def _tell_machines(cluster: Cluster) -> None:
    """Say how the rehearsal itself stands."""
    if cluster.lab is None:
        return
    alive = servers.alive(cluster.lab)
    memory = sum(one.resident for one in alive) >> 20
    refused = proxy.refused(cluster.lab)
    print(f"rehearsal: {count(len(alive), 'process', 'processes')}, {memory} MiB, hosts and pods simulated")
    if address := web_ui.address(cluster.lab):
        print(f"Argo CD's web UI: {address}, {web_ui.login(cluster.lab)}")
    if refused:
        print(f"refused on the way out: {', '.join(refused)}")

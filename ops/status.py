"""Report whether everything is synced: one table of all Applications, live edits, and missing objects.

With `--drift`, the engine refreshes too, and each node's machine configuration is compared with the applied one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from config.load import read_stack
from config.model import Settings
from config.tree import CategoryFolder, read_tree
from errors import TryAgain
from ops.argocd.client import ArgoCDClient
from ops.argocd.report import PAUSE, as_text, current_report, refuse_other_stack, wait
from ops.rehearsal.client import client_of
from ops.result import Result
from ops.stack import file_of, stack_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    stack_argument(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--wait", action="store_true", help="wait until all is Synced and Healthy")
    how.add_argument("--watch", action="store_true", help="report every few seconds until interrupted")
    how.add_argument(
        "--drift", action="store_true", help="compare resources and machine configurations too; ends with 2 for changes"
    )


def run(options: argparse.Namespace) -> Result:
    """Report on the Applications; good means Synced and Healthy at the expected revision."""
    root = Path.cwd()
    settings = read_stack(file_of(root, options.stack)).require()
    client = client_of(root, options.stack)
    if options.drift:
        from ops.drift import report_drift  # noqa: PLC0415 - the engine's SDK takes longer to load than this report

        return report_drift(root, options.stack, rehearsal=client.is_rehearsed)
    refuse_other_stack(client, settings, options.stack)
    categories = read_tree(root).chosen(settings.delivery.environment)
    if options.watch:
        watch(client, settings, categories, as_json=options.json)
    report = (wait if options.wait else current_report)(client, settings, categories)
    return Result("\n".join([as_text(report), *client.summary()]), report.as_dict(), good=report.is_good)


def watch(
    client: ArgoCDClient, settings: Settings, categories: Sequence[CategoryFolder], *, as_json: bool = False
) -> None:
    """Print a report every few seconds until interrupted; as JSON, a line each time."""
    while True:
        try:
            report = current_report(client, settings, categories)
            text = json.dumps(report.as_dict()) if as_json else as_text(report)
        except TryAgain as error:
            text = json.dumps(error.as_dict()) if as_json else str(error)
        print(f"\033[2J\033[H{text}" if sys.stdout.isatty() and not as_json else text, flush=True)
        time.sleep(PAUSE)

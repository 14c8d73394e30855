"""Preview `up`: the changes it would make, machine configurations in clear, and live edits that a sync would undo."""

from __future__ import annotations

import argparse
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ops.argocd.client import ArgoCDClient, with_kubeconfig
from ops.argocd.report import EDITS, current_report
from ops.engine.engine import Engine, Outcome
from ops.engine.run import drive, facts, summary
from ops.engine.timeline import Timeline
from ops.rehearsal.client import client_of
from ops.rehearsal.entry import folder_of, rehearsal_argument
from ops.result import Result
from ops.stack import checked, require_secrets, stack_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    stack_argument(parser)
    rehearsal_argument(parser)


def run(options: argparse.Namespace) -> Result:
    """Check the stack, run the engine's preview, and report the changes."""
    root, began = Path.cwd(), time.monotonic()
    _, settings, tree = checked(root, options.stack)
    if not options.rehearsal:
        require_secrets(options.stack, settings)
    folder = folder_of(root, options, settings)

    def cluster(engine: Engine) -> AbstractContextManager[ArgoCDClient]:
        if options.rehearsal:
            return nullcontext(client_of(root, options.stack))
        return with_kubeconfig(str(engine.outputs().get("kubeconfig", "")))

    def act(engine: Engine) -> Outcome:
        with cluster(engine) as client:
            client.refuse_timeout()
        return engine.preview()

    with Timeline(planned=True) as timeline:
        engine, outcome = drive(folder, settings, options.stack, timeline, act, "read")
    with cluster(engine) as client:
        categories = tree.chosen(settings.delivery.environment)
        edits = current_report(client, settings, categories).edits if client.answers() else []
    seconds = time.monotonic() - began
    messages = [text for severity, text in outcome.diagnostics if severity == "info"]
    text = [*messages, *([f"{EDITS}:", *edits] if edits else []), summary(timeline, outcome, seconds)]
    data = {**facts(options.stack, timeline, outcome, seconds), "messages": messages, "edits": edits}
    return Result("\n".join(text), data)

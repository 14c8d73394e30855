"""Say what `up` would do, the changes of machine configurations in clear, and which live edits a sync would undo."""

from __future__ import annotations

import argparse
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ops.argocd.client import Cluster, cluster_of
from ops.argocd.report import EDITS, chosen, look
from ops.engine.engine import Engine, Outcome
from ops.engine.run import drive, report
from ops.engine.timeline import Timeline
from ops.rehearsal import entry
from ops.stack import checked, secrets_set, stack_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stack."""
    stack_arguments(parser)
    parser.add_argument("--rehearsal", action="store_true", help="of the rehearsal on this machine, not the real one")


def run(options: argparse.Namespace) -> int:
    """Check, ask the engine, print what would change."""
    root, began = Path.cwd(), time.monotonic()
    _, settings = checked(root, options.stack)
    if not options.rehearsal:
        secrets_set(options.stack, settings)
    folder = entry.place(root, options, settings)

    def where(engine: Engine) -> AbstractContextManager[Cluster]:
        return nullcontext(Cluster.of(root, options.stack)) if options.rehearsal else cluster_of(engine)

    def act(engine: Engine) -> Outcome:
        with where(engine) as cluster:
            cluster.refuse_silence()
        return engine.preview()

    with Timeline(planned=True) as timeline:
        engine, outcome = drive(folder, settings, options.stack, timeline, act, "read")
    said = [text for severity, text in outcome.said if severity == "info"]
    with where(engine) as cluster:
        edits = look(cluster, settings, chosen(settings, root)).edits if cluster.answers() else []
    if not options.json:
        print("\n".join([*said, *([f"{EDITS}:", *edits] if edits else [])]))
    report(options, timeline, outcome, time.monotonic() - began, said=said, edits=edits)
    return 0

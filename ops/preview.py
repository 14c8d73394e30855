"""Report everything that a change will do, from the merge base with the main branch to the working tree.

Infrastructure, machine configurations, applications, manifests, versions and checks are in one report with a verdict:
docs/how-to/preview.md explains it. With `--root`, this checkout's program reports on the files of another checkout and
runs nothing of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from config.load import Stack, stack_files
from config.model import Settings
from errors import Declined, HomelabError
from local.files import write_private
from ops import terminal
from ops.checking.settings import chosen_files
from ops.rehearsal.presence import refuse_absent
from ops.result import Result
from ops.review.assemble import report_of
from ops.review.dangers.context import Context
from ops.review.dangers.verdicts import Verdict, Verdicts
from ops.review.engine_inputs import Source, touches_engine
from ops.review.formats.markdown import markdown
from ops.review.formats.page import page
from ops.review.formats.terminal import text
from ops.review.report import Infrastructure, Rehearsed, Report
from ops.review.revisions import Span, span_of
from ops.review.sides import AppPair, Side
from ops.stack import DEFAULT_STACK, file_of
from ops.terminal import count
from ops.upstream import offline


def _data(report: Report) -> dict[str, Any]:
    return report.model_dump(mode="json", by_alias=True)


def _json(report: Report) -> str:
    return json.dumps(_data(report), indent=2) + "\n"


FORMATS: Mapping[str, Callable[[Report], str]] = {"text": text, "md": markdown, "html": page, "json": _json}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--stack", default=DEFAULT_STACK, metavar="NAME", help=f"the stack (default: {DEFAULT_STACK})")
    which.add_argument("--all-stacks", action="store_true", help="report on every stack, also on removed ones")
    parser.add_argument(
        "--base", metavar="REF", help="compare with the merge base of HEAD and REF (default: the main branch)"
    )
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="use the running rehearsal: its state, its API server, and the renders of its Argo CD",
    )
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="report drift of one stack instead of the change; ends with 2 if there is any",
    )
    parser.add_argument("--format", choices=tuple(FORMATS), default="text", help="the format on stdout (default: text)")
    parser.add_argument(
        "--output", type=terminal.path, metavar="DIR", help="also write the report to this folder, in every format"
    )
    offline.offline_argument(parser)
    parser.add_argument(
        "--root", type=terminal.path, default=Path.cwd(), help="the checkout with the change (default: this one)"
    )


def run(options: argparse.Namespace) -> Result:
    """Make the report, write it to the folder of --output, and print it in one format."""
    if options.refresh:
        return _drift(options)
    began, root = time.monotonic(), options.root.resolve()
    span = span_of(root, options.base)
    if options.output:
        _writable(options.output)

    def log(what: str) -> None:
        terminal.progress(f"[{terminal.elapsed(time.monotonic() - began)}] {what}")

    with span.before() as before:
        names = _names(options, before, root)
        if options.rehearse:
            refuse_absent(Path.cwd(), names)
        sources = _Sources(Path.cwd(), span, before, rehearse=options.rehearse, log=log)
        report = report_of(
            span,
            before,
            names,
            sources.engine,
            log,
            offline=offline.forbidden(options),
            judges=sources.judges,
            rehearsals=sources.rehearsals,
        )
    if options.output:
        _write(options.output, report)
    return Result(FORMATS[options.format](report).rstrip("\n"), _data(report))


def _drift(options: argparse.Namespace) -> Result:
    """Return the drift report: it compares a stack with its live state, and has no revisions."""
    if options.all_stacks or options.base or options.output or options.format != "text" or options.root != Path.cwd():
        raise Declined(
            "--refresh: reports on what one stack of this checkout runs; leave out --all-stacks, --base, --output, "
            "--format and --root (--json is for machines)"
        )
    from ops.drift import report_drift  # noqa: PLC0415 - the engine is slow to import

    return report_drift(options.root, options.stack, rehearsal=options.rehearse)


class _Sources:
    """The engine, the API servers and the rehearsals that a report may use."""

    def __init__(
        self,
        program: Path,
        span: Span,
        before: Path,
        *,
        rehearse: bool,
        log: Callable[[str], None],
    ) -> None:
        self.program, self.span, self.before = program, span, before
        self.rehearse, self.log = rehearse, log
        # The files of another checkout may be a stranger's: no credential of the user takes part.
        self.own = span.root == program.resolve()

    def engine(self, before: Side, after: Side, stack: str) -> Infrastructure:
        """Return the changes of a stack's resources; a change that the engine does not read starts no engine."""
        known = after.stack(stack)
        if known and known.settings is None:
            return Infrastructure(stack=stack, against="not run", note=f"{known.places.file} has problems: see checks")
        if known and known.settings and not self._is_affected(before, after, known, known.settings):
            return Infrastructure(stack=stack, against="unaffected")
        from ops.review.infrastructure import infrastructure  # noqa: PLC0415 - the engine is slow to import

        self.log(f"previewing the infrastructure of {stack}")
        source: Source = "base" if not self.own else "rehearsal" if self.rehearse else "state"
        return infrastructure(self.program, before.root, after.root, stack, source=source)

    def _is_affected(self, before: Side, after: Side, stack: Stack, settings: Settings) -> bool:
        """Return whether the engine reads a changed file; without any change, a preview compares with the state."""
        files = self.span.files
        drift = self.own and (self.rehearse or not files)
        return drift or touches_engine(files, before.tree, after.tree, stack.name, settings)

    def judges(self, context: Context) -> Verdicts:
        """Return the verdicts of each stack's API server, where one answers."""
        return {name: self._verdicts(name, context) for name in {stack for stack, _ in context.objects}}

    def _verdicts(self, stack: str, context: Context) -> Mapping[str, Verdict]:
        if not (self.own or self.rehearse):
            return {}
        from ops.argocd.report import refuse_other_stack  # noqa: PLC0415 - HTTP is slow to import
        from ops.rehearsal.client import client_of  # noqa: PLC0415 - as above
        from ops.review.dry_run import verdicts  # noqa: PLC0415 - as above

        try:
            client = client_of(self.program, stack)
            refuse_other_stack(client, context.after.require(stack).require(), stack)
        except HomelabError:
            return {}  # without a cluster of this stack, guesses stay guesses, and the report marks them
        self.log(f"asking the API server of {stack} by dry run")
        return verdicts(client, [subject for name, subject in context.objects if name == stack])

    def rehearsals(self, after: Side, apps: Sequence[AppPair]) -> Rehearsed | None:
        """Return the renders of both sides by the rehearsed Argo CDs."""
        if not self.rehearse:
            return None
        parts = [self._rehearsed(stack, apps) for stack in after.stacks]
        found = [one for part in parts for one in part.observations]
        told = [one for one in found if one.objects or one.differences or one.error]
        quiet = [f"{count(len(found) - len(told), 'app')} without a changed object, by Argo CD too"]
        notes = [*(part.note for part in parts if part.note), *(quiet if len(told) < len(found) else [])]
        return Rehearsed(observations=tuple(told), note="; ".join(notes))

    def _rehearsed(self, stack: Stack, apps: Sequence[AppPair]) -> Rehearsed:
        from ops.review.rehearsed import observations  # noqa: PLC0415 - HTTP is slow to import

        self.log(f"asking the rehearsed Argo CD of {stack.name} for both revisions")
        if stack.settings is None:
            return Rehearsed(note=f"{stack.name}: the stack file has problems")
        try:
            return observations(self.program, stack.name, stack.settings, self.span, self.before, apps)
        except Declined as reason:  # a rehearsal whose servers are stopped has its state nevertheless
            return Rehearsed(note=str(reason))


def _names(options: argparse.Namespace, before: Path, after: Path) -> list[str]:
    """Return the stacks of the report, those that the change removes included."""
    known = list(dict.fromkeys([*stack_files(after), *stack_files(before)]))
    if not known:
        chosen_files(after)  # refuses a checkout without a stack
    if options.all_stacks:
        return known
    if options.stack not in known:
        file_of(after, options.stack)  # refuses an unknown name
    return [options.stack]


def _writable(folder: Path) -> None:
    """Make the folder of the report, or refuse a place that cannot be one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Declined(f"--output = {folder}: {error.strerror}: {error.filename}; choose another folder") from None


def _write(folder: Path, report: Report) -> None:
    """Write the report in every format; other files of the folder stay."""
    for name, made in FORMATS.items():
        if name != "text":
            write_private(folder / f"preview.{name}", made(report))

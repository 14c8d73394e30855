"""Run all checks and tests of the project, as CI does."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import programs
from config.reference import documents
from errors import BuildFailed, ProgramFailed
from ops.checking.register import every_check
from ops.promotion.formats import schema as matrix
from ops.result import Result
from ops.review.dangers import register as dangers
from ops.review.formats import schema
from ops.terminal import coloured, elapsed, progress, table
from ops.toolchain.catalogue import BY_PROGRAM
from ops.toolchain.lookup import ensure
from ops.upstream.offline import VARIABLE

SCRIPTS = tuple(map(str, sorted([*Path("components").rglob("scripts/*.sh"), *Path("lab/bin").iterdir()])))
HEARTBEAT = 30.0
STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ruff", ("ruff", "check", ".")),
    ("format", ("ruff", "format", "--check", ".")),
    ("layers", ("lint-imports",)),
    ("shell", ("shellcheck", "homelab", ".ci/run", ".ci/nightly", *SCRIPTS)),
    ("actionlint", ("actionlint",)),  # reads .github/workflows; runs shellcheck on their scripts
    # Its audits that send requests are left out: the tests reach no other host.
    ("zizmor", ("zizmor", "--offline", "--no-progress", "--persona=auditor", ".github")),
    ("types", ("mypy", ".", ".github/scripts")),
    # Two at a time: rehearsals wait a lot. Tests that share a rehearsal are a group and stay in one process.
    ("tests", ("python", "-m", "pytest", "--numprocesses=2", "--dist=loadgroup", "--verbose", "--durations=25")),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--all", action="store_true", help="include the long tests, which CI runs every night")
    parser.add_argument("--update", action="store_true", help="write generated documents and golden files anew")
    steps = [name for name, _ in STEPS]
    parser.add_argument("--only", metavar="STEP", choices=steps, help=f"one of {', '.join(steps)}")
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help="arguments for pytest, such as tests/config -k vip")


def run(options: argparse.Namespace) -> Result:
    """Run every step, also after one that failed, and report the result of each."""
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    environment |= {"HOMELAB_TOOLS": "build", VARIABLE: "1"}
    if options.update:
        environment["HOMELAB_UPDATE"] = "1"
        for path, text in {
            **documents(every_check()),
            schema.PATH: schema.schema(),
            matrix.PATH: matrix.schema(),
            dangers.PATH: dangers.page(),
        }.items():
            Path(path).write_text(text, encoding="utf-8")
    steps = [(name, command) for name, command in STEPS if options.only in (None, name)]
    if options.pytest:
        steps = [("tests", STEPS[-1][1])]
    selected = () if options.all else ("-m", "not nightly")
    write = progress if options.json else partial(print, flush=True)
    rows = [
        _step(name, (*command, *selected, *options.pytest) if name == "tests" else command, environment, write)
        for name, command in steps
    ]
    good = all(result == "ok" for _, _, result in rows)
    data = {"good": good, "steps": {name: result for name, _, result in rows}}
    return Result(table(("step", "took", "result"), rows), data, good=good)


def _step(
    name: str, command: tuple[str, ...], environment: dict[str, str], write: Callable[[str], None]
) -> tuple[str, str, str]:
    write(coloured(f"== {name}: {' '.join(command)}", "bold"))
    began, log = time.monotonic(), Path(".lab") / "test" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT):
            write(f"{name} is running ({elapsed(time.monotonic() - began)})")

    threading.Thread(target=beat, daemon=True).start()
    try:
        env = ensure(command[:1]).env(environment) if command[0] in BY_PROGRAM else environment
        programs.follow(command[0], *command[1:], env=env, log=log, on_line=write)
    except ProgramFailed as failure:
        return name, elapsed(time.monotonic() - began), f"failed with exit code {failure.status}"
    except BuildFailed as failure:
        return name, elapsed(time.monotonic() - began), f"not run: {failure}"
    finally:
        over.set()
    return name, elapsed(time.monotonic() - began), "ok"

"""Report the version of each app and of each part of the infrastructure by environment, and what is behind.

Pins and versions are read from Git, ages from its history, and health from the Argo CD of each environment that can be
reached: docs/how-to/promote.md explains the matrix.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.chain import read_chain
from config.load import read_stack
from config.tree import read_apps
from errors import Declined, Refused
from local.files import write_private
from ops import terminal
from ops.checking.settings import chosen_files
from ops.promotion.formats.text import text
from ops.promotion.git_objects import git_objects
from ops.promotion.matrix import EnvironmentHealth, VersionSources, matrix_of
from ops.promotion.names import labels_of
from ops.promotion.report import VersionMatrix
from ops.result import Result
from ops.upstream import offline

FORMATS = ("text", "md", "html", "json")
COMMAND = "./homelab versions"
NOT_READ = "--no-clusters"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "apps", nargs="*", metavar="APP", help="only these: category/app, app, or talos, kubernetes, extensions"
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="the format on stdout (default: text)")
    parser.add_argument(
        "--output", type=terminal.path, metavar="DIR", help="also write the matrix to this folder, in every format"
    )
    reach = parser.add_mutually_exclusive_group()
    reach.add_argument("--no-clusters", action="store_true", help="read Git alone: no cluster reports health")
    reach.add_argument(
        "--offline", action="store_true", help=f"reach rehearsals on this machine only, as with {offline.VARIABLE}=1"
    )
    parser.add_argument("--root", type=terminal.path, default=Path.cwd(), help="the checkout (default: this one)")


def run(options: argparse.Namespace) -> Result:
    """Make the matrix, write it to the folder of --output, and print it in one format."""
    root: Path = options.root.resolve()
    stacks = [read_stack(path) for path in chosen_files(root)]
    tree = read_apps(root)
    chain = read_chain(root, tree)
    if chain.declared is None and chain.problems:
        raise Refused(chain.problems)
    labels, unknown = labels_of(tree, options.apps, COMMAND)
    if unknown:
        raise Refused(unknown)
    with git_objects(root) as objects:
        sources = VersionSources(chain, tree, stacks, objects, datetime.now(UTC))
        health = _health(root, sources, options)
        matrix = matrix_of(VersionSources(chain, tree, stacks, objects, sources.at, health), labels)
    if options.output:
        _write(options.output, matrix)
    shown = text(matrix, in_full=bool(labels)) if options.format == "text" else _formats(matrix)[options.format]
    return Result(shown.rstrip("\n"), _data(matrix) if options.json else {})


def _health(root: Path, sources: VersionSources, options: argparse.Namespace) -> Mapping[str, EnvironmentHealth]:
    if options.no_clusters:
        return {name: EnvironmentHealth(reason=f"{NOT_READ} reads Git alone") for name in sources.environments}
    from ops.promotion.health import health_of  # noqa: PLC0415 - the clients of clusters are slow to import

    return health_of(root, sources.settings, forbidden=offline.forbidden(options))


def _data(matrix: VersionMatrix) -> dict[str, Any]:
    return matrix.model_dump(mode="json", by_alias=True)


def _formats(matrix: VersionMatrix) -> dict[str, str]:
    from ops.promotion.formats.markdown import markdown  # noqa: PLC0415 - the formats of the preview are slow to import
    from ops.promotion.formats.page import page  # noqa: PLC0415 - as above

    as_json = json.dumps(_data(matrix), indent=2) + "\n"
    return {"md": markdown(matrix), "html": page(matrix), "json": as_json}


def _write(folder: Path, matrix: VersionMatrix) -> None:
    """Write the matrix in every format; other files of the folder stay."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Declined(f"--output = {folder}: {error.strerror}: {error.filename}; choose another folder") from None
    for name, made in _formats(matrix).items():
        write_private(folder / f"versions.{name}", made)

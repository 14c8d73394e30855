"""The pins of a rehearsal: each pinned commit, with charts and bases beside its files, in the rehearsal's own Git.

A rehearsal serves prepared files, so that a pinned commit has another hash in its Git. The commits of the user's
repository come in; the prepared tree names the rehearsal's commits afterwards, and `user_commit` returns the one behind
a revision that Argo CD reports.
"""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import programs
from config.promotion import REVISION, edited
from config.tree import App, Tree
from errors import Bug, ProgramFailed
from lab.delivery import git_server
from lab.layout import Lab
from local.files import write_private
from manifests.pinned import PinnedTrees
from manifests.sources import BaseSource, ChartSource
from manifests.vendor import vendor

ORIGINS = "origins.json"
FOLDER = "pins"
EDITED = "+"  # behind a commit: the rehearsal has files that differ from it


def place(
    lab: Lab, checkout: Path, source: tuple[str, str, str], apps: Tree, charts: ChartSource, bases: BaseSource
) -> dict[str, str]:
    """Serve the commits that apps of the prepared tree are pinned to; return the user's commits by the rehearsal's.

    `source` is the served repository, its branch, and the path of the tree in it.
    """
    pinned: defaultdict[str, list[App]] = defaultdict(list)
    for app in apps.apps:
        if app.revision:
            pinned[app.revision].append(app)
    repository, revision, path = source
    trees, home, origins = PinnedTrees(checkout), lab.root / FOLDER, dict[str, str]()
    git_server.prepare(lab, repository, revision)
    for origin, members in sorted(pinned.items()):
        folder = home / origin
        shutil.rmtree(folder, ignore_errors=True)  # a stand-in of the last run may be there as a real chart now
        for app in members:
            trees.copy(app, folder)
        vendor(folder, [app.path for app in members], charts, bases)
        commit = git_server.pin(lab, repository, folder, path, origin)
        origins[commit] = origin
        for app in members:
            _rename(lab.tree / app.file, app, commit)
        link = home / commit
        if not link.is_symlink():  # the seeds look for a commit by the name that the prepared tree has
            link.symlink_to(origin)
    return origins


def _rename(file: Path, app: App, commit: str) -> None:
    """Replace a pin of the prepared tree by the rehearsal's commit."""
    text = edited(app.file, file.read_bytes().decode(), {REVISION: commit})
    if text is None:
        raise Bug(f"{app.file}: its pin was read and cannot be edited")
    file.write_bytes(text.encode())


def remember(lab: Lab, checkout: Path, served: str, pins: Mapping[str, str]) -> None:
    """Write down which commits of the user the served commits have the files of."""
    write_private(lab.root / ORIGINS, json.dumps({**pins, served: head(checkout)}, indent=2))


def head(checkout: Path) -> str:
    """Return the commit of a checkout, with a sign behind it where files differ from it; nothing without a commit."""
    # git and not GitPython, which starts the same commands without a timeout.
    on = programs.on_checkout(checkout)
    try:
        commit = programs.run("git", *on, "rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()
    except ProgramFailed:
        return ""
    # git and not GitPython, as above.
    changed = programs.run("git", *on, "status", "--porcelain", "--", ".").stdout.strip()
    return f"{commit}{EDITED if changed else ''}"


def user_commit(root: Path, stack: str, revision: str) -> str:
    """Return the user's commit behind a revision of a stack's rehearsal; empty where it is unknown.

    A commit with `+` behind it has been rehearsed with files that are not committed.
    """
    try:
        origins: dict[str, str] = json.loads((Lab.of(root, stack).root / ORIGINS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return origins.get(revision, "")

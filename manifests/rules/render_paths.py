"""Files that go into an app's render from a place where Argo CD does not expect them.

A commit renders the apps whose places it touches, and no others: `components.handover.application_sets.generate_paths`
names the places. A base, the app's folder and what goes into its render come in; problems go out for other places.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from config.tree import APPS, App
from errors import Problem
from manifests.contents import Contents

SHARED = "_shared"


def check(base: App, app: App, contents: Contents) -> Iterator[Problem]:
    """Find files of a render that a commit could change without the app being rendered again."""
    for folder in sorted({posixpath.dirname(file) for file in contents.files if not _is_expected(base, app, file)}):
        rule = f"goes into the render of {app.path}, and Argo CD renders nothing again when it changes"
        fix = f"move it to {APPS}/{SHARED}, to {base.path}, or directly into a folder {APPS}/{base.category}/_NAME"
        yield Problem(app.path, 0, "", folder, rule, fix, "read-elsewhere")


def _is_expected(base: App, app: App, file: str) -> bool:
    own = file.startswith((f"{app.path}/", f"{base.path}/", f"{APPS}/{SHARED}/"))
    folder = posixpath.dirname(file)
    return own or (
        posixpath.dirname(folder) == f"{APPS}/{base.category}" and posixpath.basename(folder).startswith("_")
    )

"""Files that go into an app's render from a folder that Argo CD does not watch for the app.

A commit renders the apps whose folders it touches, and no others: `components.handover.application_sets.generate_paths`
names the folders. A stack's folders come in; problems go out for files in other folders.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from config.app_settings import folder_of
from config.rules import rule
from config.tree import APPS, SHARED, App
from errors import Problem
from manifests.rules.stack_objects import StackObjects


@rule(
    "read-elsewhere",
    scope="app",
    why="A commit renders the apps of the folders it touches: this change would never be deployed.",
)
def unwatched(objects: StackObjects) -> Iterator[Problem]:
    """Report files of a render that a commit could change without a new render of the app."""
    for folder in objects.folders:
        app = folder.app
        files = [file for file in folder.contents.files if not _is_expected(app, file)]
        for other in sorted(set(map(posixpath.dirname, files))):
            broken = f"goes into the render of {app.path}, and Argo CD renders nothing again when it changes"
            fix = f"move it to {APPS}/{SHARED}, to {app.base}, or directly into a folder {APPS}/{app.category}/_NAME"
            yield Problem(app.path, 0, "", other, broken, fix, "read-elsewhere")


def _is_expected(app: App, file: str) -> bool:
    own = file.startswith((f"{app.path}/", f"{app.base}/", f"{APPS}/{SHARED}/", f"{folder_of(app.environment)}/"))
    folder = posixpath.dirname(file)
    return own or (posixpath.dirname(folder) == f"{APPS}/{app.category}" and posixpath.basename(folder).startswith("_"))

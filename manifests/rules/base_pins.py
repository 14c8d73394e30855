"""Remote bases are pinned by commits: a tag is its owner's to move, and a file of a release to replace.

A stack's folders come in; a problem goes out for each base that is pinned by less, unless the kustomization accepts it
with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from config.pins import COMMIT
from config.rules import rule
from config.source import dotted
from config.tree import MANIFESTS
from errors import Problem
from manifests.fields import mapping, text
from manifests.rules.stack_objects import ACCEPT, StackObjects

CHECK = "base-by-tag"
OTHERS = r"(?:timeout|submodules)=\w+"
BY_COMMIT = re.compile(rf"[^?]*\?(?:{OTHERS}&)*ref={COMMIT}(?:&{OTHERS})*\Z")
FILE_BY_COMMIT = re.compile(rf"https://[^?]*/{COMMIT}/[^?]*\Z")


@rule(
    "base-by-tag",
    scope="app",
    why="A tag can be moved and a release's file replaced: Argo CD would apply content without a review.",
    accepted_by="kustomization",
)
def pinned_by_name(objects: StackObjects) -> Iterator[Problem]:
    """Report bases that are pinned by a tag or a release."""
    for folder in objects.sound_folders:
        for base in folder.contents.bases:
            annotations = mapping(folder.reader.value(base.file), "metadata", "annotations")
            if by_commit(base.url) or text(annotations, f"{ACCEPT}{CHECK}").strip():
                continue
            line, key = folder.reader.line(base.file, base.key), dotted(base.key)
            broken = "is pinned by a name, and its owner can move it"
            fix = "name the commit and keep the version behind it, `?ref=<commit> # v1.2.3`: "
            fix += "check --online --write-digests"
            yield Problem(base.file, line, key, base.url, broken, fix, CHECK)


def by_commit(url: str) -> bool:
    """Report whether an URL means one commit and no other; nothing else in its query could be one."""
    path = url.partition("?")[0]
    return bool(BY_COMMIT.match(url) or (path.endswith(MANIFESTS) and FILE_BY_COMMIT.match(url)))

"""Remote bases are pinned by commits: a tag is its owner's to move, and a file of a release to replace.

A checkout's reader and a folder's contents come in; a problem goes out for each base that is pinned by less, unless the
kustomization accepts it with a reason. `ops.checking.validation` continues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from config.pins import COMMIT
from config.source import dotted
from config.tree import MANIFESTS
from errors import Problem
from manifests.checkout import CheckoutReader
from manifests.contents import Contents
from manifests.fields import text
from manifests.rules.stack_objects import ACCEPT

CHECK = "base-by-tag"
OTHERS = r"(?:timeout|submodules)=\w+"
BY_COMMIT = re.compile(rf"[^?]*\?(?:{OTHERS}&)*ref={COMMIT}(?:&{OTHERS})*\Z")
FILE_BY_COMMIT = re.compile(rf"https://[^?]*/{COMMIT}/[^?]*\Z")


def check(reader: CheckoutReader, contents: Contents) -> Iterator[Problem]:
    """Find bases that are pinned by a tag or a release."""
    for base in contents.bases:
        if by_commit(base.url) or text(reader.value(base.file), "metadata", "annotations", f"{ACCEPT}{CHECK}").strip():
            continue
        rule = "is pinned by a name, and its owner can move it"
        fix = "name the commit and keep the version behind it, `?ref=<commit> # v1.2.3`: check --online --write-digests"
        yield Problem(base.file, reader.line(base.file, base.key), dotted(base.key), base.url, rule, fix, CHECK)


def by_commit(url: str) -> bool:
    """Report whether an URL means one commit and no other; nothing else in its query could be one."""
    path = url.partition("?")[0]
    return bool(BY_COMMIT.match(url) or (path.endswith(MANIFESTS) and FILE_BY_COMMIT.match(url)))

"""GitHub's CODEOWNERS: its lines for the categories, generated from their owners and compared with the file.

A checkout and its tree come in, problems and the text of the file go out. Lines above the mark are the operator's, and
`*` among them names the maintainers; without the file or the mark there is nothing to generate. `ops.settings` writes
the file. The last pattern that matches decides, so that a category's rights stay with the maintainers.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from config import files
from config.rules import rule
from config.tree import APPS, CategoryFolder, Tree
from errors import Problem

FILE = ".github/CODEOWNERS"
COMMAND = "./homelab settings"
MARK = f"# Generated from `owners` in {APPS}/*/category.yaml by `{COMMAND}`: change those files, not the lines below.\n"
# A user, a team or the address of a user, as GitHub accepts them; other owners are groups of the login provider.
CODE_OWNER = re.compile(
    r"@[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}(?:/[a-z0-9](?:[\w-]*[a-z0-9])?)?|[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    re.ASCII,
)
MAINTAINERS = re.compile(r"^\*[ \t]+([^#\n]+)", re.MULTILINE)


def is_code_owner(owner: str) -> bool:
    """Return whether GitHub accepts an owner in CODEOWNERS."""
    return bool(CODE_OWNER.fullmatch(owner))


def text_of(root: Path) -> str | None:
    """Return the text of the file if it has the mark; raise OSError if it cannot be read."""
    place = root / FILE
    if not os.path.lexists(place):
        return None
    if place.is_symlink() or place.parent.is_symlink():
        raise OSError(errno.ELOOP, "is a link", str(place))
    try:
        text = files.content(place, root=root).decode("utf-8")
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "is not UTF-8", str(place)) from None
    return text if MARK in text else None


def generated(text: str, tree: Tree) -> str:
    """Return the file with the lines of the present categories."""
    above = text.partition(MARK)[0]
    maintainers = MAINTAINERS.findall(above)
    kept = (f"/{APPS}/*/category.yaml {maintainers[-1].strip()}",) if maintainers else ()
    return above + MARK + "".join(f"{line}\n" for line in (*map(_line, _owned(tree)), *kept))


def _owned(tree: Tree) -> Iterator[CategoryFolder]:
    """Yield the categories with an owner that GitHub knows; the maintainers own the others."""
    for category in sorted(tree.categories, key=lambda one: one.name):
        if any(map(is_code_owner, category.settings.owners)):
            yield category


def _line(category: CategoryFolder) -> str:
    owners = filter(is_code_owner, category.settings.owners)
    return f"/{APPS}/{category.name}/ {' '.join(dict.fromkeys(owners))}"


@rule("code-owners-stale", scope="tree", why="GitHub would request the review of a change from the wrong people.")
def check(root: Path, tree: Tree) -> Iterator[Problem]:
    """Yield a file that differs from the owners of a valid tree."""
    if tree.problems:
        return
    fix = f"run `{COMMAND}` and commit the result"
    try:
        text = text_of(root)
    except OSError as error:
        rule, fix = f"cannot be read: {error.strerror}", "put a regular file there"
        yield Problem(FILE, 0, "", "", rule, fix, "code-owners-stale")
        return
    if text is not None and generated(text, tree) != text:
        rule = "differs from the owners of the categories"
        yield Problem(FILE, 0, "", "", rule, fix, "code-owners-stale")

"""GitHub's CODEOWNERS: its lines for categories and for environments with approval, compared with the file.

A checkout with its stacks and its tree comes in, problems and the text of the file go out. Lines above the mark are the
operator's, and `*` among them names the maintainers; without the file or the mark there is nothing to generate.
`ops.settings` writes the file. The last pattern that matches decides: the folders of an environment with approval
belong to its approvers and not to the owners of the category, and a category's rights stay with the maintainers.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from config import files
from config.app_settings import folder_of
from config.gates import CODE_OWNER
from config.load import Stack
from config.model import Settings
from config.rules import rule
from config.tree import APPS, CategoryFolder, Tree
from errors import Problem

FILE = ".github/CODEOWNERS"
COMMAND = "./homelab settings"
MARK = f"# Generated from `owners` in {APPS}/*/category.yaml by `{COMMAND}`: change those files, not the lines below.\n"
MAINTAINERS = re.compile(r"^\*[ \t]+([^#\n]+)", re.MULTILINE)


def is_code_owner(owner: str) -> bool:
    """Return whether GitHub accepts an owner in CODEOWNERS."""
    return bool(CODE_OWNER.fullmatch(owner))


def requires_approval(settings: Settings) -> bool:
    """Return whether the owners of a stack's environment must review its changes: a promotion is a pull request."""
    return settings.delivery.gates.approval == "required"


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


def generated(text: str, tree: Tree, stacks: Sequence[Stack]) -> str:
    """Return the file with the lines of the present categories and environments."""
    above, maintainers = text.partition(MARK)[0], _maintainers(text)
    approved = (line for stack in stacks for line in _approved(stack, maintainers))
    kept = (f"/{APPS}/*/category.yaml {maintainers}",) if maintainers else ()
    return above + MARK + "".join(f"{line}\n" for line in (*map(_line, _owned(tree)), *approved, *kept))


def _maintainers(text: str) -> str:
    """Return the owners of all files, by the last line above the mark that names them."""
    found = MAINTAINERS.findall(text.partition(MARK)[0])
    return found[-1].strip() if found else ""


def _approved(stack: Stack, maintainers: str) -> Iterator[str]:
    """Yield the files that decide what an environment with approval runs, each with the approvers."""
    if stack.settings is None or not requires_approval(stack.settings):
        return
    delivery = stack.settings.delivery
    approvers = " ".join(dict.fromkeys(delivery.gates.approvers)) or maintainers
    places = (f"{APPS}/*/*/{delivery.environment}/", f"{folder_of(delivery.environment)}/", stack.places.file)
    yield from (f"/{place} {approvers}" for place in places if approvers)


def _owned(tree: Tree) -> Iterator[CategoryFolder]:
    """Yield the categories with an owner that GitHub knows; the maintainers own the others."""
    for category in sorted(tree.categories, key=lambda one: one.name):
        if any(map(is_code_owner, category.settings.owners)):
            yield category


def _line(category: CategoryFolder) -> str:
    owners = filter(is_code_owner, category.settings.owners)
    return f"/{APPS}/{category.name}/ {' '.join(dict.fromkeys(owners))}"


@rule("gate-unused", scope="tree")
@rule("code-owners-stale", scope="tree", why="GitHub would request the review of a change from the wrong people.")
def check(root: Path, tree: Tree, stacks: Sequence[Stack]) -> Iterator[Problem]:
    """Yield a file that differs from the owners of a valid tree and of valid stacks, and approvals without an owner."""
    if tree.problems or any(stack.settings is None for stack in stacks):
        return
    fix = f"run `{COMMAND}` and commit the result"
    try:
        text = text_of(root)
    except OSError as error:
        rule, fix = f"cannot be read: {error.strerror}", "put a regular file there"
        yield Problem(FILE, 0, "", "", rule, fix, "code-owners-stale")
        return
    for stack in stacks if text is not None and not _maintainers(text) else ():
        if stack.settings and requires_approval(stack.settings) and not stack.settings.delivery.gates.approvers:
            rule = f"is missing, and {FILE} has no line `*` with maintainers: the approval has no owner"
            fix, path = "add `approvers`, or the line `* @maintainers` above the mark", "delivery.gates.approvers"
            yield Problem(stack.places.file, 0, path, "", rule, fix, "gate-unused")
    if text is not None and generated(text, tree, stacks) != text:
        rule = "differs from the owners of the categories and the approvers of the environments"
        yield Problem(FILE, 0, "", "", rule, fix, "code-owners-stale")

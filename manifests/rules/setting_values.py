"""Settings in manifests: each value is replaced from the stack file, and none is written a second time.

The rendered objects and the files of a stack come in. Findings go out for placeholders that no replacement has reached,
and for lines of apps/ that repeat a value of the stack file. `config.app_settings` writes the settings that
replacements read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from config.app_settings import DOMAIN, KEYS, folder_of, key_of, values_of
from config.rules import rule
from config.source import KeyPath
from config.tree import MANIFESTS
from errors import Problem
from manifests.objects import CRD
from manifests.rules.stack_objects import AppFolder, ObjectFinding, StackObjects

UNREPLACED = re.compile(rf"\b(?:{'|'.join(map(key_of, KEYS))})\b|(?<![\w-])[\w*-]+\.{DOMAIN}(?![\w.-])")
# Settings whose values are too specific to occur by accident.
SPECIFIC = ("network.", "platform.certificates.email", "delivery.repository")
WITHIN = r"(?:[\w-]+\.)*"  # a host below a domain


@rule("setting-unreplaced", scope="app", why="The cluster would get a placeholder instead of the stack's value.")
def unreplaced(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report placeholders of settings in rendered objects."""
    for obj in objects.all:
        for path, value in _texts(obj.item) if not obj.by_chart and obj.kind != CRD else ():
            if found := UNREPLACED.search(value):
                broken = f"contains {found[0]}, which stands for a setting and was not replaced"
                fix = "add the field to the app's replacements.yaml (docs/reference/apps.md)"
                yield ObjectFinding("setting-unreplaced", obj, path, found[0], broken, fix)


def _texts(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))


@rule("setting-repeated", scope="app", why="The setting would change and this line would keep the old value.")
def repeated(objects: StackObjects) -> Iterator[Problem]:
    """Report lines that hold the value of a setting."""
    for folder in objects.folders:
        yield from _repeated(folder)


def _repeated(folder: AppFolder) -> Iterator[Problem]:
    settings, file_of_stack = folder.stack.require(), folder.stack.places.file
    known = {path: value for path, value in values_of(settings).items() if path.startswith(SPECIFIC)}
    for file in _used(folder):
        text = folder.reader.text(file)
        present = {path: value for path, value in known.items() if value in text}
        for number, line in enumerate(text.splitlines(), 1) if present else ():
            for path, value in present.items():
                if _holds(line, path, value):
                    rule_ = f"is {path} of {file_of_stack}, and nothing changes both"
                    fix = f"write {key_of(path)} and replace it (docs/reference/apps.md)"
                    yield Problem(file, number, path, value, rule_, fix, "setting-repeated")


def _holds(line: str, path: str, value: str) -> bool:
    """Report whether a line has a value as a whole, or a host below a domain."""
    if line.lstrip().startswith("#"):
        return False
    within = WITHIN if path == "network.domain" else ""
    return bool(re.search(rf"(?<![\w.-]){within}{re.escape(value)}(?![\w.-])", line.partition(" #")[0]))


def _used(folder: AppFolder) -> Iterator[str]:
    """Yield the manifests in use; an unused component has no effect on any stack."""
    reader, contents, settings = folder.reader, folder.contents, folder_of(folder.app.environment)
    for file in contents.files:
        above = posixpath.dirname(file)
        while above and above not in contents.kustomizations and reader.kustomization(above) is None:
            above = posixpath.dirname(above)
        if (
            file.endswith(MANIFESTS)
            and not file.startswith(f"{settings}/")
            and (not above or above in contents.kustomizations)
        ):
            yield file

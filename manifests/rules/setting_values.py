"""Settings in manifests: each value is replaced from the stack file, and none is written a second time.

The rendered objects and the files of a stack come in. Findings go out for placeholders that no replacement has reached,
also in the values of charts, and for lines of apps/ that repeat a value of the stack file. `config.app_settings` writes
the settings that replacements read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from config.app_settings import DOMAIN, HEAD, KEYS, TEMPLATE, folder_of, key_of, values_of
from config.rules import rule
from config.source import dotted
from config.tree import MANIFESTS
from errors import Problem
from manifests.fields import every_text
from manifests.objects import CRD
from manifests.rules.stack_objects import ACCEPT, AppFolder, ObjectFinding, StackObjects

# A key such as networkDomain is no word of another text. clusterName can be one, so it counts as a part of a name only.
LONG = re.compile(rf"\b(?:{'|'.join(key_of(key) for key in KEYS if not key.startswith('cluster.'))})\b")
SHORT = re.compile(
    rf"(?:^|(?<=[-/:@]))(?:{'|'.join(key_of(key) for key in KEYS if key.startswith('cluster.'))})(?=[-/:]|$)"
)
URL = re.compile(rf"://(?:[\w*-]+\.)*([\w*-]+\.{DOMAIN})(?![\w.-])")
HOST = re.compile(rf"(?:^|(?<=[=,@/.]))[\w*-]+\.{DOMAIN}(?=[:/,]|$)")
# Settings whose values are too specific to occur by accident.
SPECIFIC = ("network.", "platform.certificates.email", "delivery.repository")
WITHIN = r"(?:[\w-]+\.)*"  # a host below a domain


@rule("setting-unreplaced", scope="app", why="The cluster would get a placeholder instead of the stack's value.")
def unreplaced(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report placeholders of settings in rendered objects."""
    for obj in objects.all:
        for path, value in every_text(obj.item) if not obj.by_chart and obj.kind != CRD else ():
            if found := placeholder(value):
                broken = f"contains {found}, which stands for a setting and was not replaced"
                fix = (
                    "add the field to the app's replacements.yaml (docs/reference/apps.md); if it is a word of the app,"
                )
                fix += f" accept it with {ACCEPT}setting-unreplaced"
                yield ObjectFinding("setting-unreplaced", obj, path, found, broken, fix)


@rule("value-unreplaced", scope="app", why="The chart would get a placeholder instead of the stack's value.")
def unreplaced_values(objects: StackObjects) -> Iterator[Problem]:
    """Report placeholders of settings in the values of charts, which no replacement reaches."""
    for folder in objects.sound_folders:
        for file in folder.contents.values:
            for path, value in every_text(folder.reader.source(file).first.value):
                if found := placeholder(value):
                    broken = f"contains {found}, and no replacement reaches the values of a chart"
                    fix = f"write the setting in braces in {folder.app.base}/{TEMPLATE}, such as {{network.domain}}"
                    source, line = _source(folder, file, folder.reader.line(file, path))
                    yield Problem(source, line, dotted(path), found, broken, fix, "value-unreplaced")


def _source(folder: AppFolder, file: str, line: int) -> tuple[str, int]:
    """Return the line of the template from which a line of the settings' values was generated."""
    if file.startswith(f"{folder_of(folder.app.environment)}/"):
        return f"{folder.app.base}/{TEMPLATE}", line - HEAD.count("\n")
    return file, line


def placeholder(value: str) -> str:
    """Return the placeholder of a setting in a text, nothing where it has none; a script may have a word like one."""
    is_one_word = len(value.split()) == 1
    for pattern in (LONG, URL, *((SHORT, HOST) if is_one_word else ())):
        if found := pattern.search(value.strip()):
            return str(found[found.lastindex or 0])
    return ""


@rule("setting-repeated", scope="app", why="The setting would change and this line would keep the old value.")
def repeated(objects: StackObjects) -> Iterator[Problem]:
    """Report lines that hold the value of a setting."""
    values = values_of(objects.folders[0].stack.require()) if objects.folders else {}
    known = {path: value for path, value in values.items() if path.startswith(SPECIFIC)}
    for folder in objects.folders:
        yield from _repeated(folder, known)


def _repeated(folder: AppFolder, known: Mapping[str, str]) -> Iterator[Problem]:
    file_of_stack = folder.stack.places.file
    for file in used(folder):
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


def used(folder: AppFolder) -> Iterator[str]:
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

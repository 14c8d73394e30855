"""Objects in an app's folder that no kustomization names: they are never applied.

A stack's folders and the contents of every folder of the tree come in; a problem goes out for each such file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from config.rules import rule
from config.tree import KUSTOMIZATIONS, MANIFESTS
from errors import Problem
from manifests.checkout import CheckoutReader
from manifests.contents import closure_of
from manifests.rules.stack_objects import StackObjects


@rule("file-stray", scope="stack")
def orphans(objects: StackObjects) -> Iterator[Problem]:
    """Report objects that no kustomization of the tree names, if every folder can be read."""
    if any(one.problems for one in objects.tree.values()):
        return
    named = {name for one in objects.tree.values() for name in one.named}
    for folder in (one for one in objects.folders if one.rendered and one.contents.shape == "kustomization"):
        reader, own = folder.reader, folder.contents
        inner = {file for file in own.files if file.startswith(f"{folder.app.path}/")}
        inner |= set(reader.walk(folder.app.base)) if reader.is_folder(folder.app.base) else set()
        parts = {posixpath.dirname(file) for file in inner if posixpath.basename(file) in KUSTOMIZATIONS}
        for part in parts - own.kustomizations.keys():  # an environment may use these
            named |= closure_of(reader, part).named
        for file in sorted(inner - named):
            if file.endswith(MANIFESTS) and posixpath.basename(file) not in KUSTOMIZATIONS and _is_object(reader, file):
                broken, fix = "is an object that no kustomization lists: it is never applied", "list it, or remove it"
                yield Problem(file, 0, "", "", broken, fix, "file-stray")


def _is_object(reader: CheckoutReader, file: str) -> bool:
    """Report whether a file has an object and is not part of a chart."""
    source = reader.source(file)
    value = source.first.value
    return isinstance(value, dict) and {"apiVersion", "kind"} <= value.keys() and not _of_a_chart(reader, file)


def _of_a_chart(reader: CheckoutReader, file: str) -> bool:
    folder = posixpath.dirname(file)
    while folder and not reader.is_file(f"{folder}/Chart.yaml"):
        folder = posixpath.dirname(folder)
    return bool(folder)

"""Objects that lie in an app's folder and that no kustomization names: nobody applies them.

A reader, the contents of every folder of the tree and the folders to check come in; a problem goes out for each such
file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping

from config.tree import KUSTOMIZATIONS, MANIFESTS
from errors import Problem
from manifests.checkout import CheckoutReader
from manifests.contents import Contents, closure_of


def check(reader: CheckoutReader, contents: Mapping[str, Contents], told: Iterable[str]) -> Iterator[Problem]:
    """Find objects that are named nowhere: not in their own folder, and by no other, as far as all can be read."""
    if any(one.problems for one in contents.values()):
        return
    named = {name for one in contents.values() for name in one.named}
    for folder in sorted(told):
        own = contents[folder]
        if own.shape != "kustomization":
            continue
        inner = {file for file in own.files if file.startswith(f"{folder}/")}
        parts = {posixpath.dirname(file) for file in inner if posixpath.basename(file) in KUSTOMIZATIONS}
        for part in parts - own.kustomizations.keys():  # what an environment may take up
            named |= closure_of(reader, part).named
        for file in sorted(inner - named):
            if file.endswith(MANIFESTS) and posixpath.basename(file) not in KUSTOMIZATIONS and _is_object(reader, file):
                rule, fix = "is an object that no kustomization lists: nobody applies it", "list it, or remove it"
                yield Problem(file, 0, "", "", rule, fix, "file-stray")


def _is_object(reader: CheckoutReader, file: str) -> bool:
    """Whether a file holds an object and is no part of a chart."""
    source = reader.source(file)
    value = source.first.value
    return isinstance(value, dict) and {"apiVersion", "kind"} <= value.keys() and not _of_a_chart(reader, file)


def _of_a_chart(reader: CheckoutReader, file: str) -> bool:
    folder = posixpath.dirname(file)
    while folder and not reader.is_file(f"{folder}/Chart.yaml"):
        folder = posixpath.dirname(folder)
    return bool(folder)

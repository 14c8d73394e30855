"""ConfigMaps and Secrets that kustomizations make from files: their names are stable.

A stack's objects and folders come in; a problem goes out for each name that would change with its content.
`manifests.rules.workloads` checks whether their readers notice a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from config.rules import rule
from config.source import KeyPath, dotted
from errors import Problem
from manifests.checkout import CheckoutReader
from manifests.contents import Contents
from manifests.fields import at, mappings
from manifests.rules.stack_objects import StackObjects

GENERATORS = ("configMapGenerator", "secretGenerator")
STABLE = "disableNameSuffixHash"


@rule(
    "config-hashed",
    scope="app",
    why="Each change would leave an old ConfigMap behind; one convention holds everywhere.",
)
def hashed_names(objects: StackObjects) -> Iterator[Problem]:
    """Report generators whose names change."""
    for folder in objects.sound_folders:
        reader = folder.reader
        for file, key, entry, stable in _entries(reader, folder.contents):
            if not stable:
                broken = "changes its name with its content"
                fix = f"write generatorOptions: {{{STABLE}: true}}; the reloader's annotation rolls the pods"
                name = str(entry.get("name"))
                yield Problem(file, reader.line(file, key), dotted(key), name, broken, fix, "config-hashed")


def _entries(reader: CheckoutReader, contents: Contents) -> Iterator[tuple[str, KeyPath, dict[str, Any], bool]]:
    """Yield every generator of a folder: its file, key and entry, and whether its name is stable."""
    for file in contents.kustomizations.values():
        value = reader.value(file)
        general = at(value, "generatorOptions", STABLE)
        for kind in GENERATORS:
            for index, entry in enumerate(mappings(value, kind)):
                own = at(entry, "options", STABLE)
                yield file, (kind, index), entry, bool(general if own is None else own)

"""Files that no program should read: empty ones, duplicate keys, values that are not YAML, aliases without bounds.

A reader and a folder's contents come in, problems go out. Kustomize takes an empty file for no objects, and the second
of two equal keys for the only one; `manifests.render` checks this before it runs a program.
"""

from __future__ import annotations

from collections.abc import Iterator

from config import bounds
from config.rules import rule
from errors import Problem
from manifests.checkout import CheckoutReader
from manifests.contents import Contents

YAML = (".yaml", ".yml", "Kustomization")
OF_A_CHART = ("/charts/", "/templates/")


def check(reader: CheckoutReader, contents: Contents) -> Iterator[Problem]:
    """Report empty files in lists, duplicate keys, and values that are not YAML."""
    for file in sorted(file for file in contents.files if not any(part in file for part in OF_A_CHART)):
        if file.endswith(YAML):
            if rule := bounds.broken(reader.text(file), bounds.OF_A_FILE):
                # Kustomize would write the aliases out: a few hundred bytes keep a processor busy for minutes.
                fix = "split the file, or write fewer levels and aliases"
                yield Problem(file, 0, "", "", rule, fix, "yaml-too-large")
                continue
            found = reader.source(file).problems
            yield from (one for one in found if one.check == "yaml-duplicate-key" or file in contents.values)
        if file in contents.listed:
            source = reader.source(file)
            if not source.problems and all(one.value is None for one in source.documents):
                yield empty(file)


@rule("file-empty", scope="file", why="An empty file is usually a truncated one.")
def empty(file: str) -> Problem:
    """Refuse an empty file: its objects would leave the cluster with the next sync."""
    fix = "write its object, or remove the file and the line that lists it"
    return Problem(file, 0, "", "", "is empty", fix, "file-empty")

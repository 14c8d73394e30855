"""What a folder's files say before any program reads them: nothing at all, one thing twice, or no YAML.

A survey and a folder's contents come in, problems go out. Kustomize takes an empty file for no objects, and the second
of two equal keys for the only one; `manifests.render` asks here before it runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from errors import Problem
from manifests.contents import Contents
from manifests.survey import Survey

YAML = (".yaml", ".yml", "Kustomization")
OF_A_CHART = ("/charts/", "/templates/")


def check(survey: Survey, contents: Contents) -> Iterator[Problem]:
    """Find listed files that say nothing, keys that stand twice, and values that are no YAML."""
    for file in sorted(file for file in contents.files if not any(part in file for part in OF_A_CHART)):
        if file.endswith(YAML):
            said = survey.source(file).problems
            yield from (one for one in said if one.check == "yaml-duplicate-key" or file in contents.values)
        if file in contents.listed:
            source = survey.source(file)
            if not source.problems and all(one.value is None for one in source.documents):
                yield empty(file)


def empty(file: str) -> Problem:
    """Refuse a file that says nothing: its objects would leave the cluster with the next sync."""
    fix = "write its object, or remove the file and the line that lists it"
    return Problem(file, 0, "", "", "is empty", fix, "file-empty")

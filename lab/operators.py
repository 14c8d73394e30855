"""The operators that kwok can play: those whose kinds the cluster has.

    playable(frozenset({"certificates.cert-manager.io", ...}))    the files of `lab/operators`, one per operator

The names of the CRDs in the cluster come in, files of Stages go out, for
`lab.control_plane.kubernetes.reload_operators`. An operator is played when all kinds of its file exist, because kwok
ends if one is missing. The head of each file describes the operator, and its behaviour that the file does not simulate.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path

import yaml

from lab.control_plane.kubernetes import BASE, OPERATORS

# Built-in groups of Kubernetes that have a dot like those of CRDs, and that stages act on.
BUILT_IN = {"apiregistration.k8s.io"}


def playable(kinds: AbstractSet[str]) -> list[Path]:
    """Return the files of the operators whose CRDs all exist."""
    return [file for file, needed in _operators().items() if needed <= kinds]


@cache
def _operators() -> dict[Path, frozenset[str]]:
    """Return all operators with their required CRDs."""
    return {file: _needed(file) for file in sorted(OPERATORS.glob("*.yaml")) if file not in BASE}


def _needed(file: Path) -> frozenset[str]:
    stages = [document for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document]
    acted_on = [stage["spec"]["resourceRef"] for stage in stages]
    groups = ((one["apiGroup"].partition("/")[0], one["kind"]) for one in acted_on)
    return frozenset(crd(group, kind) for group, kind in groups if "." in group and group not in BUILT_IN)


def crd(group: str, kind: str) -> str:
    """Return the name of a kind's CRD, with the English plural."""
    singular = kind.lower()
    plural = re.sub(r"([^aeiou])y$", r"\1ie", singular) if singular[-1] != "s" else f"{singular}e"
    return f"{plural}s.{group}"

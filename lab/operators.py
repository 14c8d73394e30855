"""Which operators kwok can play: those whose kinds the cluster has.

    playable(frozenset({"certificates.cert-manager.io", ...}))    the files of `lab/operators`, one per operator

What flows in are the names of the CRDs in the cluster, what flows out are files of Stages, for
`lab.control_plane.kubernetes.reload_operators`. An operator is played when all kinds that its file acts on
are there: kwok ends when one is missing. What each file stands for, and what the real operator would do beyond that, is
written on its top.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path

import yaml

from lab.control_plane.kubernetes import BASE, OPERATORS

# Groups of Kubernetes' own that stages act on and that have a dot like those of CRDs.
BUILT_IN = {"apiregistration.k8s.io"}


def playable(kinds: AbstractSet[str]) -> list[Path]:
    """Give the files of the operators whose CRDs are all among these."""
    return [file for file, needed in _operators().items() if needed <= kinds]


@cache
def _operators() -> dict[Path, frozenset[str]]:
    """Give all operators and the CRDs that each one needs."""
    return {file: _needed(file) for file in sorted(OPERATORS.glob("*.yaml")) if file not in BASE}


def _needed(file: Path) -> frozenset[str]:
    stages = [document for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document]
    acted_on = [stage["spec"]["resourceRef"] for stage in stages]
    groups = ((one["apiGroup"].partition("/")[0], one["kind"]) for one in acted_on)
    return frozenset(crd(group, kind) for group, kind in groups if "." in group and group not in BUILT_IN)


def crd(group: str, kind: str) -> str:
    """Name the CRD of a kind, by the English of its plural."""
    singular = kind.lower()
    plural = re.sub(r"([^aeiou])y$", r"\1ie", singular) if singular[-1] != "s" else f"{singular}e"
    return f"{plural}s.{group}"

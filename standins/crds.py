"""CustomResourceDefinitions for a rehearsal: the real ones of the APIs' own projects, permissive ones for the others.

The folder that the pinned tool `crds` gives comes in, files go out: what a chart ships, or what an operator would
register when it starts (`SELF_REGISTERED`). A permissive one takes any object of its kind, so that a mistake in one is
found nowhere before the real cluster: `Crds.origin` says which they are. `standins.charts` and `standins.bases`
continue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from errors import Bug

DATA = Path(__file__).resolve().parent / "data"
TABLE = DATA / "crds.yaml"
NOTE = "modules.json"
IS_CRD = re.compile(r"""^[\s"]*kind"?: "?CustomResourceDefinition"?,?$""", re.MULTILINE)
# Their operators write these into the API when they start; no manifest of theirs holds them.
SELF_REGISTERED = {"cilium": "cilium"}


@dataclass(frozen=True)
class Origin:
    """Where some CRDs come from: a version of a module, or nowhere."""

    name: str
    real: bool
    version: str
    why: str = ""

    def __str__(self) -> str:
        """Write it as a report does."""
        return f"{self.name} {self.version}".strip() + ("" if self.real else f": permissive, {self.why}")


@dataclass(frozen=True)
class Crds:
    """All CRDs that a rehearsal knows, by the name of their project."""

    folder: Path

    @property
    def names(self) -> tuple[str, ...]:
        """Name every project whose CRDs are known."""
        return tuple(sorted({*self._noted, *self._table}))

    def files(self, name: str) -> dict[str, str]:
        """Give a project's CRDs as texts by the names of their files."""
        if name in self._noted:
            found = sorted((self.folder / _part(name)).rglob("*.yaml"))
            texts = {file.name: file.read_text(encoding="utf-8") for file in found if _is_crd(file)}
            return dict(sorted(texts.items()))
        return {f"{crd['metadata']['name']}.yaml": _dumped(crd) for crd in self._permissive(name)}

    def origin(self, name: str) -> Origin:
        """Report whether a project's CRDs are the real ones."""
        if name in self._noted:
            return Origin(name, real=True, version=self._noted[name]["version"])
        return Origin(name, real=False, version="", why="its Go module cannot be had")

    def registered_by(self, chart: str) -> dict[str, str]:
        """Give the CRDs that a chart's operator registers by itself, which somebody has to apply in its place."""
        return self.files(SELF_REGISTERED[chart]) if chart in SELF_REGISTERED else {}

    @cached_property
    def _noted(self) -> Mapping[str, Any]:
        noted: dict[str, Any] = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
        return noted

    @cached_property
    def _table(self) -> Mapping[str, Any]:
        table: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
        return table

    def _permissive(self, name: str) -> list[dict[str, Any]]:
        if name not in self._table:
            raise Bug(f"{name}: no CRDs of that name; there are {', '.join(self.names)}")
        groups = self._table[name]
        return [permissive(group, *said.split()) for group, kinds in groups.items() for said in kinds]


def permissive(group: str, kind: str, plural: str, scope: str, versions: str) -> dict[str, Any]:
    """Make a CRD that takes every object of its kind; the last of its versions, joined by commas, is stored."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = versions.split(",")
    # The API server lets nobody define a kind in Kubernetes' own groups without a word about who approved it.
    approved = {"annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in"}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            **(approved if group.endswith((".k8s.io", ".kubernetes.io")) else {}),
        },
        "spec": {
            "group": group,
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "scope": scope,
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == names[-1],
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
                for version in names
            ],
        },
    }


def _part(name: str) -> str:
    """Give the folder of a project's CRDs; of the two channels of the Gateway API the standard one."""
    return "gateway-api/standard" if name == "gateway-api" else name


def _is_crd(file: Path) -> bool:
    return bool(IS_CRD.search(file.read_text(encoding="utf-8")))


def _dumped(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Plain, sort_keys=False)


class _Plain(yaml.SafeDumper):
    """A dumper that writes the same map twice instead of referring to it."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never refer."""
        return True

"""CustomResourceDefinitions for a rehearsal: the real ones of the APIs' own projects, permissive ones for the others.

The folder of the pinned tool `crds` comes in, files go out: the CRDs of a chart, or those that an operator registers
when it starts (`SELF_REGISTERED`). A permissive one accepts any object of its kind, so that only the real cluster finds
a mistake in it: `KnownCrds.origin` reports them. `standins.charts` and `standins.bases` continue.
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

from config import own_data
from errors import Bug

DATA = Path(__file__).resolve().parent / "data"
TABLE = DATA / "crds.yaml"
NOTE = "modules.json"
IS_CRD = re.compile(r"""^[\s"]*kind"?: "?CustomResourceDefinition"?,?$""", re.MULTILINE)
# Their operators create these when they start; no manifest of theirs contains them.
SELF_REGISTERED = {"cilium": "cilium"}


@dataclass(frozen=True)
class CrdOrigin:
    """The source of some CRDs: a version of a module, or none."""

    name: str
    real: bool
    version: str
    why: str = ""

    def __str__(self) -> str:
        """Return it as reports print it."""
        return f"{self.name} {self.version}".strip() + ("" if self.real else f": permissive, {self.why}")


@dataclass(frozen=True)
class KnownCrds:
    """All known CRDs, by the name of their project."""

    folder: Path

    @property
    def names(self) -> tuple[str, ...]:
        """Return every project whose CRDs are known."""
        return tuple(sorted({*self._noted, *self._table}))

    def files(self, name: str) -> dict[str, str]:
        """Return a project's CRDs as texts by the names of their files."""
        if name in self._noted:
            found = sorted((self.folder / _part(name)).rglob("*.yaml"))
            texts = {file.name: file.read_text(encoding="utf-8") for file in found if _is_crd(file)}
            return dict(sorted(texts.items()))
        return {f"{crd['metadata']['name']}.yaml": _dumped(crd) for crd in self._permissive(name)}

    def origin(self, name: str) -> CrdOrigin:
        """Report whether a project's CRDs are the real ones."""
        if name in self._noted:
            return CrdOrigin(name, real=True, version=self._noted[name]["version"])
        return CrdOrigin(name, real=False, version="", why="it has no public Go module")

    def registered_by(self, chart: str) -> dict[str, str]:
        """Return the CRDs that a chart's operator registers by itself, and that must be applied in its place."""
        return self.files(SELF_REGISTERED[chart]) if chart in SELF_REGISTERED else {}

    @cached_property
    def _noted(self) -> Mapping[str, Any]:
        noted: dict[str, Any] = json.loads((self.folder / NOTE).read_text(encoding="utf-8"))
        return noted

    @cached_property
    def _table(self) -> Mapping[str, Any]:
        table: dict[str, Any] = own_data.value_of(TABLE)
        return table

    def _permissive(self, name: str) -> list[dict[str, Any]]:
        if name not in self._table:
            raise Bug(f"{name}: no CRDs of that name; there are {', '.join(self.names)}")
        groups = self._table[name]
        return [permissive(group, *line.split()) for group, kinds in groups.items() for line in kinds]


def permissive(group: str, kind: str, plural: str, scope: str, versions: str) -> dict[str, Any]:
    """Return a CRD that accepts every object of its kind; the last of its versions, joined by commas, is stored."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = versions.split(",")
    # The API server refuses a kind in Kubernetes' own groups without this annotation.
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
    """Return the folder of a project's CRDs; of the two channels of the Gateway API the standard one."""
    return "gateway-api/standard" if name == "gateway-api" else name


def _is_crd(file: Path) -> bool:
    return bool(IS_CRD.search(file.read_text(encoding="utf-8")))


def _dumped(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Plain, sort_keys=False)


class _Plain(own_data.Dumper):
    """A dumper that writes the same map twice instead of an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write no aliases."""
        return True

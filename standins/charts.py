"""Stand-ins for charts: the real one if the user's cache has it, else a stand-in of the same name and version.

A chart comes in, a folder that helm accepts as that chart goes out. `standins/data/charts` describes the objects of
each stand-in, one file a chart, and all share the templates in `standins/data/library`. A stand-in rejects values that
its chart does not have, with helm's own message. A chart without a description gets one Deployment and accepts every
value. `StandInCharts.placed` reports the replaced charts. `manifests.vendor` copies the folders to the places where
kustomize and helm look for them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from config import own_data
from local.cache import locked
from manifests.charts import CachedCharts
from manifests.sources import DIGITS, Chart, ChartSource
from manifests.values import Known
from standins.crds import DATA, KnownCrds
from standins.facts import facts_of

LIBRARY = DATA / "library"
UNKNOWN = "_unknown"
DAY = 86400.0
ALWAYS = ("global", "fullnameOverride", "nameOverride", "namespaceOverride", "commonLabels")
DESCRIBED = ("workloads", "webhooks", "crds", "extra", "objects", "withoutNamespace")
SHORT = {
    "$fullname": '{{ include "standin.fullname" $ }}',
    "$namespace": '{{ include "standin.namespace" $ }}',
    "$release": "{{ $.Release.Name }}",
}
# Kinds that a stand-in can make from their name and the facts alone.
BARE = (
    *("ClusterRole", "ClusterRoleBinding", "ConfigMap", "PrometheusRule", "Role", "RoleBinding", "Secret", "Service"),
    *("ServiceAccount", "ServiceMonitor"),
)
INSTANCE = "app.kubernetes.io/instance"
KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


@dataclass(frozen=True, order=True)
class GivenChart:
    """One chart that was given: the real one, its stand-in, or the one that fits any chart."""

    name: str
    version: str
    repository: str
    kind: str

    def __str__(self) -> str:
        """Return it as reports print it."""
        return f"{self.name} {self.version}: {self.kind}"


@dataclass(frozen=True)
class StandInCharts:
    """Charts for a rehearsal, written to a folder of its own; without `real`, never those of the user."""

    home: Path
    crds: KnownCrds
    real: ChartSource | None = field(default_factory=CachedCharts)
    given: dict[Chart, GivenChart] = field(default_factory=dict, compare=False)
    made: dict[Chart, Path] = field(default_factory=dict, compare=False)

    def chart(self, chart: Chart) -> Path | None:
        """Return the real chart's folder, else that of a stand-in; one always exists."""
        found = self.real.chart(chart) if self.real else None
        kind = "real" if found else "stand-in" if chart.name in described() else "stand-in for an unknown chart"
        self.given[chart] = GivenChart(chart.name, chart.version, chart.repository, kind)
        return found or self._made(chart)

    @property
    def placed(self) -> tuple[GivenChart, ...]:
        """Return the charts that were given, each once."""
        return tuple(sorted(self.given.values()))

    def _made(self, chart: Chart) -> Path:
        """Write a stand-in completely or not at all, unless the same one exists."""
        if chart in self.made:
            return self.made[chart]
        chart.require_name()
        files = self._files(chart)
        digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:DIGITS]
        made = self.home / f"{chart.folder}-{digest}"
        if not _is_whole(made / chart.name, files):
            with (
                locked(self.home / ".lock"),
                tempfile.TemporaryDirectory(prefix=".making-", dir=self.home) as temporary,
            ):
                for name, text in files.items():
                    file = Path(temporary) / "chart" / chart.name / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(text, encoding="utf-8")
                if not _is_whole(made / chart.name, files):
                    shutil.rmtree(made, ignore_errors=True)  # a power cut leaves files without their content
                    (Path(temporary) / "chart").rename(made)
                self._forget_others(chart, made)
        return self.made.setdefault(chart, made / chart.name)

    def _forget_others(self, chart: Chart, made: Path) -> None:
        for other in self.home.glob(f"{chart.folder}-*"):
            # Another checkout of today may be rendering with it.
            if other != made and time.time() - other.stat().st_mtime > DAY:
                shutil.rmtree(other, ignore_errors=True)

    def _files(self, chart: Chart) -> dict[str, str]:
        """Return every file of a stand-in by its name."""
        descriptions = described()
        description = descriptions.get(chart.name, descriptions[UNKNOWN])
        values = description.get("values") or {}
        schema = values_schema(values, description.get("knows") or [], description.get("closed") or [])
        facts = facts_of(chart.name)
        if facts:
            exact = facts["version"] == chart.version
            schema = closed_by(schema, facts["values"] if exact else _with_described(facts["values"], values))
        about = {
            "apiVersion": "v2",
            "name": chart.name,
            "version": chart.version,
            "appVersion": str(description.get("app", chart.version)),
            "description": f"A stand-in for {chart.name}, for rehearsals; it runs nothing",
        }
        parts = {key: description[key] for key in DESCRIBED if key in description} | completed(facts)
        files = {
            "Chart.yaml": _written(about),
            "values.yaml": _written(values),
            "standin.yaml": _written(_expanded(parts)),
            **{f"templates/{file.name}": text for file, text in self._library.items()},
        }
        if chart.name in descriptions:
            files["values.schema.json"] = json.dumps(schema, indent=1) + "\n"
        for crds in description.get("crds") or ():
            folder = f"files/{crds['from']}" if crds.get("when") else "crds"
            files |= {f"{folder}/{name}": text for name, text in self.crds.files(crds["from"]).items()}
        return files

    @cached_property
    def _library(self) -> dict[Path, str]:
        return {file: file.read_text(encoding="utf-8") for file in sorted(LIBRARY.iterdir())}


def _written(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=own_data.Dumper, sort_keys=False)
    return text


def _is_whole(folder: Path, files: Mapping[str, str]) -> bool:
    """Report whether a folder has these files as they were written."""
    try:
        return all((folder / name).read_text(encoding="utf-8") == text for name, text in files.items())
    except (OSError, ValueError):
        return False


def described() -> dict[str, dict[str, Any]]:
    """Return every description by its chart's name, with that for charts that have none."""
    return {file.stem: _read(file) for file in sorted((DATA / "charts").glob("*.yaml"))}


def values_schema(values: dict[str, Any], knows: list[str], closed: list[str]) -> dict[str, Any]:
    """Return the schema of a chart's values: the types of its values, and no unknown key at the top."""
    schema = _schema(values, (), frozenset(closed))
    properties = {name: True for name in (*knows, *ALWAYS) if name not in values}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **schema,
        "properties": {**schema["properties"], **properties},
        "additionalProperties": False,
    }


def closed_by(schema: dict[str, Any], known: Known) -> dict[str, Any]:
    """Return a schema that accepts only the keys of the real chart, at each level, with helm's own message."""
    if known is None:
        return schema
    present = schema.get("properties", {})
    properties = {key: closed_by(_object(present.get(key)), below) for key, below in known.items()}
    return schema | {"properties": properties, "additionalProperties": False}


def _object(schema: Any) -> dict[str, Any]:
    return schema if isinstance(schema, dict) else {}


def _with_described(known: Known, values: Any) -> Known:
    """Add the keys of a description to those of a chart that was read in another version than the tree uses."""
    if known is None or not isinstance(values, dict):
        return known
    own: dict[str, Known] = {
        key: None if not isinstance(value, dict) or not value else {} for key, value in values.items()
    }
    return {
        key: _with_described({**own, **known}[key], values.get(key)) for key in (*known, *(own.keys() - known.keys()))
    }


def completed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts that a stand-in copies from the real chart: objects without content, and labels of pods."""
    if not facts:
        return {}
    release = facts["release"]
    objects = [_released(one, release) for one in facts["objects"] if "in" not in one and one["kind"] in BARE]
    pods = {
        f"{one['kind']}/{_renamed(one['name'], release)}": {
            key: "$release" if key == INSTANCE else value for key, value in one["pods"].items()
        }
        for one in facts["objects"]
        if "pods" in one
    }
    return {"facts": objects, "pods": pods}


def _released(fact: dict[str, Any], release: str) -> dict[str, Any]:
    """Return an object of the facts, named after the release of the stand-in."""
    named = {"name": _renamed(fact["name"], release)}
    if "role" in fact:
        kind, _, name = fact["role"].partition("/")
        accounts = [one.rpartition("/") for one in fact["accounts"]]
        named["role"] = f"{kind}/{_renamed(name, release)}"
        return fact | named | {"accounts": [f"{space}/{_renamed(name, release)}" for space, _, name in accounts]}
    return fact | named


def _renamed(name: str, release: str) -> str:
    return f"$release{name.removeprefix(release)}" if re.match(rf"{re.escape(release)}(?:-|\Z)", name) else name


def _schema(value: Any, path: tuple[str, ...], closed: frozenset[str]) -> dict[str, Any]:
    """Return the type of a value, for a map also those of its values; null has none."""
    if value is None:
        return {}
    kind = KINDS[type(value)]
    if kind != "object":
        return {"type": kind}
    properties = {name: _schema(inner, (*path, name), closed) for name, inner in value.items()}
    more = {"additionalProperties": False} if ".".join(path) in closed else {}
    return {"type": "object", "properties": properties, **more}


_descriptions: dict[tuple[Path, int], dict[str, Any]] = {}


def _read(file: Path) -> dict[str, Any]:
    """Read a description once, as long as its file stays the same."""
    key = (file, file.stat().st_mtime_ns)
    if key not in _descriptions:
        _descriptions[key] = own_data.value_of(file)
    return _descriptions[key]


def _expanded(value: Any) -> Any:
    """Return a description with its short words expanded to templates."""
    if isinstance(value, str):
        for word, meaning in SHORT.items():
            value = value.replace(word, meaning)
        return value
    if isinstance(value, dict):
        return {_expanded(key): _expanded(inner) for key, inner in value.items()}
    return [_expanded(inner) for inner in value] if isinstance(value, list) else value

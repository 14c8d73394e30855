"""Facts of real charts: the values that they accept, and the objects that the tree's own values produce.

    python -m standins.facts CHART_FOLDER SOURCE

is a developer's command: the folder of a real chart comes in, with its dependencies in `charts/`, and the place where
it was read; a file in `standins/data/facts` goes out. Only facts are stored, never the chart's text. `standins.charts`
makes each stand-in reject values that its chart does not have, and adds the objects of the chart;
`tests/standins/test_facts.py` compares the two.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import programs
from config import bounds, own_data
from manifests import kubernetes_yaml
from manifests.fields import entries, mapping, mappings, text
from manifests.objects import CRD, Object, unpacked
from manifests.values import Known, known_values
from standins.crds import DATA

FACTS = DATA / "facts"
WORKLOADS = ("DaemonSet", "Deployment", "StatefulSet")
# The API versions that Argo CD passes to charts, as the layer `crds` defines them: some create a ServiceMonitor or a
# GatewayClass only with them.
API_VERSIONS = (
    *("monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1", "snapshot.storage.k8s.io/v1"),
    *(f"monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule")),
    *(f"gateway.networking.k8s.io/v1/{kind}" for kind in ("GatewayClass", "Gateway", "HTTPRoute")),
)
KUBERNETES = "1.36"
SLOW = 120.0


@dataclass(frozen=True)
class Use:
    """One folder of the tree that inflates a chart, with its values."""

    folder: str
    chart: str
    version: str
    release: str
    namespace: str
    values: tuple[Path, ...]
    below: str = ""


@cache
def facts_of(chart: str) -> Mapping[str, Any]:
    """Return the facts of a real chart, nothing if it was never read."""
    file = FACTS / f"{chart}.yaml"
    found: dict[str, Any] = own_data.value_of(file) if file.is_file() else {}
    return found


def uses(root: Path, chart: str) -> Iterator[Use]:
    """Yield every folder of the tree that uses a chart."""
    for file in sorted(root.glob("apps/*/*/*/kustomization.yaml")):
        for entry in mappings(kubernetes_yaml.document(file.read_text(encoding="utf-8")), "helmCharts"):
            if text(entry, "name") == chart:
                files = [text(entry, "valuesFile"), *entries(entry, "additionalValuesFiles")]
                values = tuple(file.parent / one for one in files if one)
                folder, version = str(file.parent.relative_to(root)), text(entry, "version")
                release = text(entry, "releaseName")
                yield Use(folder, chart, version, release, text(entry, "namespace"), values)
    for file in sorted(root.glob("apps/*/*/*/Chart.yaml")):
        for entry in mappings(kubernetes_yaml.document(file.read_text(encoding="utf-8")), "dependencies"):
            if text(entry, "name") == chart:
                category, app, environment = file.parent.parts[-3:]
                folder = str(file.parent.relative_to(root))
                parts = (
                    file.parents[1] / "base/values.yaml",
                    root / f"apps/_settings/{environment}/values/{category}/{app}.yaml",
                    file.parent / "values.yaml",
                )
                values = tuple(one for one in parts if one.is_file())
                yield Use(folder, chart, text(entry, "version"), f"{category}-{app}", category, values, chart)


def inflated(chart: Path, use: Use, env: Mapping[str, str] | None = None) -> list[Object]:
    """Return the objects that a chart makes from a folder's values."""
    documents = [kubernetes_yaml.document(file.read_text(encoding="utf-8")) or {} for file in use.values]
    parts = [mapping(one, use.below) if use.below else one for one in documents]
    apis = [part for one in API_VERSIONS for part in ("--api-versions", one)]
    options = ("--namespace", use.namespace, "--include-crds", "--no-hooks", "--kube-version", KUBERNETES, *apis)
    merged: dict[str, Any] = {}
    for one in parts:
        merged = _over(merged, one)
    arguments = ("--values", "-", *options)
    made = programs.run(
        "helm", "template", use.release, chart, *arguments, env=env, stdin=yaml.safe_dump(merged), timeout=SLOW
    ).stdout
    return list(unpacked(kubernetes_yaml.documents(made, bounds.OF_A_RENDER)))


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge one file of values over another, as helm does."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def described(item: Object, use: Use) -> dict[str, Any]:
    """Return the stored part of an object: its identity, and the fields by which others select it."""
    name, space = text(item, "metadata", "name"), text(item, "metadata", "namespace")
    found: dict[str, Any] = {"apiVersion": str(item["apiVersion"]), "kind": str(item["kind"]), "name": name}
    if space and not str(item["kind"]).startswith("Cluster"):
        found["namespace"] = "$namespace" if space == use.namespace else space
    if item["kind"] == "Service":
        found["ports"] = {
            text(one, "name") or text(one, "port"): one.get("port") for one in mappings(item, "spec", "ports")
        }
    if item["kind"] in WORKLOADS:
        found["pods"] = {
            key: value
            for key, value in mapping(item, "spec", "template", "metadata", "labels").items()
            if not re.search(r"version|managed-by|chart|part-of", key)
        }
    if str(item["kind"]).endswith("RoleBinding"):
        found["role"] = f"{text(item, 'roleRef', 'kind')}/{text(item, 'roleRef', 'name')}"
        found["accounts"] = [
            f"{'$namespace' if text(one, 'namespace') == use.namespace else text(one, 'namespace')}/{text(one, 'name')}"
            for one in mappings(item, "subjects")
            if text(one, "kind") == "ServiceAccount"
        ]
    return found


def read(root: Path, chart: Path, source: str) -> dict[str, Any]:
    """Return all facts of one real chart."""
    about = kubernetes_yaml.document((chart / "Chart.yaml").read_text(encoding="utf-8"))
    name = text(about, "name")
    by_use = {use.folder: use for use in uses(root, name)}
    found = {folder: inflated(chart, use) for folder, use in by_use.items()}
    objects: dict[str, tuple[dict[str, Any], list[str]]] = {}
    crds: set[str] = set()
    for folder, made in found.items():
        for item in made:
            if item["kind"] == CRD:
                crds.add(text(item, "metadata", "name"))
            else:
                one = described(item, by_use[folder])
                objects.setdefault(yaml.safe_dump(one), (one, []))[1].append(folder)
    return {
        "chart": name,
        "version": text(about, "version"),
        "source": source,
        "release": next(use.release for use in by_use.values()),
        "values": _sorted(known_values(chart)),
        "crds": sorted(crds),
        "objects": [one if len(where) == len(found) else one | {"in": where} for one, where in objects.values()],
    }


def _sorted(known: Known) -> Known:
    """Return a tree of keys in alphabetical order, so that the same chart gives the same file."""
    return None if known is None else {key: _sorted(known[key]) for key in sorted(known)}


def main(arguments: Sequence[str]) -> int:
    """Write the facts of the chart in a folder."""
    if len(arguments) not in (2, 3):
        print("usage: python -m standins.facts CHART_FOLDER SOURCE [VERSION]", file=sys.stderr)
        return 2
    facts = read(Path.cwd(), Path(arguments[0]), arguments[1]) | dict(zip(("version",), arguments[2:], strict=False))
    FACTS.mkdir(exist_ok=True)
    head = "# Made by `python -m standins.facts`: values and objects of the real chart.\n"
    written = yaml.safe_dump(facts, sort_keys=False, width=118, default_flow_style=None)
    (FACTS / f"{facts['chart']}.yaml").write_text(head + written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

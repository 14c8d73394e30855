"""Values that a chart knows, from its own files, and the values of an app that its chart does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from manifests.rules import chart_objects, chart_values
from manifests.sources import Chart
from manifests.values import known_values, unknown_values
from tests.manifests.checkout import Charts

VALUES = """
image: {repository: one, tag: ""}
resources: {requests: {cpu: 10m}}
nested: {here: {enabled: false}}
annotations: {}
sub: {replicas: 1}
"""
TEMPLATE = """
{{- $values := .Values }}
replicas: {{ $values.fromAlias.count }}
image: {{ .Values.image.repository }}:{{ .Values.image.tag }}
policy: {{ .Values.image.pullPolicy | default "IfNotPresent" }}
resources: {{- toYaml .Values.resources | nindent 2 }}
{{- if index .Values "dashed-name" "enabled" }}
{{- end }}
"""
KUSTOMIZATION = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [route.yaml, policy.yaml]
helmCharts:
  - {name: thing, repo: https://charts.example.com, version: 1.2.3, releaseName: thing, valuesFile: values.yaml}
configMapGenerator:
  - {name: made, literals: [a=b]}
"""
THING = Chart("thing", "1.2.3", "https://charts.example.com")


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / THING.folder / THING.name
    (folder / "templates").mkdir(parents=True)
    (folder / "values.yaml").write_text(VALUES, encoding="utf-8")
    (folder / "templates" / "all.yaml").write_text(TEMPLATE, encoding="utf-8")
    about = {"name": "thing", "version": "1.2.3", "dependencies": [{"name": "sub", "condition": "sub.enabled"}]}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
    below = folder / "charts" / "sub"
    below.mkdir(parents=True)
    (below / "Chart.yaml").write_text("{name: sub, version: 1.0.0}", encoding="utf-8")
    (below / "values.yaml").write_text("{replicas: 1, port: 80}", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("values", "unknown"),
    [
        ("image: {pullPolicy: Always}", []),
        ("resources: {limits: {cpu: 1}}", []),
        ("annotations: {whatever: it is}", []),
        ("{dashed-name: {enabled: true}, fromAlias: {count: 1}, global: {x: 1}}", []),
        ("sub: {enabled: true, port: 81}", []),
        ("imag: {tag: x}", ["imag"]),
        ("image: {tga: x}", ["image.tga"]),
        ("nested: {here: {enable: true}}", ["nested.here.enable"]),
        ("sub: {ports: 81}", ["sub.ports"]),
    ],
)
def test_values_and_templates_of_a_chart_define_its_values(chart: Path, values: str, unknown: list[str]) -> None:
    found = unknown_values(yaml.safe_load(values), known_values(chart))
    assert [".".join(map(str, path)) for path, _ in found] == unknown


@pytest.fixture
def app(tmp_path: Path, chart: Path) -> Path:
    folder = tmp_path / "tree" / "apps" / "media" / "thing"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(KUSTOMIZATION, encoding="utf-8")
    (folder / "values.yaml").write_text("nested:\n  here:\n    enable: true\n", encoding="utf-8")
    (folder / "route.yaml").write_text("{kind: HTTPRoute, metadata: {name: thing}}", encoding="utf-8")
    (folder / "policy.yaml").write_text("{kind: NetworkPolicy, metadata: {name: app}}", encoding="utf-8")
    return tmp_path / "tree"


def test_a_value_unknown_to_a_real_chart_has_its_line(app: Path, tmp_path: Path) -> None:
    reader = CheckoutReader(app)
    found = chart_values.unused_values_of(reader, contents_of(reader, "apps/media/thing"), Charts(tmp_path / "home"))
    (problem,) = map(str, found)
    assert problem.startswith("apps/media/thing/values.yaml:3: nested.here.enable: is no value of thing 1.2.3: ")
    assert problem.endswith("did you mean enabled? [value-unknown]")


def test_an_object_without_a_file_is_of_the_chart(app: Path) -> None:
    reader = CheckoutReader(app)
    made = ("HTTPRoute thing", "NetworkPolicy thing", "ConfigMap made", "ConfigMap thing-config", "Deployment thing")
    objects = [{"kind": kind, "metadata": {"name": name}} for kind, name in map(str.split, made)]
    found = chart_objects.of_charts(reader, contents_of(reader, "apps/media/thing"), objects)
    assert [made[index] for index in sorted(found)] == ["ConfigMap thing-config", "Deployment thing"]

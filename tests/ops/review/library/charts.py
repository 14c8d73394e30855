"""The versions of a chart, in the place of those that `./homelab render --fetch` gets from a repository."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from manifests.sources import Chart
from manifests.umbrella import lock_digest
from tests.manifests.checkout import lay

REPOSITORY = "https://charts.example.com"
# 1.0.1 moves the image alone, 1.1.0 also writes 2,000 other lines, 2.0.0 runs another number of Pods.
VERSIONS: Mapping[str, Mapping[str, Any]] = {
    "1.0.0": {"lines": "line"},
    "1.0.1": {"lines": "line"},
    "1.1.0": {"lines": "row"},
    "2.0.0": {"lines": "line", "replicas": 2},
}
LINES = 1000
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
  labels: &labels
    app.kubernetes.io/name: greeter
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
    app.kubernetes.io/managed-by: {{ .Release.Service }}
    helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: {app.kubernetes.io/instance: {{ .Release.Name }}}
  template:
    metadata:
      labels: *labels
      annotations: {checksum/lines: {{ .Values.lines | sha256sum }}}
    spec:
      securityContext:
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: greeter
          image: ghcr.io/example/greeter:{{ .Chart.AppVersion }}
          args: [--who, {{ .Values.who }}]
          resources:
            requests: {cpu: 10m, memory: 16Mi}
            limits: {memory: 32Mi}
          livenessProbe: &probe
            httpGet: {path: /, port: 8080}
          readinessProbe: *probe
          securityContext:
            allowPrivilegeEscalation: false
            capabilities: {drop: [ALL]}
"""
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-lines
  namespace: {{ .Release.Namespace }}
data:
  lines: |
{{- range until LINES }}
    {{ $.Values.lines }} {{ . }}
{{- end }}
""".replace("LINES", str(LINES))


def lay_charts(originals: Path) -> None:
    """Write every version of the chart to a cache of originals."""
    for version, values in VERSIONS.items():
        about = {"apiVersion": "v2", "name": "greeter", "version": version, "appVersion": version}
        folder = originals / "charts" / Chart("greeter", version, REPOSITORY).folder / "greeter"
        files = {"templates/deployment.yaml": DEPLOYMENT, "templates/lines.yaml": CONFIG_MAP}
        texts = {"Chart.yaml": about, "values.yaml": {"replicas": 1, "who": "world", **values}}
        lay(folder, files | {name: yaml.safe_dump(text) for name, text in texts.items()})


def lock(root: Path) -> None:
    """Write the lock of each umbrella chart, as `helm dependency update` does."""
    for file in (root / "apps").glob("[!_]*/[!_]*/*/Chart.yaml"):
        wanted: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))["dependencies"]
        text = yaml.safe_dump({"dependencies": wanted, "digest": lock_digest(wanted, wanted)})
        file.with_name("Chart.lock").write_text(text, encoding="utf-8")

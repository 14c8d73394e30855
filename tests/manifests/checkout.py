"""Small checkouts, charts and sources for the tests of this folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

from manifests import objects
from manifests.objects import Object
from manifests.render import Folder, Renderer, render_all
from manifests.sources import Chart

REPOSITORY = "https://charts.example.com"
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-settings
  namespace: {{ .Release.Namespace }}
data:
  greeting: {{ .Values.greeting | quote }}
  who: {{ .Values.who | quote }}
  kubernetes: {{ .Capabilities.KubeVersion.Version }}
  monitors: {{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor" | quote }}
  namespace: {{ .Release.Namespace }}
"""
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.example.com
"""
VALUES = "greeting: hello\nwho: world\n"

KUSTOMIZATION = f"""\
    namespace: media
    resources: [extra.yaml]
    helmCharts:
      - name: greeter
        repo: {REPOSITORY}
        version: 1.0.0
        releaseName: greeter
        valuesFile: values.yaml
    """


def lay(root: Path, files: dict[str, str]) -> None:
    """Write files by their paths."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")


def config_map(name: str, **data: str) -> str:
    lines = "".join(f"\n  {key}: {value!r}" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n" + (f"data:{lines}\n" if data else "")


def make_chart(folder: Path, chart: Chart, files: dict[str, str] | None = None) -> Path:
    """Make a chart's folder with a ConfigMap, a CRD and values; `files` adds to these or replaces them."""
    usual = {
        "Chart.yaml": f"apiVersion: v2\nname: {chart.name}\nversion: {chart.version}\n",
        "values.yaml": VALUES,
        "templates/settings.yaml": TEMPLATE,
        "crds/things.yaml": CRD,
    }
    lay(folder, usual | (files or {}))
    return folder


@dataclass
class Charts:
    """A source of charts that a test adds, with a record of the requests."""

    home: Path
    asked: list[Chart] = field(default_factory=list)

    def add(self, name: str, version: str = "1.0.0", files: dict[str, str] | None = None) -> Path:
        chart = Chart(name, version, REPOSITORY)
        return make_chart(self.home / chart.folder / name, chart, files)

    def chart(self, chart: Chart) -> Path | None:
        self.asked.append(chart)
        folder = self.home / chart.folder / chart.name
        return folder if folder.is_dir() else None


@dataclass
class Bases:
    """A source of remote bases that a test adds."""

    known: dict[str, Path] = field(default_factory=dict)

    def base(self, url: str, version: str = "") -> Path | None:
        return self.known.get(url)


def messages(renderer: Renderer, *paths: str) -> list[str]:
    """Render folders and return the messages of their problems."""
    return [str(problem) for problem in render_all(renderer, map(Folder, paths)).problems]


def message(renderer: Renderer, path: str) -> str:
    """Render a folder with exactly one problem and return its message."""
    (said,) = messages(renderer, path)
    return said


def counting(folder: Path, env: dict[str, str], *programs: str) -> tuple[dict[str, str], Path]:
    """Return an environment whose programs record each call and then run the real ones, and the file of the records."""
    bin_, calls = folder / "bin", folder / "calls"
    bin_.mkdir()
    calls.touch()
    for name in programs:
        real = next(Path(part) / name for part in env["PATH"].split(os.pathsep) if (Path(part) / name).is_file())
        (bin_ / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{calls}"\nexec "{real}" "$@"\n', encoding="utf-8")
        (bin_ / name).chmod(0o755)
    return env | {"PATH": f"{bin_}{os.pathsep}{env['PATH']}"}, calls


def names(items: tuple[Object, ...]) -> list[str]:
    return [str(objects.identity(item)) for item in items]


def settings(items: tuple[Object, ...]) -> dict[str, Any]:
    found: dict[str, Any] = next(item["data"] for item in items if item["metadata"]["name"].endswith("-settings"))
    return found

"""Charts in the user's cache: pulled once, explicitly, and used by every checkout from then on.

A chart goes in, its folder comes out. `CachedCharts.fetch` is the only place that reaches chart repositories; it runs
the operator's own helm with the operator's own configuration, so credentials are whatever `helm registry login` and
`helm repo add` have kept, or what HELM_REGISTRY_CONFIG and HELM_REPOSITORY_CONFIG name. `manifests.render` continues.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import programs
from errors import ProgramFailed
from manifests import reading
from manifests.sources import Chart, cache, environment, locked

SLOW = 300.0


@dataclass(frozen=True)
class CachedCharts:
    """The charts of the user's cache."""

    home: Path = field(default_factory=lambda: cache() / "charts")

    def chart(self, chart: Chart) -> Path | None:
        """Give the chart's folder if it was fetched; a folder that exists is complete."""
        folder = self.home / chart.folder / chart.name
        return folder if (folder / "Chart.yaml").is_file() else None

    def fetch(self, chart: Chart, env: Mapping[str, str] | None = None) -> Path:
        """Pull a chart unless it is there, whole or not at all."""
        with locked(self.home / f".lock-{chart.folder}"):
            found = self.chart(chart)
            if found:
                return found
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=self.home) as fresh:
                _pull(chart, Path(fresh) / "chart", environment(env))
                shutil.rmtree(self.home / chart.folder, ignore_errors=True)
                (Path(fresh) / "chart").rename(self.home / chart.folder)
            return self.home / chart.folder / chart.name


def _pull(chart: Chart, into: Path, env: dict[str, str]) -> None:
    pull = ("pull", "--untar", "--untardir", into, "--version", chart.version)
    if chart.repository.startswith("oci://"):
        programs.run("helm", *pull, f"{chart.repository.rstrip('/')}/{chart.name}", env=env, timeout=SLOW)
    elif known := _known(chart.repository, env):
        programs.run("helm", "repo", "update", known, env=env, timeout=SLOW)
        programs.run("helm", *pull, f"{known}/{chart.name}", env=env, timeout=SLOW)
    else:
        programs.run("helm", *pull, "--repo", chart.repository, chart.name, env=env, timeout=SLOW)
    if not (into / chart.name / "Chart.yaml").is_file():
        raise ProgramFailed(f"helm pull {chart}: the archive holds no {chart.name}/Chart.yaml", exit_code=0, output="")


def _known(repository: str, env: dict[str, str]) -> str | None:
    """Name the operator's own entry for a repository: it may hold a password, which `--repo` would not see."""
    file = Path(programs.run("helm", "env", "HELM_REPOSITORY_CONFIG", env=env).stdout.strip())
    try:
        kept: Any = reading.document(file.read_text(encoding="utf-8"))
        entries = kept.get("repositories") or []
        same = [entry for entry in entries if entry["url"].rstrip("/") == repository.rstrip("/")]
        return str(same[0]["name"]) if same else None
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None

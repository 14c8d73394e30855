"""Charts in the user's cache: pulled once and used by every checkout from then on.

A chart goes in, its folder comes out. `CachedCharts.fetch` is the only place that reaches chart repositories; it runs
the operator's own helm with the operator's own configuration, so credentials are those that `helm registry login` and
`helm repo add` have kept, or what HELM_REGISTRY_CONFIG and HELM_REPOSITORY_CONFIG name. The archive's digest is
remembered (`manifests.receipts`): another archive under the same version is refused. `manifests.render` continues.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

import programs
from errors import OriginalRefused
from local.cache import digest, locked
from manifests import archive, kubernetes_yaml, receipts
from manifests.fields import text
from manifests.receipts import Receipt
from manifests.sources import Chart, environment, is_loopback, new_entry, originals

SLOW = 300.0
OF_A_REGISTRY = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class CachedCharts:
    """The charts of the user's cache."""

    home: Path = field(default_factory=lambda: originals() / "charts")
    verified: set[Path] = field(default_factory=set, compare=False, repr=False)

    def chart(self, chart: Chart) -> Path | None:
        """Return the chart's folder if it was fetched and no file of it has changed since."""
        if not chart.is_named:
            return None
        entry = self.home / chart.folder
        folder = entry / chart.name
        if not (folder / "Chart.yaml").is_file():
            return None
        if entry not in self.verified:
            if not receipts.is_intact(entry, self.receipt(chart)):
                return None
            self.verified.add(entry)
        return folder

    def is_damaged(self, chart: Chart) -> bool:
        """Report whether there is an entry that cannot be used."""
        return (self.home / chart.folder).exists() and self.chart(chart) is None

    def receipt(self, chart: Chart) -> Path:
        """Return the file in which the chart's digests are remembered."""
        return self.home / f"{chart.folder}.json"

    def fetch(self, chart: Chart, env: Mapping[str, str] | None = None, timeout: float = SLOW) -> Path:
        """Fetch a chart unless it is cached, whole or not at all."""
        if not chart.is_named:
            raise OriginalRefused(f"has a name that is no chart's: {chart.name} {chart.version}", "correct the name")
        with locked(self.home / f".lock-{chart.folder}"):
            found = self.chart(chart)
            if found:
                return found
            entry, receipt = self.home / chart.folder, self.receipt(chart)
            with new_entry(entry) as fresh:
                manifest = _pull(chart, fresh / "pulled", environment(env), timeout)
                packed = _pulled(chart, fresh / "pulled")
                taken = Receipt(str(chart), f"sha256:{digest(packed.read_bytes())}", manifest, "")
                receipts.check(receipt, taken)
                archive.unpack(packed, fresh / "entry" / chart.name)
                _check_name(chart, fresh / "entry" / chart.name)
                receipts.write(receipt, replace(taken, content=receipts.content_of(fresh / "entry")))
            return entry / chart.name


def _pull(chart: Chart, into: Path, env: dict[str, str], timeout: float) -> str:
    """Run helm to write the chart's archive into a folder, and return the registry's digest."""
    into.mkdir()
    pull = ("pull", "--destination", into, "--version", chart.version)
    if chart.repository.startswith("oci://"):
        # As container runtimes do: plain HTTP to this machine alone.
        plain = ("--plain-http",) if is_loopback(chart.repository) else ()
        place = f"{chart.repository.rstrip('/')}/{chart.name}"
        finished = programs.run("helm", *pull, *plain, "--", place, env=env, timeout=timeout)
        found = OF_A_REGISTRY.search(f"{finished.stdout}\n{finished.stderr}")
        return found[1] if found else ""
    if known := _known(chart.repository, env):
        programs.run("helm", "repo", "update", known, env=env, timeout=timeout)
        programs.run("helm", *pull, "--", f"{known}/{chart.name}", env=env, timeout=timeout)
    else:
        programs.run("helm", *pull, "--repo", chart.repository, "--", chart.name, env=env, timeout=timeout)
    return ""


def _pulled(chart: Chart, folder: Path) -> Path:
    found = [file for file in folder.iterdir() if file.is_file()]
    if len(found) != 1:
        raise OriginalRefused(f"came as {len(found)} files, and not as one archive", archive.FIX)
    return found[0]


def _check_name(chart: Chart, folder: Path) -> None:
    """Refuse an archive of another chart: helm and kustomize would look for this one by its name."""
    try:
        about = kubernetes_yaml.document((folder / "Chart.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        raise OriginalRefused("is an archive without a Chart.yaml that can be read", archive.FIX) from None
    if text(about, "name") != chart.name:
        raise OriginalRefused(f"is an archive of another chart: {text(about, 'name')}", archive.FIX)


def _known(repository: str, env: dict[str, str]) -> str | None:
    """Return the user's own entry for a repository: it can have a password, which `--repo` would ignore."""
    file = Path(programs.run("helm", "env", "HELM_REPOSITORY_CONFIG", env=env).stdout.strip())
    try:
        kept: Any = kubernetes_yaml.document(file.read_text(encoding="utf-8"))
        entries = kept.get("repositories") or []
        same = [entry for entry in entries if entry["url"].rstrip("/") == repository.rstrip("/")]
        return str(same[0]["name"]) if same else None
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None

"""A control plane without Talos nodes and without a rehearsal of a stack, for tests of what runs beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
from lab.control_plane import kubernetes
from lab.layout import Lab
from lab.running import servers
from tests.lab.checkout import ROOT


@contextmanager
def control_plane(folder: Path, env: Mapping[str, str]) -> Iterator[Lab]:
    """Yield the folder of a control plane that runs."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATH", env["PATH"])
        environment.setenv("PYTHONPATH", str(ROOT))
        lab = Lab(folder / "lab")
        programs.run("talosctl", "gen", "secrets", "-o", folder / "secrets.yaml")
        asked = ["--with-secrets", str(folder / "secrets.yaml"), "--output-types", "controlplane", "-o", "-"]
        said = programs.run("talosctl", "gen", "config", *asked, "homelab", "https://10.0.0.5:6443").stdout
        try:
            kubernetes.start(lab, next(yaml.safe_load_all(said)))
            yield lab
        finally:
            servers.stop_all(lab)


def assessed(item: Mapping[str, Any], settings: str, folder: Path, env: Mapping[str, str]) -> str:
    """Return Argo CD's assessment of an object's health; `settings` is the ConfigMap argocd-cm."""
    file, config = folder / "object.json", folder / "argocd-cm.yaml"
    file.write_text(json.dumps(item))
    config.write_text(settings)
    asked = ["admin", "settings", "resource-overrides", "health", str(file), f"--argocd-cm-path={config}"]
    return programs.run("argocd", *asked, env=env).stdout.partition("\n")[0].removeprefix("STATUS: ")

"""Placeholders of settings in texts, and in the values of charts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.app_settings import HEAD
from config.category import Category
from config.load import read_stacks
from config.tree import App, CategoryFolder
from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from manifests.rules.routes import hosts
from manifests.rules.setting_values import placeholder, unreplaced, unreplaced_values
from manifests.rules.stack_objects import AppFolder, AppObject, StackObjects
from tests.manifests.rules.scenario import CHECKOUT

FOLDER = "apps/media/radarr"
SETTINGS = "apps/_settings/production/values/media/radarr.yaml"
KUSTOMIZATION = f"""\
helmCharts:
  - name: radarr
    repo: https://charts.example.org
    version: 1.2.3
    valuesFile: ../base/values.yaml
    additionalValuesFiles: [broken.yaml, ../../../../{SETTINGS}]
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("networkDomain", "networkDomain"),
        ("networkVip:80", "networkVip"),
        ("s3://platformBackupBucket/postgres", "platformBackupBucket"),
        ("- issuer: platformArgocdSsoIssuer\n- scope: x\n", "platformArgocdSsoIssuer"),
        ("networkDomains", ""),
        ("clusterName", "clusterName"),
        ("shared-clusterGeneration", "clusterGeneration"),
        ("spec.clusterName", ""),
        ("set clusterName", ""),
        ("{clusterName: 1}\n", ""),
        ("x.domain", "x.domain"),
        ("x.domain/32", "x.domain"),
        ("*.domain", "*.domain"),
        ("--on=a.domain:80", "a.domain"),
        ("a.domain,b.domain", "a.domain"),
        ("https://x.domain/y", "x.domain"),
        ("run --url https://x.domain", "x.domain"),
        ("one\nurl = https://x.domain\n", "x.domain"),
        ("if (document.domain) {}\n", ""),
        ("a = document.domain", ""),
        ("document.domain=1", ""),
        ("x.domain.org", ""),
        ("https://x.domain.org", ""),
    ],
)
def test_a_placeholder_is_a_whole_name_or_a_host(text: str, found: str) -> None:
    assert placeholder(text) == found


def test_a_placeholder_in_the_values_of_a_chart_is_found_beside_a_file_that_is_not_yaml(tmp_path: Path) -> None:
    files = {
        f"{FOLDER}/production/broken.yaml": "a: [\n",
        f"{FOLDER}/production/kustomization.yaml": KUSTOMIZATION,
        f"{FOLDER}/base/values.yaml": "ingress:\n  host: radarr.domain\n  name: radarr\n",
        SETTINGS: HEAD.format(file="Pulumi.home.yaml", command="./homelab settings") + "a: b\nsubnet: networkSubnet\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    reader = CheckoutReader(tmp_path)
    app = App("media", "radarr", "production", "kustomization")
    contents = contents_of(reader, app.path)
    assert contents.problems == []
    folder = AppFolder(reader, read_stacks(CHECKOUT)[0], app, contents)
    objects = StackObjects("home", "production", "1.36.3", "home.example.com", (), folders=(folder,))
    rule = "and no replacement reaches the values of a chart"
    fix = f"write the setting in braces in {FOLDER}/base/values.settings.yaml, such as {{network.domain}}"
    end = f", {rule}; {fix} [value-unreplaced]"
    assert [str(problem).removesuffix(end) for problem in unreplaced_values(objects)] == [
        f"{FOLDER}/base/values.yaml:2: ingress.host = radarr.domain: contains radarr.domain",
        f"{FOLDER}/base/values.settings.yaml:2: subnet = networkSubnet: contains networkSubnet",
    ]


@pytest.mark.parametrize("by_chart", [True, False])
def test_a_host_that_a_chart_leaves_unreplaced_is_foreign(by_chart: bool) -> None:
    route: dict[str, Any] = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "radarr"}}
    route["spec"] = {"rules": [{"host": "radarr.domain", "http": {}}]}
    app = App("media", "radarr", "production", "kustomization")
    category = CategoryFolder("media", "apps/media", Category(layer="applications"), (app,))
    obj = AppObject(route, app, category, "media", inflated=by_chart)
    objects = StackObjects("home", "production", "1.36.3", "home.example.com", (obj,))
    found = [(one.check, one.value) for run in (hosts, unreplaced) for one in run(objects)]
    assert found == [("host-foreign" if by_chart else "setting-unreplaced", "radarr.domain")]

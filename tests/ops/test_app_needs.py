"""The needs of an app are the sums of its files, which are read and not rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.tree import App, read_tree
from manifests.checkout import CheckoutReader
from manifests.secret_entries import StoreEntry
from ops.app_needs import GIBI, MEBI, Needs, as_table, needs_of, size, total

ROOT = Path(__file__).parents[2]


def written(root: Path, files: dict[str, str], environment: str = "resources: [../base]\n") -> Needs:
    """Write the base of an app and its environment, and return its needs."""
    app = App("media", "photos", "home", "kustomization")
    listed = "".join(f"  - {name}\n" for name in files if name.endswith(".yaml") and name != "patch.yaml")
    texts = {f"base/{name}": text for name, text in files.items()}
    texts |= {"base/kustomization.yaml": f"resources:\n{listed}", "home/kustomization.yaml": environment}
    for name, text in texts.items():
        (root / app.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (root / app.folder / name).write_text(text, encoding="utf-8")
    return needs_of(CheckoutReader(root), app)


def test_memory_is_the_sum_of_what_lasting_pods_request(tmp_path: Path) -> None:
    deployment = """
kind: Deployment
spec:
  replicas: 2
  template:
    spec:
      initContainers:
        - {name: first, resources: {requests: {memory: 4Gi}}}
        - {name: beside, restartPolicy: Always, resources: {requests: {memory: 16Mi}}}
      containers:
        - {name: a, resources: {requests: {memory: 128Mi}, limits: {memory: 1Gi}}}
        - {name: limited, resources: {limits: {memory: 64Mi}}}
        - {name: free}
---
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{resources: {requests: {memory: 8Gi}}}]}}}}}
"""
    patch = "kind: Deployment\nspec: {template: {spec: {containers: [{resources: {requests: {memory: 9Gi}}}]}}}\n"
    found = written(tmp_path, {"deployment.yaml": deployment, "patch.yaml": patch})
    assert found == Needs(memory=2 * (128 + 64 + 16) * MEBI)


def test_storage_is_the_sum_of_claims_and_databases(tmp_path: Path) -> None:
    claims = """
kind: PersistentVolumeClaim
spec: {resources: {requests: {storage: 5Gi}}}
---
kind: StatefulSet
spec: {replicas: 3, volumeClaimTemplates: [{spec: {resources: {requests: {storage: 1Gi}}}}]}
"""
    database = """
kind: Cluster
spec:
  instances: 2
  storage: {size: 10Gi}
  walStorage: {size: 2Gi}
  resources: {requests: {memory: 256Mi}}
"""
    found = written(tmp_path, {"claims.yaml": claims, "database.yaml": database})
    assert found == Needs(memory=512 * MEBI, storage=(5 + 3 + 24) * GIBI)


def test_entries_are_secrets_that_are_made_or_accounts(tmp_path: Path) -> None:
    secrets = """
kind: ExternalSecret
metadata:
  annotations:
    homelab.dev/entries: |
      photos-key: random
      photos-user: text admin
      photos-token: given, a token of the map service
      photos-mail: given or none, a mail account
"""
    found = written(tmp_path, {"external-secret.yaml": secrets})
    token = StoreEntry("photos-token", "given", "a token of the map service")
    mail = StoreEntry("photos-mail", "given", "a mail account", optional=True)
    assert found == Needs(secrets=("photos-key", "photos-user"), accounts=(mail, token))
    last = as_table({"media": {"media/photos": found}}).splitlines()[2]
    assert last.split(maxsplit=4) == [
        "media/photos",
        "-",
        "-",
        "2",
        "a mail account (optional); a token of the map service",
    ]


def test_an_entry_of_two_apps_counts_once() -> None:
    one = Needs(secrets=("shared",), accounts=(StoreEntry("mail", "given", "a mail account"),))
    assert total([one, one]) == one


def test_pods_of_a_chart_are_not_known(tmp_path: Path) -> None:
    chart = "helmCharts: [{name: photos, version: 1.2.3, repo: 'https://charts.example.com'}]\nresources: [../base]\n"
    found = written(tmp_path, {}, chart)
    assert found == Needs(chart=True)
    assert as_table({"media": {"media/photos": found}}).splitlines()[2].split() == [
        "media/photos",
        "chart",
        "-",
        "-",
        "-",
    ]


def test_a_file_that_is_not_yaml_has_no_needs(tmp_path: Path) -> None:
    assert written(tmp_path, {"broken.yaml": "{{ if }}\n  a: [\n"}) == Needs()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "-"), (1, "1MiB"), (512 * MEBI, "512MiB"), (GIBI, "1GiB"), (1536 * MEBI, "1.5GiB"), (2048 * GIBI, "2TiB")],
)
def test_sizes_are_short(number: int, text: str) -> None:
    assert size(number) == text


def test_the_tree_of_this_repository_has_the_needs_of_its_files() -> None:
    reader, tree = CheckoutReader(ROOT), read_tree(ROOT)
    needs = {app.label: needs_of(reader, app) for app in tree.apps_in("production", "applications")}
    immich, nextcloud = needs["media/immich"], needs["selfhosted/nextcloud"]
    assert immich == Needs(memory=(512 + 512 + 32 + 512) * MEBI, storage=60 * GIBI)
    assert nextcloud == Needs(
        memory=(256 + 32) * MEBI,
        storage=55 * GIBI,
        secrets=("nextcloud-admin-password", "nextcloud-admin-user"),
        chart=True,
    )
    assert [one.name for one in needs["home-automation/mosquitto"].accounts] == ["mosquitto-passwords"]

"""The health of environments: from the Argo CD that runs them, and without an error where none answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.load import read_stacks
from config.model import Settings
from errors import Declined, TookTooLong
from ops.argocd.client import ArgoCDClient
from ops.promotion import health
from ops.promotion.health import NO_CLUSTER, OTHER_CLUSTER, cell_health, health_of, of_cluster
from ops.promotion.report import CellHealth
from tests.ops.promotion.promoted import NOW, SERVER, Promoted, cells, checkout

REVISION = "3f" * 20
SYNCED, CHANGED = "2026-05-30T08:00:00Z", "2026-05-01T08:00:00Z"


def application(name: str, health: str = "Healthy", sync: str = "Synced", *, synced: str = SYNCED) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"syncPolicy": {"automated": {}}},
        "status": {
            "health": {"status": health, "lastTransitionTime": CHANGED},
            "sync": {"status": sync, "revision": REVISION},
            "history": [{"revision": REVISION, "deployedAt": synced}],
        },
    }


def generators(repository: str, environment: str) -> dict[str, Any]:
    files = [{"path": f"apps/media/*/{environment}/kustomization.yaml"}]
    return {
        "metadata": {"name": "media", "labels": {"homelab.dev/category": "media"}},
        "spec": {"generators": [{"git": {"repoURL": repository, "files": files}}]},
    }


@dataclass(frozen=True)
class AnsweringClient(ArgoCDClient):
    """A cluster that runs one environment."""

    answer: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def refuse_timeout(self) -> None:
        """Answer at once."""

    def argocd(self) -> dict[str, list[dict[str, Any]]]:
        return self.answer


def cluster(settings: Settings, environment: str, *found: dict[str, Any]) -> AnsweringClient:
    sets = [generators(settings.delivery.repository, environment)]
    return AnsweringClient({}, answer={"Application": list(found), "ApplicationSet": sets, "AppProject": []})


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Promoted:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return checkout(tmp_path / "checkout")


def settings_of(made: Promoted) -> dict[str, Settings]:
    return {stack.name: stack.require() for stack in read_stacks(made.root)}


def test_a_version_is_healthy_since_its_sync_where_the_health_did_not_change_with_it() -> None:
    found = cell_health(application("media-immich"))
    assert found == CellHealth(health="Healthy", sync="Synced", since=datetime(2026, 5, 30, 8, tzinfo=UTC))
    earlier = cell_health(application("media-immich", synced="2026-04-01T08:00:00Z"))
    assert earlier.since == datetime(2026, 5, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "sync"), [("Degraded", "Synced"), ("Healthy", "OutOfSync"), ("Progressing", "Synced")]
)
def test_an_app_that_is_not_good_is_not_healthy_since_a_time(state: str, sync: str) -> None:
    assert cell_health(application("media-immich", state, sync)) == CellHealth(health=state, sync=sync)


def test_an_app_without_a_status_is_unknown() -> None:
    found = cell_health({"metadata": {"name": "media-immich"}, "spec": {}})
    assert found == CellHealth(health="Unknown", sync="Unknown")


def test_the_health_of_a_cluster_is_in_the_cells_of_its_environment(made: Promoted) -> None:
    settings = settings_of(made)["staging"]
    found = of_cluster(cluster(settings, "staging", application("media-immich")), "staging", settings)
    assert found.origin == "stack staging (cluster)"
    matrix = made.matrix(health={"staging": found})
    health = cells(matrix, SERVER)["staging"].health
    assert health is not None
    assert health.since == datetime(2026, 5, 30, 8, tzinfo=UTC)
    assert health.since < NOW
    assert [cells(matrix, SERVER)[one].health for one in ("dev", "production")] == [None, None]
    assert [one.health for one in matrix.environments] == ["", "stack staging (cluster)", ""]


def test_a_cluster_of_another_environment_reports_nothing(made: Promoted) -> None:
    settings = settings_of(made)["staging"]
    found = of_cluster(cluster(settings, "production", application("media-immich")), "staging", settings)
    assert (found.origin, found.reason, dict(found.apps)) == ("", OTHER_CLUSTER, {})


def test_without_a_cluster_the_reason_is_said_once(made: Promoted) -> None:
    found = health_of(made.root, settings_of(made), forbidden="")
    assert {one.reason for one in found.values()} == {NO_CLUSTER}
    assert f"health in dev, staging, production is unknown: {NO_CLUSTER}" in made.matrix(health=dict(found)).notes


def test_where_requests_are_forbidden_no_cluster_gets_one(made: Promoted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(made.root / "kubeconfig"))

    def never(root: Path, stack: str) -> ArgoCDClient:
        raise AssertionError(stack)

    monkeypatch.setattr(health, "client_of", never)
    found = health_of(made.root, settings_of(made), forbidden="--offline")
    assert {one.reason for one in found.values()} == {"--offline allows no cluster"}


@pytest.mark.parametrize("error", [Declined("KUBECONFIG = x: does not exist"), TookTooLong("the API does not answer")])
def test_a_cluster_that_does_not_answer_is_no_error(
    error: Exception, made: Promoted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(made.root / "kubeconfig"))

    def failing(root: Path, stack: str) -> ArgoCDClient:
        raise error

    monkeypatch.setattr(health, "client_of", failing)
    found = health_of(made.root, settings_of(made), forbidden="")
    assert found["dev"].reason == f"stack dev: {error}"
    assert found["dev"].origin == ""

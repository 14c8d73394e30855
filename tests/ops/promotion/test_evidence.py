"""The evidence in Applications as Argo CD 3.6 writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from errors import Declined, ProgramFailed
from ops.argocd.client import ArgoCDClient
from ops.promotion import evidence
from ops.promotion.evidence import AppEvidence, NoEvidence, app_evidence, evidence_for, evidence_of
from tests.ops.promotion.example import IMMICH, Example

NEW, OLD, OLDEST = "a" * 40, "b" * 40, "c" * 40


def application(**status: Any) -> dict[str, Any]:
    """Return an Application that was synced three times, and whose health changed before the last sync."""
    history = [
        {"revision": OLDEST, "deployedAt": "2026-11-29T01:00:00Z", "id": 0},
        {"revision": OLD, "deployedAt": "2026-11-29T02:00:00Z", "id": 1},
        {"revision": NEW, "deployedAt": "2026-11-29T03:00:00Z", "id": 2},
    ]
    good = {
        "sync": {"status": "Synced", "revision": NEW},
        "health": {"status": "Healthy", "lastTransitionTime": "2026-11-29T01:30:00Z"},
        "history": history,
    }
    metadata = {"name": "media-immich", "labels": {"homelab.dev/category": "media"}}
    return {"metadata": metadata, "spec": {"syncPolicy": {"automated": {}}}, "status": {**good, **status}}


def test_an_application_is_read() -> None:
    assert app_evidence(application()) == AppEvidence(
        NEW,
        "Synced",
        "Healthy",
        healthy_at="2026-11-29T01:30:00Z",
        syncs=((NEW, "2026-11-29T03:00:00Z"), (OLD, "2026-11-29T02:00:00Z"), (OLDEST, "2026-11-29T01:00:00Z")),
    )


@pytest.mark.parametrize(
    ("same", "hour"),
    [
        ({NEW}, 3),
        ({NEW, OLD}, 2),
        ({NEW, OLDEST}, 3),  # another content came in between
        (set(), 3),  # no sync of this content: its objects are those of the last one
    ],
)
def test_the_time_is_that_of_the_first_sync_of_the_content(same: set[str], hour: int) -> None:
    assert app_evidence(application()).since(same.__contains__) == datetime(2026, 11, 29, hour, tzinfo=UTC)


def test_a_later_change_of_health_counts() -> None:
    health = {"status": "Healthy", "lastTransitionTime": "2026-11-29T04:00:00Z"}
    assert app_evidence(application(health=health)).since({NEW}.__contains__) == datetime(2026, 11, 29, 4, tzinfo=UTC)


def test_without_any_time_there_is_none() -> None:
    assert app_evidence(application(health={"status": "Healthy"}, history=[])).since({NEW}.__contains__) is None


def test_an_application_that_was_never_compared_has_no_revision() -> None:
    assert app_evidence({**application(), "status": {}}) == AppEvidence("")


def test_an_error_and_a_running_sync_are_read() -> None:
    conditions = [{"type": "ComparisonError", "message": "app path does not exist"}]
    found = app_evidence(application(conditions=conditions, operationState={"phase": "Running"}))
    assert (found.is_good, found.detail) == (False, "app path does not exist")
    assert found.state == "Synced and Healthy, during a sync"


class Fake(ArgoCDClient):
    """A cluster with one Application, or one that fails."""

    failure: ProgramFailed | None = None

    def argocd(self) -> dict[str, list[dict[str, Any]]]:
        if self.failure:
            raise self.failure
        return {"Application": [application()], "ApplicationSet": [], "AppProject": []}


def test_revisions_of_a_rehearsal_become_commits_of_the_checkout(repository: Example) -> None:
    app = repository.ground().tree.apps_in("dev")[0]
    found = evidence_of(Fake({}), "dev", _origin).of(app)
    assert found is not None
    assert (found.revision, found.is_edited) == (OLDEST, True)
    assert found.syncs[0] == (f"{OLDEST}+", "2026-11-29T03:00:00Z")
    assert app.label == IMMICH


def _origin(revision: str) -> str:
    return f"{OLDEST}+" if revision == NEW else ""


def test_a_cluster_that_does_not_answer_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "failure", ProgramFailed("kubectl: connection refused", status=1, output=""))
    assert evidence_of(Fake({}), "dev") == NoEvidence("kubectl: connection refused", "dev")


def test_an_environment_without_a_stack_is_no_evidence(tmp_path: Path) -> None:
    assert evidence_for(tmp_path, "qa").problem == "no stack file without problems has delivery.environment: qa"


def test_the_cluster_of_another_stack_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise Declined("this cluster follows production of another repository")

    monkeypatch.setattr(evidence, "client_of", lambda root, stack: Fake({}))
    monkeypatch.setattr(evidence, "refuse_other_stack", refuse)
    found = evidence_for(Path(__file__).parents[3], "dev")
    assert found == NoEvidence("this cluster follows production of another repository", "stack dev")
    monkeypatch.setattr(evidence, "refuse_other_stack", lambda *given: None)
    assert evidence_for(Path(__file__).parents[3], "dev").origin == "stack dev"

"""The end of a wait for Applications, and the repairs that `up` and `rehearse` make during it."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import pytest

from config.model import Settings
from config.values import Duration
from errors import TookTooLong
from ops import settling
from ops.argocd.applications import applications
from ops.argocd.report import current_report, wait
from tests.ops.argocd.test_report import NOW, SETTINGS, Played, category, found


class Deaf(Played):
    """A cluster whose second request times out."""

    looks: ClassVar[list[int]] = []

    def argocd(self) -> dict[str, list[dict[str, Any]]]:
        self.looks.append(1)
        if len(self.looks) == 2:
            raise TookTooLong("kubectl took longer than 60 s")
        return super().argocd()


def stalling(timeout: str) -> Settings:
    """Return the settings with another `delivery.stallTimeout`."""
    delivery = SETTINGS.delivery.model_copy(update={"stall_timeout": Duration.parse(timeout)})
    return SETTINGS.model_copy(update={"delivery": delivery})


class Restless(Played):
    """A cluster in which one object of an Application changes with each read, for a while or back and forth."""

    states: ClassVar[list[str]] = []

    def argocd(self) -> dict[str, list[dict[str, Any]]]:
        message = self.states.pop(0) if self.states else "the last"
        pod = {"kind": "Deployment", "name": "sonarr", "health": {"status": "Progressing", "message": message}}
        one = found("media-sonarr", health={"status": "Progressing"}, resources=[pod])
        return {"Application": [one], "ApplicationSet": [], "AppProject": []}


def test_a_wait_continues_with_progress_and_ends_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ops.argocd.report.PAUSE", 0.5)
    monkeypatch.setattr(Restless, "states", [f"{number} of 10 replicas" for number in range(10)])
    began = time.monotonic()
    report = wait(Restless({}), stalling("1s"), [category("media", "applications", "sonarr")])
    assert not report.is_good
    assert time.monotonic() - began > 3, "it gave up while something moved"
    assert "nothing has changed for 1s (delivery.stallTimeout): stopped waiting" in capsys.readouterr().err


def test_to_and_fro_is_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.argocd.report.PAUSE", 0.2)
    monkeypatch.setattr(Restless, "states", ["ready", "crashed"] * 100)
    began = time.monotonic()
    wait(Restless({}), stalling("1s"), [category("media", "applications", "sonarr")])
    assert time.monotonic() - began < 5


def test_up_retries_a_failed_sync_at_most_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = {"phase": "Failed", "message": "no webhook", "finishedAt": "2026-11-29T00:00:00Z"}
    apart: dict[str, Any] = {"sync": {"status": "OutOfSync", "revision": NOW}, "operationState": ended}
    by_hand = found("media-radarr", **apart)
    by_hand["spec"]["syncPolicy"] = {}
    monkeypatch.setattr(Played, "found", [found("media-sonarr", **apart), by_hand])
    monkeypatch.setattr(Played, "patched", [])
    here = [category("media", "applications", "sonarr", "radarr")]
    cluster = Played({})
    monkeypatch.setattr(settling, "fill", lambda *_: None)
    one = settling.Settling(cluster, SETTINGS, here)
    for _ in range(2):
        one.repair(current_report(cluster, SETTINGS, here, with_edits=False))
        apart["sync"]["status"] = "OutOfSync"
    ((name, change),) = Played.patched
    assert (name, change["operation"]["sync"]["prune"]) == ("media-sonarr", True)


def test_an_app_that_succeeded_or_still_retries_is_not_stopped() -> None:
    rows = [
        found("media-a", sync={"status": "OutOfSync"}, operationState={"phase": "Running", "retryCount": 7}),
        found("media-b", sync={"status": "OutOfSync"}, operationState={"phase": "Succeeded"}),
        found("media-c", operationState={"phase": "Failed"}),
    ]
    assert [one.stopped for one in applications(rows, set())] == [False, False, False]


def test_a_wait_outlasts_a_question_that_nobody_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ops.argocd.report.PAUSE", 0.0)
    monkeypatch.setattr(Played, "found", [found("media-sonarr", operation={}, operationState={"phase": "Running"})])
    monkeypatch.setattr(Deaf, "looks", [])
    here = [category("media", "applications", "sonarr")]
    wait(Deaf({}), stalling("1s"), here)
    assert len(Deaf.looks) > 2
    assert "no answer: kubectl took longer than 60 s" in capsys.readouterr().err


def test_a_first_question_that_nobody_answers_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deaf, "looks", [1])
    with pytest.raises(TookTooLong):
        wait(Deaf({}), SETTINGS, [])

"""Sync windows and manual gates: reports and waits that end, and first syncs that no gate holds back."""

from __future__ import annotations

import argparse
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from components.handover.projects import project
from config.gates import Gates
from config.model import Settings
from errors import Declined
from ops.argocd.report import as_text, current_report, wait
from ops.argocd.syncing import first_syncs, wait_and_sync
from ops.argocd.windows import Closed, closed
from ops.sync import _refused
from tests.ops.argocd.test_report import NOW, SETTINGS, Played, category, found

NIGHT = {"kind": "allow", "schedule": "0 2 * * *", "duration": "4h", "applications": ["*"]}
ALWAYS = {"kind": "deny", "schedule": "* * * * *", "duration": "24h", "applications": ["*"]}
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
NEW: dict[str, Any] = {"sync": {"status": "OutOfSync", "revision": NOW}, "health": {"status": "Missing"}}
HELD: dict[str, Any] = {"sync": {"status": "OutOfSync", "revision": NOW}, "history": [{"revision": NOW}]}


def gated(**gates: Any) -> Settings:
    delivery = SETTINGS.delivery.model_copy(update={"gates": Gates.model_validate(gates)})
    return SETTINGS.model_copy(update={"delivery": delivery})


def in_project(*windows: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"metadata": {"name": "media"}, "spec": {"syncWindows": list(windows)}}]


def app(name: str = "media-sonarr", **more: Any) -> dict[str, Any]:
    made = found(name, **deepcopy(more))
    made["spec"] |= {"project": "media", "destination": {"namespace": "media"}}
    return made


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([], None),
        ([NIGHT], Closed(datetime(2026, 7, 2, 2, tzinfo=UTC), refuses_manual=True)),
        ([NIGHT | {"manualSync": True}], Closed(datetime(2026, 7, 2, 2, tzinfo=UTC), refuses_manual=False)),
        ([NIGHT | {"timeZone": "Europe/Berlin"}], Closed(datetime(2026, 7, 2, 0, tzinfo=UTC), refuses_manual=True)),
        ([NIGHT | {"timeZone": "Nowhere/Else"}], Closed(datetime(2026, 7, 2, 2, tzinfo=UTC), refuses_manual=True)),
        ([NIGHT | {"schedule": "0 11 * * *", "duration": "1h30m"}], None),
        ([NIGHT | {"applications": ["media-radarr"]}], None),
        ([NIGHT | {"applications": ["media-s*"]}], Closed(datetime(2026, 7, 2, 2, tzinfo=UTC), refuses_manual=True)),
        ([NIGHT | {"applications": ["x"], "namespaces": ["media"], "andOperator": True}], None),
        (
            [{**NIGHT, "applications": [], "namespaces": ["media"]}],
            Closed(datetime(2026, 7, 2, 2, tzinfo=UTC), refuses_manual=True),
        ),
        ([ALWAYS], Closed(None, refuses_manual=True)),
        ([NIGHT | {"schedule": "@daily"}], Closed(None, refuses_manual=True)),
        ([NIGHT | {"duration": "long"}], Closed(None, refuses_manual=True)),
    ],
)
def test_the_windows_of_a_project_hold_an_application(windows: list[dict[str, Any]], expected: Closed | None) -> None:
    assert closed(app(), in_project(*windows), NOON) == expected


def test_a_closed_window_has_its_end_in_words() -> None:
    assert (
        str(Closed(datetime(2026, 7, 2, 2, tzinfo=UTC), refuses_manual=True))
        == "a sync window is closed until 2026-07-02 02:00 UTC"
    )
    assert str(Closed(None, refuses_manual=True)) == "a sync window is closed and none of the next ones opens"


def test_windows_of_the_handover_are_read_as_argo_cd_reads_them() -> None:
    gates = gated(windows=[{"kind": "deny", "schedule": "0 10 * * *", "duration": "8h"}]).delivery.gates
    made = project(category("media"), "", gates=gates)
    assert closed(app(), [made], NOON) == Closed(datetime(2026, 7, 1, 18, tzinfo=UTC), refuses_manual=False)


class Windowed(Played):
    """A cluster whose project has these windows."""

    windows: ClassVar[list[dict[str, Any]]] = []

    def argocd(self) -> dict[str, list[dict[str, Any]]]:
        return {**super().argocd(), "AppProject": in_project(*self.windows)}

    def patch(self, name: str, change: dict[str, Any], kind: str = "application") -> None:
        super().patch(name, change, kind)
        for one in self.found:
            if one["metadata"]["name"] == name:
                one["status"] |= {"history": [{"revision": NOW}], "health": {"status": "Healthy"}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Windowed:
    monkeypatch.setattr(Played, "found", [])
    monkeypatch.setattr(Played, "patched", [])
    monkeypatch.setattr(Windowed, "windows", [dict(ALWAYS)])
    monkeypatch.setattr("ops.argocd.report.PAUSE", 0.0)
    return Windowed({})


def test_a_wait_ends_at_a_closed_window(cluster: Windowed, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.found.append(app(**HELD))
    report = wait(cluster, SETTINGS, [category("media", "applications", "sonarr")])
    reason = "a sync window is closed and none of the next ones opens"
    assert report.closed == {"media-sonarr": reason}
    assert report.waits_for_operator
    assert f"stopped waiting: 1 application: {reason}" in capsys.readouterr().err
    assert reason in as_text(report)


@pytest.mark.parametrize("message", ["Sync operation blocked by sync window", "one of 3 resources synced"])
def test_a_requested_sync_that_a_window_blocks_is_no_running_one(cluster: Windowed, message: str) -> None:
    cluster.found.append(app(**HELD, operationState={"phase": "Running", "message": message}))
    report = current_report(cluster, SETTINGS, [category("media", "applications", "sonarr")])
    assert report.waits_for_operator == message.startswith("Sync operation blocked")


def test_an_application_that_is_synced_needs_no_window(cluster: Windowed) -> None:
    cluster.found.append(app(health={"status": "Degraded"}))
    report = current_report(cluster, SETTINGS, [category("media", "applications", "sonarr")])
    assert (report.closed, report.waits_for_operator) == ({}, False)


def test_a_sync_that_windows_refuse_is_not_requested(cluster: Windowed) -> None:
    cluster.found.extend([app(**HELD), app("media-radarr", **HELD)])
    report = current_report(cluster, SETTINGS, [category("media", "applications", "sonarr", "radarr")])
    left = _refused(argparse.Namespace(all=True), report, ["media-sonarr", "media-radarr"])
    assert list(left) == ["media-sonarr", "media-radarr"]
    with pytest.raises(Declined, match=r"media-sonarr: a sync window is closed .*write `manualSync: allowed`"):
        _refused(argparse.Namespace(all=False), report, ["media-sonarr"])
    Windowed.windows[0] |= {"manualSync": True}
    report = current_report(cluster, SETTINGS, [category("media", "applications", "sonarr", "radarr")])
    assert report.closed
    assert _refused(argparse.Namespace(all=False), report, ["media-sonarr"]) == {}


def by_hand(name: str, **status: Any) -> dict[str, Any]:
    made = app(name, **status)
    made["spec"]["syncPolicy"] = {}
    return made


def test_first_syncs_pass_a_manual_gate_and_changes_do_not(cluster: Windowed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Windowed, "windows", [])
    cluster.found.extend([by_hand("media-sonarr", **NEW), by_hand("media-radarr", **HELD)])
    here, settings = [category("media", "applications", "sonarr", "radarr")], gated(sync="manual")
    report, synced = wait_and_sync(
        cluster, settings, here, lambda one: first_syncs(one, settings, here), lambda _: None
    )
    assert synced == [name for name, _ in Played.patched] == ["media-sonarr"]
    assert [one.name for one in report.waiting_for_sync] == ["media-radarr"]
    assert report.gates == "manual sync"
    assert "gates: manual sync\n" in as_text(report)


@pytest.mark.parametrize(
    ("settings", "more", "admits"),
    [
        (SETTINGS, {}, True),
        (gated(sync="manual"), {"sync": {"mode": "manual", "reason": "books"}}, True),
        (gated(windows=[{"kind": "deny", "schedule": "0 2 * * *", "duration": "1h"}]), {}, False),
    ],
    ids=["without a gate", "a category holds it", "the window refuses it too"],
)
def test_other_first_syncs_wait(settings: Settings, more: dict[str, Any], admits: bool, cluster: Windowed) -> None:
    Windowed.windows[0] = ALWAYS | {"manualSync": admits}
    cluster.found.append(by_hand("media-sonarr", **NEW))
    here = [category("media", "applications", "sonarr", **more)]
    assert first_syncs(current_report(cluster, settings, here), settings, here) == []


def test_a_first_sync_passes_a_closed_window_that_admits_it(cluster: Windowed) -> None:
    Windowed.windows[0] = ALWAYS | {"manualSync": True}
    cluster.found.append(app(**NEW))
    here = [category("media", "applications", "sonarr")]
    settings = gated(windows=[{"kind": "deny", "schedule": "0 2 * * *", "duration": "1h"}])
    assert first_syncs(current_report(cluster, settings, here), settings, here) == ["media-sonarr"]


def test_a_layer_that_stays_unhealthy_ends_the_syncs_with_a_report(
    cluster: Windowed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Windowed, "windows", [])
    monkeypatch.setattr(Windowed, "patch", lambda *_: None)  # it never begins
    monkeypatch.setattr("ops.argocd.syncing.PAUSE", 0.0)
    cluster.found.append(by_hand("media-sonarr", **NEW))
    here, settings = [category("media", "applications", "sonarr")], gated(sync="manual")
    delivery = settings.delivery.model_copy(update={"stall_timeout": type(settings.delivery.stall_timeout)(0)})
    settings = settings.model_copy(update={"delivery": delivery})
    report, tried = wait_and_sync(cluster, settings, here, lambda one: first_syncs(one, settings, here), lambda _: None)
    assert tried == ["media-sonarr"]
    assert not report.is_good
    assert "still not synced: media-sonarr" in capsys.readouterr().err

"""The reports of `status` and `sync` about an Application, from objects as Argo CD writes them; no request is made."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from components.handover.application_sets import GitSource, application_set
from components.handover.projects import project
from config.category import Category
from config.load import read_stack
from config.model import Settings
from config.tree import App, CategoryFolder
from errors import Declined
from manifests.objects import Identity
from ops import sync as verb
from ops.argocd.applications import (
    NO_SET,
    absent,
    age,
    applications,
    edits,
    expected_applications,
    followed,
    inaccessible,
    missing,
    operation,
    waiting_for_up,
)
from ops.argocd.client import ArgoCDClient
from ops.argocd.report import EDITS, SyncReport, _refresh, as_text, current_report, refuse_other_stack
from ops.argocd.syncing import _is_finished, sync
from ops.sync import _names

SETTINGS = read_stack(Path(__file__).parents[3] / "Pulumi.dev.yaml").require()
NOW, BEFORE = "a" * 40, "b" * 40
SOURCE = GitSource("https://git.example.com/homelab.git", "main", ".", "dev")


def category(name: str, layer: str = "applications", *apps: str, **more: Any) -> CategoryFolder:
    made = tuple(App(name, app, "dev", "kustomization") for app in apps)
    return CategoryFolder(name, f"apps/{name}", Category.model_validate({"layer": layer, **more}), made)


def found(name: str, layer: str = "applications", **status: Any) -> dict[str, Any]:
    labels = {"homelab.dev/category": name.partition("-")[0], "homelab.dev/layer": layer}
    spec: dict[str, Any] = {"syncPolicy": {"automated": {}}}
    good = {"sync": {"status": "Synced", "revision": NOW}, "health": {"status": "Healthy"}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {**good, **status}}


def report(*objects: dict[str, Any], expected: str = NOW, names: set[str] | None = None, **more: Any) -> SyncReport:
    known = {one["metadata"]["name"] for one in objects} if names is None else names
    return SyncReport(expected, applications(objects, known), **more)


def test_all_good_is_good_and_grouped_by_layer() -> None:
    said = report(found("media-sonarr"), found("crds-gateway-api", "crds"), found("system-argocd", "infrastructure"))
    assert said.is_good
    assert [one.layer for one in said.applications] == ["crds", "infrastructure", "applications"]
    lines = as_text(said).splitlines()
    assert [line for line in lines if line in ("crds", "infrastructure", "applications")] == [
        "crds",
        "infrastructure",
        "applications",
    ]
    assert lines[-1] == "3 of 3 applications Synced and Healthy at aaaaaaaa"


def test_nothing_at_all_is_not_good() -> None:
    assert not report().is_good


def test_an_old_revision_is_behind_and_not_good() -> None:
    said = report(found("media-sonarr", sync={"status": "Synced", "revision": BEFORE}))
    assert not said.is_good
    assert "bbbbbbbb (behind)" in as_text(said)


PINNED = "c" * 40
PLACE = {"path": "apps/media/sonarr/dev"}


def pinned(target: str, revision: str) -> dict[str, Any]:
    one = found("media-sonarr", sync={"status": "Synced", "revision": revision})
    one["spec"]["source"] = {**PLACE, "targetRevision": target}
    return one


@pytest.mark.parametrize(
    ("pins", "target", "revision", "state", "waits"),
    [
        ({PLACE["path"]: PINNED}, PINNED, PINNED, "Healthy", False),
        ({PLACE["path"]: PINNED}, PINNED, NOW, "behind", False),
        ({PLACE["path"]: PINNED}, BEFORE, BEFORE, "behind", True),
        ({PLACE["path"]: PINNED}, "main", NOW, "behind", True),
        ({}, PINNED, PINNED, "behind", True),
        ({}, "main", NOW, "Healthy", False),
        (None, PINNED, PINNED, "Healthy", False),
        (None, "main", BEFORE, "behind", False),
    ],
)
def test_a_pinned_application_must_be_at_its_pin(
    pins: dict[str, str] | None, target: str, revision: str, state: str, *, waits: bool
) -> None:
    (one,) = applications([pinned(target, revision)], {"media-sonarr"}, pins)
    assert (one.state(NOW), one.is_good(NOW), one.waits_for_set) == (state, state == "Healthy", waits)


def test_a_missing_answer_of_git_is_reported_and_not_good() -> None:
    said = report(found("media-sonarr", sync={"status": "Synced", "revision": BEFORE}), expected="")
    assert not said.is_good
    assert said.waits_for_operator
    assert "Git did not answer with the expected revision" in as_text(said)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"sync": {"status": "OutOfSync", "revision": NOW}}, "OutOfSync"),
        ({"health": {"status": "Degraded"}}, "Degraded"),
        ({"operationState": {"phase": "Running"}}, "syncing"),
        ({}, "Healthy"),
    ],
)
def test_one_word_says_what_keeps_an_application(status: dict[str, Any], state: str) -> None:
    assert report(found("media-sonarr", **status)).applications[0].state(NOW) == state


def lost(name: str) -> dict[str, Any]:
    message = f"Failed to load target state: apps/media/{name}/dev: app path does not exist"
    conditions = [{"type": "ComparisonError", "message": message}]
    return found(name, sync={"status": "Unknown"}, health={"status": "Missing"}, conditions=conditions)


def test_a_retired_application_is_listed_and_the_report_stays_good() -> None:
    said = report(found("media-radarr"), lost("media-sonarr"), names={"media-radarr"})
    assert said.is_good
    text = as_text(said)
    assert "retired: the folder left Git, the objects stay:\n  media-sonarr" in text
    assert text.endswith("1 of 1 application Synced and Healthy at aaaaaaaa")


def test_an_application_that_this_checkout_lacks_is_counted_and_reported() -> None:
    sick = found("media-new", sync={"status": "OutOfSync", "revision": NOW}, health={"status": "Degraded"})
    said = report(found("media-radarr"), sick, names={"media-radarr"})
    assert not said.is_good
    assert [one.retired for one in said.applications] == [False, False]
    assert "not of this checkout (pull?) or of this environment (delivery.environment?):\n  media-new" in as_text(said)
    assert wanted(said, "media-new") == ["media-new"]


def test_an_application_not_reconciled_since_its_sync_is_still_running() -> None:
    times: dict[str, Any] = {"operationState": {"phase": "Succeeded", "finishedAt": "2026-01-02T03:04:05Z"}}
    assert report(found("media-sonarr", reconciledAt="2026-01-02T03:04:04Z", **times)).applications[0].running
    assert not report(found("media-sonarr", reconciledAt="2026-01-02T03:04:05Z", **times)).applications[0].running


def test_an_application_of_a_person_is_counted_and_never_retired() -> None:
    own = found("mine", sync={"status": "OutOfSync"})
    own["metadata"]["labels"] = {}
    said = report(own, names=set())
    assert [one.retired for one in said.applications] == [False]
    assert not said.is_good


def test_what_is_missing_is_named_and_not_good() -> None:
    said = report(found("media-sonarr"), missing=["ApplicationSet media"])
    assert not said.is_good
    assert "missing:\n  ApplicationSet media" in as_text(said)


def test_a_missing_application_has_a_reason_and_is_not_good() -> None:
    here = [category("media", "applications", "sonarr", "radarr", "lamp"), category("ai", "applications", "ollama")]
    failing = application_set(here[0], SOURCE)
    folders = {f"apps/media/{app}/dev" for app in ("sonarr", "radarr")}
    gone = absent(here, {"media-sonarr"}, [failing], folders)
    said = report(found("media-sonarr"), missing=["ApplicationSet ai"], absent=gone)
    assert not said.is_good
    assert not said.waits_for_operator
    assert as_text(said).splitlines()[-7:] == [
        "missing:",
        "  ApplicationSet ai",
        "  Application media-radarr: its ApplicationSet has not made it",
        "  Application media-lamp: apps/media/lamp/dev is not pushed: Git does not have it",
        "  1 Application of the ApplicationSets above",
        "",
        "1 of 4 applications Synced and Healthy at aaaaaaaa",
    ]
    condition = {"type": "ErrorOccurred", "status": "True", "message": "no such branch"}
    failing["status"] = {"conditions": [condition]}
    assert absent(here[:1], {"media-sonarr", "media-lamp"}, [failing], folders) == {"media-radarr": "no such branch"}


def test_a_folder_that_is_not_pushed_waits_for_operator() -> None:
    here = [category("media", "applications", "sonarr", "lamp")]
    gone = absent(here, {"media-sonarr"}, [application_set(here[0], SOURCE)], ())
    assert report(found("media-sonarr"), absent=gone).waits_for_operator


def test_an_empty_cluster_is_said_in_few_lines() -> None:
    here = [category("media", "applications", "sonarr"), category("system")]
    gone = absent(here, (), [], ())
    said = as_text(report(missing=missing(here, [], []), absent=gone))
    assert said == (
        "missing:\n  all 2 ApplicationSets: run ./homelab up\n  all 2 AppProjects: run ./homelab up\n"
        "  1 Application of the ApplicationSets above\n\n"
        "0 of 1 application Synced and Healthy at aaaaaaaa"
    )


def test_projects_and_sets_that_are_not_there_are_named() -> None:
    media, system = category("media"), category("system", "infrastructure")
    sets, projects = [application_set(media, SOURCE)], [project(system, SOURCE.repository)]
    assert missing([media, system], sets, projects) == ["ApplicationSet system", "AppProject media"]


def test_a_category_changed_since_the_handover_waits_for_up() -> None:
    sets = [application_set(category("media"), SOURCE), application_set(category("ai"), SOURCE)]
    assert waiting_for_up([category("media", removal="delete"), category("ai"), category("new")], sets) == ["media"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ({"conditions": [{"type": "ComparisonError", "message": "failed to list refs:\n  denied"}]}, "failed to list"),
        (
            {
                "conditions": [
                    {
                        "type": "ComparisonError",
                        "message": "Failed to load target state: failed to generate manifest for source 1 of 1: "
                        "rpc error: code = Unknown desc = failed to list refs: EOF",
                    }
                ]
            },
            "failed to list refs: EOF",
        ),
        ({"conditions": [{"type": "OrphanedResourceWarning", "message": "stray"}]}, ""),
        ({"operationState": {"phase": "Failed", "message": "one or more objects failed"}}, "one or more objects"),
        ({"operationState": {"phase": "Running", "retryCount": 2, "message": "no matches for kind"}}, "no matches"),
        ({"operationState": {"phase": "Running", "message": "waiting for healthy state"}}, ""),
        (
            {"resources": [{"kind": "Pod", "name": "a", "health": {"status": "Degraded", "message": "CrashLoop"}}]},
            "Pod/a: CrashLoop",
        ),
    ],
)
def test_the_first_error_is_shown_in_one_line(status: dict[str, Any], error: str) -> None:
    said = report(found("media-sonarr", **status)).applications[0].error
    assert said.startswith(error) if error else not said
    assert "\n" not in said


def test_a_progressing_object_shows_its_message_and_no_error() -> None:
    health = {"status": "Progressing", "message": "0 of 1 updated replicas are available"}
    said = report(
        found(
            "media-sonarr",
            health={"status": "Progressing"},
            resources=[{"kind": "Deployment", "name": "sonarr", "health": health}],
        )
    )
    assert not said.applications[0].error
    assert "Deployment/sonarr: 0 of 1 updated replicas are available" in as_text(said)


def drifted(revision: str) -> dict[str, Any]:
    resources = [
        {"group": "apps", "kind": "Deployment", "namespace": "media", "name": "sonarr", "status": "OutOfSync"},
        {"kind": "Service", "namespace": "media", "name": "old", "status": "OutOfSync", "requiresPruning": True},
        {"kind": "Service", "namespace": "media", "name": "sonarr", "status": "Synced"},
    ]
    operation = {"phase": "Succeeded", "syncResult": {"revision": revision}}
    sync = {"status": "OutOfSync", "revision": NOW}
    return found("media-sonarr", sync=sync, operationState=operation, resources=resources)


@pytest.mark.parametrize("revision", [NOW, BEFORE])
def test_an_object_out_of_sync_is_drifted_at_any_revision(revision: str) -> None:
    assert report(drifted(revision)).applications[0].drifted == (Identity("apps", "Deployment", "media", "sonarr"),)


@pytest.mark.parametrize(("revision", "is_deleted"), [(NOW, True), (BEFORE, False)])
def test_a_missing_object_of_a_synced_revision_counts_as_deleted(revision: str, *, is_deleted: bool) -> None:
    one = drifted(revision)
    one["status"]["resources"][0]["health"] = {"status": "Missing"}
    assert report(one).applications[0].deleted == (
        (Identity("apps", "Deployment", "media", "sonarr"),) if is_deleted else ()
    )


def test_edits_have_field_manager_and_time_and_leave_controllers_out() -> None:
    container: dict[str, Any] = {'k:{"name":"app"}': {".": {}, "f:resources": {"f:limits": {"f:memory": {}}}}}
    fields = {
        "f:spec": {"f:template": {"f:spec": {"f:containers": container}}},
        "f:metadata": {"f:labels": {"f:a": {}}},
    }
    by = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-02T03:04:05Z", "fieldsV1": fields}
    others = [
        {**by, "manager": "argocd-controller"},
        {**by, "manager": "kube-controller-manager"},
        {**by, "subresource": "status"},
    ]
    said = list(edits({"metadata": {"managedFields": [*others, by]}}))
    path = "spec.template.spec.containers[app].resources.limits.memory"
    assert said == [(path, "kubectl-edit", "2026-01-02T03:04:05Z")]


def test_live_edits_stand_above_the_summary() -> None:
    said = report(drifted(NOW), edits=["Deployment media/sonarr: spec.replicas (by kubectl-edit, 3m ago)"])
    assert f"{EDITS}:\n  Deployment media/sonarr: spec.replicas" in as_text(said)


@pytest.mark.parametrize(("seconds", "said"), [(0, "0s"), (59, "59s"), (61, "1m"), (7300, "2h"), (200_000, "2d")])
def test_an_age_has_one_unit(seconds: int, said: str) -> None:
    assert age((datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()) == said
    assert not age("")


def test_every_folder_of_the_tree_is_expected_under_its_name() -> None:
    assert expected_applications([category("media", "applications", "sonarr", "radarr")]) == {
        "media-sonarr",
        "media-radarr",
    }


def wanted(said: SyncReport, *names: str, every: bool = False) -> list[str]:
    return _names(argparse.Namespace(applications=list(names), all=every), said)


def test_sync_takes_names_or_everything_that_is_not_synced() -> None:
    said = report(found("media-sonarr"), found("media-radarr", sync={"status": "OutOfSync"}))
    assert wanted(said, "media-sonarr") == ["media-sonarr"]
    assert wanted(said, every=True) == ["media-radarr"]


def test_sync_refuses_what_is_not_there_with_the_nearest_name() -> None:
    said = report(found("media-sonarr"))
    with pytest.raises(Declined, match=r"there is no such application: media-sonar: .*media-sonarr"):
        wanted(said, "media-sonar")


@pytest.mark.parametrize(("names", "every"), [([], False), (["media-sonarr"], True)])
def test_sync_asks_nobody_before_it_knows_what_is_wanted(names: list[str], every: bool) -> None:
    with pytest.raises(Declined, match="name the applications to sync, or pass --all"):
        verb.run(argparse.Namespace(applications=names, all=every, stack="dev", json=False))


def test_sync_prunes_by_category_with_the_applications_options_and_retry() -> None:
    made = application_set(category("banking", sync={"mode": "manual", "reason": "money"}), SOURCE)
    one = found("banking-firefly-iii")
    one["spec"]["syncPolicy"] = policy = made["spec"]["template"]["spec"]["syncPolicy"]
    wish = operation(one, [category("banking", sync={"mode": "manual", "reason": "money"})], "dev")
    assert wish["sync"] == {"prune": True, "syncOptions": policy["syncOptions"]}
    assert wish["retry"] == policy["retry"]
    keeping = category("banking", sync={"environments": {"dev": {"prune": "disabled"}}, "reason": "data"})
    assert operation(one, [keeping], "dev")["sync"]["prune"] is False
    assert operation(one, [keeping], "production")["sync"]["prune"] is True


def test_a_users_own_application_is_pruned_only_by_its_policy() -> None:
    own = found("mine")
    assert operation(own, [], "dev")["sync"] == {"prune": False}
    own["spec"]["syncPolicy"]["automated"]["prune"] = True
    assert operation(own, [], "dev")["sync"] == {"prune": True}


def test_a_sync_with_retained_objects_finishes_where_pruning_is_disabled() -> None:
    left = {"kind": "Service", "namespace": "media", "name": "old", "status": "OutOfSync", "requiresPruning": True}
    sync = {"status": "OutOfSync", "revision": NOW}
    (one,) = report(found("media-sonarr", sync=sync, resources=[left])).applications
    assert _is_finished(one, retains=True)
    assert not _is_finished(one, retains=False)
    assert not _is_finished(report(drifted(NOW)).applications[0], retains=True)


def test_sync_leaves_retired_ones_alone() -> None:
    assert wanted(report(lost("media-sonarr"), names=set()), every=True) == []


def test_a_manual_one_that_differs_waits_for_operator() -> None:
    one = found("banking-actual-budget", sync={"status": "OutOfSync"})
    one["spec"]["syncPolicy"] = {"retry": {}}
    said = report(one)
    assert [row.name for row in said.waiting_for_sync] == ["banking-actual-budget"]
    assert "OutOfSync manual" in as_text(said)


@pytest.mark.parametrize(
    ("reason", "waits"), [("BlueGreenPause", True), ("InconclusiveAnalysisRun", True), ("CanaryPauseStep", False)]
)
def test_a_rollout_that_a_person_must_promote_waits_for_operator(reason: str, waits: bool) -> None:
    health = {"status": "Suspended", "message": reason}
    paused = {"kind": "Rollout", "name": "podinfo", "status": "Synced", "health": health}
    rolled = found("selfhosted-podinfo", health={"status": "Suspended"}, resources=[paused])
    said = report(rolled, found("media-sonarr"))
    assert not said.is_good
    assert said.applications[1].awaits_promotion is waits
    assert said.waits_for_operator is waits
    assert f"Rollout/podinfo: {reason}" in as_text(said)


def test_an_aborted_rollout_ends_the_wait_and_is_a_failure() -> None:
    reason = "RolloutAborted: Rollout aborted update to revision 2"
    health = {"status": "Degraded", "message": reason}
    aborted = {"kind": "Rollout", "name": "podinfo", "status": "Synced", "health": health}
    rolled = found("selfhosted-podinfo", health={"status": "Degraded"}, resources=[aborted])
    said = report(rolled, found("media-sonarr"))
    assert said.has_come_to_rest
    assert not said.is_good
    assert not said.waits_for_operator
    assert f"Rollout/podinfo: {reason}" in as_text(said)
    assert not report(rolled, found("media-sonarr", health={"status": "Progressing"})).has_come_to_rest
    assert not report(found("media-sonarr", health={"status": "Degraded"})).has_come_to_rest


def test_an_inaccessible_repository_is_reported_once_with_its_secret() -> None:
    credentials = {SOURCE.repository: "argocd/repository-homelab", "https://charts.example.com": "argocd/repository-it"}
    message = "rpc error: code = Unknown desc = failed to list refs: authentication required: "
    failed: list[dict[str, Any]] = [
        application_set(category("media"), SOURCE) | {"status": {"conditions": [{"message": message}]}},
        found("media-sonarr", conditions=[{"type": "ComparisonError", "message": message}]),
        found(
            "own", conditions=[{"type": "ComparisonError", "message": "https://charts.example.com: 401 Unauthorized"}]
        ),
    ]
    failed[1]["spec"]["source"] = {"repoURL": SOURCE.repository}
    said = inaccessible([*failed, found("media-radarr")], credentials, lambda secret: secret.endswith("homelab"))
    assert said == [
        f"{SOURCE.repository}: authentication required; Secret argocd/repository-homelab holds its credentials",
        "https://charts.example.com: Unauthorized; Secret argocd/repository-it is missing: ./homelab up --refresh",
    ]
    assert f"repositories that Argo CD cannot read:\n  {said[0]}" in as_text(report(inaccessible=said))


class Played(ArgoCDClient):
    """A cluster whose Argo CD has fixed sets and the Applications that a test puts there; a sync finishes at once."""

    found: ClassVar[list[dict[str, Any]]] = []
    patched: ClassVar[list[tuple[str, dict[str, Any]]]] = []

    def argocd(self) -> dict[str, list[dict[str, Any]]]:
        mine: dict[str, Any] = {"metadata": {"name": "mine"}, "spec": {"generators": [{"list": {}}]}}
        sets = [application_set(category("media"), SOURCE), mine]
        return {"Application": self.found, "ApplicationSet": sets, "AppProject": [project(category("media"), "")]}

    def head(self, settings: Settings) -> str:
        return NOW

    def holds(self, settings: Settings, commit: str, folders: Sequence[str]) -> set[str]:
        return {"apps/media/radarr/dev"} & set(folders)

    def objects(self, identities: Sequence[Identity]) -> list[dict[str, Any]]:
        return []

    def patch(self, name: str, change: dict[str, Any], kind: str = "application") -> None:
        self.patched.append((name, change))
        for one in self.found:
            if (one["metadata"]["name"], kind) == (name, "application"):
                one["status"]["sync"]["status"] = "Synced"


def test_a_look_finds_what_is_there_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Played, "found", [found("media-sonarr"), lost("media-old")])
    here = [category("media", "applications", "sonarr", "radarr", "lamp")]
    said = current_report(Played({}), SETTINGS, here)
    assert [(one.name, one.retired) for one in said.applications] == [("media-old", True), ("media-sonarr", False)]
    assert said.absent == {
        "media-radarr": "its ApplicationSet has not made it",
        "media-lamp": "apps/media/lamp/dev is not pushed: Git does not have it",
    }
    assert not said.is_good


def test_a_manual_sync_requests_no_more_than_the_policy_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = found("media-sonarr", sync={"status": "OutOfSync", "revision": NOW})
    waiting["spec"]["syncPolicy"] = {"syncOptions": ["ServerSideApply=true"], "retry": {"limit": 20}}
    monkeypatch.setattr(Played, "found", [waiting])
    monkeypatch.setattr(Played, "patched", [])
    here = [category("media", "applications", "sonarr", sync={"prune": "disabled", "reason": "data"})]
    (done,) = sync(Played({}), SETTINGS, here, ["media-sonarr"])
    assert (done.sync, done.health) == ("Synced", "Healthy")
    ((name, change),) = Played.patched
    assert name == "media-sonarr"
    assert change["operation"]["sync"] == {"prune": False, "syncOptions": ["ServerSideApply=true"]}
    assert change["operation"]["retry"] == {"limit": 20}


def test_a_manual_sync_stops_after_an_unhealthy_layer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sick = found("system-argocd", "infrastructure", health={"status": "Degraded"})
    monkeypatch.setattr(Played, "found", [sick, found("media-sonarr")])
    monkeypatch.setattr(Played, "patched", [])
    done = sync(Played({}), SETTINGS, [category("media")], ["system-argocd", "media-sonarr"])
    assert [(one.name, one.health) for one in done] == [("system-argocd", "Degraded")]
    assert [name for name, _ in Played.patched] == ["system-argocd"]
    assert "not synced, as infrastructure is not Synced and Healthy: media-sonarr" in capsys.readouterr().err


def test_an_application_of_a_person_is_synced_after_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    own = found("mine", "")
    own["metadata"]["labels"] = {}
    monkeypatch.setattr(Played, "found", [own, found("media-sonarr")])
    monkeypatch.setattr(Played, "patched", [])
    sync(Played({}), SETTINGS, [category("media", "applications", "sonarr")], ["mine", "media-sonarr"])
    assert [name for name, _ in Played.patched] == ["media-sonarr", "mine"]


def test_a_rehearsed_set_that_lacks_an_application_is_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.argocd.report.PAUSE", 0.0)
    monkeypatch.setattr(Played, "found", [])
    monkeypatch.setattr(Played, "patched", [])
    here = [category("media", "applications", "radarr"), category("ai", "applications", "toy")]
    monkeypatch.setattr(Played, "is_rehearsed", True)
    cluster = Played({})
    report = current_report(cluster, SETTINGS, here)
    assert report.absent == {"media-radarr": "its ApplicationSet has not made it", "ai-toy": NO_SET}
    _refresh(cluster, report, here)
    wishes = [(name, list(change["metadata"]["annotations"].values())) for name, change in Played.patched]
    assert wishes == [("media", [None]), ("media", ["true"])]


def test_what_a_cluster_follows_is_read_from_our_sets() -> None:
    deep = replace(SOURCE, path="./home/lab", environment="production")
    sets = [application_set(category("media"), source) for source in (SOURCE, deep)]
    assert followed(sets) == {(SOURCE.repository, "dev"), (SOURCE.repository, "production")}


def test_only_a_cluster_of_another_stack_is_refused() -> None:
    cluster = Played({})
    with pytest.raises(Declined, match=r"follows dev of https://git\.example\.com/homelab\.git, and stack dev is"):
        refuse_other_stack(cluster, SETTINGS, "dev")
    mine = SETTINGS.delivery.model_copy(update={"repository": SOURCE.repository})
    refuse_other_stack(cluster, SETTINGS.model_copy(update={"delivery": mine}), "dev")

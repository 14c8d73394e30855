"""The stand-in for the Kubernetes plugin under the real engine and on a real API server: a sequence of runs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lab.api import Api
from tests.lab.plugins.desk import Desk
from tests.lab.plugins.story import EngineRuns
from tests.lab.plugins.things import config_map

# Every rehearsal of a home runs it under the engine as well.
pytestmark = [pytest.mark.xdist_group("kubernetes engine"), pytest.mark.nightly]

MANY = 100
STORY = """
    import os
    import pulumi
    import pulumi_kubernetes as kubernetes
    from pulumi import ResourceOptions as Options
    from pulumi_command import local
    from pulumi_kubernetes import core

    step = os.environ["STEP"]
    reads = local.Command("kubeconfig", create="printf %s \\"$TEXT\\"", update="printf %s \\"$TEXT\\"", logging="none",
                          environment={"TEXT": pulumi.Output.secret(os.environ["TEXT"]), "AGAIN": os.environ["AGAIN"]},
                          opts=Options(additional_secret_outputs=["stdout"]))
    provider = kubernetes.Provider("cluster", kubeconfig=reads.stdout, cluster_identifier="homelab-1",
                                   upsert_existing_objects=True, skip_update_unreachable=True)
    there = Options(provider=provider)
    namespace = core.v1.Namespace("media", metadata={"name": "media", "labels": {"step": step}}, opts=there)
    within = namespace.metadata.name
    core.v1.Secret("token", metadata={"name": "token", "namespace": within},
                   string_data={"key": pulumi.Output.concat("hunter2-", step)}, opts=there)
    core.v1.ConfigMap("settings", metadata={"namespace": within}, data={"step": step}, opts=there)
    kubernetes.apiextensions.CustomResource("widget", "example.org/v1", "Widget", spec={"size": int(step)},
                                            metadata={"name": "one", "namespace": within}, opts=there)
    pulumi.export("uid", namespace.metadata.uid)
"""
REFUSED = """
    core.v1.ConfigMap("wrong", metadata={"name": "Wrong"}, opts=there)
"""
CROWD = f"""
    import os
    import pulumi_kubernetes as kubernetes
    from pulumi import ResourceOptions as Options

    provider = kubernetes.Provider("cluster", kubeconfig=os.environ["TEXT"])
    for number in range({MANY}):
        kubernetes.core.v1.ConfigMap(f"one-{{number}}", metadata={{"name": f"crowd-{{number}}"}}, data={{"a": "1"}},
                                     opts=Options(provider=provider))
"""
FIRST = {"STEP": "1", "AGAIN": "1"}


@pytest.fixture(scope="module")
def story(new_desk: Callable[[str], Desk], kubeconfig: str) -> EngineRuns:
    runs, api = EngineRuns(new_desk("story")), Api(kubeconfig)
    desk = runs.desk
    desk.env["TEXT"] = kubeconfig
    runs.record("foreseen", lambda: desk.preview(STORY), **FIRST)
    runs.record("made", desk.up)
    runs.record("another kubeconfig foreseen", desk.preview, AGAIN="2")
    runs.record("changed", desk.up, STEP="2")
    api.apply({**config_map("x"), "metadata": {"name": "x", "namespace": "media"}}, field_manager="they")
    drifted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "media", "labels": {"step": "drifted"}}}
    api.apply(drifted, field_manager="kubectl", force=True)
    api.delete("example.org/v1", "Widget", "one", "media")
    runs.record("refreshed", desk.refresh)
    runs.record("refused", lambda: desk.preview(STORY + REFUSED))
    unreachable = re.sub(r"https://127\.0\.0\.1:\d+", "https://127.0.0.1:1", kubeconfig)
    runs.record("cut off", lambda: desk.up(STORY), STEP="3", TEXT=unreachable)
    runs.record("forgotten", desk.refresh, PULUMI_K8S_DELETE_UNREACHABLE="true")
    return runs


def test_an_unknown_kubeconfig_does_not_keep_a_preview(story: EngineRuns) -> None:
    assert story.runs["foreseen"].exit_code == 0
    assert "+ 7 to create" in story.runs["foreseen"].text
    assert re.search(r"kubeconfig +: \[unknown\]", story.runs["foreseen"].text)


def test_everything_is_created_with_the_official_plugins_names(story: EngineRuns) -> None:
    made = story.states["made"]
    assert story.runs["made"].counts() == {"created": 7}
    assert [made[name]["urn"].split("::", 2)[2] for name in ("media", "token", "settings", "widget")] == [
        "kubernetes:core/v1:Namespace::media",
        "kubernetes:core/v1:Secret::token",
        "kubernetes:core/v1:ConfigMap::settings",
        "kubernetes:example.org/v1:Widget::widget",
    ]
    assert [made[name]["id"] for name in ("media", "token", "widget")] == ["media", "media/token", "media/one"]
    assert made["settings"]["id"].startswith("media/settings-")
    assert made["desk-dev"]["outputs"]["uid"] == made["media"]["outputs"]["metadata"]["uid"]


def test_another_kubeconfig_replaces_nothing_while_the_identifier_stays(story: EngineRuns) -> None:
    text = story.runs["another kubeconfig foreseen"].text
    assert story.runs["another kubeconfig foreseen"].exit_code == 0
    assert "~ 6 to update" in text, "the engine asks no provider whose settings it does not know"
    assert "replace" not in text


def test_a_change_updates_mutable_and_replaces_immutable_fields(story: EngineRuns) -> None:
    assert story.runs["changed"].counts() == {"updated": 3, "replaced": 2, "unchanged": 2}
    before, after = story.states["made"], story.states["changed"]
    assert after["media"]["outputs"]["metadata"]["labels"]["step"] == "2"
    assert after["media"]["outputs"]["metadata"]["uid"] == before["media"]["outputs"]["metadata"]["uid"]
    assert after["settings"]["id"] != before["settings"]["id"]
    assert after["token"]["id"] == before["token"]["id"]
    assert after["widget"]["outputs"]["spec"] == {"size": 2}


@pytest.mark.parametrize("run", ["made", "changed", "refreshed"])
def test_no_secret_lies_open_in_the_state(story: EngineRuns, run: str) -> None:
    for open_ in ("hunter2", "aHVudGVyMi", "client-key-data"):
        assert open_ not in story.raw[run]


def test_a_refresh_drops_missing_objects_and_reports_drift(story: EngineRuns) -> None:
    assert story.runs["refreshed"].counts()["deleted"] == 1
    assert "widget" not in story.states["refreshed"]
    assert story.states["refreshed"]["media"]["inputs"]["metadata"]["labels"] == {"step": "drifted"}


def test_a_preview_shows_refusals_of_the_server(story: EngineRuns) -> None:
    text = story.runs["refused"].text
    assert story.runs["refused"].exit_code != 0
    assert 'ConfigMap::wrong" was not successfully created by the Kubernetes API server' in text, text
    assert "bug of the stand-in" not in text


def test_without_the_cluster_old_objects_stay_and_new_ones_fail(story: EngineRuns) -> None:
    text = story.runs["cut off"].text
    assert story.runs["cut off"].exit_code == 1
    told = text.rpartition("Diagnostics:")[2]
    assert told.count("error: configured Kubernetes cluster is unreachable: ") == 1, "the widget was dropped before"
    assert "https://127.0.0.1:1 does not answer: [Errno 111] Connection refused" in text
    assert "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping..." in text
    before, after = story.states["refreshed"], story.states["cut off"]
    for name in ("media", "token", "settings"):
        assert after[name]["outputs"]["metadata"] == before[name]["outputs"]["metadata"]
    assert after["settings"]["inputs"] == before["settings"]["inputs"]


def test_unreachable_objects_are_forgotten_if_the_provider_allows_it(story: EngineRuns) -> None:
    assert story.runs["forgotten"].exit_code == 0
    assert "configured Kubernetes cluster is unreachable: unable to load schema" in story.runs["forgotten"].text
    assert {"media", "token", "settings"} & story.states["forgotten"].keys() == set()


def test_a_hundred_objects_are_made_in_seconds(
    new_desk: Callable[[str], Desk], kubeconfig: str, record_property: Callable[[str, object], None]
) -> None:
    desk = new_desk("crowd")
    desk.env["TEXT"] = kubeconfig
    made = desk.up(CROWD)
    assert made.counts() == {"created": MANY + 2}, made.text
    seconds = int(re.findall(r"Duration: (?:(\d+)m)?(\d+)s", made.text)[0][1])
    record_property("seconds", seconds)
    assert seconds <= 60  # five on a quiet machine

"""A rehearsed store has the entries of a real one; other requests fail in the words of the real controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from lab import secret_store
from lab.api import Api
from lab.layout import Lab
from lab.secret_store import MARK, reconcile, withhold

INSIDE = {"spec": {"provider": {"kubernetes": {"remoteNamespace": "secret-source"}}}}
OUTSIDE: dict[str, Any] = {"spec": {"provider": {"bitwardensecretsmanager": {}}}}


class RecordingApi:
    """An API server with ExternalSecrets and the Secrets of a store, which records writes."""

    def __init__(
        self, store: dict[str, Any] | None, *asked: dict[str, Any], secrets: dict[str, list[str]] | None = None
    ) -> None:
        """Begin with these objects."""
        self.store, self.asked, self.secrets = store, list(asked), secrets or {}
        self.namespaces: dict[str, dict[str, str]] = {"media": {}}
        self.pushes: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.listed = 0

    def metadata(self, _: str, kind: str, namespace: str = "") -> list[dict[str, Any]]:
        if kind == "Secret":
            assert namespace == "secret-source"
            return [{"name": name, "resourceVersion": str(keys)} for name, keys in self.secrets.items()]
        if kind == "Namespace":
            return [{"name": name, "labels": labels} for name, labels in self.namespaces.items()]
        return [
            {"uid": one["metadata"]["name"], "resourceVersion": str([one["metadata"], one["status"]])}
            for one in self.asked
        ]

    def get(self, _: str, kind: str, name: str) -> dict[str, Any] | None:
        return self.store

    def list(self, _: str, kind: str, namespace: str = "") -> list[dict[str, Any]]:
        if kind == "Secret":
            return [{"metadata": {"name": name}, "data": dict.fromkeys(keys)} for name, keys in self.secrets.items()]
        self.listed += kind == "ExternalSecret"
        return self.pushes if kind == "PushSecret" else self.asked

    def annotate(self, _: str, kind: str, name: str, annotations: dict[str, str], namespace: str) -> None:
        self._one(name)["metadata"].setdefault("annotations", {}).update(annotations)

    def patch_status(self, _: str, kind: str, name: str, status: dict[str, Any], namespace: str) -> None:
        self._one(name)["status"].update(status)

    def create(self, thing: dict[str, Any]) -> None:
        self.events.append(thing)

    def _one(self, name: str) -> dict[str, Any]:
        return next(one for one in self.asked if one["metadata"]["name"] == name)


def external(name: str, told: str, *keys: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "media", "uid": name, "annotations": {"homelab.dev/entries": told}},
        "spec": {
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": "homelab"},
            "data": [{"secretKey": key, "remoteRef": {"key": key, "property": "value"}} for key in keys],
        },
        "status": {},
    }


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


def looked(lab: Lab, played: RecordingApi, before: str = "") -> str:
    return reconcile(lab, cast(Api, played), before)


def mark(one: dict[str, Any]) -> str:
    return str(one["metadata"]["annotations"][MARK])


def test_a_missing_entry_fails_as_with_the_real_controller(lab: Lab) -> None:
    one = external("sonarr", "{a: random, b: random}", "a", "b")
    played = RecordingApi(INSIDE, one, secrets={"a": ["value"]})
    looked(lab, played)
    (ready,) = one["status"]["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "SecretSyncedError")
    assert ready["message"] == "could not get secret data from provider"
    (event,) = played.events
    assert event["message"] == "error processing spec.data[1] (key: b), err: Secret does not exist"
    assert (event["type"], event["reason"]) == ("Warning", "UpdateFailed")


def test_an_entry_that_comes_later_is_found(lab: Lab) -> None:
    one = external("sonarr", "{a: random}", "a")
    played = RecordingApi(INSIDE, one)
    state = looked(lab, played)
    assert mark(one) != "found"
    played.secrets["a"] = ["value"]
    looked(lab, played, state)
    assert mark(one) == "found"


def test_a_secret_without_the_requested_part_is_no_entry(lab: Lab) -> None:
    one = external("sonarr", "{a: random}", "a")
    looked(lab, RecordingApi(INSIDE, one, secrets={"a": ["password"]}))
    assert "property value does not exist in data of secret" in mark(one)


def test_a_store_refuses_the_namespaces_that_its_conditions_leave_out(lab: Lab) -> None:
    one = external("sonarr", "{a: random}", "a")
    chosen = {"matchExpressions": [{"key": "homelab.dev/category", "operator": "Exists"}]}
    store = {"spec": {**OUTSIDE["spec"], "conditions": [{"namespaceSelector": chosen}]}}
    played = RecordingApi(store, one)
    looked(lab, played)
    assert mark(one) == 'using cluster store "homelab" is not allowed from namespace "media": denied by spec.condition'
    played.namespaces = {"media": {"homelab.dev/category": "media"}}
    looked(lab, played)
    assert mark(one) == "found"


def test_an_external_store_has_the_declared_entries_only(lab: Lab) -> None:
    one, other = external("a", "{a: random, b: 'given, by hand'}", "a", "b"), external("b", "{}", "c")
    looked(lab, RecordingApi(OUTSIDE, one, other))
    assert mark(one) == "found"
    assert "(key: c), err: Secret does not exist" in mark(other)


def test_an_external_store_lacks_withheld_entries_until_a_push(lab: Lab) -> None:
    one = external("a", "{a: random}", "a")
    played = RecordingApi(OUTSIDE, one)
    lab.root.mkdir()
    withhold(lab, ["a"])
    state = looked(lab, played)
    assert mark(one) != "found"
    played.pushes = [{"spec": {"data": [{"match": {"remoteRef": {"remoteKey": "a"}}}]}}]
    looked(lab, played, state)
    assert mark(one) == "found"


def test_without_a_store_every_reader_fails(lab: Lab) -> None:
    one = external("a", "{a: random}", "a")
    looked(lab, RecordingApi(None, one))
    assert one["status"]["conditions"][0]["status"] == "False"


def test_unchanged_state_is_not_reconciled_again(lab: Lab) -> None:
    played = RecordingApi(OUTSIDE, external("a", "{a: random}", "a"))
    state = looked(lab, played)
    state = looked(lab, played, state)
    before = played.listed
    assert looked(lab, played, state) == state
    assert played.listed == before
    assert secret_store.withheld(lab) == set()

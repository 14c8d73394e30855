"""The entries of the secret store: those that apps need, those that can be made, and no display of a value."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.load import read_stack
from config.tree import read_tree
from errors import Declined, ProgramFailed
from manifests.secret_entries import StoreEntry, declared, entry, read_by
from ops import secrets, store_entries
from ops.argocd.client import ArgoCDClient
from ops.result import Result
from ops.store_entries import Filled, fill, make, needed, states, value

ROOT = Path(__file__).parents[2]
DEV, HOME = (read_stack(ROOT / f"Pulumi.{name}.yaml").require() for name in ("dev", "homelab"))


def external(name: str, told: str, *keys: str, ready: bool | None = None) -> dict[str, Any]:
    conditions = [] if ready is None else [{"type": "Ready", "status": str(ready)}]
    return {
        "kind": "ExternalSecret",
        "metadata": {"name": name, "namespace": "media", "annotations": {"homelab.dev/entries": told}},
        "spec": {
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": "homelab"},
            "data": [{"secretKey": key, "remoteRef": {"key": key, "property": "value"}} for key in keys],
        },
        "status": {"conditions": conditions},
    }


@dataclass(frozen=True)
class Store(ArgoCDClient):
    """A cluster whose kubectl knows some Secrets and ExternalSecrets, and records its calls and the new objects."""

    environment: dict[str, str] = field(default_factory=dict)
    rehearsed: bool = False
    held: dict[str, str] = field(default_factory=dict)
    found: list[dict[str, Any]] = field(default_factory=list)
    pushed: str = "True"
    calls: list[tuple[str, ...]] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_rehearsed(self) -> bool:
        return self.rehearsed

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        self.calls.append(arguments)
        if stdin is not None:
            made = json.loads(stdin)
            self.created.append(made)
            if made["metadata"]["namespace"] == "secret-source":
                assert made["metadata"]["name"] not in self.held
                self.held[made["metadata"]["name"]] = "value"
        if "secrets" in arguments:
            return "".join(f"{name} {keys}\n" for name, keys in self.held.items())
        if store_entries.KIND in arguments:
            return json.dumps({"items": self.found})
        if store_entries.PUSH in arguments:
            ready = {"type": "Ready", "status": self.pushed, "message": "set secret failed: 403"}
            return json.dumps({"status": {"conditions": [ready]}})
        return ""


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("random", StoreEntry("a", "random")),
        ("random 32", StoreEntry("a", "random", length=32)),
        ("random hex 32", StoreEntry("a", "random", length=32, hexadecimal=True)),
        ("text admin", StoreEntry("a", "text", "admin")),
        ("given, by the provider", StoreEntry("a", "given", "by the provider")),
        ("given or none, by the provider", StoreEntry("a", "given", "by the provider", optional=True)),
        *((wrong, None) for wrong in ("", "given", "random 0", "randomly", "text two words", 5, None)),
    ],
)
def test_a_declaration_has_one_of_a_few_forms(told: object, expected: StoreEntry | None) -> None:
    assert entry("a", told) == expected


def test_random_values_have_the_declared_length_and_alphabet() -> None:
    made = {value(StoreEntry("a", "random", length=32, hexadecimal=True)) for _ in range(20)}
    assert len(made) == 20
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in made)
    assert re.fullmatch(r"[0-9A-Za-z]{40}", value(StoreEntry("a", "random")))
    assert value(StoreEntry("a", "text", "admin")) == "admin"


def test_an_entry_is_listed_once_with_all_its_readers() -> None:
    one, two = external("a", "{x: random, y: text u}", "x", "y"), external("b", "{x: random}", "x")
    found = needed([("media/a", one), ("media/b", two), ("media/b", {"kind": "Secret"})])
    assert [(each.entry.name, each.readers) for each in found] == [("x", ["media/a", "media/b"]), ("y", ["media/a"])]


def test_a_kubernetes_store_is_read_for_names_and_keys_only() -> None:
    cluster = Store(held={"x": "value", "y": "other"}, found=[])
    wanted = needed([("media/a", external("a", "{x: random, y: random, z: random}", "x", "y", "z"))])
    assert states(cluster, DEV, wanted) == {"x": "there", "y": "missing", "z": "missing"}
    ((*_, template),) = cluster.calls
    assert "$value}}" not in template.replace("range $key, $value", "")


def test_states_in_any_other_store_come_from_its_external_secrets() -> None:
    found = [
        external("a", "{}", "x", ready=True),
        external("b", "{}", "x", "y", ready=False),
        external("c", "{}", "z"),
    ]
    wanted = needed([("media/a", external("a", "{x: random, y: random, z: random}", "x", "y", "z"))])
    assert states(Store(held={}, found=found), HOME, wanted) == {
        "x": "there",
        "y": "missing, or another entry of ExternalSecret media/b is",
        "z": "not read yet",
    }


def test_a_kubernetes_store_keeps_its_entries_and_receives_missing_ones() -> None:
    failing = external("a", "{x: random hex 8, y: random}", "x", "y", ready=False)
    cluster = Store(held={"y": "value"}, found=[failing])
    assert make(cluster, DEV, needed([("media/a", failing)])) == ["x"]
    (made,) = cluster.created
    assert made["metadata"]["namespace"] == "secret-source"
    assert re.fullmatch(r"[0-9a-f]{8}", made["stringData"]["value"])
    asked_again = ("--namespace", "media", "annotate", "--overwrite", f"{store_entries.KIND}/a")
    assert cluster.calls[-1][:5] == asked_again


def test_any_other_store_receives_entries_by_a_temporary_push_secret() -> None:
    wanted = needed([("media/a", external("a", "{x: random}", "x"))])
    cluster = Store(held={}, found=[])
    assert make(cluster, HOME, wanted) == ["x"]
    secret, push = cluster.created
    assert (secret["kind"], secret["metadata"]["namespace"]) == ("Secret", "security")
    spec = push["spec"]
    assert (spec["updatePolicy"], spec["deletionPolicy"]) == ("IfNotExists", "None")
    assert spec["data"] == [{"match": {"secretKey": "x", "remoteRef": {"remoteKey": "x", "property": "value"}}}]
    deletions = [call for call in cluster.calls if "delete" in call]
    assert deletions[-1][3:5] == (f"{store_entries.PUSH}/homelab-entries", "secret/homelab-entries")


def test_a_store_that_rejects_entries_is_reported_after_the_cleanup() -> None:
    cluster = Store(held={}, found=[], pushed="False")
    with pytest.raises(Declined, match=r"does not take new entries: set secret failed: 403; grant the credential"):
        make(cluster, HOME, needed([("media/a", external("a", "{x: random}", "x"))]))
    assert "delete" in cluster.calls[-1]


def test_a_value_is_in_no_argument_of_a_program() -> None:
    cluster = Store(held={}, found=[])
    make(cluster, DEV, needed([("media/a", external("a", "{x: random}", "x"))]))
    (made,) = cluster.created
    assert made["stringData"]["value"] not in repr(cluster.calls)


def test_up_fills_a_kubernetes_store_except_for_given_entries() -> None:
    failing = external("a", "{x: random, y: 'given, by hand', z: 'given or none, by hand'}", "x", "y", "z", ready=False)
    cluster, filled = Store(held={}, found=[failing, external("b", "{w: random}", "w", ready=True)]), Filled()
    fill(cluster, DEV, filled)
    assert filled == Filled(made=["x"], none=["z"], stood_in=[])
    fill(cluster, DEV, filled)
    assert filled == Filled(made=["x"], none=["z"], stood_in=[])


def test_a_rehearsal_makes_given_entries_up_and_reports_them() -> None:
    failing = external("a", "{y: 'given, by hand'}", "y", ready=False)
    cluster, filled = Store(held={}, found=[failing], rehearsed=True), Filled()
    fill(cluster, DEV, filled)
    assert filled == Filled(stood_in=["y"])


def test_up_makes_nothing_in_a_store_outside() -> None:
    cluster = Store(held={}, found=[external("a", "{x: random}", "x", ready=False)])
    fill(cluster, HOME, Filled())
    assert cluster.calls == []


def test_before_the_controller_is_there_nothing_is_missing() -> None:
    class Early(Store):
        def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
            raise ProgramFailed(
                "no", status=1, output=f'the server doesn\'t have a resource type "{store_entries.KIND}"'
            )

    fill(Early(), DEV, Filled())


def test_a_first_up_of_dev_needs_no_manual_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = read_stack(ROOT / "Pulumi.dev.yaml")
    by_hand = [
        (one.entry.name, one.readers)
        for one in needed(secrets._objects(ROOT, stack, read_tree(ROOT)))
        if not one.is_made and not one.entry.optional
    ]
    assert by_hand == []


def listing(monkeypatch: pytest.MonkeyPatch, cluster: ArgoCDClient | None, **more: Any) -> Result:
    found = external("a", "{x: random, y: 'given, by hand'}", "x", "y")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(secrets, "_objects", lambda *_: [("media/a", found)])
    monkeypatch.setattr(secrets, "_client", lambda *_: (cluster, "" if cluster else "KUBECONFIG names no cluster"))
    monkeypatch.setattr(secrets, "refuse_other_stack", lambda *_: None)
    return secrets.run(argparse.Namespace(**{"stack": "dev", "create": False, **more}))


def test_the_list_names_origin_reader_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    result = listing(monkeypatch, Store(held={"x": "value"}, found=[]))
    assert result.code == 1
    lines = result.text.splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["x", "random,", "40", "characters", "media/a", "there"],
        ["y", "given:", "by", "hand", "media/a", "missing"],
    ]
    assert lines[-1] == "to give by hand: y; docs/understanding/secrets.md"


def test_without_a_cluster_the_list_says_that_nothing_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    result = listing(monkeypatch, None)
    assert result.code == 0
    said = result.text
    assert said.count("unknown") == 2
    assert "the missing entries are not known: KUBECONFIG names no cluster" in said


def test_nothing_can_be_made_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Declined, match="KUBECONFIG names no cluster"):
        listing(monkeypatch, None, create=True)


def test_a_created_entry_is_listed_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Store(held={}, found=[])
    said = listing(monkeypatch, cluster, create=True).text
    (made,) = cluster.created
    assert made["stringData"]["value"] not in said
    assert re.search(r"^x .* sent$", said, re.MULTILINE)


def test_machines_get_every_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    said = listing(monkeypatch, Store(held={}, found=[])).as_dict()
    assert said["store"] == "kubernetes"
    assert said["entries"][0] == {"name": "x", "origin": "random", "readers": ["media/a"], "state": "missing"}


def test_an_object_that_reads_another_store_reads_no_entry() -> None:
    other = external("a", "{}", "x")
    other["spec"]["secretStoreRef"]["name"] = "other"
    assert list(read_by(other)) == []
    assert declared(external("a", "[x]", "x")) == {}

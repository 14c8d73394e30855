"""The pairs of an app whose namespace changes."""

from __future__ import annotations

from manifests.objects import Object
from ops.review.sides import object_pairs

SCOPES = {("example.com", "Fleet"): "Cluster"}


def item(kind: str, name: str, namespace: str = "", version: str = "v1", **fields: str) -> Object:
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **where}, **fields}


def test_only_objects_without_a_namespace_of_their_own_move_with_their_app() -> None:
    stay = [
        item("ConfigMap", "elsewhere", "other"),
        item("Namespace", "media"),
        item("Fleet", "one", version="example.com/v1"),
    ]
    old = [*stay, item("ConfigMap", "moves"), item("ClusterRole", "same", version="rbac.authorization.k8s.io/v1")]
    new = [*old[:-1], item("ClusterRole", "same", version="rbac.authorization.k8s.io/v1", changed="yes")]
    found = [(pair.operation, str(pair.identity)) for pair in object_pairs(old, new, "media", "films", SCOPES)]
    assert sorted(found) == [
        ("added", "ConfigMap films/moves"),
        ("changed", "ClusterRole.rbac.authorization.k8s.io same"),
        ("removed", "ConfigMap media/moves"),
    ]


def test_an_added_app_has_one_namespace() -> None:
    found = [*object_pairs((), [item("ConfigMap", "one")], "", "films", SCOPES)]
    assert [(pair.operation, str(pair.identity)) for pair in found] == [("added", "ConfigMap films/one")]

"""Pairs of objects: each object that differs is in one pair, and no other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.comparison.pairs import Pair, differing
from manifests.objects import Identity, Object
from tests.manifests.comparison.objects import VALUES, deployment, edited, made, of_apps, pod_spec

CRD = made(
    "CustomResourceDefinition",
    "things.example.org",
    "apiextensions.k8s.io/v1",
    spec={"group": "example.org", "names": {"kind": "Thing"}, "scope": "Namespaced"},
)


def at(namespace: str, item: Object) -> Object:
    return edited(item, "metadata", "namespace", to=namespace)


def told(pairs: tuple[Pair, ...]) -> list[tuple[str, str]]:
    return [(pair.operation, str(pair.identity)) for pair in pairs]


def test_added_removed_and_changed_objects_are_found_in_order() -> None:
    one, other = made(name="b", data={"x": "1"}), made(name="b", data={"x": "2"})
    pairs = differing([one, made(name="c"), made(name="d")], [other, made(name="d"), made(name="a")], "media")
    assert told(pairs) == [
        ("added", "ConfigMap media/a"),
        ("changed", "ConfigMap media/b"),
        ("removed", "ConfigMap media/c"),
    ]
    assert (pairs[1].before, pairs[1].after) == (one, other)


IDENTITIES: list[tuple[str, Object, Object, list[tuple[str, str]]]] = [
    ("a namespace that was implied", made(), at("media", made()), [("changed", "ConfigMap media/a")]),
    (
        "another namespace",
        made(),
        at("web", made()),
        [("removed", "ConfigMap media/a"), ("added", "ConfigMap web/a")],
    ),
    (
        "a cluster-wide kind",
        made("ClusterRole", api="rbac.authorization.k8s.io/v1"),
        at("web", made("ClusterRole", api="rbac.authorization.k8s.io/v1")),
        [("changed", "ClusterRole.rbac.authorization.k8s.io a")],
    ),
    (
        "an unknown kind",
        made("Thing", api="example.org/v1"),
        at("media", made("Thing", api="example.org/v1")),
        [("changed", "Thing.example.org a")],
    ),
    (
        "another API version",
        made("Thing", api="example.org/v1beta1"),
        made("Thing", api="example.org/v1"),
        [("changed", "Thing.example.org a")],
    ),
    (
        "another group",
        made("Ingress", api="extensions/v1beta1"),
        made("Ingress", api="networking.k8s.io/v1"),
        [("removed", "Ingress.extensions media/a"), ("added", "Ingress.networking.k8s.io media/a")],
    ),
    ("a number that became a text", made(data={"x": 1}), made(data={"x": "1"}), [("changed", "ConfigMap media/a")]),
    ("a number that became a truth", made(data={"x": 1}), made(data={"x": True}), [("changed", "ConfigMap media/a")]),
    ("other keys' order", made(data={"x": "1", "y": "2"}), made(data={"y": "2", "x": "1"}), []),
]


@pytest.mark.parametrize(
    ("before", "after", "expected"), [row[1:] for row in IDENTITIES], ids=[r[0] for r in IDENTITIES]
)
def test_an_object_is_known_by_group_kind_name_and_effective_namespace(
    before: Object, after: Object, expected: list[tuple[str, str]]
) -> None:
    assert sorted(told(differing([before], [after], "media"))) == sorted(expected)


def test_the_scope_of_a_kind_comes_from_its_definition() -> None:
    old, new = made("Thing", api="example.org/v1"), made("Thing", api="example.org/v1", spec={"a": 1})
    assert told(differing([CRD, old], [CRD, new], "media")) == [("changed", "Thing.example.org media/a")]
    scopes = {("example.org", "Thing"): "Cluster"}
    assert told(differing([at("x", old)], [at("y", new)], "media", scopes)) == [("changed", "Thing.example.org a")]


def test_no_duplicate_is_lost() -> None:
    one, two, three = (made(data={"x": number}) for number in ("1", "2", "3"))
    pairs = differing([one, two, two], [two, three], "media")
    assert [(pair.before, pair.after) for pair in pairs] == [(one, three), (two, None)]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "run-"}}
    (pair,) = differing([job], [job, {**job, "spec": {}}], "media")
    assert (pair.operation, pair.identity) == ("added", Identity("batch", "Job", "media", "run-*"))


def named(name: str, value: str = "", kind: str = "ConfigMap", api: str = "v1") -> Object:
    return made(kind, name, api, data={"x": value})


def test_a_name_with_a_digest_of_its_content_belongs_to_one_object() -> None:
    old, new = named("settings-2456789bcd", "1"), named("settings-bcdfghkmtb", "2")
    user = deployment({"volumes": [{"name": "a", "configMap": {"name": "settings-2456789bcd"}}]})
    follows = edited(user, "spec", "template", "spec", "volumes", 0, "configMap", "name", to="settings-bcdfghkmtb")
    pairs = differing([old, user], [new, follows], "media")
    assert told(pairs) == [("changed", "ConfigMap media/settings-bcdfghkmtb"), ("changed", "Deployment.apps media/a")]
    assert pairs[0].before == old
    assert {pair.renamed for pair in pairs} == {frozenset({("settings-2456789bcd", "settings-bcdfghkmtb")})}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (named("settings-2456789bcd"), named("other-bcdfghkmtb")),
        (named("settings-2456789bcd"), named("settings-bcdfghkmtb", kind="Secret")),
        (named("settings-2456789bca"), named("settings-bcdfghkmta")),
        (named("settings-2456789bcd", api="example.org/v1"), named("settings-bcdfghkmtb", api="example.org/v1")),
        (named("settings"), named("settings-bcdfghkmtb")),
    ],
)
def test_other_names_belong_to_two_objects(old: Object, new: Object) -> None:
    assert sorted(pair.operation for pair in differing([old], [new], "media")) == ["added", "removed"]


def test_several_objects_of_one_stem_stay_several() -> None:
    old = [named("a-2456789bcd", "1"), named("a-2456789bcc", "2")]
    assert sorted(pair.operation for pair in differing(old, [named("a-bcdfghkmtb")], "x")) == ["changed", "removed"]


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(inner) for key, inner in reversed(value.items())}
    return [reordered(inner) for inner in reversed(value)] if isinstance(value, list) else value


def test_the_order_of_lists_that_kubernetes_merges_by_a_key_has_no_meaning() -> None:
    spec = pod_spec()
    assert differing([deployment(spec)], [deployment(reordered(spec))], "media") == ()
    rollout = {**deployment(spec), "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
    other = {**rollout, "spec": {"template": {"spec": reordered(spec)}}}
    assert len(differing([rollout], [other], "media")) == 1  # its template lost its metadata
    other["spec"]["template"]["metadata"] = {}
    assert differing([rollout], [other], "media") == ()


def _swapped(*path: Any) -> Callable[[Object], Object]:
    def swap(item: Object) -> Object:
        inner: Any = item
        for key in path:
            inner = inner[key]
        return edited(item, *path, to=inner[::-1])

    return swap


SPEC = ("spec", "template", "spec")
ENV = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)/x"}]
IN_ORDER: list[tuple[str, Object, Callable[[Object], Object]]] = [
    (
        "init containers run one after the other",
        deployment({"initContainers": [{"name": "a"}, {"name": "b"}]}),
        _swapped(*SPEC, "initContainers"),
    ),
    (
        "a variable refers to those before it",
        deployment({"containers": [{"name": "a", "env": ENV}]}),
        _swapped(*SPEC, "containers", 0, "env"),
    ),
    (
        "arguments",
        deployment({"containers": [{"name": "a", "args": ["a", "b"]}]}),
        _swapped(*SPEC, "containers", 0, "args"),
    ),
    (
        "keys that are not unique",
        deployment({"volumes": [{"name": "a"}, {"name": "a", "x": 1}]}),
        _swapped(*SPEC, "volumes"),
    ),
    ("entries without a key", deployment({"containers": [{}, {"image": "b"}]}), _swapped(*SPEC, "containers")),
    (
        "a list of a custom resource",
        made("Thing", api="example.org/v1", spec={"containers": [{"name": "a"}, {"name": "b"}]}),
        _swapped("spec", "containers"),
    ),
]


@pytest.mark.parametrize(("item", "swap"), [row[1:] for row in IN_ORDER], ids=[row[0] for row in IN_ORDER])
def test_the_order_of_other_lists_counts(item: Object, swap: Callable[[Object], Object]) -> None:
    assert told(differing([item], [swap(item)], "media"))[0][0] == "changed"


@given(VALUES, st.randoms())
def test_equal_objects_make_no_pair_whatever_the_order_of_keys(value: Any, random: Any) -> None:
    item = made("Thing", api="example.org/v1", spec=value)
    keys = [*item]
    random.shuffle(keys)
    assert differing([item], [copy.deepcopy({key: item[key] for key in keys})], "media") == ()


@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4), st.integers(1, 3))
def test_every_object_that_is_not_on_both_sides_is_in_one_pair(old: list[Any], new: list[Any], names: int) -> None:
    """Take away what pairs hold of the old side and add what they hold of the new one: the new side is left."""
    before = [made(name=str(place % names), data=value) for place, value in enumerate(old)]
    after = [made(name=str(place % names), data=value) for place, value in enumerate(new)]
    left = [repr(item) for item in before]
    for pair in differing(before, after, "media"):
        if pair.before is not None:
            left.remove(repr(pair.before))
        if pair.after is not None:
            left.append(repr(pair.after))
    assert len(left) == len(after)


def test_the_manifests_of_apps_equal_themselves_in_another_order_of_keys() -> None:
    items = list(of_apps().values())
    assert len(items) > 100
    other = [dict(reversed(copy.deepcopy(item).items())) for item in items]
    assert differing(items, other, "media") == ()

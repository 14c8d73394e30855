"""Malformed objects are reported as problems, and never end a rule in a traceback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from config.load import read_stacks
from config.source import KeyPath
from config.tree import read_tree
from manifests.rules import conformance, register
from manifests.rules.stack_objects import AppObject, StackObjects
from ops.checking.validation import SCHEMAS, Validation
from tests.manifests.rules.scenario import prepare

INSTEAD: tuple[Any, ...] = (None, "x", 7, True, [], {}, ["x"], {"x": "y"}, [{}], [None])


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> Validation:
    root = tmp_path_factory.mktemp("checkout")
    prepare({}, root)
    stacks = read_stacks(root)
    made = Validation(root, stacks[:1], read_tree(root))
    made.render()
    assert made.problems == []
    return made


def below(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of each value inside an object, except its apiVersion and kind."""
    if path not in ((), ("apiVersion",), ("kind",)):
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from below(inner, (*path, key))


def changed(item: dict[str, Any], path: KeyPath, value: Any) -> dict[str, Any]:
    made: Any = copy.deepcopy(item)
    place = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return dict(made)


def mutants(objects: StackObjects) -> Iterator[AppObject]:
    """Yield each object with each field replaced by each value of `INSTEAD`; CRDs have a test of their own."""
    for obj in objects.all:
        for path in below(obj.item) if obj.kind != "CustomResourceDefinition" else ():
            for value in INSTEAD:
                number = f"{obj.app.environment}/{obj.kind}/{path}/{value}"
                yield replace(obj, item=changed(obj.item, path, value), app=replace(obj.app, environment=number))


def test_no_malformed_object_makes_a_rule_fail(validation: Validation) -> None:
    objects = validation.stack_objects(validation.stacks[0])
    every = tuple(mutants(objects))
    assert len(every) > 2000
    judge = conformance.Conformer(validation.tools.manifests(SCHEMAS) / "kubernetes", validation.tools.env(), kept=None)
    crds = tuple(obj for obj in objects.all if obj.kind == "CustomResourceDefinition")
    refused, (sound,) = conformance.check(judge, [replace(objects, all=(*crds, *every))])
    assert refused
    assert list(register.findings(sound))


@pytest.mark.parametrize("value", INSTEAD)
def test_a_malformed_definition_defines_nothing(validation: Validation, value: Any) -> None:
    objects = validation.stack_objects(validation.stacks[0])
    objs = [
        replace(obj, item=changed(obj.item, ("spec",), value)) if obj.kind == "CustomResourceDefinition" else obj
        for obj in objects.all
    ]
    judge = conformance.Conformer(validation.tools.manifests(SCHEMAS) / "kubernetes", validation.tools.env(), kept=None)
    refused, (sound,) = conformance.check(judge, [replace(objects, all=tuple(objs))])
    assert {one.check for one in refused} == {"kind-unknown", "schema-refused"}
    list(register.findings(sound))

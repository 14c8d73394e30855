"""Objects of kinds without a schema: no content of theirs ends a rule in a traceback.

A definition may accept any object, and null passes every schema for a field that may be missing; so the rules run
without kubeconform before them.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.category import Category, PodSecurity
from config.rules import REGISTER
from config.source import KeyPath
from config.tree import App, CategoryFolder
from manifests.objects import Object, api_versions
from manifests.rules import register
from manifests.rules.stack_objects import AppObject, StackObjects
from ops.checking.online import wanted_images
from tests.manifests.rules.test_robust import below

OBJECTS = Path(__file__).with_name("odd.yaml")
LEVELS: tuple[PodSecurity, ...] = ("restricted", "baseline", "privileged")
SCALARS = st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["", "x", "half", "1.5%", "1Ei", "1e9", "0"])
ODD = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "x"]), inner)
)


@cache
def odd_objects() -> tuple[Object, ...]:
    return tuple(yaml.safe_load_all(OBJECTS.read_text(encoding="utf-8")))


@cache
def places() -> tuple[tuple[int, KeyPath], ...]:
    return tuple((index, path) for index, item in enumerate(odd_objects()) for path in below(item))


def put(item: Object, path: KeyPath, value: Any) -> None:
    """Set a value at its path, unless an earlier value removed the path."""
    place: Any = item
    for key in path[:-1]:
        try:
            place = place[key]
        except (KeyError, IndexError, TypeError):
            return
    with contextlib.suppress(IndexError, TypeError):
        place[path[-1]] = value


def objects_of(items: Sequence[Object], level: PodSecurity) -> StackObjects:
    """Return the objects of a stack, with an app for each."""
    made = Category.model_validate({"layer": "applications"})
    folder = CategoryFolder("media", "apps/media", made, ())
    apps = [App("media", item["kind"], f"production-{id(item)}", "kustomization") for item in items]
    objs = tuple(AppObject(item, app, folder, "media") for item, app in zip(items, apps, strict=True))
    return StackObjects("home", "production", "1.36.3", "home.test", objs, {"media": level}, disks=1 << 20)


def judge(items: Sequence[Object], level: PodSecurity) -> None:
    """Run every function that must accept malformed objects; none may raise."""
    api_versions(items)
    objects = objects_of(items, level)
    wanted_images([objects])
    for found in register.findings(objects):
        assert str(found)


@given(st.data())
@settings(max_examples=200)
def test_no_rule_ends_in_a_traceback(data: st.DataObject) -> None:
    items: Any = copy.deepcopy(list(odd_objects()))
    for _ in range(data.draw(st.integers(1, 3))):
        index, path = data.draw(st.sampled_from(places()))
        put(items[index], path, data.draw(ODD))
    judge(items, data.draw(st.sampled_from(LEVELS)))


@given(st.data())
@settings(max_examples=50)
def test_findings_of_one_app_do_not_depend_on_others(data: st.DataObject) -> None:
    items: Any = copy.deepcopy(list(odd_objects()))
    index, path = data.draw(st.sampled_from(places()))
    put(items[index], path, data.draw(ODD))
    level = data.draw(st.sampled_from(LEVELS))
    every = local(items, level)
    assert sorted(every) == sorted(found for one in items for found in local([one], level))
    assert every


def local(items: Sequence[Object], level: PodSecurity) -> list[str]:
    """Return the findings that depend on an app's own files alone."""
    return [str(one) for one in register.findings(objects_of(items, level)) if REGISTER[one.check].is_local]

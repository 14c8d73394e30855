"""Results of kubeconform are cached for each build of it, and each is reported for the object that it concerns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.category import Category
from config.tree import App, CategoryFolder
from manifests.objects import Object
from manifests.render_cache import RenderCache
from manifests.rules.conformance import Conformer, check
from manifests.rules.stack_objects import AppObject, StackObjects
from ops.checking.validation import SCHEMAS
from ops.toolchain.lookup import ensure


@pytest.fixture
def conformer(tmp_path: Path) -> Conformer:
    tools = ensure(("kubeconform", SCHEMAS))
    return Conformer(tools.manifests(SCHEMAS) / "kubernetes", tools.env(), RenderCache(tmp_path / "kept"))


def config_map(namespace: str, data: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "same", "namespace": namespace},
        "data": data,
    }


def judged(conformer: Conformer, *items: Object) -> list[Object]:
    folder = CategoryFolder("media", "apps/media", Category.model_validate({"layer": "applications"}), ())
    app = App("media", "a", "production", "kustomization")
    objs = tuple(AppObject(item, app, folder, "media") for item in items)
    refused, _ = check(conformer, [StackObjects("home", "production", "1.36.3", "home.test", objs)])
    return [found.obj.item for found in refused]


def test_of_two_objects_with_one_name_the_invalid_is_reported(conformer: Conformer) -> None:
    wrong, right = config_map("media", {"a": 1}), config_map("other", {"a": "1"})
    for _ in range(2):  # the second time from the cache
        assert judged(conformer, wrong, right) == [wrong]
        assert judged(conformer, right, wrong) == [wrong]


def test_another_build_of_the_program_checks_again(conformer: Conformer, tmp_path: Path) -> None:
    program = tmp_path / "bin/kubeconform"
    program.parent.mkdir()
    own = Conformer(conformer.schemas, {"PATH": f"{program.parent}:/usr/bin:/bin"}, conformer.kept)
    for said, refused in (("", 0), ("a word of another length", 1)):
        resource = (
            '{"filename": "\'$(echo $*/*.json | tr " " "\\\\n" | tail -1)\'", "msg": "' + said + '"}' if said else ""
        )
        program.write_text(f"#!/bin/sh\necho '{{\"resources\": [{resource}]}}'\n", encoding="utf-8")
        program.chmod(0o755)
        assert len(judged(own, config_map("media", {}))) == refused

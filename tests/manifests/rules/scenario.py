"""Scenarios of rendered objects: one change to a small valid checkout, and the messages of the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from config.load import read_stacks
from config.tree import read_tree
from errors import Problem
from ops.checking.validation import Validation, validate
from tests.config import scenario

HERE = Path(__file__).parent
CHECKOUT = HERE / "checkout"
ENVIRONMENTS = ("dev", "production")


def prepare(told: dict[str, Any], root: Path) -> None:
    """Write the checkout with the scenario's one change; an app of a base alone runs in every environment."""
    scenario.prepare(told, root, CHECKOUT)
    for base in sorted((root / "apps").glob("[!_]*/[!_]*/base")):
        if not any(base.parent.glob("[!b]*/")):
            for environment in ENVIRONMENTS:
                _run_in(base, environment)
    scenario.write_settings(root)


def _run_in(base: Path, environment: str) -> None:
    """Write the folder of an environment: it lists the base, or each manifest of a base without a kustomization."""
    manifests = [one.name for one in sorted(base.glob("*.yaml")) if one.name != "replacements.yaml"]
    made: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../base"] if "kustomization.yaml" in manifests else [f"../base/{name}" for name in manifests],
        "components": [f"../../../_settings/{environment}"],
    }
    if (base / "replacements.yaml").is_file():
        made["replacements"] = [{"path": "../base/replacements.yaml"}]
    folder = base.parent / environment
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(made, sort_keys=False), encoding="utf-8")


def problems(root: Path) -> list[Problem]:
    """Return the problems that the rules find in a checkout."""
    stacks = read_stacks(root)
    tree = read_tree(root)
    assert [str(problem) for stack in stacks for problem in stack.problems] == []
    assert tree.problems == ()
    return validate(Validation(root, stacks, tree))

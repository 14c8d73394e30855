"""Changes for the tests of dangers and fates: objects of one app on both sides, or an edited checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from config.category import Category
from config.load import Stack, read_stack, read_stacks
from config.tree import App, CategoryFolder, Tree, read_tree
from manifests.comparison.pairs import differing
from manifests.objects import Object
from ops.checking.validation import StackApp, Validation
from ops.review.dangers.context import Context
from ops.review.dangers.rules import REGISTER
from ops.review.sides import AppPair, Side
from tests.config.scenario import CHECKOUT, prepare

HERE = Path(__file__).parent
STACK = read_stack(CHECKOUT / "Pulumi.base.yaml")
APP = App("media", "app", "production", "kustomization")
OTHER: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stays"}}


def table(name: str) -> list[dict[str, Any]]:
    """Return the scenarios of a file."""
    rows: list[dict[str, Any]] = yaml.safe_load((HERE / name).read_text(encoding="utf-8"))
    return rows


def uncovered(rows: list[dict[str, Any]], *reads: str) -> set[str]:
    """Return the rules of some subjects that lack a scenario which breaks them, or one which nearly does."""
    broken = {row["rule"] for row in rows if row["rule"] in row.get("expect", {})}
    near = {row["rule"] for row in rows if row["rule"] not in row.get("expect", {})}
    return {name for name, one in REGISTER.items() if one.reads in reads} - (broken & near)


def category(settings: dict[str, Any] | None, apps: tuple[App, ...] = (APP,)) -> CategoryFolder:
    """Return the category of the app."""
    value = {"layer": "applications", **(settings or {})}
    return CategoryFolder("media", "apps/media", Category.model_validate(value), apps)


def side(folder: CategoryFolder, app: App | None, objects: list[Object], stack: Stack | None = None) -> Side:
    """Return one side with one app of one stack, rendered already."""
    stack = stack or STACK
    tree = Tree(categories=(folder,), environments=("production",))
    made = Validation(CHECKOUT, [stack], tree)
    if app:
        made.rendered[str(stack.require().cluster.kubernetes_version), app.path] = tuple(objects)
    return Side(CHECKOUT, [stack], tree, made)


def change(row: dict[str, Any]) -> Context:
    """Return the change of one app that a scenario describes; another object stays, unless it is `empty`."""
    before, after = (_listed(row.get(key)) for key in ("before", "after"))
    old = category(row.get("category"))
    new = category(row.get("categoryAfter", row.get("category")))
    gone = row.get("app") == "removed"
    rest = [] if row.get("empty") else [OTHER]
    sides = side(old, APP, before + rest), side(new, None if gone else APP, after + rest)
    place = StackApp(APP, old), None if gone else StackApp(APP, new)
    pairs = [AppPair("base", APP.label, *place, differing(before, after, "media"))]
    for label, objects in row.get("others", {}).items():
        name, _, app = label.partition("/")
        other = App(name, app, "production", "kustomization")
        made = differing([], _listed(objects), "media")
        pairs.append(AppPair("base", label, None, StackApp(other, new), made))
    return Context(pairs, *sides)


def _listed(value: Any) -> list[Object]:
    return value if isinstance(value, list) else [value] if value else []


def edited(row: dict[str, Any], root: Path) -> Context:
    """Return the change of a checkout that a scenario describes: from its `before` to the checkout itself, or back."""
    sides = []
    for name in ("before", "after"):
        scenario = {"replace": row.get(name, {}), "remove": row.get(f"{name}Remove", [])}
        prepare({key: value for key, value in scenario.items() if value}, root / name)
        stacks, tree = read_stacks(root / name), read_tree(root / name)
        sides.append(Side(root / name, stacks, tree, Validation(root / name, stacks, tree)))
    return Context((), sides[0], sides[1])

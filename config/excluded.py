"""The apps that a stack excludes: each exists, and the program seeds none of them.

The names of a stack and the tree come in, findings go out, which `config.checks` reports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from config.explain import nearest
from config.rules import rule
from config.tree import Tree


@rule(
    "app-needed",
    scope="tree",
    why="The program applies it once; without it in Git, nothing would update it afterwards.",
)
@rule("app-unknown", scope="tree", why="A misspelt name excludes nothing, and the app would run.")
def excluded(names: Sequence[str], begun: Collection[str], tree: Tree) -> Iterator[tuple[int, str, str, str, str]]:
    """Yield index, name, check, rule and fix of each name that cannot be excluded."""
    apps = [f"{app.category}/{app.name}" for app in tree.apps]
    needed = {*begun, *(f"{app.category}/{app.name}" for app in tree.apps_of_layer("crds"))}
    for index, name in enumerate(names):
        if name.partition("/")[0] in tree.refused:
            continue
        if name not in apps:
            fix = nearest(name, apps, "name a folder below apps/ as category/app")
            yield index, name, "app-unknown", "has no folder in apps/", fix
        elif name in needed:
            rule = "is an app that the program seeds and that Git must own afterwards"
            yield index, name, "app-needed", rule, "remove it from the list"

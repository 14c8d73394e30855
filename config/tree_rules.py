"""Rules of a stack's settings against the tree: the folders that the settings and the program name exist.

`Facts` come in, findings go out; `config.checks` runs these rules with its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from config import derive
from config.explain import nearest
from config.facts import Facts, SettingFinding
from config.rules import rule


@rule(
    "platform-app-missing",
    scope="settings",
    why="The program applies this folder before Git takes over; without it there is no handover.",
)
@rule(
    "platform-namespace-missing",
    scope="settings",
    why="The program creates Secrets there before it applies the folder.",
)
def platform_apps(facts: Facts) -> Iterator[SettingFinding]:
    """Check that the folders which the program seeds exist, with their namespaces."""
    environment = facts.settings.delivery.environment
    if not facts.tree.categories or environment not in facts.tree.environments:
        return
    categories = {category.name: category for category in facts.tree.categories}
    runs = {app.label: app for app in facts.tree.apps_in(environment)}
    for app, namespace in derive.platform_apps(facts.settings).items():
        name = app.partition("/")[0]
        if name in facts.tree.refused:
            continue
        if app not in runs:
            rule, fix = f"seeds apps/{app}/{environment}, which does not exist", "restore the folder"
            yield SettingFinding("platform-app-missing", ("platform",), None, rule, fix)
        elif namespace not in categories[name].namespaces:
            rule = f"seeds apps/{app}, whose category has no namespace {namespace}"
            fix = f"add {namespace} under `namespaces` of apps/{name}/category.yaml"
            yield SettingFinding("platform-namespace-missing", ("platform",), None, rule, fix)


@rule("environment-unknown", scope="settings", why="Argo CD would read no folder of a misspelt environment.")
def delivery(facts: Facts) -> Iterator[SettingFinding]:
    """Check that the environment of the settings exists in the tree."""
    settings = facts.settings.delivery
    if not facts.tree.categories:
        return  # without a tree there is nothing to compare
    environments = facts.tree.environments
    if settings.environment not in environments:
        fix = nearest(
            settings.environment,
            environments,
            "./homelab init writes one, with --like as a copy of another environment",
        )
        named = ("delivery", "environment")
        yield SettingFinding("environment-unknown", named, settings.environment, "has no folder in apps/_settings", fix)

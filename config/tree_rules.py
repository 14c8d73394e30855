"""Rules of a stack's settings against the tree: the folders that the settings and the program name exist.

`Facts` come in, findings go out; `config.checks` runs these rules with its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from config import derive
from config.explain import nearest
from config.facts import Facts, SettingFinding
from config.rules import rule
from config.tree import taken_up


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
@rule(
    "category-needed",
    scope="settings",
    why="Its namespaces would be missing, and Git would never own the apps that the program applied.",
)
def platform_apps(facts: Facts) -> Iterator[SettingFinding]:
    """Check that the folders which the program seeds exist, with their namespaces."""
    if not facts.tree.categories:
        return
    categories = {category.name: category for category in facts.tree.categories}
    for app, namespace in derive.platform_apps(facts.settings).items():
        name, _, folder = app.partition("/")
        category = categories.get(name)
        if name in facts.tree.refused:
            continue
        if category is None or folder not in [one.name for one in category.apps]:
            rule = f"seeds apps/{app}, which does not exist"
            yield SettingFinding("platform-app-missing", ("platform",), None, rule, f"restore apps/{app}")
        elif namespace not in category.namespaces:
            rule = f"seeds apps/{app}, whose category has no namespace {namespace}"
            fix = f"add {namespace} under `namespaces` of apps/{name}/category.yaml"
            yield SettingFinding("platform-namespace-missing", ("platform",), None, rule, fix)
    chosen = facts.settings.delivery.categories or tuple(categories)
    needed = {app.partition("/")[0] for app in derive.platform_apps(facts.settings)}
    needed |= {category.name for category in facts.tree.categories if category.settings.layer == "crds"}
    for name in sorted(needed & set(categories) - set(chosen)):
        rule = f"leave out {name}, whose apps the program seeds"
        yield SettingFinding("category-needed", ("delivery", "categories"), None, rule, f"add {name}")


@rule(
    "ha-elsewhere",
    scope="settings",
    why="`up` would wait for parts that the folder does not have, or ignore those that it has.",
)
@rule(
    "sso-elsewhere",
    scope="settings",
    why="The login would stay as it was, or redirect to a provider that no setting names.",
)
def choices(facts: Facts) -> Iterator[SettingFinding]:
    """Check that the folder of Argo CD contains the parts that the settings choose."""
    argocd = facts.settings.platform.argocd
    apps = {app.full_name: app for app in facts.tree.apps_in(facts.settings.delivery.environment)}
    app = apps.get("system-argocd")
    if app is None or app.shape != "kustomization":
        return
    takes = taken_up(facts.root, app)
    overlay = f"environments/{facts.settings.delivery.environment}/system/argocd"
    sso = argocd.sso.issuer if argocd.sso else None
    for part, key, chosen_value, is_chosen, otherwise in (
        ("ha", "replicas", argocd.replicas, argocd.replicas == "ha", "write ha, or build on the base"),
        ("sso", "sso", sso, sso is not None, "add the OpenID provider, or remove the component there"),
    ):
        if is_chosen != (f"apps/system/argocd/{part}" in takes):
            rule = f"{'does not take' if is_chosen else 'takes'} apps/system/argocd/{part}"
            fix = f"let {overlay} take apps/system/argocd/{part}" if is_chosen else otherwise
            where = ("platform", "argocd", key)
            yield SettingFinding(
                f"{part}-elsewhere", where, chosen_value, f"does not fit {app.path}, which {rule}", fix
            )


@rule(
    "environment-unknown",
    scope="settings",
    why="With a misspelt environment every app would run its base, in production.",
)
@rule("category-unknown", scope="settings", why="A category without a folder would be an empty ApplicationSet.")
def delivery(facts: Facts) -> Iterator[SettingFinding]:
    """Check that the environment and the categories of the settings exist in the tree."""
    settings = facts.settings.delivery
    if not facts.tree.categories:
        return  # without a tree there is nothing to compare
    environments = list(facts.tree.environments)
    if settings.environment not in environments:
        fix = nearest(settings.environment, environments, f"make the folder environments/{settings.environment}")
        named = ("delivery", "environment")
        yield SettingFinding("environment-unknown", named, settings.environment, "has no folder in environments/", fix)
    known = [*(category.name for category in facts.tree.categories), *facts.tree.refused]
    for index, name in enumerate(settings.categories or ()):
        if name not in known:
            fix = nearest(name, known, f"the categories are {', '.join(known)}")
            yield SettingFinding(
                "category-unknown", ("delivery", "categories", index), name, "has no folder in apps/", fix
            )


@rule(
    "app-needed",
    scope="settings",
    why="The program applies it once; without it in Git, nothing would update it afterwards.",
)
@rule("app-unknown", scope="settings", why="A misspelt name excludes nothing, and the app would run.")
def excluded(facts: Facts) -> Iterator[SettingFinding]:
    """Check that each excluded app exists, and that the program seeds none of them."""
    tree = facts.tree
    if not tree.categories:
        return
    apps = [app.short_path for app in tree.apps]
    needed = {*derive.platform_apps(facts.settings), *(app.short_path for app in tree.apps_of_layer("crds"))}
    for index, name in enumerate(facts.settings.delivery.exclude):
        path = ("delivery", "exclude", index)
        if name.partition("/")[0] in tree.refused:
            continue
        if name not in apps:
            fix = nearest(name, apps, "name a folder below apps/ as category/app")
            yield SettingFinding("app-unknown", path, name, "has no folder in apps/", fix)
        elif name in needed:
            rule = "is an app that the program seeds and that Git must own afterwards"
            yield SettingFinding("app-needed", path, name, rule, "remove it from the list")

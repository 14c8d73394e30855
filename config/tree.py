"""The shape of the apps tree: categories, apps, and the environments that each app runs in.

A checkout comes in, a `Tree` of plain facts and a list of problems go out; `manifests` renders, this module does not.
`config.checks` compares the tree with the settings, `components.handover` passes it to Argo CD.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from config import files
from config.category import Category, CategoryNamespace, Layer
from config.explain import Places, explain, nearest
from config.pins import IS_COMMIT, versions
from config.promotion import beside_pin, may_have_pin, pin_of, written_pin
from config.rules import rule
from config.source import alone, parse, read
from config.values import BASE_FOLDER, LABEL, NO_ENVIRONMENT
from errors import Problem

APPS, BASE, SETTINGS, SHARED = "apps", BASE_FOLDER, "_settings", "_shared"
KUSTOMIZATION, CHART = "kustomization.yaml", "Chart.yaml"
# The files by which Argo CD's generator finds the folder of an environment.
GENERATED_BY = (KUSTOMIZATION, CHART)
KUSTOMIZATIONS = (KUSTOMIZATION, "kustomization.yml", "Kustomization")
MANIFESTS = (".yaml", ".yml", ".json")
# Objects without a namespace are created in the first; the others are Kubernetes' own.
RESERVED = ("default", "kube-node-lease", "kube-public")
CHAIN_FILE = "environments.yaml"  # read by `config.chain`
BESIDE = ("README.md", ".gitignore", ".gitkeep")
LONGEST_NAME = 63
REFERENCE = re.compile(r"(?P<source>[^\s?]+)\?(?:[^\s]*&)?ref=(?P<ref>[^\s&]+)")

Shape = Literal["kustomization", "chart"]


@dataclass(frozen=True)
class App:
    """One folder that becomes one Application: an app in an environment."""

    category: str
    name: str
    environment: str
    shape: Shape
    revision: str = field(default="", compare=False)
    """The commit that it is pinned to; empty where it follows the branch of its stack."""
    hold: str = field(default="", compare=False)
    """The reason why promotions leave it as it is."""

    @property
    def full_name(self) -> str:
        """The Application's name."""
        return f"{self.category}-{self.name}"

    @property
    def label(self) -> str:
        """The app's name with its category, the same in all environments."""
        return f"{self.category}/{self.name}"

    @property
    def folder(self) -> str:
        """The folder of the app, with its base and its environments."""
        return f"{APPS}/{self.label}"

    @property
    def base(self) -> str:
        """The folder that its environments build on."""
        return f"{self.folder}/{BASE}"

    @property
    def path(self) -> str:
        """The folder that Argo CD renders."""
        return f"{self.folder}/{self.environment}"

    @property
    def file(self) -> str:
        """The file by which Argo CD's generator finds the folder."""
        return f"{self.path}/{CHART if self.shape == 'chart' else KUSTOMIZATION}"


@dataclass(frozen=True)
class CategoryFolder:
    """One category with its apps, each once for every environment that runs it."""

    name: str
    path: str
    settings: Category
    apps: tuple[App, ...]

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Return the namespaces of its apps."""
        return tuple(self.settings.namespaces) or (self.name,)

    @property
    def foundation(self) -> tuple[App, ...]:
        """Return the apps that must be Healthy before the next layer: all of the layer crds, else the listed ones."""
        every = self.settings.layer == "crds"
        return tuple(app for app in self.apps if every or app.name in self.settings.foundation)


@dataclass(frozen=True)
class Tree:
    """All of apps/; of a category in `refused`, only the name is known."""

    categories: tuple[CategoryFolder, ...] = ()
    environments: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    refused: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    """Folders of apps that no environment runs."""

    @property
    def apps(self) -> tuple[App, ...]:
        """Return every app of every environment."""
        return tuple(app for category in self.categories for app in category.apps)

    def chosen(self, environment: str) -> tuple[CategoryFolder, ...]:
        """Return the categories with the apps of an environment, without those that have none there."""
        found = (
            replace(category, apps=tuple(app for app in category.apps if app.environment == environment))
            for category in self.categories
        )
        return tuple(category for category in found if category.apps)

    def apps_in(self, environment: str, layer: Layer | None = None) -> tuple[App, ...]:
        """Return every app of an environment, or those of one layer."""
        chosen = self.chosen(environment)
        return tuple(app for one in chosen if layer in (None, one.settings.layer) for app in one.apps)


def read_tree(root: Path) -> Tree:
    """Read the shape of a checkout, with all of its problems."""
    from config.leaks import repository_leaks  # noqa: PLC0415 - its patterns are slow to compile

    tree = read_apps(root)
    every = sorted((*(one.name for one in tree.categories), *tree.refused))
    misplaced = (problem for name in every for problem in _misplaced(root, f"{APPS}/{name}", tree.environments))
    is_there = (root / APPS).is_dir() and not (root / APPS).is_symlink()
    leaks = repository_leaks(root) if is_there else ()
    return replace(tree, problems=(*tree.problems, *misplaced, *leaks))


@rule("tree-missing", scope="tree", why="Without it there are no apps to hand over.")
def read_apps(root: Path) -> Tree:
    """Read the shape of a checkout without the problems that only a search through all files finds."""
    problems: list[Problem] = []
    apps = root / APPS
    if apps.is_symlink():
        return Tree(problems=(_linked(APPS),))
    if not apps.is_dir():
        rule = "there is no folder of applications"
        return Tree(problems=(Problem(APPS, 0, "", "", rule, "make it, or run this in a checkout", "tree-missing"),))
    settings = f"{APPS}/{SETTINGS}"
    is_read = (root / settings).is_dir() and not (root / settings).is_symlink()
    environments = tuple(_environments(root, settings, problems)) if is_read else ()
    refused: list[str] = []
    unused: list[str] = []
    categories = tuple(_categories(root, environments, refused, unused, problems))
    problems += _clashes(categories)
    return Tree(categories, environments, tuple(problems), tuple(refused), tuple(unused))


def _environments(root: Path, path: str, problems: list[Problem]) -> Iterator[str]:
    """Yield the names of environments, and report those that no environment can have."""
    for name in _folders(root, path, problems):
        if name == BASE:
            problems.append(
                Problem(f"{path}/{name}", 0, "", name, NO_ENVIRONMENT, "choose another name", "name-malformed")
            )
            continue
        _named(name, f"{path}/{name}", problems)
        yield name


def _categories(
    root: Path, environments: Sequence[str], refused: list[str], unused: list[str], problems: list[Problem]
) -> Iterator[CategoryFolder]:
    for name in _folders(root, APPS, problems, beside=(CHAIN_FILE,)):
        path = f"{APPS}/{name}"
        _named(name, path, problems)
        file = f"{path}/category.yaml"
        settings = _category(root / file, file, environments, problems)
        folders = _folders(root, path, problems, beside=("category.yaml",))
        found = {one: tuple(_apps(root, name, one, environments, problems)) for one in folders}
        apps = tuple(app for one in found.values() for app in one)
        unused += (f"{path}/{one}" for one in folders if not found[one])
        if settings:
            problems += _foundation(root, file, settings, folders)
            yield CategoryFolder(name, path, settings, apps)
        else:
            refused.append(name)


@rule(
    "category-file-missing",
    scope="tree",
    why="Its layer, its namespaces and the kinds that its apps may create are set in category.yaml.",
)
@rule(
    "removal-without-reason",
    scope="tree",
    why="A renamed folder would delete the app, and the reason would be unknown.",
)
@rule("environment-unknown", scope="tree")
@rule("sync-without-reason", scope="tree", why="Half a year later the reason for the deviation would be unknown.")
def _category(path: Path, file: str, environments: Sequence[str], problems: list[Problem]) -> Category | None:
    if not path.exists() and not path.is_symlink():
        rule, fix = "the category has no category.yaml", "add one with at least `layer: applications`"
        problems.append(Problem(file, 0, "", "", rule, fix, "category-file-missing"))
        return None
    source = read(path, file)
    problems += (*source.problems, *alone(source))
    if not source.documents:
        if not source.problems:
            rule = "is empty"
            problems.append(Problem(file, 0, "", "", rule, "add at least `layer: applications`", "file-empty"))
        return None
    places = Places(file, source.first)
    try:
        category = Category.model_validate(source.first.value)
    except ValidationError as error:
        problems += explain(error, Category, places)
        return None
    deviates = {name for name in ("mode", "drift", "prune") if name in category.sync.model_fields_set}
    if (deviates or category.sync.environments) and not category.sync.reason:
        rule = "differs from the defaults without a reason"
        problems.append(places.problem("sync-without-reason", ("sync",), None, rule, "add `reason:` beside it"))
    for name in category.sync.environments:
        if name not in environments:
            fix = nearest(name, environments, f"the environments are {', '.join(environments)}")
            rule, key = f"has no folder in {APPS}/{SETTINGS}", ("sync", "environments", name)
            problems.append(places.problem("environment-unknown", key, None, rule, fix))
    if category.removal != "keep" and not category.removal_reason:
        rule, fix = (
            "deletes the objects of an app whose folder was deleted, without a reason",
            "add `removalReason:` beside it",
        )
        problems.append(places.problem("removal-without-reason", ("removal",), category.removal, rule, fix))
    return category


@rule("foundation-elsewhere", scope="tree", why="The setting has an effect in other categories only.")
@rule("foundation-unknown", scope="tree", why="`up` would wait for an Application that never comes.")
def _foundation(root: Path, file: str, settings: Category, known: list[str]) -> Iterator[Problem]:
    """Yield apps of a foundation that do not exist, and a foundation that no later layer waits for."""
    places = Places(file, read(root / file, file).first)
    if settings.foundation and settings.layer != "infrastructure":
        why = "no layer comes after it" if settings.layer == "applications" else "every app of the layer belongs to it"
        rule, fix = f"is named in the layer {settings.layer}, and {why}", "remove the key"
        yield places.problem("foundation-elsewhere", ("foundation",), None, rule, fix)
    for index, name in enumerate(settings.foundation):
        if name not in known:
            fix = nearest(name, known, f"the apps are {', '.join(known)}")
            yield places.problem("foundation-unknown", ("foundation", index), name, "is no app of the category", fix)


@rule("environment-unknown", scope="tree")
def _apps(root: Path, category: str, name: str, environments: Sequence[str], problems: list[Problem]) -> Iterator[App]:
    """Yield an app in each of its environments."""
    path = f"{APPS}/{category}/{name}"
    _named(name, path, problems)
    if len(f"{category}-{name}") > LONGEST_NAME:
        rule = f"makes an Application's name of more than {LONGEST_NAME} characters"
        problems.append(Problem(path, 0, "", f"{category}-{name}", rule, "shorten the folder's name", "name-malformed"))
    for environment in (one for one in _folders(root, path, problems) if one != BASE):
        if environment not in environments:
            fix = nearest(environment, environments, f"the environments are {', '.join(environments)}")
            rule = f"is neither `{BASE}` nor an environment: {APPS}/{SETTINGS} has no folder of this name"
            problems.append(Problem(f"{path}/{environment}", 0, "", environment, rule, fix, "environment-unknown"))
        elif shape := _shape(root / path / environment, f"{path}/{environment}", problems):
            yield _pinned(root, App(category, name, environment, shape), problems)


def _pinned(root: Path, app: App, problems: list[Problem]) -> App:
    """Return an app with its pin."""
    path = f"{root}/{app.file}"
    try:
        # The folders above are none that a link leads to: `_folders` reports those.
        raw = files.content(path, root=root if os.path.islink(path) else None)  # noqa: PTH114 - a Path for each of 1,000 files is slow
    except (OSError, ValueError):
        return app  # a render reports it
    if not may_have_pin(raw):
        return app
    if (written := written_pin(app.file, raw)) is not None:
        return replace(app, revision=written[0], hold=written[1])
    revision, hold, found = pin_of(parse(raw, app.file))
    beside = None if found else beside_pin(app.file, raw, revision)
    problems += [*found, *([beside] if beside else [])]
    return replace(app, revision=revision, hold=hold)


@rule(
    "app-ambiguous",
    scope="tree",
    why="The folder has two meanings: Argo CD takes one of them, a reader may take the other.",
)
@rule("app-shapeless", scope="tree", why="Argo CD would create an Application that can never sync.")
def _shape(path: Path, name: str, problems: list[Problem]) -> Shape | None:
    """Return the type of an environment's folder by the file that Argo CD's generator looks for."""
    files = {entry.name for entry in os.scandir(path) if os.path.isfile(entry)}  # noqa: PTH113 - raises on no loop of links
    kustomizations = [file for file in KUSTOMIZATIONS if file in files]
    if kustomizations and CHART in files:
        rule = "is both a kustomization and a chart"
        fix = "keep one: a kustomization can inflate the chart with helmCharts"
        problems.append(Problem(name, 0, "", "", rule, fix, "app-ambiguous"))
        return None
    if KUSTOMIZATION in files or CHART in files:
        return "chart" if CHART in files else "kustomization"
    rule = f"has neither a {KUSTOMIZATION} nor a {CHART}"
    fix = f"add a {KUSTOMIZATION} that lists ../{BASE}, or remove the folder"
    if kustomizations:
        fix = f"rename {kustomizations[0]} to {KUSTOMIZATION}: Argo CD's generator looks for this name"
    problems.append(Problem(name, 0, "", "", rule, fix, "app-shapeless"))
    return None


@rule(
    "environment-misplaced",
    scope="tree",
    why="Argo CD's generator would make an Application of the folder, which no check has rendered.",
)
def _misplaced(root: Path, category: str, environments: Sequence[str]) -> Iterator[Problem]:
    """Yield folders that the generator finds although they are no environment of an app: hidden, or further below."""
    for above, folders, names in os.walk(root / category):
        folders.sort()
        here = Path(above).relative_to(root / category)
        is_found = here.name in environments and not set(GENERATED_BY).isdisjoint(names)
        is_hidden = here.parts[:1] and here.parts[0].startswith(("_", "."))
        if is_found and len(here.parts) > 1 and (is_hidden or len(here.parts) > 2):  # noqa: PLR2004 - app and environment
            rule = "has the name of an environment, and is not directly in the folder of an app"
            fix = "rename it: the generator finds each folder of this name with a kustomization or chart"
            yield Problem(f"{category}/{here.as_posix()}", 0, "", "", rule, fix, "environment-misplaced")


@rule("file-stray", scope="tree", why="A manifest beside the apps' folders is never applied.")
def _folders(root: Path, path: str, problems: list[Problem], beside: tuple[str, ...] = ()) -> list[str]:
    """Return the folders that are categories or apps, and report files in places that are never read."""
    folders = []
    for entry in sorted(os.scandir(root / path), key=lambda entry: entry.name):
        if entry.is_symlink() and entry.name not in beside:
            problems.append(_linked(f"{path}/{entry.name}"))
        elif entry.is_dir():
            if not entry.name.startswith(("_", ".")):
                folders.append(entry.name)
        elif entry.name not in (*BESIDE, *beside):
            rule, fix = "is in a place that is never read", f"move it to `{BASE}` or to an environment of an app"
            problems.append(Problem(f"{path}/{entry.name}", 0, "", "", rule, fix, "file-stray"))
    return folders


@rule(
    "folder-linked",
    scope="tree",
    why="Argo CD's generator follows no links: the app would be checked but never deployed.",
)
def _linked(path: str) -> Problem:
    rule, fix = "is a link, and Argo CD follows none to an app's folder", "put the folder itself there"
    return Problem(path, 0, "", "", rule, fix, "folder-linked")


def _named(name: str, path: str, problems: list[Problem]) -> None:
    if not LABEL.match(name):
        fix = "use small letters, digits and hyphens"
        problems.append(Problem(path, 0, "", name, "is not a DNS label", fix, "name-malformed"))


@rule(
    "app-name-twice", scope="tree", why="Applications are named `<category>-<app>`; the second would replace the first."
)
@rule(
    "namespace-reserved",
    scope="tree",
    why="Objects without a namespace land in `default`: a category there would own them all.",
)
@rule("namespace-twice", scope="tree", why="A namespace is created once, with one set of labels.")
def _clashes(categories: tuple[CategoryFolder, ...]) -> Iterator[Problem]:
    """Yield two folders with the same Application, and two categories with the same namespace."""
    owners: dict[str, str] = {}
    for app in (app for category in categories for app in category.apps):
        first = owners.setdefault(app.full_name, app.folder)
        if first != app.folder:
            rule = f"makes an Application that {first} makes already"
            yield Problem(app.folder, 0, "", app.full_name, rule, "rename one of the two folders", "app-name-twice")
    claims: dict[str, CategoryFolder] = {}
    for category in categories:
        for namespace in category.namespaces:
            if namespace in RESERVED:
                file, fix = f"{category.path}/category.yaml", "give the category a namespace of its own"
                rule = "is a namespace that no category can own"
                yield Problem(file, 0, "namespaces", namespace, rule, fix, "namespace-reserved")
            owner = claims.setdefault(namespace, category)
            if owner is not category:
                rule = f"is a namespace that {owner.path} has already"
                file = f"{category.path}/category.yaml"
                yield Problem(file, 0, "namespaces", namespace, rule, "give each its own", "namespace-twice")


def namespaces_of(tree: Tree) -> dict[str, tuple[str, str]]:
    """Return every namespace with its category and its Pod Security level."""
    found: dict[str, tuple[str, str]] = {}
    for category in tree.categories:
        for namespace in category.namespaces:
            declared = category.settings.namespaces.get(namespace, CategoryNamespace())
            found[namespace] = (category.name, declared.pod_security)
    return found


def chart_versions(root: Path, app: App) -> dict[str, str]:
    """Return the versions of the charts and remote bases that an app pins, by their names."""
    return {**dict(_pins(root, app.base)), **dict(_pins(root, app.path))}


def _pins(root: Path, path: str) -> Iterator[tuple[str, str]]:
    lists = _lists(root, path)
    for entry in (*lists["helmCharts"], *lists["dependencies"]):
        if isinstance(entry, dict) and isinstance(entry.get("version"), str):
            yield str(entry.get("name")), entry["version"]
    commented = _versions(root, path)
    for match in map(REFERENCE.match, _built_on(lists)):
        if match:
            is_commit = IS_COMMIT.match(match["ref"])
            yield match["source"], commented.get(match.string, match["ref"]) if is_commit else match["ref"]


def _versions(root: Path, path: str) -> Mapping[str, str]:
    """Return the versions in the comments of a folder's kustomization."""
    for file in KUSTOMIZATIONS:
        with suppress(OSError):
            return versions(files.content(root / path / file, root=root).decode("utf-8", errors="replace"))
    return {}


def _built_on(lists: Mapping[str, list[Any]]) -> list[str]:
    return [entry for key in ("resources", "components") for entry in lists[key] if isinstance(entry, str)]


def _lists(root: Path, path: str) -> Mapping[str, list[Any]]:
    """Return the lists of a folder's kustomization or chart; the renderer reports their mistakes."""
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for file in (*KUSTOMIZATIONS, CHART):
        value: Any = read(root / path / file, f"{path}/{file}").first.value
        if isinstance(value, dict):
            found.update((key, listed) for key, listed in value.items() if isinstance(listed, list))
    return found

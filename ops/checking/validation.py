"""Every app as every stack would run it, rendered and checked by the rules: the slow half of `./homelab check`.

A checkout, its stacks and its tree come in; problems go out, with the rendered objects and the stand-ins among the
charts. Programs are built when a folder first needs them, cached renders and verdicts are reused, and no API server
takes part. `ops.check` prints the problems, `ops.render` writes the objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path

from components.handover.application_defaults import namespace_of
from config import derive, secret_stores, startpage
from config.load import Stack
from config.model import Settings
from config.rules import REGISTER
from config.tree import App, CategoryFolder, Tree, namespaces_of
from errors import Problem, TreeRefused
from local.cache import cache_folder
from manifests import kubernetes_yaml
from manifests.checkout import CheckoutReader
from manifests.contents import Contents, WantedBase, WantedChart, contents_of
from manifests.fetch import Wants
from manifests.objects import Object, api_versions
from manifests.pinned import PinnedTrees
from manifests.render import Folder, Renderer, render_all
from manifests.rules import chart_objects, conformance, locate, register
from manifests.rules.stack_objects import AppFolder, AppObject, ChartKind, StackObjects
from ops.terminal import count
from ops.toolchain.lookup import CRDS, MANIFESTS, Toolchain, ensure
from standins.bases import GivenBase, StandInBases
from standins.charts import GivenChart, StandInCharts
from standins.crds import SELF_REGISTERED, KnownCrds

SCHEMAS = "schemas"
REAL, UNKNOWN = "real", "stand-in for an unknown chart"
# The Secrets that components make; tests/ops/checking/test_validation.py compares them. By stack, see `secrets_of`.
BY_PULUMI = (
    ("argocd", "argocd-redis"),
    ("argocd", "argocd-secret"),
    ("argocd", "repository-homelab"),
    ("cert-manager", "internal-ca"),
)


@dataclass(frozen=True)
class StackApp:
    """An app as one stack runs it."""

    app: App
    category: CategoryFolder

    @property
    def namespace(self) -> str:
        """Return the namespace of objects that have none of their own."""
        return namespace_of(self.app.name, self.category.namespaces)


@dataclass
class Validation:
    """One validation of a checkout: the contents of each folder, the rendered objects and the problems."""

    root: Path
    stacks: Sequence[Stack]
    tree: Tree
    changed: Callable[[Contents], bool] | None = None
    problems: list[Problem] = field(default_factory=list)
    rendered: dict[tuple[str, str], tuple[Object, ...]] = field(default_factory=dict)
    not_fetched: Sequence[Problem] = ()
    pinned: PinnedTrees | None = None
    """The commits of pinned apps; None validates the files of the checkout, as if all were promoted."""
    beside: Validation | None = None
    """A validation of another revision: charts, CRDs and bases are those of the machine, and read once for both."""

    @cached_property
    def reader(self) -> CheckoutReader:
        """Return the reader of the checkout, which reads each file once."""
        return CheckoutReader(self.root.resolve())

    @cached_property
    def readers(self) -> Mapping[str, CheckoutReader]:
        """Return the readers of pinned apps by their folders."""
        places = {place.app.path: place.app for stack in self.stacks for place in places_of(stack, self.tree)}
        return self.pinned.readers(tuple(places.values())) if self.pinned else {}

    def reader_of(self, path: str) -> CheckoutReader:
        """Return the reader of an app's folder: of its pinned commit, or of the checkout."""
        return self.readers.get(path, self.reader)

    @cached_property
    def contents(self) -> Mapping[str, Contents]:
        """Return the contents of each folder that a stack runs."""
        paths = {place.app.path for stack in self.stacks for place in places_of(stack, self.tree)}
        return {path: contents_of(self.reader_of(path), path) for path in sorted(paths)}

    @cached_property
    def _everywhere(self) -> Mapping[str, Contents]:
        """Return the contents of each folder of the tree, also of those that no stack runs."""
        paths = {app.path for app in self.tree.apps} - self.contents.keys()
        return {**self.contents, **{path: contents_of(self.reader, path) for path in sorted(paths)}}

    @cached_property
    def wanted(self) -> frozenset[str]:
        """Return the folders to render: none without a change, else all, as each may refer to a changed one."""
        return frozenset(self.contents) if self.told or self.changed is None else frozenset()

    @cached_property
    def told(self) -> frozenset[str]:
        """Return the folders whose problems are reported."""
        changed = self.changed
        told = {path for path, one in self.contents.items() if changed is None or changed(one)}
        places = [place for stack in self.stacks for place in places_of(stack, self.tree)]
        if told & {place.app.path for place in places if place.category.settings.layer == "crds"}:
            told |= {path for path, one in self.contents.items() if one.inflates}  # see `render`: APIs reach charts
        return frozenset(told)

    @cached_property
    def tools(self) -> Toolchain:
        """Return the programs that these folders need; build missing ones."""
        needed = ["kubeconform", SCHEMAS]
        wanted = [one for path, one in self.contents.items() if path in self.wanted]
        if any(one.shape == "kustomization" for one in wanted):
            needed.append("kustomize")
        if any(one.inflates for one in wanted):
            needed.append("helm")
        if any(one.charts or one.bases for one in wanted):
            needed += [CRDS, MANIFESTS]
        return ensure(needed)

    @cached_property
    def _shared(self) -> Validation | None:
        """Return the validation beside this one, if it has read charts at all."""
        return self.beside if self.beside and CRDS in self.beside.tools.places else None

    @cached_property
    def charts(self) -> StandInCharts:
        """Return the user's charts, and stand-ins for missing ones."""
        if self._shared:
            return self._shared.charts
        return StandInCharts(cache_folder() / "stand-ins", self.crds)

    @cached_property
    def crds(self) -> KnownCrds:
        """Return the CRDs of the projects that the tree uses."""
        return KnownCrds(self.tools.manifests(CRDS))

    @cached_property
    def bases(self) -> StandInBases:
        """Return the user's remote bases, and those that are part of the built manifests."""
        if self._shared:
            return self._shared.bases
        return StandInBases((self.tools.manifests(CRDS), self.tools.manifests(MANIFESTS)))

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Return the charts and bases that stand-ins replace."""
        if CRDS not in self.tools.places:
            return ()
        return tuple(filter(None, (*map(_chart, self.charts.placed), *map(_base, self.bases.placed))))

    def stand_ins_of(self, path: str) -> tuple[str, ...]:
        """Return the charts and bases of a folder that stand-ins, or other versions of a base, replace."""
        contents = self.contents[path]
        wanted: tuple[WantedChart | WantedBase, ...] = (*contents.charts, *contents.bases)
        return tuple(filter(None, map(self.stand_in, wanted)))

    def stand_in(self, wanted: WantedChart | WantedBase) -> str:
        """Return the chart or base that a stand-in, or another version, replaces; nothing where none does."""
        if isinstance(wanted, WantedChart):
            return _chart(self.charts.given.get(wanted.chart))  # absent where rendering was refused
        return _base(self.bases.given.get(wanted.url))

    @property
    def summary(self) -> str:
        """Return the numbers of rendered objects, of their folders and of changed folders."""
        objects, told = sum(map(len, self.rendered.values())), len(self.told)
        others = len(self.contents) - told
        more = f", {told} changed; of {others} others, only problems that these changes can cause" if others else ""
        return f"{count(objects, 'object')} of {count(len(self.rendered), 'folder')}{more}"

    def fetch(self, forbidden: str) -> str:
        """Fetch the charts and bases that the cache lacks, and return the reason why some are absent."""
        from ops.upstream.originals import fetch, private_of  # noqa: PLC0415 - HTTP is slow to import

        if not self.wanted:
            return ""
        settings = [stack.settings for stack in self.stacks if stack.settings]
        wants, env, private = Wants(self.reader, pinned=self.readers), self.tools.env(), private_of(*settings)
        fetched = fetch(wants, sorted(self.wanted), env, forbidden=forbidden, private=private)
        self.not_fetched = fetched.problems
        return fetched.why

    def render(self) -> None:
        """Render every wanted folder, for every version of Kubernetes that a stack runs it on; CRDs first."""
        for version, stacks in groupby(sorted(self.stacks, key=kubernetes_of), kubernetes_of):
            wanted = [place for one in stacks for place in self._places(one)]
            first = {place.app.path: self._folder(place) for place in wanted if place.category.settings.layer == "crds"}
            then = {place.app.path: self._folder(place) for place in wanted if place.app.path not in first}
            renderer = Renderer(self.root, version, env=self.tools.env(), reader=self.reader)
            if CRDS in self.tools.places:
                renderer = replace(renderer, charts=self.charts, bases=self.bases)
            defined = self._rendered(renderer, first.values())
            # Argo CD gives charts the APIs of the cluster: some write a ServiceMonitor or a GatewayClass only then.
            self._rendered(replace(renderer, api_versions=api_versions(defined)), then.values())

    def _folder(self, place: StackApp) -> Folder:
        return Folder.of(place.app, place.namespace, self.readers.get(place.app.path))

    def _rendered(self, renderer: Renderer, folders: Iterable[Folder]) -> list[Object]:
        made = render_all(renderer, folders)
        self.problems += made.problems
        self.rendered |= {(renderer.kubernetes, path): objects for path, objects in made.objects.items()}
        return [item for objects in made.objects.values() for item in objects]

    def objects_of(self, stack: Stack, path: str) -> tuple[Object, ...]:
        """Return the rendered objects of a folder, as a stack runs it."""
        return self.rendered.get((kubernetes_of(stack), path), ())

    def objects_by_app(self, stack: Stack) -> Iterator[tuple[StackApp, tuple[Object, ...]]]:
        """Render, refuse the tree with its problems, and yield each app that a stack runs with its objects."""
        self.render()
        if self.problems:
            raise TreeRefused(self.problems)
        for place in places_of(stack, self.tree):
            yield place, self.objects_of(stack, place.app.path)

    def stack_objects(self, stack: Stack) -> StackObjects:
        """Return the objects and settings of one stack, for the rules."""
        settings, paths = stack.require(), [place.app.path for place in self._places(stack)]
        return StackObjects(
            stack=stack.name,
            environment=settings.delivery.environment,
            kubernetes=kubernetes_of(stack),
            domain=settings.network.domain,
            all=tuple(self._pieces(stack)),
            security={name: level for name, (_, level) in namespaces_of(self.tree).items()},  # type: ignore[misc]
            secrets=secrets_of(settings),
            registered=tuple(self._registered(paths)),
            disks=sum(disk.size.bytes for node in settings.cluster.nodes for disk in node.data_disks),
            repository=derive.repository_host(settings),
            untrusted=derive.untrusted_issuer(settings),
            whole=not self.problems,
            guessed=any(self._chart(path) == "unknown" for path in paths),
            folders=tuple(self._folders(stack)),
            tree=self._everywhere,
            page=self._page,
        )

    def _folders(self, stack: Stack) -> Iterator[AppFolder]:
        rendered = {path for _, path in self.rendered}
        for place in self._places(stack):
            path, contents = place.app.path, self.contents[place.app.path]
            real = (
                contents.charts and self._chart(path) == "real"
            )  # the schema of a stand-in refuses unknown values too
            charts = self.charts if real else None
            yield AppFolder(self.reader_of(path), stack, place.app, contents, path in rendered, charts)

    @cached_property
    def _page(self) -> tuple[startpage.PageEntry, ...]:
        return startpage.entries(self.root)

    def _places(self, stack: Stack) -> list[StackApp]:
        return [place for place in places_of(stack, self.tree) if place.app.path in self.wanted]

    def _pieces(self, stack: Stack) -> Iterator[AppObject]:
        for place in self._places(stack):
            chart, contents = self._chart(place.app.path), self.contents[place.app.path]
            objects, released = self.objects_of(stack, place.app.path), contents.shape == "chart"
            inflated = chart_objects.of_charts(self.reader_of(place.app.path), contents, objects)
            for index, item in enumerate(objects):
                own = (item.get("metadata") or {}).get("namespace")
                where = str(own or place.namespace)
                obj = AppObject(item, place.app, place.category, where, chart, released, index in inflated)
                # The objects of a stand-in for an unknown chart are invented: a verdict on them would prove nothing.
                if not (obj.by_chart and chart == "unknown"):
                    yield obj

    def _chart(self, path: str) -> ChartKind:
        """Return the kind of a folder's charts: that of the least real one."""
        kinds = [self.charts.given[one.chart].kind for one in self.contents[path].charts]
        if not kinds:
            return "real" if self.contents[path].inflates else "none"
        return "unknown" if UNKNOWN in kinds else "real" if set(kinds) == {REAL} else "described"

    def _registered(self, paths: Iterable[str]) -> Iterator[Object]:
        names = {one.chart.name for path in paths for one in self.contents[path].charts}
        for name in sorted(names & SELF_REGISTERED.keys()):
            yield from self.self_registered[name]

    @cached_property
    def self_registered(self) -> Mapping[str, tuple[Object, ...]]:
        """Return the CRDs that operators register, by the names of their charts, parsed once for all stacks."""
        if self._shared:
            return self._shared.self_registered
        texts = {name: self.crds.registered_by(name).values() for name in SELF_REGISTERED}
        return {
            name: tuple(one for text in found for one in kubernetes_yaml.documents(text) if one)
            for name, found in texts.items()
        }

    def judge(self) -> None:
        """Check the objects of every stack by every rule."""
        judge = conformance.Conformer(self.tools.manifests(SCHEMAS) / "kubernetes", self.tools.env())
        locator = locate.Locator(self.reader, self.readers)
        refused, stacks = conformance.check(judge, [self.stack_objects(stack) for stack in self.stacks])
        self.problems += register.problems(locator, refused)
        self.problems += register.check(locator, stacks)


def validate(validation: Validation) -> list[Problem]:
    """Render and check; return each problem once, sorted."""
    if not validation.wanted:
        return []
    validation.render()
    validation.judge()
    found = sorted({*validation.problems, *validation.not_fetched})
    return found if validation.changed is None else list(_of_the_changed(validation, found))


def _of_the_changed(validation: Validation, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield the problems of changed folders, and those of others that a change may have caused."""
    files = {file for path in validation.told for file in validation.contents[path].files}
    for problem in problems:
        if problem.file in files or problem.file in validation.told or not REGISTER[problem.check].is_local:
            yield problem


def places_of(stack: Stack, tree: Tree) -> Iterator[StackApp]:
    """Yield every app that a stack runs."""
    if stack.settings is None:
        return
    for category in tree.chosen(stack.settings.delivery.environment):
        yield from (StackApp(app, category) for app in category.apps)


def secrets_of(settings: Settings) -> frozenset[tuple[str, str]]:
    """Return the namespace and name of each Secret that Pulumi makes for a stack."""
    repositories = (("argocd", f"repository-{one.name}") for one in settings.platform.repositories)
    of_the_store = ((secret_stores.NAMESPACE, name) for name in derive.store_kind(settings).secrets)
    return frozenset((*BY_PULUMI, *repositories, *of_the_store))


def _chart(given: GivenChart | None) -> str:
    """Return a chart that is not the real one."""
    return f"chart {given.name} {given.version}" if given and given.kind != REAL else ""


def _base(given: GivenBase | None) -> str:
    return f"base {given}" if given and given.kind != REAL else ""


def kubernetes_of(stack: Stack) -> str:
    """Return the version of Kubernetes that a stack runs, by which its renders are known."""
    return str(stack.require().cluster.kubernetes_version)

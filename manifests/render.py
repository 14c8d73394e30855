"""Renders of folders to objects, as Argo CD makes them, many at once and each only once.

    renderer = Renderer(root, kubernetes="1.36.3", env=tools.env())
    renders = render_all(renderer, [Folder("apps/media/jellyfin")])
    renders.require()["apps/media/jellyfin"]    # a tuple of objects

A `Renderer` holds the options. `manifests.contents` finds a folder's inputs, and `manifests.render_cache` a render of
the same inputs; otherwise kustomize or helm runs, on the checkout if all inputs are there, else on a copy that
`manifests.vendor` makes. The problems of all folders are reported together. `ops.checking.validation` continues.
"""

from __future__ import annotations

import json
import os
import posixpath
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import yaml

import programs
from config import bounds
from config.tree import App
from errors import Problem, ProgramFailed, TookTooLong, TreeRefused
from local.cache import digest
from manifests import file_sanity, kubernetes_yaml, plain_manifests, program_errors, sandbox
from manifests.bases import CachedBases
from manifests.charts import CachedCharts
from manifests.checkout import CheckoutReader
from manifests.contents import Contents, closure_of, contents_of
from manifests.objects import Object, unpacked
from manifests.render_cache import RenderCache
from manifests.sources import BaseSource, ChartSource, bare_environment
from manifests.vendor import mirror, missing_bases, missing_charts

FORMAT = "2"  # of cached renders: raise it when the same input gives other objects
SLOW = 120.0
CLOSED_PROXY = "http://127.0.0.1:9"
# Downloads by kustomize and helm fail at once.
OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), CLOSED_PROXY),
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), CLOSED_PROXY),
    "NO_PROXY": "",
    "no_proxy": "",
    "GIT_ALLOW_PROTOCOL": "none",
}

FolderOutcome: TypeAlias = "tuple[Object, ...] | list[Problem]"


@dataclass(frozen=True)
class Folder:
    """One folder to render; Argo CD passes release and namespace to a chart that is not in a kustomization."""

    path: str
    release: str = ""
    namespace: str = ""
    reader: CheckoutReader | None = field(default=None, compare=False)
    """The reader of another tree than the checkout: of a pinned commit."""

    @classmethod
    def of(cls, app: App, namespace: str, reader: CheckoutReader | None = None) -> Folder:
        """Return an app's folder with the name and the namespace of its Application."""
        return cls(app.path, app.full_name, namespace, reader)


@dataclass(frozen=True)
class Renderer:
    """Options for the render of a checkout's folders; without a `reader`, each call reads the files again."""

    root: Path
    kubernetes: str
    api_versions: tuple[str, ...] = ()
    charts: ChartSource = field(default_factory=CachedCharts)
    bases: BaseSource = field(default_factory=CachedBases)
    env: Mapping[str, str] | None = None
    kept: RenderCache | None = field(default_factory=RenderCache)
    reader: CheckoutReader | None = None

    @property
    def capabilities(self) -> tuple[str, str]:
        """The version of Kubernetes as Argo CD passes it to helm: all three numbers."""
        return "kube-version", self.kubernetes.removeprefix("v")


@dataclass(frozen=True)
class Renders:
    """The objects of the folders that render, and the problems of the others."""

    objects: Mapping[str, tuple[Object, ...]]
    problems: tuple[Problem, ...]

    def require(self) -> Mapping[str, tuple[Object, ...]]:
        """Return the objects, or raise all problems."""
        if self.problems:
            raise TreeRefused(self.problems)
        return self.objects


def render(renderer: Renderer, folder: Folder) -> tuple[Object, ...]:
    """Render one folder, or refuse with everything that is wrong in it."""
    return render_all(renderer, [folder]).require()[folder.path]


def render_all(renderer: Renderer, folders: Iterable[Folder]) -> Renders:
    """Render folders, as many at once as there are processors."""
    outcomes: dict[str, FolderOutcome | Future[FolderOutcome]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="homelab-home-") as home,
        ThreadPoolExecutor(os.cpu_count() or 2) as pool,
    ):
        run = _RenderRun(renderer, Path(home).resolve())
        try:
            for folder in folders:
                known = run.look(folder)
                outcomes[folder.path] = pool.submit(run.work, known) if isinstance(known, _Job) else known
            finished = {path: out.result() if isinstance(out, Future) else out for path, out in outcomes.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if run.wrote and renderer.kept:
        renderer.kept.prune()
    problems = {problem for outcome in finished.values() if isinstance(outcome, list) for problem in outcome}
    objects = {path: outcome for path, outcome in finished.items() if isinstance(outcome, tuple)}
    return Renders(MappingProxyType(objects), tuple(sorted(problems)))


@dataclass(frozen=True)
class _Job:
    """A folder that has to be rendered."""

    folder: Folder
    reader: CheckoutReader
    contents: Contents
    key: str


class _RenderRun:
    """The shared state of one call: each file is read once, each chart's digest computed once."""

    def __init__(self, renderer: Renderer, home: Path) -> None:
        self.renderer = renderer
        self.reader = renderer.reader or CheckoutReader(renderer.root.resolve())
        self.outside = CheckoutReader(Path("/"))
        self.env = bare_environment(renderer.env, home) | OFFLINE
        self.named: dict[str, str] = {}
        self.wrote = False

    def look(self, folder: Folder) -> FolderOutcome | _Job:
        """Return the cached objects or the problems of a folder, or a job; run no program."""
        reader = folder.reader or self.reader
        contents = contents_of(reader, folder.path)
        problems = [*contents.problems, *missing_charts(reader, contents, self.renderer.charts)]
        problems += missing_bases(reader, contents, self.renderer.bases)
        if problems:
            return problems
        key = self._key(folder, contents)
        known = self.renderer.kept.read(key) if self.renderer.kept else None
        return _Job(folder, reader, contents, key) if known is None else tuple(known)

    def work(self, job: _Job) -> FolderOutcome:
        """Render a folder and cache the objects."""
        problems = list(file_sanity.check(job.reader, job.contents))
        objects = [] if problems else self._rendered(job, problems)
        if problems:
            return problems
        if self.renderer.kept:
            self.renderer.kept.write(job.key, objects)
            self.wrote = True
        return tuple(objects)

    def _rendered(self, job: _Job, problems: list[Problem]) -> list[Object]:
        reader, contents, path = job.reader, job.contents, job.folder.path
        if contents.shape == "manifests":
            return plain_manifests.objects(reader, contents.files, problems)
        if contents.complete:
            return self._run(job, reader.root, problems)
        with mirror(reader, path, contents, self.renderer.charts, self.renderer.bases, problems) as copy:
            return [] if problems else self._run(job, copy, problems)

    def _run(self, job: _Job, place: Path, problems: list[Problem]) -> list[Object]:
        """Run the program in a folder and read its output."""
        path, files = job.folder.path, list(job.contents.kustomizations.values()) or [f"{job.folder.path}/Chart.yaml"]
        try:
            text = (self._helm if job.contents.shape == "chart" else self._kustomize)(job, place)
            # Kustomize writes block style alone: its brackets hold nothing.
            found = kubernetes_yaml.documents(text, bounds.OF_A_RENDER, flow=job.contents.shape == "chart")
            objects = list(unpacked(found))
        except (ProgramFailed, TookTooLong) as error:
            problems.append(program_errors.problem(error, path, files, job.reader, place, values=job.contents.values))
            return []
        except (yaml.YAMLError, ValueError) as error:
            rule, fix = f"renders to invalid YAML: {' '.join(str(error).split())}", "correct the chart's values"
            problems.append(Problem(files[0], 0, "", "", rule, fix, "render-failed"))
            return []
        problems += [problem for item in objects if (problem := plain_manifests.malformed(item, files[0]))]
        return objects

    def _kustomize(self, job: _Job, place: Path) -> str:
        flags = [part for name, value in self._capabilities() for part in (f"--helm-{name}", value)]
        options = ("--enable-helm", "--load-restrictor", "LoadRestrictionsNone")
        command = ("kustomize", "build", str(place / job.folder.path), *options, *flags)
        return self._confined(job, command, place, place, self.env)

    def _helm(self, job: _Job, place: Path) -> str:
        folder = job.folder
        category, name = folder.path.split("/")[-2:]
        release, namespace = folder.release or f"{category}-{name}", folder.namespace or category
        flags = [part for name, value in self._capabilities() for part in (f"--{name}", value)]
        homes = {
            f"HELM_{kind}_HOME": str(Path(self.env["HOME"]) / f".helm-{kind.lower()}")
            for kind in ("CONFIG", "CACHE", "DATA")
        }
        files = [part for file in job.contents.values for part in ("--values", str(place / file))]
        command = (
            "template",
            ".",
            "--name-template",
            release,
            "--namespace",
            namespace,
            *flags,
            *files,
            "--include-crds",
        )
        return self._confined(job, ("helm", *command), place, place / folder.path, self.env | homes)

    def _confined(self, job: _Job, command: Sequence[str], place: Path, cwd: Path, env: Mapping[str, str]) -> str:
        program, *arguments = sandbox.confined(command, job.reader.root, place, cwd)
        return programs.run(program, *arguments, cwd=cwd, env=env, timeout=SLOW).stdout

    def _capabilities(self) -> list[tuple[str, str]]:
        return [self.renderer.capabilities, *(("api-versions", one) for one in self.renderer.api_versions)]

    def _key(self, folder: Folder, contents: Contents) -> str:
        """Return the cache key of a render: a digest of all inputs."""
        renderer = self.renderer
        parts: list[Any] = [FORMAT, contents.shape, folder.path, sorted(contents.files.items())]
        if contents.shape != "manifests":
            parts += [renderer.kubernetes, renderer.api_versions, self._asked_for(contents)]
        if contents.shape == "kustomization":
            parts.append(self._program("kustomize"))
        if contents.inflates:
            parts.append(self._program("helm"))
        if contents.shape == "chart":
            parts += [folder.release, folder.namespace]
        return digest(json.dumps(parts))

    def _asked_for(self, contents: Contents) -> Sequence[Any]:
        """Return the digests of charts and remote bases."""
        charts = [(str(one.chart), self._folder(self.renderer.charts.chart(one.chart))) for one in contents.charts]
        bases = [(one.url, self._base(self.renderer.bases.base(one.url, one.version))) for one in contents.bases]
        return [charts, bases]

    def _folder(self, place: Path | None) -> str:
        """Return the digest of a folder's files, or of one file."""
        name = str(place.resolve()).strip("/") if place else ""
        if place and name not in self.named:
            below = self.outside.walk(name) if place.is_dir() else [name]
            files = [(one.removeprefix(name), self.outside.digest(one)) for one in below]
            self.named[name] = digest(json.dumps(files))
        return self.named.get(name, "")

    def _base(self, place: Path | None) -> str:
        """Return the digest of a base's inputs, also those outside of its folder and those of its own bases."""
        if place is None or not place.is_dir():
            return self._folder(place)
        folder = str(place.resolve()).strip("/")
        name = f"base {folder}"
        if name not in self.named:
            self.named[name] = ""  # a base that leads back to itself ends here
            contents = closure_of(self.outside, folder)
            files = [(posixpath.relpath(file, folder), one) for file, one in contents.files.items()]
            self.named[name] = digest(json.dumps([sorted(files), self._asked_for(contents)]))
        return self.named[name]

    def _program(self, name: str) -> str:
        if name not in self.named:
            self.named[name] = programs.fingerprint(name, self.env)
        return self.named[name]

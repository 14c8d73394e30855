"""Stand-ins for remote bases: the user's cached copy, else a folder of the Go modules that are pinned anyway.

A URL comes in, a folder on this machine goes out, or None without a copy: the caller reports that. Argo CD's own
manifests have the version that runs here, and another one is refused; CRDs can have another minor version, which
`StandInBases.placed` reports. `manifests.vendor` copies them into the tree.
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

from config.pins import IS_COMMIT
from config.rules import rule
from errors import Problem, TreeRefused
from manifests.bases import CachedBases
from manifests.sources import BaseSource
from standins.crds import DATA, NOTE

GITHUB = re.compile(
    r"(?:git::)?(?:https?://|ssh://)?(?:git@)?github\.com[/:](?P<repository>[\w.-]+/[\w.-]+?)(?:\.git)?/{1,2}"
    r"(?P<path>[^?]*)\?(?:.*&)?(?:ref|version)=(?P<ref>[^&]+)"
)
RAW = re.compile(
    r"https://raw\.githubusercontent\.com/(?P<repository>[\w.-]+/[\w.-]+)/(?:refs/tags/)?(?P<ref>[^/]+)/(?P<path>.+)"
)
RELEASE = re.compile(
    r"https://github\.com/(?P<repository>[\w.-]+/[\w.-]+)/releases/download/(?P<ref>[^/]+)/(?P<path>[^/]+)"
)
# The one file of a release, and the folder that it is made from.
ASSETS = {"standard-install.yaml": "config/crd", "experimental-install.yaml": "config/crd/experimental"}
RECOGNIZED = ("kustomization.yaml", "kustomization.yml", "Kustomization")
FETCHED = "fetch it: ./homelab render --fetch"


@dataclass(frozen=True)
class BaseUrl:
    """The content that a URL refers to."""

    repository: str
    path: str
    ref: str

    @classmethod
    def of(cls, url: str, version: str = "") -> BaseUrl | None:
        """Read a URL as kustomize does; None for one of another kind, or a commit without a version."""
        if found := RELEASE.match(url):
            return cls(found["repository"], ASSETS.get(found["path"], found["path"]), found["ref"])
        found = RAW.match(url) or GITHUB.match(url)
        if not found:
            return None
        ref = version if IS_COMMIT.match(found["ref"]) else found["ref"]
        return cls(found["repository"], found["path"].strip("/"), ref) if ref else None


@dataclass(frozen=True)
class KnownFolder:
    """A folder of a repository that a tool provides, and whether every other version is refused.

    `files_only` means that the folder has no kustomization.yaml behind the URL: only its files can be referenced.
    """

    repository: str
    folder: str
    part: str
    exact: bool = False
    files_only: bool = False


KNOWN = (
    KnownFolder("argoproj/argo-cd", "manifests", "argo-cd", exact=True),
    KnownFolder("argoproj/argo-rollouts", "manifests/crds", "argo-rollouts"),
    KnownFolder("kubernetes-sigs/gateway-api", "config/crd", "gateway-api"),
    KnownFolder("kubernetes-csi/external-snapshotter", "client/config/crd", "external-snapshotter"),
    KnownFolder(
        "prometheus-operator/prometheus-operator", "example/prometheus-operator-crd", "monitoring", files_only=True
    ),
)
STAND_INS = {
    ("kubernetes-csi/external-snapshotter", "deploy/kubernetes/snapshot-controller"): "snapshot-controller",
}


@dataclass(frozen=True, order=True)
class GivenBase:
    """One base that was given, with its kind and version."""

    url: str
    kind: str
    version: str

    def __str__(self) -> str:
        """Return it as reports print it."""
        return f"{self.url}: {self.kind} {self.version}".rstrip()


@dataclass(frozen=True)
class StandInBases:
    """Bases for a rehearsal, from the folders of the tools `crds` and `argocd-manifests`."""

    folders: tuple[Path, ...]
    real: BaseSource | None = field(default_factory=CachedBases)
    given: dict[str, GivenBase] = field(default_factory=dict, compare=False)

    def base(self, url: str, version: str = "") -> Path | None:
        """Return the folder or file behind a URL, if a tool provides it; refuse another Argo CD than the one that runs.

        A commit has the version that its comment gives: tools provide versions.
        """
        if self.real and (found := self.real.base(url)):
            self.given[url] = GivenBase(url, "real", "")
            return found
        wanted = BaseUrl.of(url, version)
        return self._ours(url, wanted) if wanted else None

    @property
    def placed(self) -> tuple[GivenBase, ...]:
        """Return the bases that were given, each once."""
        return tuple(sorted(self.given.values()))

    def _ours(self, url: str, wanted: BaseUrl) -> Path | None:
        if stand_in := STAND_INS.get((wanted.repository, wanted.path)):
            self.given[url] = GivenBase(url, "stand-in", "")
            return DATA / "bases" / stand_in
        for known in KNOWN:
            below = posixpath.relpath(wanted.path, known.folder)
            if known.repository != wanted.repository or below.startswith(".."):
                continue
            for folder in self.folders:
                version, place = _version(folder, known.part), folder / known.part / below
                if version and place.exists() and self._fits(url, wanted, known, version):
                    _check_kustomization(url, known, place)
                    self.given[url] = GivenBase(url, "real" if version == wanted.ref else "real, but of", version)
                    return place.resolve()
        return None

    @rule(
        "base-version",
        scope="program",
        why="A rehearsal runs one version of Argo CD: manifests of another would be tested with the wrong program.",
    )
    def _fits(self, url: str, wanted: BaseUrl, known: KnownFolder, version: str) -> bool:
        if known.exact and wanted.ref != version:
            broken = f"has another version than the rehearsal: {known.repository} is {version} here"
            fix = f"use {version}, or {FETCHED}"
            raise TreeRefused([Problem(url, 0, "ref", wanted.ref, broken, fix, "base-version")])
        return wanted.ref.split(".")[0] == version.split(".", maxsplit=1)[0]


@rule(
    "base-unbuildable",
    scope="program",
    why="kustomize fails on a folder without a kustomization.yaml, in a rehearsal and in Argo CD.",
)
def _check_kustomization(url: str, known: KnownFolder, place: Path) -> None:
    """Refuse a folder that kustomize could not build behind the URL."""
    if place.is_dir() and (known.files_only or not (place / "kustomization.yaml").is_file()):
        broken = f"unable to find one of {', '.join(map(repr, RECOGNIZED))} in this folder of {known.repository}"
        fix = "list its files one by one, or use a chart that has them"
        raise TreeRefused([Problem(url, 0, "resources", url, broken, fix, "base-unbuildable")])


def _version(folder: Path, part: str) -> str:
    noted: dict[str, dict[str, str]] = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    return noted.get(part, {}).get("version", "")

"""The versions that the files of an app pin: charts, remote bases and images, read as text and not rendered.

The content of a file comes in, versions by name go out; `main_version` chooses the one that stands for the app. A
render would take a second for each app: `preview` does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

from config.pins import IS_COMMIT, versions
from config.source import parse
from config.tree import CHART, KUSTOMIZATIONS, MANIFESTS, REFERENCE
from manifests.comparison.references import DOCKER, parsed

PinnedKind: TypeAlias = Literal["chart", "base", "image"]
KINDS: tuple[PinnedKind, ...] = ("chart", "base", "image")
IMAGE = re.compile(rb"\bimage(?:Name)?[\"']?:[ \t]+[\"']?([^\s\"'#,{}]+)")
LISTS = re.compile(rb"^[\"']?(?:helmCharts|dependencies|images)\b|[?&]ref=", re.MULTILINE)
SHORT = 8
IN_TREE = "file://"  # a chart of the tree itself, which no release has


class PinnedVersion(NamedTuple):
    """A version that a file of an app pins."""

    kind: PinnedKind
    name: str
    version: str
    digest: str = ""


def has_versions(path: str) -> bool:
    """Return whether a file of an app can pin a version."""
    return path.endswith(MANIFESTS) or path.rpartition("/")[2] in KUSTOMIZATIONS


@lru_cache(maxsize=65536)
def pinned_in(name: str, raw: bytes) -> tuple[PinnedVersion, ...]:
    """Return the versions in one file, whose name is without its folder."""
    found = [*_images(raw)]
    if name in (*KUSTOMIZATIONS, CHART) and LISTS.search(raw):
        value = parse(raw, name).first.value
        if isinstance(value, dict):
            found += _listed(value, versions(raw.decode(errors="replace")))
    return tuple(dict.fromkeys(found))


def _images(raw: bytes) -> Iterator[PinnedVersion]:
    for found in IMAGE.finditer(raw):
        before = raw[raw.rfind(b"\n", 0, found.start()) + 1 : found.start()]
        if b"#" not in before and (reference := parsed(found[1].decode(errors="replace"))):
            yield PinnedVersion("image", _familiar(reference.name), reference.tag, reference.digest)


def _listed(value: Mapping[str, Any], commented: Mapping[str, str]) -> Iterator[PinnedVersion]:
    for entry in (*_maps(value, "helmCharts"), *_maps(value, "dependencies")):
        if isinstance(entry.get("version"), str) and not str(entry.get("repository")).startswith(IN_TREE):
            yield PinnedVersion("chart", str(entry.get("name")), entry["version"])
    for key in ("resources", "components"):
        listed = value.get(key)
        for match in (
            REFERENCE.match(one) for one in (listed if isinstance(listed, list) else ()) if isinstance(one, str)
        ):
            if match:
                commit = match["ref"] if IS_COMMIT.match(match["ref"]) else ""
                version = commented.get(match.string, "") or (commit[:SHORT] or match["ref"])
                yield PinnedVersion("base", match["source"], version, commit)
    for entry in _maps(value, "images"):
        if entry.get("newTag") or entry.get("digest"):
            name = str(entry.get("newName") or entry.get("name"))
            yield PinnedVersion("image", name, str(entry.get("newTag") or ""), str(entry.get("digest") or ""))


def _maps(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    listed = value.get(key)
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _familiar(name: str) -> str:
    """Return the name of an image without the registry that everybody leaves out."""
    return name.removeprefix(f"{DOCKER}/library/").removeprefix(f"{DOCKER}/")


def merged(base: Iterable[PinnedVersion], own: Iterable[PinnedVersion]) -> tuple[PinnedVersion, ...]:
    """Return the versions of a base and of an environment's folder, which replaces those of the same name."""
    replaced = {(one.kind, one.name): one for one in own}
    kept = [one for one in base if (one.kind, one.name) not in replaced]
    return tuple(sorted({*kept, *replaced.values()}, key=lambda one: (KINDS.index(one.kind), one.name, one.version)))


def main_version(app: str, found: Iterable[PinnedVersion]) -> str:
    """Return the version that stands for an app: of its charts, else of its remote bases, else of its images.

    Where these have several versions, those with the app's name decide; a number of images is the last resort.
    """
    listed = list(found)
    for kind in KINDS:
        chosen = [one for one in listed if one.kind == kind]
        for is_of in (_any, _contains, _is):
            chosen = [one for one in chosen if is_of(app, one.name)] or chosen
            if len({_shown(one) for one in chosen}) == 1:
                return _shown(chosen[0])
        if chosen:
            return f"{len(chosen)} {kind}s"
    return ""


def _any(app: str, name: str) -> bool:
    return True


def _contains(app: str, name: str) -> bool:
    """Return whether a path has the app's name in it, or ends in a part of that: podinfo of podinfo-canary."""
    return app.replace("-", "") in name.replace("-", "") or _last(name) in app.split("-")


def _is(app: str, name: str) -> bool:
    return _last(name) in (app, f"{app}-server")


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def _shown(one: PinnedVersion) -> str:
    return one.version or one.digest.removeprefix("sha256:")[:SHORT]

"""The limits of an untrusted kustomization: the paths and URLs it may refer to, and the keys it may have.

The value of a kustomization comes in, problems go out. Kustomize and helm would follow an absolute path, a link or an
URL to any target, and run a program for a plugin; these checks read the text only, before any program starts. Keys are
compared as kustomize compares them, without case. `manifests.contents` checks each kustomization with this module,
`manifests.umbrella` the names in a Chart.yaml.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from config.pins import references
from config.rules import rule
from config.source import KeyPath
from manifests.checkout import CheckoutReader
from manifests.sources import NAME

# Checks that protect the machine that renders, not the cluster.
LIMITS = ("chart-name", "reference-outside", "reference-url", "render-executes", "render-key")
# The key path, the value, the broken rule, the fix and the check's id.
BoundaryFinding: TypeAlias = "tuple[KeyPath, str, str, str, str]"

LISTS_OF_PATHS = ("resources", "bases", "components", "crds", "configurations", "patchesStrategicMerge")
FILES_OF = {
    "patches": ("path",),
    "patchesJson6902": ("path",),
    "replacements": ("path",),
    "configMapGenerator": ("env", "envs", "files"),
    "secretGenerator": ("env", "envs", "files"),
    "helmCharts": ("valuesFile", "additionalValuesFiles"),
    "helmChartInflationGenerator": ("values", "chartHome"),
}
MAPS_OF_PATHS = {"openapi": ("path",), "helmGlobals": ("chartHome",)}
CHARTS = ("helmCharts", "helmChartInflationGenerator")
# Each of these loads a plugin, a program, its settings, or a template that reads the environment.
RUNS = ("generators", "transformers", "validators", "configHome", "helmHome", "helmBin", "extraArgs", "nameTemplate")
FREE = ("valuesInline", "valuesLocal", "commonLabels", "commonAnnotations", "pairs", "annotations", "literals")
KEYS = (
    *LISTS_OF_PATHS,
    *FILES_OF,
    *MAPS_OF_PATHS,
    *RUNS,
    *FREE,
    *(key for keys in FILES_OF.values() for key in keys),
    *("apiVersion", "kind", "metadata", "namePrefix", "nameSuffix", "namespace", "labels", "images", "imageTags"),
    *("replicas", "vars", "sortOptions", "generatorOptions", "buildMetadata", "options", "name", "version", "repo"),
    *("releaseName", "chartName", "chartVersion", "chartRepoUrl", "chartRepoName", "includeCRDs", "skipHooks"),
    *("valuesMerge", "releaseNamespace", "apiVersions", "kubeVersion", "skipTests", "debug", "devel", "patch"),
    *(
        "target",
        "behavior",
        "immutable",
        "disableNameSuffixHash",
        "includeSelectors",
        "includeTemplates",
        "fields",
        "type",
    ),
    *("newName", "newTag", "digest", "tagSuffix", "count", "source", "targets", "fieldPath", "fieldPaths", "select"),
    *("reject", "group", "labelSelector", "annotationSelector", "allowNameChange", "allowKindChange", "create"),
    *("delimiter", "index", "encoding", "order", "legacySortOptions", "orderFirst", "orderLast", "objref", "fieldref"),
    *("sourceValue", "fieldSpecs", "allowNoTargetMatch"),
)
BY_FOLDED = {key.casefold(): key for key in KEYS}
URL = re.compile(r"[a-z][a-z0-9+.-]*:/|https?:|\w+::|[\w.-]+@[\w.-]+:", re.IGNORECASE)
VERSION = re.compile(r"[A-Za-z0-9~^<>=*][A-Za-z0-9.+*~^<>=, _-]*\Z")
HARMLESS_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]*\Z")
IN_TREE = "name a file of this repository, relative to the folder"
PLUGIN_FIX = "remove it; built-in keys such as patches and replacements do the same without a plugin"
NAME_FIX = "use letters, digits, dots and hyphens, and begin with a letter or a digit"


def findings(reader: CheckoutReader, value: Mapping[str, Any], folder: str) -> Iterator[BoundaryFinding]:
    """Yield the violations of a kustomization."""
    yield from _keys(value, ())
    for path, entry in _paths(value):
        yield from _path(reader, folder, path, entry)
    for key in CHARTS:
        for index, chart in enumerate(_list(value.get(key))):
            if isinstance(chart, Mapping):
                yield from chart_findings(chart, (key, index))


@rule(
    "chart-name",
    scope="file",
    why="A name with slashes or a leading hyphen is a path to another folder, or an option of helm.",
)
@rule(
    "reference-url",
    scope="file",
    why="The machine that renders reads the URL: its own loopback services would answer, or Argo CD's.",
)
def chart_findings(entry: Mapping[str, Any], at: KeyPath) -> Iterator[BoundaryFinding]:
    """Yield the invalid names, versions and repositories of a chart's entry."""
    for key in ("name", "chartName", "alias", "releaseName", "namespace", "releaseNamespace"):
        text = str(entry.get(key) or "")
        if text and (not NAME.match(text) or ".." in text):
            yield (*at, key), text, "is not a name, and would be taken for a path or an option", NAME_FIX, "chart-name"
    for key in ("version", "chartVersion"):
        text = str(entry.get(key) or "")
        if text and (not VERSION.match(text) or ".." in text):
            yield (*at, key), text, "is not a version", "write it as 1.2.3", "chart-name"
    for key in ("repo", "repository", "chartRepoUrl"):
        text = str(entry.get(key) or "")
        if text and (rule := remote_rule(text, charts=True)):
            yield (*at, key), shown(text), rule, "name an https:// or oci:// repository", "reference-url"


def remote_rule(url: str, *, charts: bool = False) -> str:
    """Return the rule that an URL breaks, empty if it may be fetched."""
    scheme, _, rest = url.removeprefix("git::").partition("://")
    if "::" in scheme:
        return "makes git run a program of its own"
    if not rest:  # helm knows repositories by @name and alias:name, git knows user@host:path
        return "is no URL" if charts and not url.startswith(("@", "alias:")) else ""
    allowed = ("https", "http", "oci") if charts else ("https", "http", "ssh")
    if scheme.lower() not in allowed:
        return f"has the scheme {scheme[:20]}, which a plugin or a local file would answer"
    try:
        parts = urlsplit(f"https://{rest}")
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return "is no URL"
    if parts.password:
        return "carries a credential"
    if _is_local(host):
        return "names this machine or its own network"
    return ""


def reference_rule(url: str) -> str:
    """Return the rule that the reference of a remote base breaks: git would read it as an option."""
    if not all(map(HARMLESS_REFERENCE.match, chain(*references(url).values()))):
        return "has a reference that git would take for an option"
    return ""


def shown(url: str) -> str:
    """Write an URL without a password."""
    return re.sub(r"(?<=://)[^/@\s]*@", "***@", url)


def _is_local(host: str) -> bool:
    if host.lower() in ("localhost", "ip6-localhost", "") or host.lower().endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bool(
            re.fullmatch(r"[0-9.]+|0x[0-9a-f.x]+", host, re.IGNORECASE)
        )  # 127.1 and 2130706433 are addresses too
    return address.is_loopback or address.is_link_local or address.is_unspecified


@rule(
    "render-executes",
    scope="file",
    why="A plugin runs with the rights of the reviewer's account, and in Argo CD with the repo-server's.",
)
@rule(
    "render-key",
    scope="file",
    why="Kustomize ignores the case of keys: a reviewer and each check would see another key.",
)
def _keys(value: Any, path: KeyPath) -> Iterator[BoundaryFinding]:
    """Yield keys that run something, and keys that kustomize reads although they are written otherwise."""
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _keys(inner, (*path, index))
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        known, inside = BY_FOLDED.get(str(key).casefold()), (*path, str(key))
        if known and known != key:
            yield inside, "", f"is read as {known} by kustomize", f"write {known}", "render-key"
        if known in RUNS and inner not in (None, [], {}, ""):
            rule = "makes kustomize or helm load a plugin, or read the settings and environment of this machine"
            yield inside, "", rule, PLUGIN_FIX, "render-executes"
        elif known not in FREE and not (known == "labels" and not isinstance(inner, list)):
            yield from _keys(inner, inside)


def _paths(value: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Yield every entry that kustomize takes for the path of a file or a folder."""
    for key in LISTS_OF_PATHS:
        for index, entry in enumerate(_list(value.get(key))):
            if isinstance(entry, str) and not (key == "patchesStrategicMerge" and "\n" in entry):
                yield (key, index), entry
    for key, names in FILES_OF.items():
        for index, entry in enumerate(_list(value.get(key))):
            yield from _fields(entry, names, (key, index))
    for key, names in MAPS_OF_PATHS.items():
        yield from _fields(value.get(key), names, (key,))


def _fields(entry: Any, names: tuple[str, ...], at: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if not isinstance(entry, Mapping):
        return
    for name in names:
        found = entry.get(name)
        for index, one in enumerate(_list(found)):
            if isinstance(one, str):
                # `files` takes KEY=PATH as well, and kustomize would read either side.
                yield (*at, name, index), one
                if "=" in one:
                    yield (*at, name, index), one.partition("=")[2]
        if isinstance(found, str):
            yield (*at, name), found


@rule("reference-outside", scope="file", why="Argo CD has this repository and no file around it.")
def _path(reader: CheckoutReader, folder: str, at: KeyPath, entry: str) -> Iterator[BoundaryFinding]:
    """Yield the reason if an entry is not a path inside of the checkout."""
    remote = at[0] in ("resources", "bases", "components")
    if entry.startswith(("/", "~", "\\")) or "\0" in entry:
        yield at, entry, "leads out of the checkout", IN_TREE, "reference-outside"
    elif URL.match(entry):
        rule = (remote_rule(entry) or reference_rule(entry)) if remote else "is an URL, and a render reads no network"
        if rule:
            fix = "keep a copy in the folder" if not remote else "name an https:// repository and a commit or a tag"
            yield at, shown(entry), rule, fix, "reference-url"
    elif remote and (rule := reference_rule(entry)):
        yield at, entry, rule, "name a commit or a tag", "reference-url"
    elif reader.leaves(posixpath.normpath(posixpath.join(folder, entry))):
        yield at, entry, "leads out of the checkout", "refer to folders of this repository", "reference-outside"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

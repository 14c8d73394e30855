"""Umbrella charts: the dependencies of a Chart.yaml, and whether its Chart.lock matches them.

A reader and a folder come in, the locked dependencies and problems go out. Argo CD runs `helm dependency build`, which
takes the versions of the lock and refuses a lock of another Chart.yaml; so does this, before any program runs. Without
a lock Argo CD would take the newest versions of that day. `manifests.contents` continues.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import Any

from config.app_settings import folder_of
from config.rules import rule
from config.source import KeyPath, Source, dotted
from config.tree import BASE
from errors import Problem
from local.cache import digest
from manifests import boundary
from manifests.checkout import CheckoutReader
from manifests.fields import entries, mapping, text
from manifests.sources import EXACT, Chart

FIELDS = ("name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias")
ALWAYS = ("name", "repository")
ARCHIVE = re.compile(r"(.+)-(v?\d+\.\d+\.\d+.*)\.tgz\Z")
UPDATE = "run `helm dependency update` there and commit Chart.lock"


@rule("chart-lock-missing", scope="file", why="Without a lock Argo CD takes the newest version of that day.")
@rule(
    "chart-lock-old",
    scope="file",
    why="Argo CD rejects a lock of another Chart.yaml, and takes a stale copy in charts/ without a message.",
)
def dependencies(reader: CheckoutReader, folder: str, problems: list[Problem]) -> list[tuple[Chart, str, KeyPath, str]]:
    """Return each chart that charts/ lacks: the chart, the file and key that name it, and its path.

    The repository of a chart that is a folder of the checkout is `file://` and the folder's path.
    """
    file = f"{folder}/Chart.yaml"
    source = reader.source(file)
    problems += source.problems
    wanted = _entries(source)
    if not wanted or source.problems:
        return []
    lock = f"{folder}/Chart.lock"
    if not reader.is_file(lock):
        rule = "has dependencies and no Chart.lock"
        line = source.first.line(("dependencies",))
        problems.append(Problem(file, line, "dependencies", "", rule, UPDATE, "chart-lock-missing"))
        return []
    kept = reader.source(lock)
    problems += kept.problems
    locked = _entries(kept)
    refused = list(_refused(reader, folder, source, [*enumerate(wanted), *enumerate(locked)]))
    problems += refused
    if refused:
        return []
    differs = _difference(wanted, locked, text(kept.first.value, "digest"))
    if differs:
        line = source.first.line(("dependencies",))
        problems.append(Problem(lock, 0, "", "", differs, UPDATE, "chart-lock-old"))
        return []
    return list(_missing(reader, folder, locked, source, problems))


def _entries(source: Source) -> list[dict[str, Any]]:
    return [entry for entry in entries(source.first.value, "dependencies") if isinstance(entry, dict)]


def _refused(
    reader: CheckoutReader, folder: str, source: Source, numbered: list[tuple[int, dict[str, Any]]]
) -> Iterator[Problem]:
    """Yield the invalid names, versions and repositories in Chart.yaml and in its lock."""
    for index, entry in numbered:
        at: KeyPath = ("dependencies", index)
        for key, value, broken, fix, check in boundary.chart_findings(_named(entry), at):
            yield Problem(source.file, source.first.line(key), dotted(key), value, broken, fix, check)
        if outside := _local_rule(reader, folder, str(entry.get("repository") or "")):
            key, fix = (*at, "repository"), "name a folder of this repository: file://../NAME"
            yield Problem(source.file, source.first.line(key), dotted(key), "", outside, fix, "reference-outside")


def _named(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry without a repository that is a folder; those are another rule's."""
    local = str(entry.get("repository") or "").startswith("file://")
    return {key: value for key, value in entry.items() if not (local and key == "repository")}


def _local_rule(reader: CheckoutReader, folder: str, repository: str) -> str:
    """Return the rule that a local repository breaks: helm would pack any folder."""
    if not repository.startswith("file://"):
        return ""
    path = repository.removeprefix("file://")
    outside = path.startswith(("/", "~")) or reader.leaves(f"{folder}/{path}")
    return "leads out of the checkout" if outside else ""


def _difference(wanted: list[dict[str, Any]], locked: list[dict[str, Any]], kept: str) -> str:
    """Return the difference between a lock and its Chart.yaml, empty if there is none."""
    names, there = ([str(entry.get("name")) for entry in entries] for entries in (wanted, locked))
    if names != there:
        return f"locks {', '.join(there) or 'nothing'}, but Chart.yaml depends on {', '.join(names)}"
    for entry, other in zip(wanted, locked, strict=True):
        for part in ("repository", "version"):
            required, has = str(entry.get(part, "")), str(other.get(part, ""))
            if required.lstrip("v") != has.lstrip("v") and (part == "repository" or EXACT.match(required)):
                return f"locks {part} {has} of {entry.get('name')}, but Chart.yaml has {required}"
    return "" if lock_digest(wanted, locked) == kept else "was made for another Chart.yaml: its digest differs"


def lock_digest(wanted: list[dict[str, Any]], locked: list[dict[str, Any]]) -> str:
    """Return the digest that helm writes into a lock: the hash of both lists in Go's JSON."""
    both = [[_as_go(entry) for entry in entries] for entries in (wanted, locked)]
    text = json.dumps(both, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"sha256:{digest(text)}"


def _as_go(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that helm reads, in the order of its structure; Go sorts the keys of maps inside."""
    known = {name: entry.get(name, "") for name in FIELDS if name in ALWAYS or entry.get(name)}
    if "import-values" in known:
        known["import-values"] = json.loads(json.dumps(known["import-values"], sort_keys=True))
    return known


def _missing(
    reader: CheckoutReader, folder: str, locked: list[dict[str, Any]], source: Source, problems: list[Problem]
) -> Iterator[tuple[Chart, str, KeyPath, str]]:
    """Yield the locked charts that are not in charts/."""
    there = list(_vendored(reader, f"{folder}/charts"))
    names = [str(entry.get("name")) for entry in locked]
    for index, entry in enumerate(locked):
        chart = Chart(names[index], str(entry.get("version")), str(entry.get("repository") or ""))
        key: KeyPath = ("dependencies", index)
        line, found = source.first.line(key), [version for name, version in there if name == chart.name]
        if chart.version in found:
            continue
        if found and names.count(chart.name) == 1:
            rule = f"locks version {chart.version} of {chart.name}, but charts/ holds {found[0]}"
            fix = "remove it there: helm would use it without a message"
            problems.append(Problem(f"{folder}/Chart.lock", 0, "", "", rule, fix, "chart-lock-old"))
        elif local := _local(folder, chart.repository):
            broken = _unlike(reader, local, chart)
            if broken:
                problems.append(Problem(source.file, line, dotted(key), str(chart), broken, UPDATE, "chart-missing"))
            else:
                yield chart, source.file, key, f"{folder}/charts/{chart.name}"
        elif not chart.repository.startswith(("https://", "http://", "oci://")):
            rule = f"is not in charts/, and {chart.repository or 'no repository'} is no URL to fetch it from"
            fix = "write the repository's URL, or copy the chart there"
            value = f"{chart.name} {chart.version}"
            problems.append(Problem(source.file, line, dotted(key), value, rule, fix, "chart-missing"))
        else:
            place = chart.name if names.count(chart.name) == 1 else f"{chart.name}-{chart.version}"
            yield chart, source.file, key, f"{folder}/charts/{place}"


def local_charts(folder: str, charts: Iterable[tuple[Chart, str]]) -> Iterator[tuple[str, str]]:
    """Yield the folder and the path of each chart whose repository is a folder of the checkout."""
    for chart, place in charts:
        if local := _local(folder, chart.repository):
            yield local, place


def values_files(folder: str) -> tuple[str, ...]:
    """Return the values files that an ApplicationSet gives to the chart of an environment, in their order."""
    above, environment = posixpath.split(folder)
    settings = f"{folder_of(environment)}/values/{'/'.join(above.split('/')[-2:])}.yaml"
    return f"{above}/{BASE}/values.yaml", settings, f"{folder}/values.yaml"


def _local(folder: str, repository: str) -> str:
    """Return the folder of a local repository, nothing for another."""
    path = repository.removeprefix("file://")
    return "" if path == repository else posixpath.normpath(posixpath.join(folder, path))


def _unlike(reader: CheckoutReader, local: str, chart: Chart) -> str:
    """Return the reason why a folder is not the chart that a lock names."""
    if not reader.is_file(file := f"{local}/Chart.yaml"):
        return f"is not in charts/, and {local} is no chart"
    there = mapping(reader.source(file).first.value)
    same = (there.get("name"), str(there.get("version"))) == (chart.name, chart.version)
    return "" if same else f"differs from {file}, which is {there.get('name')} {there.get('version')}"


def _vendored(reader: CheckoutReader, charts: str) -> Iterator[tuple[str, str]]:
    """Yield name and version of each folder and archive in charts/."""
    for name in reader.names(charts):
        if packed := ARCHIVE.match(name):
            yield packed[1], packed[2]
        elif reader.is_file(file := f"{charts}/{name}/Chart.yaml"):
            value = mapping(reader.source(file).first.value)
            yield str(value.get("name")), str(value.get("version"))

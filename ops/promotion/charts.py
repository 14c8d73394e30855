"""The versions of charts, which are in the folder of each environment, and their promotion.

kustomize and Helm read a chart's version from the folder that they render, so that a pin alone cannot move it. The
version is raised first, in a commit of its own, because a pin cannot name the commit that it is a part of. Once it is
merged, the pin moves to it. `ops.promotion.plan` decides with this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from config.source import KeyPath, Source, parse
from config.tree import App
from errors import Problem
from ops.promotion.contents import Written, form_problem
from ops.promotion.git_store import GitStore

LISTS = ("helmCharts", "dependencies")
LOCK = "Chart.lock"


def charts_at(store: GitStore, app: App, commit: str) -> Mapping[str, str]:
    """Return the versions of the charts that an environment's own folder names at a commit."""
    text = store.text(commit, app.file)
    if text is None or not any(name in text for name in LISTS):
        return {}
    return {name: version for _, name, version in _charts(parse(text.encode(), app.file))}


def raised(store: GitStore, app: App, wanted: Mapping[str, str], lock: str | None) -> Mapping[str, Written] | Problem:
    """Return the files of an environment with other versions of its charts, each other byte as before.

    A lock of the chart's dependencies belongs to their versions: `lock` is that of the source.
    """
    text, found = store.text(store.head, app.file), store.entry(store.head, app.file)
    changed = _with_versions(app.file, text, wanted) if text is not None else None
    if found is None or changed is None:
        return form_problem(app.file, text, "write `version:` of each chart on a line of its own")
    files = {app.file: Written(changed.encode(), found[0])}
    path = f"{app.path}/{LOCK}"
    if (own := store.entry(store.head, path)) and lock is not None:
        files[path] = Written(lock.encode(), own[0])
    return files


def _charts(source: Source) -> Iterator[tuple[KeyPath, str, str]]:
    value: Any = source.first.value
    for key in LISTS if isinstance(value, dict) else ():
        listed = value.get(key)
        for index, entry in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(entry, dict) and isinstance(entry.get("version"), str):
                yield (key, index, "version"), str(entry.get("name")), entry["version"]


def _with_versions(name: str, text: str, wanted: Mapping[str, str]) -> str | None:
    """Return a text with other versions, None where its form does not allow to edit one line for each."""
    lines, source = text.splitlines(keepends=True), parse(text.encode(), name)
    expected: Any = source.first.value
    for path, chart, version in list(_charts(source)):
        if wanted.get(chart, version) == version:
            continue
        number = source.first.lines.get(path, 0) - 1
        line = re.compile(rf"(\bversion[\"']?:\s+[\"']?){re.escape(version)}(?=[\"'\s,}}]|$)")
        if len(line.findall(lines[number])) != 1:
            return None
        lines[number] = line.sub(lambda found, chart=chart: f"{found[1]}{wanted[chart]}", lines[number])  # type: ignore[misc]
        key, index, last = path
        expected[key][index][last] = wanted[chart]
    result = "".join(lines)
    return result if parse(result.encode(), name).first.value == expected else None

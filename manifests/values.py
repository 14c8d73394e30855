"""The values that a chart uses: the keys of its values.yaml and its schema, and those that its templates read.

A chart's folder comes in; a tree of keys goes out. A key with nothing below it takes any value: it is no map, an empty
one, or one that a template passes on whole. `standins.facts` has the trees of real charts,
`manifests.rules.chart_values` checks an app's values against them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from config.source import KeyPath
from manifests import kubernetes_yaml
from manifests.fields import mapping, mappings, text

# None is a key that takes anything, a map one that has these keys and no others.
Known: TypeAlias = "dict[str, Known] | None"
REFERENCE = re.compile(r"\bValues((?:\.\w+)+)")
INDEXED = re.compile(r"index\s+\(?[$\w.]*\bValues((?:\.\w+)*)\)?((?:\s+\"[^\"]+\")+)")
ALIAS = re.compile(r"\$(\w+)\s*:=\s*[$\w.]*\bValues\s*-?}}")
TEMPLATES = (".yaml", ".yml", ".tpl", ".txt", ".json")


def known_values(chart: Path) -> dict[str, Known]:
    """Return the tree of the keys that a chart knows, with those of its dependencies."""
    tree = _shape(_read(chart / "values.yaml"))
    assert tree is not None
    _add_schema(tree, _read(chart / "values.schema.json"))
    for path, whole in _references(_templates(chart)):
        _add(tree, path, whole=whole)
    for dependency in mappings(_read(chart / "Chart.yaml"), "dependencies"):
        name = text(dependency, "alias") or text(dependency, "name")
        folder = chart / "charts" / text(dependency, "name")
        below = known_values(folder) if (folder / "Chart.yaml").is_file() else None
        own = tree.get(name)
        tree[name] = {**below, **_merged(own, below)} if below is not None and own is not None else below
        _add(tree, tuple(text(dependency, "condition").split(",")[0].split(".")), whole=False)
    return tree | {"global": None, "tags": None}


def unknown_values(values: Any, known: Known, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Sequence[str]]]:
    """Yield the path of each key that a chart does not know, with the keys that it knows there."""
    if known is None or not isinstance(values, dict):
        return
    for key, value in values.items():
        if str(key) not in known:
            yield (*path, str(key)), sorted(known)
        else:
            yield from unknown_values(value, known[str(key)], (*path, str(key)))


def _shape(value: Any) -> dict[str, Known]:
    """Return the keys of a map of values; an empty map below takes any keys."""
    found = value if isinstance(value, dict) else {}
    return {str(key): _shape(inner) if isinstance(inner, dict) and inner else None for key, inner in found.items()}


def _merged(own: dict[str, Known], below: dict[str, Known]) -> dict[str, Known]:
    """Return a dependency's keys in a chart; a key that either of both leaves open is open."""
    both = own.keys() & below.keys()
    merged: dict[str, Known] = {key: None for key in both if own[key] is None or below[key] is None}
    for key in own.keys() - merged.keys():
        mine, theirs = own[key], below.get(key)
        merged[key] = {**theirs, **_merged(mine, theirs)} if mine is not None and theirs is not None else mine
    return merged


def _add(tree: dict[str, Known], path: Sequence[str], *, whole: bool) -> None:
    """Add a key that a template reads; a map that it reads whole may have any keys."""
    for part in path[:-1]:
        below = tree.setdefault(part, {})
        if below is None:
            return
        tree = below
    if path and path[-1] and (whole or path[-1] not in tree):
        tree[path[-1]] = None


def _add_schema(tree: dict[str, Known], schema: Any) -> None:
    """Add the keys of a chart's own schema."""
    for key, inner in mapping(schema, "properties").items():
        if mapping(inner, "properties"):
            below = tree.setdefault(key, {})
            if below is not None:
                _add_schema(below, inner)
        else:
            tree.setdefault(key, None)


def _references(texts: Sequence[str]) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield every path below .Values that templates name; a map that is named itself is handed on whole."""
    for one in texts:
        for found in REFERENCE.finditer(one):
            yield tuple(found[1].strip(".").split(".")), True
        for found in INDEXED.finditer(one):
            yield (*filter(None, found[1].split(".")), *re.findall(r'"([^"]+)"', found[2])), True
        for name in {found[1] for found in ALIAS.finditer(one)}:
            for found in re.finditer(rf"\${name}((?:\.\w+)+)", one):
                yield tuple(found[1].strip(".").split(".")), True


def _templates(chart: Path) -> list[str]:
    """Return the templates of a chart and of the libraries that it brings."""
    folders = [chart / "templates"]
    for library in chart.glob("charts/*/Chart.yaml"):
        if text(_read(library), "type") == "library":
            folders.append(library.parent / "templates")
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.suffix in TEMPLATES)
    return [file.read_text(encoding="utf-8", errors="replace") for file in files]


def _read(file: Path) -> Any:
    """Return a file's value, an empty map if it does not exist."""
    if not file.is_file():
        return {}
    content = file.read_text(encoding="utf-8")
    return json.loads(content) if file.suffix == ".json" else kubernetes_yaml.document(content)

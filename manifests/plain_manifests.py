"""Folders of plain manifests: read as Argo CD reads a directory, without its subfolders.

Files come in, objects and problems go out. `manifests.render` reads with this the folders that are neither a
kustomization nor a chart, and checks whether the output of a program is objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import yaml

from config import bounds
from config.source import parse
from errors import Problem
from manifests import file_sanity, kubernetes_yaml
from manifests.checkout import CheckoutReader
from manifests.objects import Object, unpacked

SKIP = "+argocd:skip-file-rendering"
LOOKS_LIKE_ONE = ("apiVersion:", "kind:", "metadata:")


def objects(reader: CheckoutReader, files: Iterable[str], problems: list[Problem]) -> list[Object]:
    """Return the objects of every manifest, in the order of the files' names."""
    found: list[Object] = []
    for file in sorted(files):
        try:
            text = reader.raw(file).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            problems += reader.source(file).problems
            continue
        if SKIP not in text:
            found += _read(text, file, problems)
    return found


def malformed(item: Any, file: str) -> Problem | None:
    """Return the problem of a value that is not an object."""
    if not isinstance(item, dict):
        rule = f"holds {json.dumps(item)[:40]} where an object should be"
    elif missing := [name for name in ("apiVersion", "kind") if not isinstance(item.get(name), str)]:
        rule = f"holds an object without {' and '.join(missing)}"
    elif not isinstance(item.get("metadata", {}), dict):
        rule = f"holds a {item['kind']} whose metadata is no map"
    else:
        return None
    return Problem(file, 0, "", "", rule, "write it as kubectl would print it", "manifest-malformed")


def _read(text: str, file: str, problems: list[Problem]) -> list[Object]:
    if file.endswith(".jsonnet"):
        rule, fix = "is jsonnet, which Argo CD would run and nothing here does", "write it as YAML"
        problems.append(Problem(file, 0, "", "", rule, fix, "manifest-malformed"))
        return []
    known = len(problems)
    documents = _json(text, file, problems) if file.endswith(".json") else _yaml(text, file, problems)
    if problems[known:]:
        return []
    if all(one is None for one in documents):
        problems.append(file_sanity.empty(file))
    elif not any(word in text for word in LOOKS_LIKE_ONE) and not file.endswith(".json"):
        rule, fix = "has no object, and Argo CD ignores it", f"write one, or begin the file with `# {SKIP}`"
        problems.append(Problem(file, 0, "", "", rule, fix, "manifest-malformed"))
        return []
    items = list(unpacked(documents))
    wrong = [problem for item in items if (problem := malformed(item, file))]
    problems += wrong
    return [] if wrong else items


def _json(text: str, file: str, problems: list[Problem]) -> list[Any]:
    try:
        if rule := bounds.broken_json(text):
            raise ValueError(rule)
        return [json.loads(text)]
    except ValueError as error:
        line = getattr(error, "lineno", 0)
        rule, fix = f"is not one JSON object: {getattr(error, 'msg', error)}", "keep one object in the file"
        problems.append(Problem(file, line, "", "", rule, fix, "manifest-malformed"))
        return []


def _yaml(text: str, file: str, problems: list[Problem]) -> list[Any]:
    try:
        return kubernetes_yaml.documents(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        found = parse(text.encode(), file).problems
        rule, fix = f"is not YAML: {' '.join(str(error).split())}", "look at it with an editor that knows YAML"
        problems += found or [Problem(file, 0, "", "", rule, fix, "manifest-malformed")]
        return []

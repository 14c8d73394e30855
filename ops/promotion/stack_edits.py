"""Edits of a stack file: one value, or one hold, and each other byte as before.

The text of a stack file comes in, the text with another value goes out; None where its form has no line for the edit.
The result is parsed again: it differs from the file before in this value alone. `ops.promotion.infrastructure` uses it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from config.load import PROJECT
from config.source import Document, KeyPath, parse

CLUSTER: KeyPath = ("config", f"{PROJECT}:cluster")
DELIVERY: KeyPath = ("config", f"{PROJECT}:delivery")
HOLDS = "holds"
AFTER = "kubernetesVersion"  # the line behind which a missing key of the cluster is written


def with_value(text: str, key: str, value: str | Sequence[str]) -> str | None:
    """Return the text with another value of a key of the cluster."""
    document = parse(text.encode(), "").first
    expected = deepcopy(document.value)
    section = _at(expected, CLUSTER)
    if section is None:
        return None
    section[key] = value if isinstance(value, str) else list(value)
    lines = text.splitlines(keepends=True)
    path = (*CLUSTER, key)
    if path not in document.lines:
        lines = _added(lines, document, (*CLUSTER, AFTER), f"{key}: [{', '.join(value)}]")
    elif isinstance(value, str):
        lines = _scalar(lines, document.lines[path] - 1, key, value)
    else:
        lines = _list(lines, document, path, value)
    return _checked("".join(lines), expected)


def with_hold(text: str, name: str, reason: str | None) -> str | None:
    """Return the text with a hold of a part of the infrastructure, or without it for None."""
    document = parse(text.encode(), "").first
    expected = deepcopy(document.value)
    section = _at(expected, DELIVERY)
    if section is None:
        return None
    path, lines = (*DELIVERY, HOLDS), text.splitlines(keepends=True)
    holds = section.get(HOLDS) or {}
    if reason is None:
        if name not in holds:
            return text
        del holds[name]
        gone = {document.lines[(*path, name)] - 1}
        if not holds:
            del section[HOLDS]
            gone.add(document.lines[path] - 1)
        lines = [line for number, line in enumerate(lines) if number not in gone]
        return _checked("".join(lines), expected)
    section[HOLDS] = {**holds, name: reason}
    entry = f"{name}: {json.dumps(reason, ensure_ascii=False)}"
    if name in holds:
        return None
    if holds:
        lines = _added(lines, document, (*path, next(iter(holds))), entry, before=True)
    else:
        lines = _added(lines, document, (*DELIVERY, "environment"), f"{HOLDS}:", f"  {entry}")
    return _checked("".join(lines), expected)


def _at(value: Any, path: KeyPath) -> dict[str, Any] | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None


def _scalar(lines: list[str], number: int, key: str, value: str) -> list[str]:
    found = re.compile(rf"(\b{key}[\"']?:\s+)(?P<quote>[\"']?)[\w.+-]+(?P=quote)(?=[\s,}}]|$)")
    line = found.sub(lambda one: f"{one[1]}{one['quote']}{value}{one['quote']}", lines[number], count=1)
    return [*lines[:number], line, *lines[number + 1 :]]


def _list(lines: list[str], document: Document, path: KeyPath, values: Sequence[str]) -> list[str]:
    number = document.lines[path] - 1
    flow = re.compile(rf"(\b{path[-1]}[\"']?:\s+)\[[^\[\]]*\]")
    if flow.search(lines[number]):
        line = flow.sub(lambda one: f"{one[1]}[{', '.join(values)}]", lines[number], count=1)
        return [*lines[:number], line, *lines[number + 1 :]]
    items = [line - 1 for other, line in document.lines.items() if other[:-1] == path]
    if not items:
        return lines
    first = lines[items[0]]
    indent = first[: first.index("-")]
    end = "\r\n" if first.endswith("\r\n") else "\n"
    return [*lines[: items[0]], *(f"{indent}- {one}{end}" for one in values), *lines[items[-1] + 1 :]]


def _added(lines: list[str], document: Document, beside: KeyPath, *entries: str, before: bool = False) -> list[str]:
    """Return the lines with others behind the line of a key, or before it, at its indentation."""
    if beside not in document.lines:
        return lines
    number = document.lines[beside] - 1
    line = lines[number]
    indent, end = line[: len(line) - len(line.lstrip())], "\r\n" if line.endswith("\r\n") else "\n"
    at = number if before else number + 1
    above = lines[:at]
    if above and not above[-1].endswith("\n"):
        above[-1] += end
    return [*above, *(f"{indent}{entry}{end}" for entry in entries), *lines[at:]]


def _checked(text: str, expected: Any) -> str | None:
    parsed = parse(text.encode(), "")
    return text if not parsed.problems and parsed.first.value == expected else None

"""The pin of an app in an environment: two annotations of the file by which Argo CD's generator finds its folder.

    homelab.dev/revision: "<commit>"    below metadata.annotations of kustomization.yaml, annotations of Chart.yaml
    homelab.dev/hold: "<reason>"

The text of such a file comes in; the annotations, or the text with other annotations, go out. An edit changes the lines
of these annotations alone: `config.tree` reads pins, `ops.promotion` writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from config.pins import IS_COMMIT
from config.rules import rule
from config.source import KeyPath, Source, parse
from errors import Problem

REVISION, HOLD = "homelab.dev/revision", "homelab.dev/hold"
KEYS = (REVISION, HOLD)
ABOVE: Mapping[str, KeyPath] = {
    "kustomization.yaml": ("metadata", "annotations"),
    "Chart.yaml": ("annotations",),
}
ANY = re.compile(rb"homelab\.dev/(?:revision|hold)|^(?:[\"']?)(?:metadata|annotations)", re.MULTILINE)
# The form that `edited` writes into a file without other annotations: a search is cheaper than parsing.
LINE = rb"homelab\.dev/(?:revision|hold): \"(?:[^\"\\\n]|\\[\"\\])*\"\n"
WRITTEN = {
    "kustomization.yaml": re.compile(rb"^metadata:\n  annotations:\n(?:    %s)+(?=\S|\Z)" % LINE, re.MULTILINE),
    "Chart.yaml": re.compile(rb"^annotations:\n(?:  %s)+(?=\S|\Z)" % LINE, re.MULTILINE),
}
ENTRY = re.compile(r"homelab\.dev/(revision|hold): \"(.*)\"$", re.MULTILINE)
# The lines that readers without a YAML parser take for a pin: the scripts of the seeds, and `git grep` of `status`.
BY_LINE = re.compile(r"^[^#\n]*homelab\.dev/revision.*$", re.MULTILINE)
INDENT = "  "
AFTER = ("kind", "apiVersion")


def may_have_pin(raw: bytes) -> bool:
    """Report whether a file can contain a pin, without parsing it."""
    return ANY.search(raw) is not None


def written_pin(name: str, raw: bytes) -> tuple[str, str] | None:
    """Return the commit and the reason of the hold of a file in the form of `edited`; None where it must be parsed."""
    found = WRITTEN[name.rpartition("/")[2]].search(raw)
    if found is None or ANY.search(raw[: found.start()]) or ANY.search(raw[found.end() :]):
        return None
    listed = ENTRY.findall(found[0].decode(errors="replace"))
    entries = {key: re.sub(r"\\(.)", r"\1", value) for key, value in listed}
    revision, hold = entries.get("revision", ""), entries.get("hold", "")
    is_plain = len(entries) == len(listed) and "\ufffd" not in hold
    return (revision, hold) if is_plain and (not revision or IS_COMMIT.match(revision)) else None


@rule(
    "pin-malformed", scope="tree", why="Argo CD would follow another revision than the one that was promoted, or none."
)
@rule(
    "annotations-malformed", scope="tree", why="The template of the ApplicationSet fails, for all apps of the category."
)
def pin_of(source: Source) -> tuple[str, str, list[Problem]]:
    """Return the commit and the reason of the hold that a file contains, and its problems."""
    above = ABOVE[source.file.rpartition("/")[2]]
    if broken := [one for path in ABOVE.values() if (one := _no_map(source, path))]:  # the template reads both paths
        return "", "", broken
    value = _at(source.first.value, above) or {}
    problems = []
    revision, hold = value.get(REVISION, ""), value.get(HOLD, "")
    if revision != "" and not (isinstance(revision, str) and IS_COMMIT.match(revision)):
        fix = "let ./homelab promote write it: a commit of 40 hexadecimal digits, in quotes"
        problems.append(_problem(source, (*above, REVISION), revision, "is not a whole commit", fix, "pin-malformed"))
    if not isinstance(hold, str):
        rule, fix = "is not text", "write the reason in quotes"
        problems.append(_problem(source, (*above, HOLD), hold, rule, fix, "pin-malformed"))
    return ("", "", problems) if problems else (revision, hold, [])


def _no_map(source: Source, above: KeyPath) -> Problem | None:
    value: Any = source.first.value
    for depth, key in enumerate(above):
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
        if not isinstance(value, Mapping):
            rule, fix = "is not a map of keys", "write one `key: value` per line, or remove the key"
            return _problem(source, above[: depth + 1], value, rule, fix, "annotations-malformed")
    return None


@rule("pin-malformed", scope="tree")
def beside_pin(name: str, raw: bytes, revision: str) -> Problem | None:
    """Return the problem of a file in which a reader of lines finds another commit, or that no edit can change."""
    text = raw.decode(errors="replace")
    by_line = [commit for line in BY_LINE.finditer(text) for commit in re.findall(r"[0-9a-f]{40}", line[0])]
    other = ("1" if revision.startswith("0") else "0") * len(revision)
    if by_line == ([revision] if revision else []) and (not revision or edited(name, text, {REVISION: other})):
        return None
    rule = "is not the only commit beside this key, or not on a line of its own"
    place = ".".join(map(str, ABOVE[name.rpartition("/")[2]]))
    fix = f'write `{REVISION}: "<commit>"` as one line of `{place}`, and nowhere else'
    return Problem(name, 0, REVISION, revision or by_line[0], rule, fix, "pin-malformed")


def _problem(source: Source, path: KeyPath, value: object, rule: str, fix: str, check: str) -> Problem:
    return Problem(source.file, source.first.line(path), ".".join(map(str, path)), str(value), rule, fix, check)


def edited(name: str, text: str, values: Mapping[str, str | None]) -> str | None:
    """Return the text of a file with other annotations, None where its form has no place for them.

    A value of None removes its annotation, and with the last one the maps that only held it. All other bytes stay. The
    result is parsed again: it contains these values, and everything else as before.
    """
    above = ABOVE[name.rpartition("/")[2]]
    before = parse(text.encode(), name)
    if before.problems or not isinstance(before.first.value, Mapping):
        return None
    present = _at(before.first.value, above)
    lines, end = text.splitlines(keepends=True), "\r\n" if "\r\n" in text else "\n"
    for key, value in values.items():
        if value is None:
            lines = _without(lines, name, (*above, key))
        elif present is not None and key in present:
            lines = _replaced(lines, name, (*above, key), value)
        else:
            lines = _with(lines, name, above, f"{key}: {_quoted(value)}", end)
        present = _at(parse("".join(lines).encode(), name).first.value, above)
    result = "".join(lines)
    return result if _is_as_wanted(name, before.first.value, result, above, values) else None


def _at(value: Any, path: KeyPath) -> Mapping[str, Any] | None:
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value if isinstance(value, Mapping) else None


def _quoted(text: str) -> str:
    """Return a text as a scalar that no reader takes for a number."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def without_pin(name: str, raw: bytes) -> bytes:
    """Return a file as it was before its pin and its hold, where its form allows that."""
    if REVISION.encode() not in raw and HOLD.encode() not in raw:
        return raw
    stripped = WRITTEN[name.rpartition("/")[2]].sub(b"", raw)
    if REVISION.encode() not in stripped and HOLD.encode() not in stripped:
        return stripped
    text = edited(name, raw.decode(errors="surrogateescape"), dict.fromkeys(KEYS))
    return raw if text is None else text.encode(errors="surrogateescape")


def _replaced(lines: list[str], name: str, path: KeyPath, value: str) -> list[str]:
    number = _line(lines, name, path)
    line = lines[number]
    ending = line[len(line.rstrip("\r\n")) :]
    found = re.match(
        rf"(?P<key>\s*[\"']?{re.escape(str(path[-1]))}[\"']?\s*:\s+)(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s#]+)(?P<rest>\s*(?:#.*)?)$",
        line.rstrip("\r\n"),
    )
    if not found:
        return lines
    return [*lines[:number], f"{found['key']}{_quoted(value)}{found['rest']}{ending}", *lines[number + 1 :]]


def _without(lines: list[str], name: str, path: KeyPath) -> list[str]:
    """Return the lines without a key, and without each map above it that becomes empty."""
    while path:
        value = parse("".join(lines).encode(), name).first.value
        map_above = _at(value, path[:-1])
        if map_above is None or path[-1] not in map_above:
            return lines
        number = _line(lines, name, path)
        lines = [*lines[:number], *lines[number + 1 :]]
        if len(map_above) > 1:
            return lines
        path = path[:-1]
        if not path or _line(lines, name, path) < 0:
            return lines
    return lines


def _with(lines: list[str], name: str, above: KeyPath, entry: str, end: str) -> list[str]:
    """Return the lines with one more annotation; the maps above it are made where they are missing."""
    value = parse("".join(lines).encode(), name).first.value
    depth = max(size for size in range(len(above) + 1) if size == 0 or _at(value, above[:size]))
    missing = above[depth:]
    if depth:
        number = _line(lines, name, above[:depth]) + 1
        indent = _indent(lines[number]) if number < len(lines) else ""
    else:
        number, indent = _beginning(lines, name, value), ""
    new = [f"{indent}{INDENT * level}{key}:{end}" for level, key in enumerate(missing)]
    new.append(f"{indent}{INDENT * len(missing)}{entry}{end}")
    if number and not lines[number - 1].endswith("\n"):
        lines = [*lines[: number - 1], lines[number - 1] + end, *lines[number:]]
        new[-1] = new[-1].removesuffix(end)
    return [*lines[:number], *new, *lines[number:]]


def _beginning(lines: list[str], name: str, value: Mapping[str, Any]) -> int:
    """Return the place behind `kind` or `apiVersion` where both begin the file, else before the first key."""
    first = [key for key in list(value)[: len(AFTER)] if key in AFTER and isinstance(value[key], str)]
    numbers = [_line(lines, name, (key,)) for key in first]
    return max(numbers) + 1 if numbers else _line(lines, name, (next(iter(value)),)) if value else len(lines)


def _line(lines: list[str], name: str, path: KeyPath) -> int:
    """Return the index of the line of a key, -1 where there is no such key."""
    return parse("".join(lines).encode(), name).first.lines.get(path, 0) - 1


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _is_as_wanted(name: str, before: Any, text: str, above: KeyPath, values: Mapping[str, str | None]) -> bool:
    after = parse(text.encode(), name)
    if after.problems:
        return False
    found = _at(after.first.value, above) or {}
    if any(found.get(key) != value for key, value in values.items()):
        return False
    return _others(before, above) == _others(after.first.value, above)


def _others(value: Any, above: KeyPath) -> list[tuple[KeyPath, Any]]:
    """Return everything of a file but the two annotations, and the maps that they alone need."""
    return list(_leaves(value, (), {(*above, key) for key in KEYS}))


def _leaves(value: Any, path: KeyPath, left_out: set[KeyPath]) -> Iterator[tuple[KeyPath, Any]]:
    if path in left_out:
        return
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key), left_out)
    else:
        yield path, value

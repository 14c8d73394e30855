"""YAML with line numbers.

`config.load` reads stack files through this module and `config.tree` the files of the apps tree. Plain values come out,
with the line of every key beside them, so that a later check can report the line of a mistake. Scalars are read as
Pulumi and Kubernetes read them, not as in YAML 1.1: `52:54:00:12:34:56` is no number and `on` is no boolean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from config import bounds, files
from config.rules import rule
from errors import Problem

try:
    from yaml import CSafeLoader as BaseLoader
except ImportError:  # a PyYAML without libyaml: slower, with the same results
    from yaml import SafeLoader as BaseLoader  # type: ignore[assignment]

KeyPath: TypeAlias = "tuple[str | int, ...]"

LONGEST_NUMBER = 20  # a number beyond 64 bits is a mistake; as text, its check refuses it
TAG = "tag:yaml.org,2002:"
PLAIN_KINDS = (
    ("null", re.compile(r"(?:~|null|Null|NULL|)\Z"), "~nN\0"),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), "tTfF"),
    ("int", re.compile(r"[-+]?(?:0|[1-9][0-9]*|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), "-+0123456789"),
    ("float", re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), "-+.0123456789"),
)


class Loader(BaseLoader):
    """PyYAML's loader with the scalar types of the YAML 1.2 core schema."""


Loader.yaml_implicit_resolvers = {}
for kind, pattern, first in PLAIN_KINDS:
    Loader.add_implicit_resolver(TAG + kind, pattern, ["" if sign == "\0" else sign for sign in first])


@dataclass(frozen=True)
class Document:
    """One YAML document: its value, and the line of each key and item."""

    value: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, or of its nearest parent in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


@dataclass(frozen=True)
class Source:
    """A file that was read: its documents and its YAML errors."""

    file: str
    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def first(self) -> Document:
        """Return the first document, which for most files is the only one."""
        return self.documents[0] if self.documents else Document(None)


@rule("document-second", scope="file", why="Only the first of several documents is read.")
def alone(source: Source) -> list[Problem]:
    """Return a problem for each further document of a settings file."""
    lines = [one.line(()) for one in source.documents[1:] if one.value is not None]
    rule, fix = "a second document begins here, and it is never read", "move it to the first one, or remove it"
    return [Problem(source.file, lines[0], "", "", rule, fix, "document-second")] if lines else []


@rule("file-unreadable", scope="file", why="A file that cannot be read cannot be checked.")
def read(path: Path, name: str) -> Source:
    """Read a file of the checkout that `name` is relative to; problems report a file that cannot be read."""
    root = str(path).removesuffix(f"/{name}")
    try:
        raw = files.content(path, root=root if root != str(path) else None)
    except (OSError, ValueError) as error:
        rule = getattr(error, "strerror", None) or "unreadable"
        return Source(name, (), (_problem(name, 0, "", rule, "file-unreadable"),))
    return parse(raw, name)


@rule("yaml-encoding", scope="file", why="YAML is UTF-8.")
@rule(
    "yaml-too-large",
    scope="file",
    why="A few hundred bytes of brackets or aliases can crash a parser or fill its memory.",
)
def parse(raw: bytes, name: str) -> Source:
    """Parse bytes into documents with line numbers."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return Source(
            name, (), (_problem(name, line, f"byte 0x{raw[error.start]:02x}", "is not UTF-8", "yaml-encoding"),)
        )
    rule = bounds.broken(text)
    if rule and rule != bounds.CYCLE:  # the parser reports this with its line below
        return Source(name, (), (_problem(name, 0, "", rule, "yaml-too-large"),))
    problems: list[Problem] = []
    documents: list[Document] = []
    loader = Loader(text)
    try:
        while loader.check_node():
            lines: dict[KeyPath, int] = {}
            value = _build(loader, loader.get_node(), (), name, lines, problems, set())
            documents.append(Document(value, lines))
    except (yaml.YAMLError, RecursionError) as error:
        problems.append(_syntax(error, text, name))
        documents = []
    finally:
        loader.dispose()
    return Source(name, tuple(documents), tuple(problems))


@rule("yaml-duplicate-key", scope="file", why="YAML keeps one of the two, and parsers differ in which.")
def _build(
    loader: Any,
    node: Any,
    path: KeyPath,
    name: str,
    lines: dict[KeyPath, int],
    problems: list[Problem],
    above: set[int],
) -> Any:
    """Return a node as plain values, and record the lines of its keys."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(loader, node)
    if id(node) in above:
        where, key = node.start_mark.line + 1, dotted(path)
        problems.append(Problem(name, where, key, "", "an alias contains itself", "write the value out", "yaml-syntax"))
        return None
    above = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        items = enumerate(node.value)
        return [_build(loader, item, (*path, index), name, lines, problems, above) for index, item in items]
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key, line = _key(key_node), key_node.start_mark.line + 1
        inner = (*path, key)
        if key in mapping:
            rule = f"the key stands twice, first on line {lines[inner]}"
            problems.append(Problem(name, line, dotted(inner), "", rule, "keep one of them", "yaml-duplicate-key"))
            continue
        lines[inner] = line
        mapping[key] = _build(loader, value_node, inner, name, lines, problems, above)
    return mapping


def _key(node: Any) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "?"


def _scalar(loader: Any, node: Any) -> Any:
    kind = node.tag.removeprefix(TAG)
    text = node.value
    if kind.startswith("!") and len(kind) > 1:  # a tag of an application, such as Home Assistant's !secret
        return f"{kind} {text}"
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int" and len(text) < LONGEST_NUMBER:
        return int(text, 0)
    if kind == "float":
        return float(text)
    return text


@rule("yaml-syntax", scope="file", why="The file is not YAML.")
@rule("yaml-tab", scope="file", why="YAML forbids tabs, and editors hide them.")
def _syntax(error: Exception, text: str, name: str) -> Problem:
    """Return libyaml's error as a problem that explains the mistake."""
    if isinstance(error, RecursionError):
        return _problem(name, 0, "", "is nested too deeply", "yaml-syntax")
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 0
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return _problem(name, line, "", f"has the control character {_code(error.character)}", "yaml-syntax")
    written = text.splitlines()
    shown = written[line - 1] if 0 < line <= len(written) else ""
    if shown[: len(shown) - len(shown.lstrip())].count("\t") or "\\t" in str(getattr(error, "problem", "")):
        return Problem(name, line, "", "", "a tab indents here, and YAML allows spaces only", "use spaces", "yaml-tab")
    message = str(getattr(error, "problem", None) or error)
    return _problem(name, line, shown.strip(), f"is not YAML: {message}", "yaml-syntax")


def _code(character: int | str) -> str:
    return f"0x{character if isinstance(character, int) else ord(character):02x}"


def _problem(name: str, line: int, value: str, rule: str, check: str) -> Problem:
    fixes = {
        "yaml-encoding": "save the file as UTF-8",
        "file-unreadable": "make it a readable file of this repository of at most 1 MiB",
        "yaml-syntax": "look at this line and the one above it",
        "yaml-too-large": "split the file, or write fewer levels and aliases",
    }
    return Problem(name, line, "", value, rule, fixes[check], check)


def dotted(path: KeyPath) -> str:
    """Return a path in the form cluster.nodes[2].address."""
    return "".join(_parts(path)).removeprefix(".")


def _parts(path: KeyPath) -> Iterator[str]:
    for part in path:
        yield f"[{part}]" if isinstance(part, int) else f".{part}"

"""Secrets in plain text in Git.

A checkout comes in, findings with lines go out for each text file that can be committed, stack files and patches
included. YAML and JSON are read by their structure, also inside a string of another document; all other text line by
line. `config.secret_patterns` knows names and patterns of secrets, `config.tree` reports the findings. A secret that
was committed is no longer secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from config import bounds, files, secret_patterns, tokens
from config.clean_files import CleanFiles
from config.rules import rule
from config.source import Document, KeyPath, dotted, parse
from errors import Problem

FIX = "make it an ExternalSecret, and replace the value: a committed value is known"
CHECK = "secret-in-git"
# Files that are never committed, at the top of a checkout and anywhere in it.
TOP = (".venv", ".lab", "rendered")
ANYWHERE = (
    ".git",
    "__pycache__",
    "node_modules",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache",
)
# Prose and programs mention secrets often: only unmistakable tokens and keys are searched for there.
PROSE = (".py", ".pyi", ".md", ".go", ".lock", ".html", ".css", ".js", ".ts", ".svg")
SUMS = ("go.sum", "go.mod", "gitleaks.toml")
OF_TESTS = "tests/"
STRUCTURED = (".yaml", ".yml", ".json")
CONTAINERS = re.compile(
    r"(?:^|[./])(?:kustomization|\.dockerconfigjson|\.docker/config\.json|kubeconfig)\Z", re.IGNORECASE
)
ALLOWED = "gitleaks:allow"
# Each document with a secret contains one of these: a search for them is cheaper than parsing.
WORDS = re.compile(
    r"pass|pwd|psk|secret|token|credential|auth|cookie|docker|pw\b|[a-z][_-]?key|://|my\w?sql|mariadb|redis|curl"
    r"|\$apr1|@tcp|[A-Za-z0-9+/]{20}",
    re.IGNORECASE,
)
REFERENCES = ("ExternalSecret", "ClusterExternalSecret", "PushSecret", "SecretStore", "ClusterSecretStore")
ENCRYPTED = ("SealedSecret",)
REFERRING = re.compile(r"(?:\w*(?:Ref|Refs|From|Selector)|remoteRefs?|secretRefs?)\Z")
KEY = ("name", "key", "header", "option")
COMMENT = re.compile(
    r"^[ \t]{0,200}#[ \t]{0,8}(?:- )?(?P<name>[\w.-]{1,80})[ \t]{0,4}[:=][ \t]{0,4}(?P<value>[^\s]{4,200})[ \t]*$",
    re.MULTILINE,
)
# The origin of each entry; random and given entries have no value here (`manifests.secret_entries`).
DECLARED = "homelab.dev/entries"
ORIGIN = re.compile(r"random(?: hex)?(?: \d+)?\Z|given(?: or none)?, ")
NESTED = 4
BINARY = 8192
STACK = re.compile(r"Pulumi\.[^/]+\.ya?ml\Z")


@rule("secret-in-git", scope="file", why="A secret in Git is public to every reader, for ever.")
@rule(
    "link-outside",
    scope="file",
    why="Argo CD rejects a repository with such a link, and programs here would leave the checkout.",
)
def repository_leaks(root: Path) -> Iterator[Problem]:
    """Yield the secrets of a checkout, and the files that cannot be read."""
    clean = CleanFiles()
    for path in _committed(root):
        name = os.path.relpath(path, root)
        linked = os.path.islink(path)  # noqa: PTH114 - a Path for each of 10,000 files is slow
        if linked and files.leaves(root, path):
            rule, fix = "is a link that leads out of the checkout", "copy its target into the repository"
            yield Problem(name, 0, "", "", rule, fix, "link-outside")
            continue
        try:
            raw = files.content(path, files.LARGEST, root if linked else None)  # the walk follows no link to a folder
        except OSError as error:
            rule, fix = error.strerror or "unreadable", "make it a readable file of this repository of at most 1 MiB"
            yield Problem(name, 0, "", "", rule, fix, "file-unreadable")
            continue
        key = clean.key(name, raw)
        if clean.holds(key):
            continue
        found = leaks(raw, name)
        yield from found
        if not found:
            clean.fresh.add(key)
    clean.write()


def _committed(root: Path) -> Iterator[str]:
    for directory, folders, names in os.walk(str(root)):
        top = directory == str(root)
        linked = [name for name in folders if os.path.islink(os.path.join(directory, name))]  # noqa: PTH114, PTH118 - as above
        skipped = (*ANYWHERE, *(TOP if top else ()))
        folders[:] = sorted(name for name in folders if name not in skipped and name not in linked)
        for name in sorted([*names, *linked]):
            if name in linked and not files.leaves(root, os.path.join(directory, name)):  # noqa: PTH118 - as above
                continue  # the target of the link is read at its own path
            if name not in skipped:
                yield os.path.join(directory, name)  # noqa: PTH118 - as above


@lru_cache(maxsize=8192)
def leaks(raw: bytes, name: str) -> tuple[Problem, ...]:
    """Return the secrets of one file; the cache serves repeated reads of a checkout in one process."""
    text = _text(raw)
    if not text or name.endswith(SUMS):
        return ()
    prose = name.endswith(PROSE) or name.startswith(OF_TESTS)
    allowed = (
        {number for number, line in enumerate(text.splitlines(), 1) if ALLOWED in line} if ALLOWED in text else set()
    )
    found = [_token(text, start, name) for start, _ in tokens.spans(text)]
    judged = _judged_elsewhere(raw, name) if found and STACK.match(name) else range(0)
    found = [one for one in found if one.line not in judged]
    if not prose and (WORDS.search(text) or not name.endswith(STRUCTURED)):
        known = {one.line for one in found}
        found += [one for one in _read(raw, text, name) if one.line not in known or not one.line]
    return tuple(one for one in dict.fromkeys(found) if one.line not in allowed)


def _text(raw: bytes) -> str:
    """Return the text of a file, empty for a binary one; editors of Windows write two bytes per character."""
    for mark, code in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            return raw[: files.LARGEST_TEXT].decode(code, errors="replace")
    if b"\0" in raw[:BINARY]:
        half = raw[: files.LARGEST_TEXT]
        code = (
            "utf-16-le"
            if half[1::2].count(0) > len(half) // 3
            else "utf-16-be"
            if half[::2].count(0) > len(half) // 3
            else ""
        )
        return half.decode(code, errors="replace") if code else ""
    return raw[: files.LARGEST_TEXT].decode("utf-8", errors="replace")


def _read(raw: bytes, text: str, name: str) -> Iterator[Problem]:
    """Yield secrets by structure if there is one, else line by line; comments may contain secrets as well."""
    structured = name.endswith(STRUCTURED) or CONTAINERS.search(name) or "." not in name.rpartition("/")[2].lstrip(".")
    documents = parse(text.encode(), name).documents if structured and len(raw) <= files.LARGEST_TEXT else ()
    values = [one for one in documents if isinstance(one.value, (Mapping, list))]
    if values:
        for found in COMMENT.finditer(text):
            if secret_patterns.is_secret(found["name"], found["value"]) and re.search(r"[0-9]", found["value"]):
                yield _token(text, found.start("name"), name, "holds a secret in a comment")
    for document in values:
        reader = _LeakReader(document, name)
        yield from reader.found(_without_secrets(document.value) if STACK.match(name) else document.value)
    if not values:
        yield from (
            _token(text, start, name, "holds a secret in plain text")
            for start, _ in secret_patterns.spans(text, of_tokens=False)
        )


def _judged_elsewhere(raw: bytes, name: str) -> range:
    """Return the lines of the section of a stack file that `config.load` checks itself."""
    lines = [line for path, line in parse(raw, name).first.lines.items() if "homelab:secrets" in path]
    return range(min(lines), max(lines) + 1) if lines else range(0)


def _without_secrets(value: Any) -> Any:
    """Return a document without the section of a stack file that `config.load` checks itself."""
    config = value.get("config") if isinstance(value, Mapping) else None
    if not isinstance(config, Mapping):
        return value
    return {**value, "config": {key: inner for key, inner in config.items() if not key.endswith(":secrets")}}


def _token(text: str, start: int, name: str, rule: str = "holds a private key or an access token") -> Problem:
    return Problem(name, text.count("\n", 0, start) + 1, "", "", rule, FIX, CHECK)


class _LeakReader:
    """The values of one document, each with its path."""

    def __init__(self, document: Document, name: str, at: KeyPath = (), depth: int = 0) -> None:
        """Start at a path: inside a string of another document, the path of that string."""
        self.document, self.name, self.at, self.depth = document, name, at, depth

    def found(self, value: Any, path: KeyPath = ()) -> Iterator[Problem]:
        """Yield the secrets in a value."""
        if isinstance(value, list):
            if self._in_command(value):
                yield self._problem(path, "is a command with a secret in plain text")
            for index, (item, argument) in enumerate(zip(value, secret_patterns.after_argument(value), strict=True)):
                if argument and secret_patterns.is_secret("password", item):
                    yield self._problem((*path, index), "is a secret in plain text")
                else:
                    yield from self.found(item, (*path, index))
        elif isinstance(value, Mapping):
            yield from self._mapping(value, path)
        elif isinstance(value, str) and self._in_text(value):
            yield self._problem(path, "holds a secret in plain text")
        elif isinstance(value, str):
            yield from self._nested(value, path)

    def _mapping(self, value: Mapping[str, Any], path: KeyPath) -> Iterator[Problem]:
        kind = value.get("kind")
        if kind == "Secret" and str(value.get("apiVersion", "v1")) == "v1":
            for part in ("data", "stringData"):
                if value.get(part):
                    yield self._problem((*path, part), "is a Secret with data", part)
        elif kind in ENCRYPTED or kind in REFERENCES:
            yield from self._referring(value, path)
        else:
            yield from self._pairs(value, path)
            for key, inner in value.items():
                if not REFERRING.match(key):
                    yield from self._key(key, inner, path)

    def _key(self, key: str, value: Any, path: KeyPath) -> Iterator[Problem]:
        inside = (*path, key)
        if key == "secretGenerator" and isinstance(value, list):
            for index, generator in enumerate(value):
                if isinstance(generator, Mapping):
                    yield self._problem((*inside, index), "makes a Secret of plain text")
        elif self._is_secret(key, value, path):
            yield self._problem(inside, "is a secret in plain text")
        elif (
            isinstance(value, list)
            and secret_patterns.strength(key) == "secret"
            and any(_literal(key, one) for one in value)
        ):
            yield self._problem(inside, "holds secrets in plain text")
        else:
            yield from self.found(value, inside)

    def _referring(self, value: Mapping[str, Any], path: KeyPath) -> Iterator[Problem]:
        """Yield the secrets of an object, except references of an ExternalSecret to entries of the store."""
        spec = value.get("spec")
        for key, inner in (spec if isinstance(spec, Mapping) else {}).items():
            if key not in ("data", "dataFrom", "secretStoreRef", "secretStoreRefs", "selector", "encryptedData"):
                yield from self.found(inner, (*path, "spec", key))
        metadata = value.get("metadata")
        notes = metadata.get("annotations") if isinstance(metadata, Mapping) else None
        if isinstance(metadata, Mapping) and isinstance(notes, Mapping) and isinstance(notes.get(DECLARED), str):
            yield from self._declared(notes[DECLARED], (*path, "metadata", "annotations", DECLARED))
            metadata = {**metadata, "annotations": {key: one for key, one in notes.items() if key != DECLARED}}
        yield from self.found(metadata, (*path, "metadata"))

    def _declared(self, text: str, path: KeyPath) -> Iterator[Problem]:
        """Yield the fixed values that are secret among the origins of entries; other origins contain no value."""
        for name, _, how in (line.strip().partition(": ") for line in text.splitlines()):
            if not ORIGIN.match(how) and (self._is_secret(name, how.removeprefix("text "), path) or self._in_text(how)):
                yield self._problem(path, f"holds the plain value of {name}")

    def _is_secret(self, key: str, value: Any, path: KeyPath) -> bool:
        if key == "auth" and "auths" in path and isinstance(value, str):
            return not secret_patterns.HARMLESS.match(value)
        of = f"{path[-1]}_{key}" if path and key == "secret" else key
        return secret_patterns.is_secret(of, value) or (
            bool(secret_patterns.HEADER.match(key)) and _literal("password", value)
        )

    def _pairs(self, value: Mapping[str, Any], path: KeyPath) -> Iterator[Problem]:
        """Yield a secret beside its name: a variable, a header, an option, an operation of a JSON patch."""
        setting = value.get("value", value.get("values"))
        named = next((str(value[key]) for key in KEY if isinstance(value.get(key), str)), "")
        if not named and isinstance(value.get("path"), str) and "op" in value:
            named = value["path"].rpartition("/")[2].replace("~1", "/")
            if value["path"].startswith("/stringData/") and setting:
                named = "password"
        if named and (
            secret_patterns.is_secret(named, setting)
            or (secret_patterns.HEADER.match(named) and _literal("password", setting))
        ):
            yield self._problem((*path, "value"), f"is the plain value of {named}")

    def _in_command(self, items: list[Any]) -> bool:
        words = [str(item) for item in items if isinstance(item, (str, int))]
        return len(words) > 1 and bool(secret_patterns.in_command(" ".join(words)))

    def _in_text(self, text: str) -> bool:
        if secret_patterns.spans(text, of_tokens=False):  # the whole file was searched for tokens already
            return True
        hidden = secret_patterns.decoded(text) if len(text) < files.LARGEST_TEXT else ""
        return bool(hidden) and bool(secret_patterns.spans(hidden))

    def _nested(self, text: str, path: KeyPath) -> Iterator[Problem]:
        """Yield the secrets of a document inside a string, such as a settings file in a ConfigMap."""
        inside = text.lstrip()
        if self.depth >= NESTED or not ("\n" in inside or inside.startswith(("{", "["))) or bounds.broken(text):
            return
        for document in parse(text.encode("utf-8", "replace"), self.name).documents:
            if isinstance(document.value, (Mapping, list)):
                reader = _LeakReader(self.document, self.name, (*self.at, *path), self.depth + 1)
                yield from reader.found(document.value)

    def _problem(self, path: KeyPath, rule: str, key: str | None = None) -> Problem:
        whole = (*self.at, *path)
        return Problem(self.name, self.document.line(whole), key or dotted(whole), "", rule, FIX, CHECK)


def _literal(name: str, value: Any) -> bool:
    return secret_patterns.is_secret(name, value)

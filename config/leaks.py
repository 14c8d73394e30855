"""Secrets that lie in Git in plain text.

Text of a manifest comes in, findings with lines come out; `config.tree` asks for every file under apps/ and
environments/. A secret that has reached Git counts as lost, so this looks at everything, with patterns that are cheap
enough to be asked thousands of times: a file without a suspicious word is never parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from config.source import Document, KeyPath, dotted, parse
from errors import Problem

FIX = "make it an ExternalSecret, and replace the value: what was in Git is known"
TOKEN = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bghp_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{40,}|\bglpat-[A-Za-z0-9_-]{20}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bhvs\.[A-Za-z0-9_-]{24,}|\bAGE-SECRET-KEY-1[A-Z0-9]{50,}"
    r"|\b0\.[0-9a-f-]{36}\.[A-Za-z0-9]{20,}:[A-Za-z0-9+/=]{20,}"
)
SECRET_NAME = re.compile(
    r"(?!existing)[\w-]*(?:passwords?|passwd|passphrase|(?:client|app|shared|jwt)[_-]?secret|(?:secret|api|private|access)[_-]?key"
    r"|token)\Z",
    re.IGNORECASE,
)
REFERENCES = ("ExternalSecret", "ClusterExternalSecret", "PushSecret", "SecretStore", "ClusterSecretStore")
HARMLESS = re.compile(r"\s*\Z|\$\(?\{?|.*\{\{|/|(?:true|false|null|none|default)\Z", re.IGNORECASE)
QUICK = re.compile(
    r"^\s*(?:-\s+)?[\"']?(?:kind[\"']?:\s*[\"']?Secret\b|secretGenerator|[\w.-]*(?:passw|passphrase|secret|token|api[_-]?key"
    r"|private[_-]?key|credential)[\w.-]*[\"']?\s*:\s*\S|name:\s*[\"']?[\w.-]*(?:passw|passphrase|secret|token|api[_-]?key"
    r"|private[_-]?key|credential))|PRIVATE KEY|ghp_|github_pat_|glpat-|AKIA|xox[abprs]-|hvs\.|AGE-SECRET-KEY",
    re.IGNORECASE | re.MULTILINE,
)


def leaks(raw: bytes, name: str) -> list[Problem]:
    """Find the secrets of one file."""
    text = raw.decode("utf-8", errors="replace")
    if not QUICK.search(text):
        return []
    found = [_token(match, text, name) for match in TOKEN.finditer(text)]
    for document in parse(raw, name).documents:
        found += [problem for problem in _document(document, name) if problem.line not in {one.line for one in found}]
    return found


def _token(match: re.Match[str], text: str, name: str) -> Problem:
    line = text.count("\n", 0, match.start()) + 1
    return Problem(name, line, "", "", "holds a private key or an access token", FIX, "secret-in-git")


def _document(document: Document, name: str) -> Iterator[Problem]:
    value = document.value
    if not isinstance(value, Mapping):
        return
    for item, prefix in _objects(value):
        if item.get("kind") == "Secret" and str(item.get("apiVersion", "v1")) == "v1":
            for part in ("data", "stringData"):
                if item.get(part):
                    rule = "is a Secret with data"
                    yield Problem(name, document.line((*prefix, part)), part, "", rule, FIX, "secret-in-git")
            return
        if item.get("kind") in REFERENCES:
            return
    for index, generator in enumerate(value.get("secretGenerator") or () if "secretGenerator" in value else ()):
        if isinstance(generator, Mapping):
            path: KeyPath = ("secretGenerator", index)
            yield Problem(
                name, document.line(path), dotted(path), "", "makes a Secret of plain text", FIX, "secret-in-git"
            )
    yield from _literals(value, (), document, name)


def _objects(value: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], KeyPath]]:
    """Give the object of a document, or the items of a List."""
    items = value.get("items")
    if str(value.get("kind", "")).endswith("List") and isinstance(items, list):
        yield from ((item, ("items", index)) for index, item in enumerate(items) if isinstance(item, Mapping))
    else:
        yield value, ()


def _literals(value: Any, path: KeyPath, document: Document, name: str) -> Iterator[Problem]:
    """Find plain values under a key, or in an environment variable, whose name says that it is secret."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _literals(item, (*path, index), document, name)
    if not isinstance(value, Mapping):
        return
    variable = value.get("name")
    if isinstance(variable, str) and SECRET_NAME.match(variable) and _is_literal(value.get("value")):
        rule = f"is the plain value of {variable}"
        yield Problem(name, document.line((*path, "value")), dotted((*path, "value")), "", rule, FIX, "secret-in-git")
    for key, inner in value.items():
        if SECRET_NAME.match(key) and _is_literal(inner):
            inside = (*path, key)
            yield Problem(
                name, document.line(inside), dotted(inside), "", "is a secret in plain text", FIX, "secret-in-git"
            )
        else:
            yield from _literals(inner, (*path, key), document, name)


def _is_literal(value: Any) -> bool:
    return isinstance(value, str) and not HARMLESS.match(value)

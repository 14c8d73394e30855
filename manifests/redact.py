"""Secrets in an output: the data of Secrets, and all values that look like credentials, are replaced.

An object comes in, a copy goes out. Names and forms are those of `config.secret_patterns`. `ops.render` writes redacted
objects, `components.cluster.configuration_diff` covers values of machine configurations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import yaml

from config import secret_patterns
from manifests import kubernetes_yaml
from manifests.objects import Object

DATA = ("data", "stringData", "binaryData")
KEYS = ("name", "key", "header", "option")
WHOLE = ("auths", "secretGenerator")
CODED = 24  # a shorter text in base64 is a word
NESTED = 4
PARAMETER = re.compile(r"(?<=[?&])(?P<name>[^=&\s]{1,80})=(?P<value>[^&#\s\"'<>]{1,2000})")

Hide: TypeAlias = Callable[[str], str]


def redacted(item: Object) -> Object:
    """Return a copy of an object without its secrets; without a digest, so that one stack renders to the same files."""
    return covered_object(item, lambda value: "(redacted)")


def covered_object(item: Object, hide: Hide) -> Object:
    """Copy an object, or a list of them, with each secret covered in the caller's way."""
    items = item.get("items")
    if str(item.get("kind", "")).endswith("List") and isinstance(items, list):
        inner = [covered_object(one, hide) if isinstance(one, dict) else covered(one, hide) for one in items]
        return {**covered({name: value for name, value in item.items() if name != "items"}, hide), "items": inner}
    secret = item.get("kind") == "Secret" and str(item.get("apiVersion", "v1")) == "v1"
    whole = DATA if secret else ("binaryData",)
    copy: Object = {
        name: _hidden(value, hide) if name in whole else _under(name, value, item, hide, 0)
        for name, value in item.items()
    }
    metadata = item.get("metadata")
    if secret and isinstance(metadata, dict) and isinstance(metadata.get("annotations"), dict):
        copy["metadata"]["annotations"] = _hidden(metadata["annotations"], hide)
    return copy


def covered(value: Any, hide: Hide, depth: int = 0) -> Any:
    """Return a copy of a value without secrets, which their names or forms identify."""
    if isinstance(value, dict):
        if depth and value.get("kind") in ("Secret", "List") and "apiVersion" in value:
            return covered_object(value, hide)
        return {name: _under(name, inner, value, hide, depth) for name, inner in value.items()}
    if isinstance(value, list):
        after = secret_patterns.after_argument(value)
        return [
            hide(str(one)) if argument and not _is_harmless(one) else covered(one, hide, depth + 1)
            for one, argument in zip(value, after, strict=True)
        ]
    return _text(value, hide, depth) if isinstance(value, str) else value


def _under(name: Any, inner: Any, around: dict[str, Any], hide: Hide, depth: int) -> Any:
    """Return a value covered because of its own name, or of the name beside it."""
    names = [str(name)]
    if name in ("value", "values"):
        names += [around[key] for key in KEYS if isinstance(around.get(key), str)]
        path = str(around.get("path", "")) if "op" in around else ""
        names += ["password"] if path.startswith("/stringData/") else [path.rpartition("/")[2]]
    for one in names:
        if secret_patterns.is_secret(one, inner, in_doubt=True) or (
            secret_patterns.HEADER.match(one) and not _is_harmless(inner)
        ):
            return _hidden(inner, hide)
        if secret_patterns.strength(one) == "secret" and isinstance(inner, (dict, list)) and not _is_reference(inner):
            return _hidden(inner, hide)
    if name in WHOLE and isinstance(inner, (dict, list)):
        return _hidden(inner, hide)
    return covered(inner, hide, depth + 1)


def _is_reference(value: Any) -> bool:
    """Report whether a map refers to a secret, or describes its form."""
    known = {"name", "key", "valueFrom", "secretKeyRef", "secretRef", "secretName", "type", "optional", "namespace"}
    return isinstance(value, dict) and bool(known.intersection(value))


def _is_harmless(value: Any) -> bool:
    return not isinstance(value, (str, int, float, dict, list)) or bool(
        isinstance(value, str) and secret_patterns.HARMLESS.match(value)
    )


def _hidden(value: Any, hide: Hide) -> Any:
    """Return a value with every text in it hidden, and with its keys."""
    if isinstance(value, dict):
        return {name: _hidden(inner, hide) for name, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(inner, hide) for inner in value]
    return hide(str(value)) if value not in (None, "") else value


def _text(text: str, hide: Hide, depth: int) -> str:
    """Return a text without the parts that look like credentials, wholly hidden if they cannot be separated."""
    inside = secret_patterns.decoded(text) if len(text) >= CODED else ""
    if inside and _has_secret(inside):
        return hide(text)
    shown = PARAMETER.sub(lambda found: _parameter(found, hide), secret_patterns.hide(text, hide))
    if depth >= NESTED:
        return shown
    for secret in _nested(text):
        if secret not in text:
            return hide(text)
        shown = shown.replace(secret, hide(secret))
    return shown


def _parameter(found: re.Match[str], hide: Hide) -> str:
    """Return a parameter of a URL, such as the join token of a node, without its value if that is a credential."""
    name, value = found["name"], found["value"]
    return f"{name}={hide(value)}" if secret_patterns.is_secret(name, value, in_doubt=True) else found[0]


def _has_secret(text: str) -> bool:
    return bool(secret_patterns.spans(text, in_doubt=True)) or any(_nested(text))


def _nested(text: str) -> Iterator[str]:
    """Yield the secret values of a document that is the value of a key."""
    inside = text.lstrip()
    if not ("\n" in inside or inside.startswith(("{", "["))):
        return
    try:
        documents = kubernetes_yaml.documents(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    found: list[str] = []

    def note(value: str) -> str:
        found.append(value)
        return "(redacted)"

    for document in documents:
        if isinstance(document, dict):
            covered_object(document, note)
        elif isinstance(document, list):
            covered(document, note, 1)
    yield from found

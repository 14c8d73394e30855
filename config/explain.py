"""Problems from pydantic's validation errors.

A validation error comes in with the plain data and the lines of its keys; problems go out, each with file, line, dotted
key, value, rule and fix. `config.load` uses it for stack files, `config.tree` for category files.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.rules import rule
from config.source import Document, KeyPath, dotted
from errors import Problem

LONGEST_VALUE = 60
DERIVED = {
    "endpoint": "it is computed from network.endpoint, network.vip, or the one control plane",
    "certSans": "it is computed from the endpoint and the nodes",
    "apiServer": "it is computed from network.vip, or the one control plane",
    "hostname": "it is the node's name",
    "clusterName": "it is cluster.name",
    "schematic": "it is computed from the extensions",
    "talosconfig": "it is an output of the stack",
    "kubeconfig": "it is an output of the stack",
}
RUNS_BY_FOLDER = "remove the key: an app runs exactly if it has a folder for the environment"
REMOVED = {"delivery.categories": RUNS_BY_FOLDER, "delivery.exclude": RUNS_BY_FOLDER}
WRONG_TYPE = {
    "int_type": ("is not a whole number", "write digits without quotes"),
    "bool_type": ("is neither true nor false", "write true or false"),
    "string_type": ("is not text", "put it in quotes"),
    "tuple_type": ("is not a list", "write one `- item` per line"),
    "list_type": ("is not a list", "write one `- item` per line"),
    "dict_type": ("is not a map", "write one `key: value` per line"),
    "model_type": ("is not a section of keys", "write one `key: value` per line"),
    "model_attributes_type": ("is not a section of keys", "write one `key: value` per line"),
}


@dataclass(frozen=True)
class Places:
    """The lines of the keys in a file."""

    file: str
    document: Document
    prefix: Callable[[KeyPath], KeyPath] = lambda path: path

    def problem(self, check: str, path: KeyPath, value: object, rule: str, fix: str) -> Problem:
        """Return a problem at the line of its key."""
        return Problem(self.file, self.line(path), dotted(path), shown(value), rule, fix, check)

    def line(self, path: KeyPath) -> int:
        """Return the line of a key."""
        return self.document.line(self.prefix(path))

    def stated(self, path: KeyPath) -> bool:
        """Return whether the file contains a key."""
        return self.prefix(path) in self.document.lines


def explain(error: ValidationError, model: type[BaseModel], places: Places) -> list[Problem]:
    """Return a problem for every error of a validation."""
    seen = error.errors(include_url=False)
    # A default factory fails when its inputs were rejected, which is reported already. Likewise skip the length error
    # of a list whose items were rejected.
    inner = {details["loc"][:size] for details in seen for size in range(len(details["loc"]))}
    return [
        _problem(details, model, places)
        for details in seen
        if details["type"] != "default_factory_not_called"
        and not (details["type"] == "too_short" and details["loc"] in inner)
    ]


def shown(value: object) -> str:
    """Return a value in readable form, truncated if it is long."""
    if value is None or (isinstance(value, Mapping | Sequence) and not isinstance(value, str)):
        return ""
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, bool) else str(value)
    text = text.replace("\n", "\\n")
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def nearest(word: str, known: Sequence[str], otherwise: str) -> str:
    """Return a fix: the known word that is similar, or the given text."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else otherwise


@rule("key-missing", scope="file", why="No default would be right for every home.")
@rule("wrong-type", scope="file", why="YAML reads the value as another type than the setting has.")
@rule("out-of-range", scope="file", why="The number has a meaning only within these bounds.")
@rule("list-empty", scope="file", why="The setting needs at least one entry.")
def _problem(details: ErrorDetails, model: type[BaseModel], places: Places) -> Problem:
    path, section = _resolve(details["loc"], model)
    kind, value, context = details["type"], details.get("input"), details.get("ctx", {})
    if kind == "missing":
        fields = section.model_fields if section else {}
        about = next((field.description for name, field in fields.items() if field.alias == path[-1]), None)
        fix = f"add `{path[-1]}`" + (f": {about}" if about else "")
        return places.problem("key-missing", path, None, "is missing", fix)
    if kind == "extra_forbidden":
        return _unknown(path, section, places)
    if kind in WRONG_TYPE:
        return places.problem("wrong-type", path, _typed(value), *WRONG_TYPE[kind])
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return places.problem("out-of-range", path, value, f"must be {bound}", "choose another number")
    if kind == "too_short":
        return places.problem("list-empty", path, None, "is an empty list", "add at least one")
    if kind == "union_tag_not_found":
        return places.problem("key-missing", (*path, "kind"), None, "is missing", "add `kind`: which one it is")
    if kind == "union_tag_invalid":
        known = [tag.strip().strip("'") for tag in str(context["expected_tags"]).split(",")]
        rule, tag = f"is none of {', '.join(known)}", str(context["tag"])
        return places.problem("choice-unknown", (*path, "kind"), tag, rule, nearest(tag, known, "choose one of them"))
    if kind == "literal_error":
        return places.problem("choice-unknown", path, value, f"must be {context['expected']}", "choose one of them")
    if "rule" in context:
        return places.problem(kind, path, context.get("shown", value), str(context["rule"]), str(context["fix"]))
    return places.problem("wrong-type", path, value, details["msg"].lower(), "see docs/reference/settings.md")


def _typed(value: object) -> object:
    """Return the value, or its type if a list or a section is in the place of a plain value."""
    if isinstance(value, Mapping):
        return "(a section)"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "(a list)" if isinstance(value, list | tuple) else "(nothing)" if value is None else value


@rule("key-derived", scope="file", why="The value follows from other settings; a second one could contradict them.")
@rule("key-unknown", scope="file", why="A misspelt key would mean the default without a warning.")
def _unknown(path: KeyPath, section: type[BaseModel] | None, places: Places) -> Problem:
    name = str(path[-1])
    if name in DERIVED:
        return places.problem("key-derived", path, None, "cannot be set", f"remove it: {DERIVED[name]}")
    if dotted(path) in REMOVED:
        return places.problem("key-unknown", path, None, "is not a known key", REMOVED[dotted(path)])
    known = [str(field.alias) for field in section.model_fields.values()] if section else []
    fix = nearest(name, known, f"known here: {', '.join(known)}")
    return places.problem("key-unknown", path, None, "is not a known key", fix)


def _resolve(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[KeyPath, type[BaseModel] | None]:
    """Return the path without pydantic's additions (a union's tag, a map's `[key]`), and the section at its end."""
    path: list[int | str] = []
    candidates: list[Any] = [model]
    section: type[BaseModel] | None = model
    for part in loc:
        models = [kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if len(models) > 1:
            tagged = [kind for kind in models if part in get_args(kind.model_fields["kind"].annotation)]
            if tagged:
                candidates = tagged
                continue
        if part == "[key]":
            continue
        path.append(part)
        section = models[0] if models else None
        if section:
            field = next((field for field in section.model_fields.values() if field.alias == part), None)
            candidates = kinds(field.annotation) if field else []
        else:
            candidates = [kind for inner in candidates for arg in get_args(inner) for kind in kinds(arg)]
    return tuple(path), section


def kinds(annotation: Any) -> list[Any]:
    """Return the types inside of Annotated and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kinds(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for arg in get_args(annotation) for kind in kinds(arg)]
    return [annotation]

"""Inputs and outputs of a package's resources and functions: names, types, required ones, secrets.

The files in `schemas/` are the official providers' own tables, reduced to the resources of a homelab (each names its
source). A plain value and its type come in; all problems at once go out, in the official providers' words, or the
secret parts of the value. `lab.plugins.base` continues from here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue

from lab.plugins.properties import UNKNOWN, Properties, engine_value, step_into

FOLDER = Path(__file__).parent / "schemas"
HERE = "#/types/"
ANYTHING = "pulumi.json#/Any"
WRAPPED = {"pulumi.json#/Asset": "asset", "pulumi.json#/Archive": "archive"}
Type = Mapping[str, Any]


@dataclass(frozen=True)
class InputProblem:
    """One error that the official provider would report."""

    path: str
    reason: str


@dataclass(frozen=True)
class Members:
    """The properties of one object: their types, and the required ones."""

    properties: Mapping[str, Type]
    required: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: Mapping[str, Any], properties: str = "properties", required: str = "required") -> Members:
        """Read the properties from a table of the schema."""
        return cls(spec.get(properties, {}), tuple(spec.get(required, ())))


class Schema:
    """One package's tables."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        """Store the tables; they are read at their first use."""
        self._tables = tables

    @classmethod
    def of(cls, package: str) -> Schema:
        """Read the file of a package."""
        return cls(json.loads((FOLDER / f"{package}.json").read_text(encoding="utf-8")))

    @cached_property
    def configuration(self) -> Members:
        """Return the settings of the provider."""
        return Members.of(self._tables.get("provider", {}), "inputProperties", "requiredInputs")

    def inputs(self, token: str) -> Members:
        """Return the inputs of a resource."""
        return Members.of(self._tables["resources"][token], "inputProperties", "requiredInputs")

    def outputs(self, token: str) -> Members:
        """Return the outputs of a resource."""
        return Members.of(self._tables["resources"][token])

    def arguments(self, token: str) -> Members:
        """Return the arguments of a function."""
        return Members.of(self._tables["functions"][token].get("inputs", {}))

    def results(self, token: str) -> Members:
        """Return the results of a function."""
        return Members.of(self._tables["functions"][token].get("outputs", {}))

    def problems(self, members: Members, values: Mapping[str, Any], path: str = "") -> Iterator[InputProblem]:
        """Return all errors in an object: names, missing properties, types, choices."""
        for name, value in values.items():
            member_path = step_into(path, name)
            if name in members.properties:
                yield from self._wrong(members.properties[name], value, member_path)
            else:
                yield InputProblem(member_path, f"Invalid or unknown key.{_nearest(name, members.properties)}")
        for name in members.required:
            if values.get(name) is None:
                message = f'The argument "{name}" is required, but no definition was found.'
                yield InputProblem(step_into(path, name), f"Missing required argument. {message}")

    def marked(self, members: Members, values: Properties) -> dict[str, PropertyValue]:
        """Mark properties as secret that the tables mark; those that are secret stay so."""
        return {name: self._mark(members.properties.get(name, {}), value) for name, value in values.items()}

    def replaces(self, members: Members, name: str) -> bool:
        """Report whether a change of this property replaces the resource."""
        spec = members.properties.get(name, {})
        return bool(spec.get("willReplaceOnChanges") or spec.get("replaceOnChanges"))

    def _type(self, spec: Type) -> Type:
        """Return the type of this package behind a reference."""
        reference = str(spec.get("$ref", ""))
        if reference.startswith(HERE):
            found: Type = self._tables["types"][reference.removeprefix(HERE)]
            return found
        return spec

    def _wrong(self, spec: Type, value: Any, path: str) -> Iterator[InputProblem]:
        real = self._type(spec)
        if value is UNKNOWN or value is None or real.get("$ref") == ANYTHING:
            return
        choices = real.get("oneOf")
        if choices:
            attempts = [list(self._wrong(choice, value, path)) for choice in choices]
            yield from () if [] in attempts else attempts[0]
            return
        wanted, given = _wanted(real), _given(value)
        if wanted != given and (wanted, given) != ("number", "integer"):
            yield InputProblem(path, f"expected {wanted} type, got {given} type.")
        elif "enum" in real:
            yield from _choice([item["value"] for item in real["enum"]], value, path)
        elif wanted == "array":
            for index, item in enumerate(value):
                yield from self._wrong(real.get("items", {"$ref": ANYTHING}), item, f"{path}[{index}]")
        elif "properties" in real:
            yield from self.problems(Members.of(real), value, path)
        elif wanted == "object":
            for name, item in value.items():
                inner = real.get("additionalProperties", {"$ref": ANYTHING})
                yield from self._wrong(inner, item, step_into(path, name))

    def _mark(self, spec: Type, value: PropertyValue) -> PropertyValue:
        real, inner = self._type(spec), value.value
        if isinstance(inner, Mapping):
            members = real.get("properties", {})
            other = real.get("additionalProperties", {})
            inner = {name: self._mark(members.get(name, other), item) for name, item in inner.items()}
        elif isinstance(inner, tuple):
            inner = [self._mark(real.get("items", {}), item) for item in inner]
        return PropertyValue(inner, value.is_secret or bool(spec.get("secret")), value.dependencies)

    def wrapped(
        self, members: Members, values: Mapping[str, Any], secret: Iterable[str] = ()
    ) -> dict[str, PropertyValue]:
        """Convert plain values for the engine: secret if the tables or the caller mark them."""
        hidden = set(secret)
        return self.marked(members, {name: engine_value(item, secret=name in hidden) for name, item in values.items()})


def _wanted(spec: Type) -> str:
    reference = spec.get("$ref")
    return WRAPPED.get(str(reference)) or str(spec.get("type", "object"))


def _given(value: Any) -> str:
    named = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    found = named.get(type(value))
    if found:
        return found
    return "archive" if type(value).__name__.endswith("Archive") else "asset"


def _choice(allowed: list[Any], value: Any, path: str) -> Iterator[InputProblem]:
    if value not in allowed:
        yield InputProblem(path, f"expected one of {', '.join(json.dumps(item) for item in allowed)}.")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f' Did you mean "{near[0]}"?' if near else ""

"""Writes `lab/plugins/schemas/` for packages whose schema is not published with them, from the classes of their SDK.

    .venv/bin/python -m tests.lab.plugins.tables

The SDKs are generated from the official schemas, so names, types, required and secret properties can be read back from
their classes. A test compares the files with the generated ones.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pulumi import _types as sdk

FOLDER = Path(__file__).parents[3] / "lab" / "plugins" / "schemas"
NAMES = {str: "string", bool: "boolean", int: "integer", float: "number"}
WIDTH = 110
RESOURCES: dict[str, tuple[str, ...]] = {
    "kubernetes": (),
    "tls": ("PrivateKey", "SelfSignedCert", "CertRequest", "LocallySignedCert"),
    "random": ("RandomPassword", "RandomString", "RandomUuid", "RandomBytes", "RandomId"),
}


def table(package: str) -> dict[str, Any]:
    """Read a package's classes."""
    module = importlib.import_module(f"pulumi_{package}")
    types: dict[str, Any] = {}
    resources = {}
    for name in RESOURCES[package]:
        resource, arguments = getattr(module, name), getattr(module, f"{name}Args")
        resources[token(resource)] = {
            "properties": outputs(resource, types),
            "required": always(resource),
            **members(arguments, types, source(resource)),
        }
    settings = members(module.ProviderArgs, types, source(module.Provider))
    found = f"pulumi-{package} {version(f'pulumi_{package}')}"
    return {
        "name": package,
        "source": f"Read from the classes of {found} by tests/lab/plugins/tables.py: names, types, secrets.",
        "provider": settings,
        "resources": resources,
        "functions": {},
        "types": dict(sorted(types.items())),
    }


def source(resource: type) -> str:
    """Return the source of a class."""
    return inspect.getsource(resource)


def token(resource: type) -> str:
    """Return the type token of a resource."""
    return str(resource.pulumi_type)  # type: ignore[attr-defined] # every resource class has one


def outputs(resource: type, types: dict[str, Any]) -> dict[str, Any]:
    """Read the outputs of a resource."""
    hidden = re.findall(r'"(\w+)"', "".join(re.findall(r"additional_secret_outputs=\[(.*?)\]", source(resource))))
    found = {name: spec(kind, types) for name, kind in sdk.resource_types(resource).items()}
    return {name: kind | ({"secret": True} if name in hidden else {}) for name, kind in found.items()}


def members(arguments: type, types: dict[str, Any], text: str = "") -> dict[str, Any]:
    """Read the members of a class of arguments; a class of the SDK wraps secret ones."""
    hidden = set(re.findall(r"else pulumi\.Output\.secret\((\w+)\)", text))
    names = sdk.input_type_py_to_pulumi_names(arguments)
    kinds = sdk.input_type_types(arguments)
    required = [
        names[parameter.name]
        for parameter in inspect.signature(arguments.__init__).parameters.values()  # type: ignore[misc]
        if parameter.name in names and parameter.default is inspect.Parameter.empty
    ]
    properties = {
        given: spec(kinds[given], types) | ({"secret": True} if name in hidden else {})
        for name, given in sorted(names.items(), key=lambda pair: pair[1])
    }
    return {"inputProperties": properties} | ({"requiredInputs": required} if required else {})


def always(resource: type) -> list[str]:
    """Return the required outputs: those whose getters are not optional."""
    return [
        given
        for _, given, getter in sdk._py_properties(resource)
        if not optional(get_args(inspect.get_annotations(getter.fget)["return"])[0])  # type: ignore[arg-type]
    ]


def optional(kind: Any) -> bool:
    """Report whether a type allows None."""
    return get_origin(kind) is Union and type(None) in get_args(kind)


def spec(kind: Any, types: dict[str, Any]) -> dict[str, Any]:
    """Return a Python type as the schema would write it."""
    bare = sdk.unwrap_type(kind)
    if get_origin(bare) is Union:  # an object's class, or the dictionary that may stand for it
        bare = next(part for part in get_args(bare) if part is not type(None))
    origin = get_origin(bare)
    if bare in NAMES:
        return {"type": NAMES[bare]}
    if origin in (list, Sequence):
        return {"type": "array", "items": spec(get_args(bare)[0], types)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": spec(get_args(bare)[1], types)}
    name = bare.__name__.removesuffix("Args")
    if name not in types and sdk.is_input_type(bare):
        found = members(bare, types)
        types[name] = {"type": "object", "properties": found["inputProperties"]}
        if "requiredInputs" in found:
            types[name]["required"] = found["requiredInputs"]
    return {"$ref": f"#/types/{name}"}


def written(value: Any, indent: str = "") -> str:
    """Return JSON with one property a line, so that a raised provider makes a small difference."""
    short = json.dumps(value)
    if not value or not isinstance(value, dict | list) or len(short) + len(indent) <= WIDTH:
        return short
    deeper = f"{indent}  "
    if isinstance(value, dict):
        lines = [f"{deeper}{json.dumps(name)}: {written(item, deeper)}" for name, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return "[\n" + ",\n".join(f"{deeper}{written(item, deeper)}" for item in value) + f"\n{indent}]"


if __name__ == "__main__":
    for package_ in RESOURCES:
        (FOLDER / f"{package_}.json").write_text(f"{written(table(package_))}\n", encoding="utf-8")

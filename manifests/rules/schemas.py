"""Schemas that kubeconform reads, as strict as a server-side apply: undeclared fields are refused.

An OpenAPI document of Kubernetes or a CustomResourceDefinition comes in; JSON schemas by the names of their files go
out. Pure. `ops.toolchain.extraction` makes those of the pinned Kubernetes once, `manifests.rules.conformance` those of
CRDs. An API server alone checks rules in CEL, formats and the changes of admission.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from manifests.fields import mapping
from manifests.objects import Object

JsonSchema: TypeAlias = "dict[str, Any]"
FORMAT = "3"  # of the schemas: raise it when the same document gives other schemas
KEPT = (
    *("type", "enum", "required"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
)
EITHER = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["integer", "string"],
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ["number", "string"],
}
DEFINITIONS = "#/definitions/"
TEXTS: JsonSchema = {"type": ["object", "null"], "additionalProperties": {"type": "string"}}
METADATA: JsonSchema = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": TEXTS,
        "annotations": TEXTS,
    },
}
ROOT: Mapping[str, JsonSchema] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": METADATA}


def file_of(api_version: str, kind: str) -> str:
    """Return the name of kubeconform's file for a kind: its group, or the version of the core, and the kind."""
    parts = api_version.split("/")
    return f"{parts[0]}/{kind.lower()}_{parts[-1]}.json"


LOCATION = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"


def of_openapi(document: Mapping[str, Any]) -> Iterator[tuple[str, JsonSchema]]:
    """Make a schema, whole in itself, of every kind that a document defines."""
    raw = document["definitions"]
    strict = {name: _either(name) or _strict(one) for name, one in raw.items()}
    for name, one in raw.items():
        for kind in one.get("x-kubernetes-group-version-kind") or ():
            version = "/".join(filter(None, (kind["group"], kind["version"])))
            needed = {other: strict[other] for other in _needed(name, raw)}
            yield file_of(version, kind["kind"]), {"$ref": f"{DEFINITIONS}{name}", "definitions": needed}


def of_crd(crd: Object) -> Iterator[tuple[str, JsonSchema]]:
    """Make a schema of every version that a CustomResourceDefinition serves."""
    for name, version in served(crd):
        schema = _strict((version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"})
        schema["properties"] = {**ROOT, **schema.get("properties", {}), "metadata": METADATA}
        yield name, schema


def served(crd: Object) -> Iterator[tuple[str, JsonSchema]]:
    """Yield every version that a CustomResourceDefinition serves, with the name of its file."""
    spec = crd["spec"]
    for version in spec["versions"]:
        if version.get("served"):
            yield file_of(f"{spec['group']}/{version['name']}", spec["names"]["kind"]), version


def _needed(name: str, raw: Mapping[str, Any]) -> set[str]:
    """Return a definition's name and the names of all that it refers to."""
    found: set[str] = set()
    ahead = [name]
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += _referred(raw[one])
    return found


def _referred(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(DEFINITIONS)
        for inner in value.values():
            yield from _referred(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _referred(inner)


def _either(name: str) -> JsonSchema | None:
    return {"type": EITHER[name]} if name in EITHER else None


def _strict(schema: Any, *, null: bool = False) -> JsonSchema:
    """Return a schema with the rules of fields only, which refuses undeclared fields."""
    if not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        return _or_null({"$ref": schema["$ref"]}) if null else {"$ref": schema["$ref"]}
    made: JsonSchema = {key: schema[key] for key in KEPT if key in schema}
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    else:
        made |= _parts(schema)
    made |= _fields(schema, made)
    if isinstance(schema.get("items"), dict):
        made["items"] = _strict(schema["items"])
    return _or_null(made) if null or schema.get("nullable") else made


def _fields(schema: JsonSchema, made: JsonSchema) -> JsonSchema:
    """Return the fields of a map; a field with a default may be missing, an undeclared one is refused."""
    declared = schema.get("properties") or {}
    required = [name for name in made.pop("required", ()) if "default" not in mapping(declared.get(name))]
    found: JsonSchema = {"required": required} if required else {}
    if schema.get("x-kubernetes-embedded-resource"):
        declared = {**ROOT, "metadata": {"type": "object"}, **declared}
    if declared:
        found["properties"] = {name: _strict(one, null=name not in required) for name, one in declared.items()}
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        found["additionalProperties"] = _strict(more, null=True)
    elif declared and more is None and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found["additionalProperties"] = False
    return found


def _parts(schema: JsonSchema) -> JsonSchema:
    """Return the rules that declare no fields."""
    found: JsonSchema = {
        key: [_loose(one) for one in schema[key]] for key in ("allOf", "anyOf", "oneOf") if schema.get(key)
    }
    if schema.get("not"):
        found["not"] = _loose(schema["not"])
    return found


def _loose(schema: Any) -> JsonSchema:
    made = mapping(schema)
    inner: JsonSchema = {key: made[key] for key in KEPT if key in made} | _parts(made)
    if made.get("properties"):
        inner["properties"] = {name: _loose(one) for name, one in made["properties"].items()}
    if isinstance(made.get("items"), dict):
        inner["items"] = _loose(made["items"])
    return inner


def _or_null(schema: JsonSchema) -> JsonSchema:
    """Return a schema that also allows null, which the API server treats as absent."""
    if schema.keys() & {"$ref", "allOf", "anyOf", "oneOf", "not"}:
        return {"anyOf": [schema, {"type": "null"}]}
    if "enum" in schema and None not in schema["enum"]:
        schema = {**schema, "enum": [*schema["enum"], None]}
    kinds = schema.get("type")
    if kinds is None:
        return schema
    return {**schema, "type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]}

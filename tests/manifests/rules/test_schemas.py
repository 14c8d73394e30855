"""Schemas are as strict as a server-side apply, and no stricter."""

from __future__ import annotations

from typing import Any

import pytest

from manifests.rules.schemas import of_crd, of_openapi

WORDS: dict[str, Any] = {"type": "string"}


def crd(schema: dict[str, Any]) -> dict[str, Any]:
    versions = [
        {"name": "v1", "served": True, "schema": {"openAPIV3Schema": schema}},
        {"name": "v1beta1", "served": False, "schema": {"openAPIV3Schema": {"type": "object"}}},
    ]
    return {"spec": {"group": "example.com", "names": {"kind": "Thing"}, "versions": versions}}


def made(schema: dict[str, Any]) -> dict[str, Any]:
    ((name, whole),) = of_crd(crd({"type": "object", "properties": {"spec": schema}, "required": ["spec"]}))
    assert name == "example.com/thing_v1.json"
    found: dict[str, Any] = whole["properties"]["spec"]
    return found


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({**WORDS, "description": "x", "format": "uri", "minLength": 1}, {"type": "string", "minLength": 1}),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{}, {}]}, {"type": ["integer", "string"]}),
        ({**WORDS, "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"type": "array", "items": WORDS}, {"type": "array", "items": WORDS}),
        (
            {"type": "object", "additionalProperties": WORDS},
            {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
        ),
        (
            {"type": "object", "properties": {"a": WORDS}, "required": ["a"], "oneOf": [{"required": ["a"]}]},
            {
                "type": "object",
                "properties": {"a": WORDS},
                "required": ["a"],
                "oneOf": [{"required": ["a"]}],
                "additionalProperties": False,
            },
        ),
        (
            {"type": "object", "properties": {"a": {**WORDS, "default": "x"}}, "required": ["a"]},
            {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "additionalProperties": False},
        ),
        (
            {"type": "object", "properties": {"a": WORDS}, "x-kubernetes-preserve-unknown-fields": True},
            {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
        ),
    ],
    ids=["text", "either", "null", "list", "map", "required", "default", "open"],
)
def test_a_schema_keeps_the_rules_of_the_api_server(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert made(schema) == expected


def test_an_embedded_object_has_kind_and_metadata() -> None:
    found = made({"type": "object", "properties": {"a": WORDS}, "x-kubernetes-embedded-resource": True})
    assert set(found["properties"]) == {"a", "apiVersion", "kind", "metadata"}


def test_a_schema_has_exactly_the_definitions_it_refers_to() -> None:
    document = {
        "definitions": {
            "io.k8s.Pod": {
                "type": "object",
                "properties": {"spec": {"$ref": "#/definitions/io.k8s.Spec"}},
                "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Pod"}],
            },
            "io.k8s.Spec": {"type": "object", "properties": {"again": {"$ref": "#/definitions/io.k8s.Spec"}}},
            "io.k8s.Other": {"type": "object"},
        }
    }
    ((name, schema),) = of_openapi(document)
    assert name == "v1/pod_v1.json"
    assert schema["$ref"] == "#/definitions/io.k8s.Pod"
    assert set(schema["definitions"]) == {"io.k8s.Pod", "io.k8s.Spec"}
    assert schema["definitions"]["io.k8s.Spec"]["additionalProperties"] is False

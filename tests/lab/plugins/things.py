"""Kubernetes objects for the tests, each in a line."""

from __future__ import annotations

from typing import Any


def definition(kind: str) -> dict[str, Any]:
    lower = kind.lower()
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {"type": "object", "properties": {"size": {"type": "integer"}, "free": free}}
    schema = {"type": "object", "properties": {"spec": spec, "status": free}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{lower}s.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": f"{lower}s", "singular": lower},
            "versions": [{**version, "subresources": {"status": {}}}],
        },
    }


def config_map(name: str, namespace: str = "default", **rest: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, **rest}


def widget(name: str, spec: dict[str, Any], **annotations: str) -> dict[str, Any]:
    known = {"name": name, "annotations": {f"pulumi.com/{key}": value for key, value in annotations.items()}}
    return {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": known, "spec": spec}


def labelled(name: str, **labels: str) -> dict[str, Any]:
    thing = config_map(name)
    return {**thing, "metadata": {**thing["metadata"], "labels": labels}}

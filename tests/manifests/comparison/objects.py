"""Objects for the tests of comparisons: small ones, and the manifests of apps/ as they are."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from manifests.comparison.pairs import Pair
from manifests.kubernetes_yaml import documents
from manifests.objects import Object, identity

ROOT = Path(__file__).parents[3]
WORDS = st.sampled_from(("a", "b", "name", "port", "data", "x y", "ü", "{}", "- a", "1", "true", "", "#", "a: b"))
TEXTS = WORDS | st.text(st.sampled_from("ab \n\t:-#'\"\\\x1b\u202e\ue0f0\ue101ü"), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.just(0.5) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


def made(kind: str = "ConfigMap", name: str = "a", api: str = "v1", **rest: Any) -> Object:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **rest}


def deployment(spec: dict[str, Any], **template: Any) -> Object:
    return made("Deployment", api="apps/v1", spec={"template": {"metadata": template, "spec": spec}})


def pod_spec() -> dict[str, Any]:
    """Return a pod with one of each list that Kubernetes merges by a key."""
    return {
        "containers": [
            {
                "name": name,
                "image": f"ghcr.io/org/{name}:1.2.3",
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "ports": [
                    {"containerPort": 53, "protocol": "UDP"},
                    {"containerPort": 53, "protocol": "TCP"},
                    {"containerPort": 80},
                ],
                "volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "a", "mountPath": "/b", "subPath": "b"}],
                "volumeDevices": [{"name": "a", "devicePath": "/dev/a"}, {"name": "b", "devicePath": "/dev/b"}],
            }
            for name in ("app", "proxy", "metrics")
        ],
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {"name": "b"}}],
        "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "10.0.0.2", "hostnames": ["b"]}],
    }


def pair(before: Object | None, after: Object | None, *renamed: tuple[str, str]) -> Pair:
    item = after or before
    assert item is not None
    return Pair(identity(item), before, after, frozenset(renamed))


def edited(item: Object, *path: Any, to: Any) -> Object:
    """Return a copy of an object with another value at a path."""
    fresh = copy.deepcopy(item)
    inner: Any = fresh
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return fresh


def of_apps() -> dict[str, Object]:
    """Return the manifests of apps/ that are complete objects, by their file and place."""
    found = {}
    for file in sorted((ROOT / "apps").glob("**/*.yaml")):
        text = file.read_text(encoding="utf-8")
        if "apiVersion:" in text and "{{" not in text and file.name != "kustomization.yaml":
            for place, item in enumerate(documents(text)):
                if isinstance(item, dict) and {"apiVersion", "kind", "metadata"} <= item.keys():
                    found[f"{file.relative_to(ROOT)}#{place}"] = item
    return found

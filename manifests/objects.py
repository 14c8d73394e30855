"""Kubernetes objects as plain dicts: their identities, documents with several of them, hooks.

Documents come in as `manifests.kubernetes_yaml` reads them, objects go out in their order. A missing namespace stays
missing: Argo CD fills it in when it applies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from manifests.fields import mapping, mappings, text

Object: TypeAlias = "dict[str, Any]"

ARGO_HOOK = "argocd.argoproj.io/hook"
HELM_HOOK = "helm.sh/hook"
CRD = "CustomResourceDefinition"


@dataclass(frozen=True, order=True)
class Identity:
    """The identity of an object, independent of its version and its content."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Write it as kubectl does: Deployment.apps media/jellyfin."""
        kind = f"{self.kind}.{self.group}" if self.group else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


def identity(item: Object) -> Identity:
    """Return an object's identity."""
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    name = text(item, "metadata", "name") or f"{text(item, 'metadata', 'generateName')}*"
    return Identity(group, str(item.get("kind", "")), text(item, "metadata", "namespace"), name)


def version(item: Object) -> str:
    """Return the version of an object's API: v1 of apps/v1."""
    return str(item.get("apiVersion", "")).rpartition("/")[2]


def notes(item: Object) -> dict[str, str]:
    """Return an object's annotations."""
    return {key: text(value) for key, value in mapping(item, "metadata", "annotations").items()}


def is_hook(item: Object) -> bool:
    """Report whether Argo CD would run an object as a hook and not keep it in sync."""
    annotations = notes(item)
    if ARGO_HOOK in annotations:
        return [part.strip() for part in annotations[ARGO_HOOK].split(",")] != ["Skip"]
    return annotations.get(HELM_HOOK, "crd-install") != "crd-install"


def unpacked(documents: Iterable[Any]) -> Iterator[Any]:
    """Yield the items of documents that Argo CD reads as lists, and all other documents but empty ones."""
    for document in documents:
        if not isinstance(document, dict):
            if document is not None:
                yield document
        elif isinstance(document.get("items"), list):
            yield from document["items"]
        elif "items" not in document or document["items"] is not None or {"spec", "status"} & document.keys():
            yield document


def api_versions(items: Iterable[Object]) -> tuple[str, ...]:
    """Return the APIs that CustomResourceDefinitions add to a cluster, as Argo CD passes them to helm."""
    specs = [mapping(item, "spec") for item in items if item.get("kind") == CRD]
    served = [(spec, one) for spec in specs for one in mappings(spec, "versions") if one.get("served")]
    named = [(text(spec, "group"), text(one, "name"), text(spec, "names", "kind")) for spec, one in served]
    pairs = [(f"{group}/{name}", kind) for group, name, kind in named if group and name and kind]
    return tuple(sorted({name for name, _ in pairs} | {f"{name}/{kind}" for name, kind in pairs}))

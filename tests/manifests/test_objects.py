"""The identities of objects, their API versions, and the hooks among them."""

from __future__ import annotations

from typing import Any

from manifests import objects
from manifests.objects import Identity, Object


def test_hooks_are_found() -> None:
    def noted(name: str, **notes: str) -> Object:
        return {
            "kind": "Job",
            "metadata": {
                "name": name,
                "annotations": {k.replace("__", "/").replace("_", "."): v for k, v in notes.items()},
            },
        }

    items = [
        noted("plain"),
        {"kind": "Job", "metadata": {"name": "bare"}},
        noted("helm", helm_sh__hook="post-install"),
        noted("crd", helm_sh__hook="crd-install"),
        noted("argo", argocd_argoproj_io__hook="PreSync"),
        noted("skipped", argocd_argoproj_io__hook="Skip", helm_sh__hook="test"),
    ]
    assert [item["metadata"]["name"] for item in items if objects.is_hook(item)] == ["helm", "argo"]


def test_a_version_is_separated_from_its_group() -> None:
    assert objects.version({"apiVersion": "apps/v1"}) == "v1"
    assert objects.version({"apiVersion": "v1"}) == "v1"
    assert objects.identity({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generateName": "a-"}}) == (
        Identity("apps", "Deployment", "", "a-*")
    )


def test_apis_of_custom_resources_have_argo_cds_names() -> None:
    versions = [
        {"name": "v1", "served": True},
        {"name": "v1beta1", "served": True},
        {"name": "v1alpha1", "served": False},
    ]
    spec = {"group": "example.com", "names": {"kind": "Thing"}, "versions": versions}
    items = [{"kind": "CustomResourceDefinition", "spec": spec}, {"kind": "Pod", "spec": {}}]
    assert objects.api_versions(items) == (
        "example.com/v1",
        "example.com/v1/Thing",
        "example.com/v1beta1",
        "example.com/v1beta1/Thing",
    )


def test_a_definition_that_is_not_one_brings_no_api() -> None:
    specs: list[Any] = [None, [], {"versions": True}]
    odd: list[Object] = [{"kind": "CustomResourceDefinition", "spec": spec} for spec in specs]
    assert objects.api_versions([{"kind": "CustomResourceDefinition"}, *odd]) == ()

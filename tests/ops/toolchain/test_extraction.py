"""Tools that are manifests: their files in the cache after a build, and their absence from the PATH."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ops.toolchain import builds
from ops.toolchain.catalogue import BY_PROGRAM, CRDS
from ops.toolchain.lookup import ensure

NAMES = ("crds", "argocd-manifests")


@pytest.fixture(scope="module")
def built() -> dict[str, Path]:
    tools = ensure(NAMES)
    return {name: tools.manifests(name) for name in NAMES}


def test_each_part_has_its_folder_and_a_noted_version(built: dict[str, Path]) -> None:
    noted = json.loads((built["crds"] / "modules.json").read_text(encoding="utf-8"))
    assert set(noted) == {*(one.name for one in CRDS), "monitoring"}
    assert noted["monitoring"]["made"] == "generated"
    assert noted["gateway-api"]["version"] == f"v{BY_PROGRAM['crds'].version}"
    for name in noted:
        assert any((built["crds"] / name).rglob("*.yaml")), name


def test_argo_cds_manifests_have_the_version_of_the_build(built: dict[str, Path]) -> None:
    noted = json.loads((built["argocd-manifests"] / "modules.json").read_text(encoding="utf-8"))
    assert noted["argo-cd"]["version"] == f"v{BY_PROGRAM['argocd'].version}"
    base = built["argocd-manifests"] / "argo-cd" / "cluster-install" / "kustomization.yaml"
    assert yaml.safe_load(base.read_text(encoding="utf-8"))["kind"] == "Kustomization"


def test_a_folder_of_manifests_is_not_put_on_the_path(built: dict[str, Path]) -> None:
    tools = ensure((*NAMES, "kustomize"))
    assert tools.folders == ensure(("kustomize",)).folders


def test_a_program_shares_no_folder_with_its_manifests() -> None:
    tool = BY_PROGRAM["argocd"]
    assert tool.files == ()
    assert builds.built_folder(tool) != builds.built_folder(BY_PROGRAM["argocd-manifests"])


def test_schemas_are_those_of_the_api_server_that_is_built() -> None:
    folder = ensure(["schemas"]).manifests("schemas")
    noted = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    assert noted["kubernetes"]["version"] == f"v{BY_PROGRAM['kube-apiserver'].version}"
    kinds = {str(file.relative_to(folder / "kubernetes")) for file in folder.rglob("*_*.json")}
    assert {"v1/pod_v1.json", "apps/deployment_v1.json", "policy/poddisruptionbudget_v1.json"} <= kinds
    assert "policy/poddisruptionbudget_v1beta1.json" not in kinds
    pod = json.loads((folder / "kubernetes/v1/pod_v1.json").read_text(encoding="utf-8"))
    assert pod["definitions"]["io.k8s.api.core.v1.Container"]["required"] == ["name"]

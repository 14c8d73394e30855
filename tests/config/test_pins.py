"""A remote base is read as kustomize reads it, and its comment is its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.pins import reference, versions
from config.tree import App, chart_versions
from manifests.contents import PINNED
from manifests.rules.base_pins import by_commit

ROOT = Path(__file__).parents[2]
COMMIT = "8bb74df00e56ec8f944d48c25e6c1c9c2f6848e3"
BASE = "https://github.com/kubernetes-sigs/gateway-api/config/crd"
RAW = "https://raw.githubusercontent.com/org/repo"


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        (f"ref={COMMIT}", COMMIT),
        (f"timeout=120s&ref={COMMIT}", COMMIT),
        ("version=v1", "v1"),
        ("version=v1&ref=main", "main"),
        (f"ref=main&ref={COMMIT}", "main"),
        (f"%72ef=main&ref={COMMIT}", "main"),
        ("timeout=1s", ""),
    ],
)
def test_of_several_references_the_one_is_read_that_kustomize_takes(query: str, meant: str) -> None:
    assert reference(f"{BASE}?{query}") == meant


@pytest.mark.parametrize(
    "url",
    [
        f"{BASE}?ref={COMMIT}",
        f"{BASE}?timeout=120s&ref={COMMIT}",
        f"{BASE}?ref={COMMIT}&submodules=false",
        f"{RAW}/{COMMIT}/install.yaml",
    ],
)
def test_a_commit_is_accepted(url: str) -> None:
    assert by_commit(url)


@pytest.mark.parametrize(
    "url",
    [
        BASE,
        f"{BASE}?ref=v1.6.1",
        f"{BASE}?ref=main",
        f"{BASE}?ref=release/1.x",
        f"{BASE}?ref={COMMIT[:12]}",
        f"{BASE}?ref=main&ref={COMMIT}",
        f"{BASE}?%72ef=main&ref={COMMIT}",
        f"{BASE}?version={COMMIT}&ref=main",
        f"{BASE}?ref=main#?ref={COMMIT}",
        f"{BASE}/{COMMIT}/x.yaml?ref=main",
        f"{RAW}/main/install.yaml",
        f"{RAW}/v1.0.0/install.yaml",
        "https://github.com/org/repo/releases/download/v1.2.3/install.yaml",
    ],
)
def test_what_can_be_moved_is_not(url: str) -> None:
    assert not by_commit(url)


def test_the_comment_behind_an_url_is_its_version() -> None:
    text = f"resources:\n  - {BASE}?ref={COMMIT} # v1.6.1\n  - 'https://example.com/a?ref=x' #2.0.0\n  - a.yaml # 3\n"
    assert versions(text) == {f"{BASE}?ref={COMMIT}": "v1.6.1", "https://example.com/a?ref=x": "2.0.0"}


@pytest.mark.parametrize("version", ["v1.10.0", "2.0.0-rc.1", "controller-v1.10.0", "helm/v3.1", "a.b-1+build.2"])
def test_each_form_of_version_is_read_from_a_comment(version: str) -> None:
    assert PINNED.match(version)
    assert versions(f"  - {BASE}?ref={COMMIT} # {version}\n") == {f"{BASE}?ref={COMMIT}": version}


@pytest.mark.parametrize("place", ["base", "production"])
def test_what_is_compared_with_other_versions_is_the_comment(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "apps/crds/gateway-api" / place
    folder.mkdir(parents=True)
    app = App("crds", "gateway-api", "production", "kustomization")
    for url, said in ((f"{BASE}?ref={COMMIT} # v1.6.1", "v1.6.1"), (f"{BASE}?ref={COMMIT}", COMMIT)):
        (folder / "kustomization.yaml").write_text(f"resources:\n  - {url}\n", encoding="utf-8")
        assert chart_versions(tmp_path, app) == {BASE: said}


def test_the_pin_of_an_environment_replaces_the_one_of_the_base(tmp_path: Path) -> None:
    for place, version in (("base", "1.0.0"), ("production", "2.0.0"), ("dev", "3.0.0")):
        file = tmp_path / "apps/kube-system/cilium" / place / "kustomization.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(f"helmCharts: [{{name: cilium, version: {version}}}]\n", encoding="utf-8")
    versions_in = {
        name: chart_versions(tmp_path, App("kube-system", "cilium", name, "kustomization"))
        for name in ("production", "dev")
    }
    assert versions_in == {"production": {"cilium": "2.0.0"}, "dev": {"cilium": "3.0.0"}}

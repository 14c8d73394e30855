"""Folders render to the same objects as in Argo CD: a kustomization with its charts, overlays and remote bases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from config.tree import App
from manifests import objects
from manifests.objects import Identity
from manifests.render import Folder, Renderer, render, render_all
from manifests.sources import Chart
from tests.manifests.checkout import (
    KUSTOMIZATION,
    REPOSITORY,
    Bases,
    Charts,
    config_map,
    counting,
    lay,
    make_chart,
    names,
    settings,
)


def test_a_kustomization_gives_its_objects_in_its_namespace(root: Path, renderer: Renderer) -> None:
    lay(root, {"apps/media/one/kustomization.yaml": "namespace: media\nresources: [a.yaml]\n"})
    lay(root, {"apps/media/one/a.yaml": config_map("a", mode="0755")})
    assert render(renderer, Folder("apps/media/one")) == (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "media"},
            "data": {"mode": "0755"},
        },
    )


def test_an_object_without_a_namespace_gets_none(root: Path, renderer: Renderer) -> None:
    lay(root, {"apps/media/one/kustomization.yaml": "resources: [a.yaml]\n"})
    lay(root, {"apps/media/one/a.yaml": config_map("a")})
    assert objects.identity(render(renderer, Folder("apps/media/one"))[0]) == Identity("", "ConfigMap", "", "a")


def test_a_chart_is_inflated_with_argo_cds_values_and_capabilities(
    root: Path, renderer: Renderer, charts: Charts
) -> None:
    charts.add("greeter")
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    lay(root, {"apps/media/one/values.yaml": "greeting: good evening\n"})
    with_monitors = replace(renderer, api_versions=("monitoring.coreos.com/v1/ServiceMonitor",))
    items = render(with_monitors, Folder("apps/media/one"))
    assert names(items) == ["ConfigMap media/extra", "ConfigMap media/greeter-settings"]
    assert settings(items) == {
        "greeting": "good evening",
        "who": "world",
        "kubernetes": "v1.36.3",
        "monitors": "true",
        "namespace": "media",
    }
    assert settings(render(renderer, Folder("apps/media/one")))["monitors"] == "false"


def test_kustomize_adds_no_namespace_to_objects_of_a_chart(root: Path, renderer: Renderer, charts: Charts) -> None:
    # kustomize before 5.8 did; since then a chart gets the namespace of its release alone.
    charts.add("greeter", files={"templates/bare.yaml": config_map("bare")})
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    lay(root, {"apps/media/one/values.yaml": "{}\n"})
    assert "ConfigMap bare" in names(render(renderer, Folder("apps/media/one")))


def test_the_checkout_is_not_written(root: Path, renderer: Renderer, charts: Charts) -> None:
    charts.add("greeter")
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    lay(root, {"apps/media/one/values.yaml": "{}\n"})
    before = sorted(root.rglob("*"))
    render(renderer, Folder("apps/media/one"))
    assert sorted(root.rglob("*")) == before


def test_a_chart_that_lies_in_the_folder_needs_no_source(root: Path, renderer: Renderer, charts: Charts) -> None:
    make_chart(root / "apps/media/one/charts/greeter-1.0.0/greeter", Chart("greeter", "1.0.0", REPOSITORY))
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    lay(root, {"apps/media/one/values.yaml": "{}\n"})
    assert len(render(renderer, Folder("apps/media/one"))) == 2
    assert charts.asked == []


def test_an_overlay_has_the_bases_objects_and_its_own_chart(root: Path, renderer: Renderer, charts: Charts) -> None:
    charts.add("greeter", "1.1.0")
    lay(
        root,
        {
            "apps/media/one/kustomization.yaml": KUSTOMIZATION,
            "apps/media/one/extra.yaml": config_map("extra"),
            "apps/media/one/values.yaml": "greeting: from the base\nwho: from the base\n",
            "apps/media/one/objects/kustomization.yaml": "resources: [a.yaml]\ncomponents: [../../../_shared/note]\n",
            "apps/media/one/objects/a.yaml": config_map("a"),
            "apps/_shared/note/kustomization.yaml": """\
                apiVersion: kustomize.config.k8s.io/v1alpha1
                kind: Component
                commonAnnotations: {note: shared}
                """,
            "environments/production/media/one/more.yaml": "who: production\n",
            "environments/production/media/one/patch.yaml": config_map("a", added="1"),
            "environments/production/media/one/kustomization.yaml": f"""\
                namespace: media
                resources: [../../../../apps/media/one/objects]
                helmGlobals: {{chartHome: ../../vendored}}
                helmCharts:
                  - name: greeter
                    repo: {REPOSITORY}
                    version: 1.1.0
                    releaseName: greeter
                    includeCRDs: true
                    valuesFile: ../../../../apps/media/one/values.yaml
                    additionalValuesFiles: [more.yaml]
                patches: [{{path: patch.yaml}}]
                """,
        },
    )
    items = render(renderer, Folder("environments/production/media/one"))
    assert names(items) == [
        "CustomResourceDefinition.apiextensions.k8s.io things.example.com",
        "ConfigMap media/a",
        "ConfigMap media/greeter-settings",
    ]
    assert settings(items)["greeting"] == "from the base"
    assert settings(items)["who"] == "production"
    assert items[1]["data"] == {"added": "1"}
    assert items[1]["metadata"]["annotations"] == {"note": "shared"}


def test_plain_manifests_are_read_without_subfolders_and_lists_unpacked(root: Path, renderer: Renderer) -> None:
    lay(
        root,
        {
            "apps/media/plain/b.yaml": config_map("b") + "---\n# nothing\n---\n" + config_map("c"),
            "apps/media/plain/a.yml": "kind: List\napiVersion: v1\nitems:\n  - {apiVersion: v1, kind: Pod}\n",
            "apps/media/plain/d.json": '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}}',
            "apps/media/plain/empty.yaml": "kind: List\napiVersion: v1\nitems: null\n",
            "apps/media/plain/skipped.yaml": "# +argocd:skip-file-rendering\nkind: [\n",
            "apps/media/plain/README.md": "not read",
            "apps/media/plain/deeper/e.yaml": config_map("e"),
        },
    )
    items = render(renderer, Folder("apps/media/plain"))
    assert names(items) == ["Pod *", "ConfigMap b", "ConfigMap c", "ConfigMap d"]


def test_a_remote_base_is_read_from_its_copy(root: Path, renderer: Renderer, tmp_path: Path) -> None:
    module = tmp_path / "module"
    lay(
        module,
        {
            "config/crd/kustomization.yaml": "resources: [../shared, a.yaml]\n",
            "config/crd/a.yaml": config_map("a"),
            "config/shared/kustomization.yaml": "resources: ['https://example.com/v1.0.0/raw/b.yaml']\n",
            "raw/b.yaml": config_map("b"),
            "unrelated/c.yaml": config_map("c"),
        },
    )
    url = "https://github.com/example/repo//config/crd?ref=v1"
    known = {url: module / "config/crd", "https://example.com/v1.0.0/raw/b.yaml": module / "raw/b.yaml"}
    lay(root, {"apps/media/one/kustomization.yaml": f"namespace: media\nresources:\n  - {url} # the CRDs\n"})
    with_bases = replace(renderer, bases=Bases(known))
    assert names(render(with_bases, Folder("apps/media/one"))) == ["ConfigMap media/a", "ConfigMap media/b"]
    (module / "raw/b.yaml").write_text(config_map("changed"), encoding="utf-8")
    assert names(render(with_bases, Folder("apps/media/one")))[1] == "ConfigMap media/changed"


def test_kustomize_is_called_as_argo_cd_calls_it(
    root: Path, renderer: Renderer, tmp_path: Path, env: dict[str, str]
) -> None:
    counted, calls = counting(tmp_path, env, "kustomize")
    lay(root, {"apps/media/one/kustomization.yaml": "resources: [a.yaml]\n", "apps/media/one/a.yaml": config_map("a")})
    render(replace(renderer, env=counted, api_versions=("a/v1", "a/v1/B")), Folder("apps/media/one"))
    assert calls.read_text(encoding="utf-8") == (
        f"kustomize build {root}/apps/media/one --enable-helm --load-restrictor LoadRestrictionsNone "
        "--helm-kube-version 1.36.3 --helm-api-versions a/v1 --helm-api-versions a/v1/B\n"
    )


def test_a_checkout_may_be_named_by_a_relative_path(
    root: Path, renderer: Renderer, charts: Charts, monkeypatch: pytest.MonkeyPatch
) -> None:
    charts.add("greeter")
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    lay(root, {"apps/media/one/values.yaml": "{}\n", "apps/media/two/kustomization.yaml": "resources: [a.yaml]\n"})
    lay(root, {"apps/media/two/a.yaml": config_map("a")})
    monkeypatch.chdir(root)
    renders = render_all(replace(renderer, root=Path()), [Folder("apps/media/one"), Folder("apps/media/two")])
    assert [len(items) for items in renders.require().values()] == [2, 1]


def test_an_apps_folder_knows_its_application() -> None:
    app = App("media", "one", "dev", "chart")
    assert Folder.of(app, "cinema") == Folder("apps/media/one/dev", "media-one", "cinema")

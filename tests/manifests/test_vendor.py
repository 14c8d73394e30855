"""A vendored tree contains its charts and remote bases, and builds without their sources."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import programs
from errors import TreeRefused
from manifests.render import OFFLINE, Folder, Renderer, render
from manifests.sources import Chart, slug
from manifests.umbrella import lock_digest
from manifests.vendor import Placed, vendor
from tests.manifests.checkout import KUSTOMIZATION, REPOSITORY, Bases, Charts, config_map, lay, names

URL = "https://github.com/example/repo//config/crd?ref=v1.0.0"
LOCALIZED = f"localized/{slug(URL)}"


@pytest.fixture
def module(tmp_path: Path) -> Bases:
    lay(
        tmp_path / "module",
        {
            "config/crd/kustomization.yaml": "resources: [../shared, a.yaml]\n",
            "config/crd/a.yaml": config_map("a"),
            "config/shared/kustomization.yaml": "resources: ['https://example.com/v1.0.0/raw/b.yaml?x=1']\n",
            "raw/b.yaml": config_map("b"),
            "unrelated/c.yaml": config_map("c"),
        },
    )
    known = {
        URL: tmp_path / "module/config/crd",
        "https://example.com/v1.0.0/raw/b.yaml?x=1": tmp_path / "module/raw/b.yaml",
    }
    return Bases(known)


@pytest.fixture
def tree(root: Path, charts: Charts) -> Path:
    charts.add("greeter")
    charts.add("greeter", "2.0.0")
    lay(
        root,
        {
            "apps/media/one/kustomization.yaml": KUSTOMIZATION,
            "apps/media/one/extra.yaml": config_map("extra"),
            "apps/media/one/values.yaml": "who: one\n",
            "apps/media/two/kustomization.yaml": f"""\
                # Wörds that stay.
                resources:
                  - {URL}  # pinned
                  - "{URL}&x=1"
                  - plain.yaml
                helmGlobals: {{chartHome: ../../_charts}}
                helmCharts:
                  - {{name: greeter, repo: '{REPOSITORY}', version: 2.0.0, releaseName: two}}
                """,
            "apps/media/two/plain.yaml": config_map("plain"),
        },
    )
    return root


def build(tree: Path, folder: str, env: dict[str, str]) -> list[str]:
    options = ("--enable-helm", "--load-restrictor", "LoadRestrictionsNone")
    said = programs.run("kustomize", "build", tree / folder, *options, env=env | OFFLINE).stdout
    return sorted(one["metadata"]["name"] for one in yaml.safe_load_all(said))


def test_everything_is_laid_where_the_programs_look_for_it(
    tree: Path, charts: Charts, module: Bases, env: dict[str, str]
) -> None:
    other = f"{URL}&x=1"
    module.known[other] = module.known["https://example.com/v1.0.0/raw/b.yaml?x=1"].parent.parent / "unrelated"
    lay(module.known[other], {"kustomization.yaml": "resources: [c.yaml]\n"})
    placed = vendor(tree, ["apps/media/one", "apps/media/two"], charts, module)
    one, two = "apps/media/one/kustomization.yaml", "apps/media/two/kustomization.yaml"
    shared = f"apps/media/two/{LOCALIZED}/shared"
    raw = slug("https://example.com/v1.0.0/raw/b.yaml?x=1")
    assert placed == [
        Placed(str(Chart("greeter", "1.0.0", REPOSITORY)), one, "apps/media/one/charts/greeter-1.0.0/greeter"),
        Placed(URL, two, f"apps/media/two/{LOCALIZED}/crd"),
        Placed(other, two, f"apps/media/two/localized/{slug(other)}"),
        Placed(
            "https://example.com/v1.0.0/raw/b.yaml?x=1",
            f"{shared}/kustomization.yaml",
            f"{shared}/localized/{raw}/b.yaml",
        ),
        Placed(str(Chart("greeter", "2.0.0", REPOSITORY)), two, "apps/_charts/greeter-2.0.0/greeter"),
    ]
    assert (tree / two).read_text(encoding="utf-8").splitlines()[:5] == [
        "# Wörds that stay.",
        "resources:",
        f"  - {LOCALIZED}/crd  # pinned",
        f"  - localized/{slug(other)}",
        "  - plain.yaml",
    ]
    assert build(tree, "apps/media/one", env) == ["extra", "greeter-settings"]
    assert build(tree, "apps/media/two", env) == ["a", "b", "c", "plain", "two-settings"]


def test_a_vendored_tree_stays_unchanged_and_renders_the_same(
    tree: Path, charts: Charts, renderer: Renderer, env: dict[str, str]
) -> None:
    before = render(renderer, Folder("apps/media/one"))
    vendor(tree, ["apps/media/one"], charts, Bases())
    assert vendor(tree, ["apps/media/one"], Charts(tree / "none"), Bases()) == []
    assert render(renderer, Folder("apps/media/one")) == before
    assert names(before) == ["ConfigMap media/extra", "ConfigMap media/greeter-settings"]


def test_umbrella_charts_get_their_dependencies(root: Path, charts: Charts, renderer: Renderer) -> None:
    charts.add("greeter")
    entry = {"name": "greeter", "version": "1.0.0", "repository": REPOSITORY}
    listed = f"dependencies:\n- {{name: greeter, version: 1.0.0, repository: '{REPOSITORY}'}}\n"
    lay(root, {"a/b/Chart.yaml": f"apiVersion: v2\nname: b\nversion: 1.0.0\n{listed}"})
    lay(root, {"a/b/Chart.lock": f"{listed}digest: {lock_digest([entry], [entry])}\n"})
    (placed,) = vendor(root, ["a/b"], charts, Bases())
    assert placed.place == "a/b/charts/greeter"
    assert len(render(renderer, Folder("a/b"))) == 2


def test_missing_charts_of_all_folders_are_reported(tree: Path, charts: Charts) -> None:
    with pytest.raises(TreeRefused) as refused:
        vendor(tree, ["apps/media/two", "apps/media/one"], charts, Bases())
    assert [problem.check for problem in refused.value.problems] == ["base-missing", "base-missing"]
    assert (tree / "apps/media/one/charts/greeter-1.0.0/greeter/Chart.yaml").is_file()

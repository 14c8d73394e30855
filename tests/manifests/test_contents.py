"""The files that a folder's render depends on, also through references to other folders."""

from __future__ import annotations

from pathlib import Path

from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from manifests.sources import Chart
from tests.manifests.checkout import REPOSITORY, config_map, lay

FILES = (
    *("crd.json", "config.yaml", "schema.json", "patch.yaml", "old.yaml", "replacement.yaml", "x.txt", "x.env"),
    *("y.env", "values.yaml", "more.yaml"),
)


def files(root: Path, folder: str) -> list[str]:
    return sorted(contents_of(CheckoutReader(root), folder).files)


def test_every_kind_of_reference_is_followed(root: Path) -> None:
    lay(
        root,
        {
            "env/app/kustomization.yaml": """\
                resources: [../../base/app, ../../single/cm.yaml]
                components: [../../shared/part]
                crds: [../../f/crd.json]
                configurations: [../../f/config.yaml]
                openapi: {path: ../../f/schema.json}
                patches: [{path: ../../f/patch.yaml}]
                patchesJson6902: [{path: ../../f/old.yaml}]
                replacements: [{path: ../../f/replacement.yaml}]
                configMapGenerator: [{name: x, files: [k=../../f/x.txt], envs: [../../f/x.env]}]
                secretGenerator: [{name: y, env: ../../f/y.env}]
                helmCharts: [{name: c, valuesFile: ../../f/values.yaml, additionalValuesFiles: [../../f/more.yaml]}]
                helmGlobals: {chartHome: ../../charts}
                commonAnnotations: {see: ../../f/nowhere.txt, about: "..", text: "a/../b"}
                """,
            "env/app/deep/er/any.txt": "counts",
            "env/other/a.yaml": "does not count",
            "base/app/kustomization.yaml": "resources: [../../base2/app]\n",
            "base2/app/kustomization.yaml": "resources: [a.yaml]\n",
            "base2/app/a.yaml": config_map("a"),
            "single/cm.yaml": config_map("single"),
            "single/other.yaml": "does not count",
            "shared/part/kustomization.yaml": "kind: Component\n",
            "charts/c/Chart.yaml": "name: c\n",
            "charts/other/Chart.yaml": "counts too, a chart home is taken whole",
        }
        | {f"f/{name}": "" for name in (*FILES, "unrelated.yaml")},
    )
    counted = set(files(root, "env/app"))
    assert {path for path in map(str, root.rglob("*")) if Path(path).is_file()} - {
        str(root / path) for path in counted
    } == {str(root / path) for path in ("env/other/a.yaml", "single/other.yaml", "f/unrelated.yaml")}
    contents = contents_of(CheckoutReader(root), "env/app")
    assert contents.complete
    assert contents.problems == []


def test_old_words_for_charts_are_understood(root: Path) -> None:
    lay(
        root,
        {
            "a/kustomization.yaml": f"""\
                helmChartInflationGenerator:
                  - {{chartName: c, chartVersion: 1.0.0, chartRepoUrl: '{REPOSITORY}', chartHome: elsewhere}}
                """
        },
    )
    (wanted,) = contents_of(CheckoutReader(root), "a").charts
    assert (wanted.chart, wanted.place) == (Chart("c", "1.0.0", REPOSITORY), "a/elsewhere/c-1.0.0/c")


def test_a_cycle_ends(root: Path) -> None:
    lay(root, {"a/kustomization.yaml": "resources: [../b, .., .]\n", "b/kustomization.yaml": "resources: [../a]\n"})
    assert files(root, "a") == ["a/kustomization.yaml", "b/kustomization.yaml"]


def test_links_are_followed_once(root: Path) -> None:
    lay(root, {"a/kustomization.yaml": "resources: [linked]\n", "b/x.yaml": config_map("x")})
    (root / "a" / "linked").symlink_to("../b")
    (root / "b" / "back").symlink_to("../a")
    assert files(root, "a") == ["a/kustomization.yaml", "a/linked/x.yaml"]


def test_a_dangling_link_is_reported(root: Path) -> None:
    lay(root, {"a/kustomization.yaml": "resources: []\n"})
    (root / "a" / "gone.yaml").symlink_to("nowhere.yaml")
    (problem,) = contents_of(CheckoutReader(root), "a").problems
    assert str(problem) == (
        "a/gone.yaml: cannot be read: no such file or directory; make the file readable, or remove it "
        "[manifest-malformed]"
    )


def test_file_names_decide_a_folders_shape(root: Path) -> None:
    lay(root, {"a/Chart.yaml": "", "a/kustomization.yml": "", "b/Chart.yaml": "", "c/x.yml": "", "d/x.txt": ""})
    reader = CheckoutReader(root)
    assert [reader.shape(name) for name in "abcde"] == ["kustomization", "chart", "manifests", None, None]


def test_a_value_where_kustomize_needs_a_list_is_ignored(root: Path) -> None:
    keys = ("resources", "bases", "components", "generators", "transformers", "validators", "helmCharts")
    lay(root, {"app/kustomization.yaml": "".join(f"{key}: true\n" for key in keys)})
    assert files(root, "app") == ["app/kustomization.yaml"]

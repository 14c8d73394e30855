"""The apps tree: one folder for each app, with the environments that run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.tree import App, Tree, read_tree
from tests.config.scenario import prepare, problems

ROOT = Path(__file__).parents[2]


def tree_with(tmp_path: Path, files: dict[str, str]) -> Tree:
    prepare({"write": files}, tmp_path)
    return read_tree(tmp_path)


def test_paths_of_an_app() -> None:
    app = App("media", "jellyfin", "production", "kustomization")
    assert app.full_name == "media-jellyfin"
    assert app.label == "media/jellyfin"
    assert app.folder == "apps/media/jellyfin"
    assert app.base == "apps/media/jellyfin/base"
    assert app.path == "apps/media/jellyfin/production"


def test_an_app_runs_where_it_has_a_folder(tmp_path: Path) -> None:
    tree = tree_with(tmp_path, {"apps/media/radarr/dev/kustomization.yaml": "resources: []\n"})
    media = {name: [app.name for app in tree.apps_in(name) if app.category == "media"] for name in tree.environments}
    assert media == {"dev": ["radarr"], "production": ["jellyfin", "sonarr"]}
    assert tree.apps_in("elsewhere") == ()


def test_a_moved_folder_is_a_promotion(tmp_path: Path) -> None:
    prepare({"write": {"apps/media/radarr/dev/kustomization.yaml": "resources: []\n"}}, tmp_path)
    (tmp_path / "apps/media/radarr/dev").rename(tmp_path / "apps/media/radarr/production")
    tree = read_tree(tmp_path)
    assert "radarr" in [app.name for app in tree.apps_in("production")]
    assert "media" not in [category.name for category in tree.chosen("dev")]


def test_categories_of_an_environment_have_its_apps_only(tmp_path: Path) -> None:
    tree = tree_with(tmp_path, {})
    assert [one.name for one in tree.chosen("dev")] == ["cert-manager", "crds", "kube-system", "security", "system"]
    assert [one.name for one in tree.chosen("production")] == [one.name for one in tree.categories]
    for environment in tree.environments:
        assert {app.environment for one in tree.chosen(environment) for app in one.apps} == {environment}
    (security,) = (one for one in tree.chosen("dev") if one.name == "security")
    assert [app.path for app in security.apps] == [
        "apps/security/external-secrets/dev",
        "apps/security/secret-stores/dev",
    ]


def test_foundation_is_the_one_of_the_environment(tmp_path: Path) -> None:
    tree = tree_with(tmp_path, {"apps/security/category.yaml": "layer: infrastructure\nfoundation: [secret-stores]\n"})
    (security,) = (one for one in tree.chosen("dev") if one.name == "security")
    assert [app.path for app in security.foundation] == ["apps/security/secret-stores/dev"]
    (crds,) = (one for one in tree.chosen("production") if one.name == "crds")
    assert [app.path for app in crds.foundation] == ["apps/crds/gateway-api/production"]


def test_apps_of_one_layer(tmp_path: Path) -> None:
    tree = tree_with(tmp_path, {})
    assert [app.label for app in tree.apps_in("production", "crds")] == ["crds/gateway-api"]
    assert [app.label for app in tree.apps_in("production", "applications")] == ["media/jellyfin", "media/sonarr"]


def test_environments_are_the_folders_of_the_settings(tmp_path: Path) -> None:
    files = {"apps/_settings/lab/README.md": "Nothing runs here.\n", "apps/_settings/README.md": "Generated.\n"}
    assert tree_with(tmp_path, files).environments == ("dev", "lab", "production")


def test_a_folder_with_the_name_of_a_stack_is_no_environment(tmp_path: Path) -> None:
    prepare({}, tmp_path)
    (tmp_path / "Pulumi.base.yaml").rename(tmp_path / "Pulumi.home.yaml")
    (tmp_path / "apps/_settings/home").mkdir()
    assert [str(problem) for problem in problems(tmp_path) if problem.check == "environment-unknown"] == [
        (
            "apps/_settings/home: home: is an environment of no stack; "
            "did you mean production, the environment of stack home? [environment-unknown]"
        )
    ]


def test_an_app_of_no_environment_is_unused(tmp_path: Path) -> None:
    files = {"apps/media/radarr/base/kustomization.yaml": "resources: []\n", "apps/media/lidarr/README.md": "Later.\n"}
    tree = tree_with(tmp_path, files)
    assert tree.problems == ()
    assert tree.unused == ("apps/media/lidarr", "apps/media/radarr")
    assert not {"radarr", "lidarr"} & {app.name for app in tree.apps}


def test_an_environment_without_settings_runs_nothing(tmp_path: Path) -> None:
    tree = tree_with(tmp_path, {"apps/media/jellyfin/lab/kustomization.yaml": "resources: []\n"})
    assert [problem.check for problem in tree.problems] == ["environment-unknown"]
    assert tree.apps_in("lab") == ()
    assert tree.unused == ()


def test_without_settings_no_folder_is_an_environment(tmp_path: Path) -> None:
    prepare({}, tmp_path)
    settings = tmp_path / "apps/_settings"
    settings.rename(tmp_path / "elsewhere")
    tree = read_tree(tmp_path)
    assert (tree.environments, tree.apps) == ((), ())
    assert {problem.check for problem in tree.problems} == {"environment-unknown"}


@pytest.mark.parametrize(("file", "shape"), [("kustomization.yaml", "kustomization"), ("Chart.yaml", "chart")])
def test_shape_is_the_file_that_the_generator_finds(file: str, shape: str, tmp_path: Path) -> None:
    tree = tree_with(tmp_path, {f"apps/media/radarr/production/{file}": "name: radarr\n"})
    assert [app.shape for app in tree.apps if app.name == "radarr"] == [shape]


@pytest.mark.parametrize("file", ["kustomization.yml", "Kustomization", "deployment.yaml", "README.md"])
def test_a_folder_that_the_generator_does_not_find_is_refused(file: str, tmp_path: Path) -> None:
    tree = tree_with(tmp_path, {f"apps/media/radarr/production/{file}": "resources: []\n"})
    assert [problem.check for problem in tree.problems] == ["app-shapeless"]
    assert "radarr" not in [app.name for app in tree.apps]


def test_a_folder_of_both_shapes_is_refused(tmp_path: Path) -> None:
    folder = "apps/media/radarr/production"
    tree = tree_with(tmp_path, {f"{folder}/kustomization.yaml": "resources: []\n", f"{folder}/Chart.yaml": "name: x\n"})
    assert [problem.check for problem in tree.problems] == ["app-ambiguous"]


def test_the_tree_of_the_project_runs_every_app_somewhere() -> None:
    tree = read_tree(ROOT)
    assert tree.unused == ()
    assert {app.path for app in tree.apps} == {
        str(file.parent.relative_to(ROOT))
        for pattern in ("kustomization.yaml", "Chart.yaml")
        for environment in tree.environments
        for file in ROOT.glob(f"apps/[!_]*/*/{environment}/{pattern}")
    }

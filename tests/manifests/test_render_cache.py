"""Renders are cached by their inputs, and a damaged cache costs time only."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from manifests.render import Folder, Renderer, render, render_all
from manifests.render_cache import RenderCache
from tests.manifests.checkout import KUSTOMIZATION, REPOSITORY, Charts, config_map, counting, lay, names

PATH = "environments/production/media/one"
GOES_IN = (
    "apps/media/one/values.yaml",
    "apps/media/one/objects/a.yaml",
    "apps/media/one/objects/kustomization.yaml",
    "apps/_shared/note/kustomization.yaml",
    "apps/_shared/patches/p.yaml",
    "files/x.txt",
    f"{PATH}/kustomization.yaml",
)


@pytest.fixture
def counted(renderer: Renderer, tmp_path: Path, env: dict[str, str]) -> tuple[Renderer, Callable[[], int]]:
    with_counter, calls = counting(tmp_path, env, "kustomize")
    return replace(renderer, env=with_counter), lambda: len(calls.read_text(encoding="utf-8").splitlines())


@pytest.fixture
def overlay(root: Path, charts: Charts) -> None:
    charts.add("greeter", "1.0.0")
    lay(
        root,
        {
            "apps/media/one/values.yaml": "who: base\n",
            "apps/media/one/objects/kustomization.yaml": """\
                resources: [a.yaml]
                components: [../../../_shared/note]
                configMapGenerator: [{name: made, files: [x=../../../../files/x.txt]}]
                """,
            "apps/media/one/objects/a.yaml": config_map("a"),
            "apps/_shared/note/kustomization.yaml": """\
                apiVersion: kustomize.config.k8s.io/v1alpha1
                kind: Component
                patches: [{path: ../patches/p.yaml, target: {kind: ConfigMap, name: a}}]
                """,
            "apps/_shared/patches/p.yaml": config_map("a", patched="1"),
            "files/x.txt": "x",
            f"{PATH}/kustomization.yaml": f"""\
                resources: [../../../../apps/media/one/objects]
                helmCharts:
                  - name: greeter
                    repo: {REPOSITORY}
                    version: 1.0.0
                    releaseName: greeter
                    valuesFile: ../../../../apps/media/one/values.yaml
                """,
        },
    )


def test_a_second_render_calls_nothing_and_gives_the_same(
    overlay: None, counted: tuple[Renderer, Callable[[], int]]
) -> None:
    renderer, calls = counted
    first = render(renderer, Folder(PATH))
    assert calls() == 1
    assert render(renderer, Folder(PATH)) == first
    assert calls() == 1


def test_a_change_in_any_input_renders_again(
    overlay: None, root: Path, counted: tuple[Renderer, Callable[[], int]]
) -> None:
    renderer, calls = counted
    render(renderer, Folder(PATH))
    for number, file in enumerate(GOES_IN, 2):
        (root / file).write_text((root / file).read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
        render(renderer, Folder(PATH))
        assert calls() == number, file


def test_a_change_elsewhere_renders_nothing(
    overlay: None, root: Path, counted: tuple[Renderer, Callable[[], int]]
) -> None:
    renderer, calls = counted
    render(renderer, Folder(PATH))
    lay(root, {"apps/media/two/a.yaml": config_map("a"), "apps/media/one/README.md": "beside objects/"})
    render(renderer, Folder(PATH))
    assert calls() == 1


def test_another_content_of_the_same_chart_renders_anew(
    overlay: None, charts: Charts, counted: tuple[Renderer, Callable[[], int]]
) -> None:
    renderer, calls = counted
    render(renderer, Folder(PATH))
    charts.add("greeter", "1.0.0", {"templates/more.yaml": config_map("more")})
    assert "ConfigMap more" in names(render(renderer, Folder(PATH)))
    assert calls() == 2


@pytest.mark.parametrize("change", [{"kubernetes": "1.35.1"}, {"api_versions": ("a/v1",)}])
def test_other_capabilities_render_anew(
    overlay: None, counted: tuple[Renderer, Callable[[], int]], change: dict[str, str]
) -> None:
    renderer, calls = counted
    render(renderer, Folder(PATH))
    render(replace(renderer, **change), Folder(PATH))  # type: ignore[arg-type] # a table of keywords
    assert calls() == 2


@pytest.mark.parametrize("damage", [b"", b"not a digest\n[]", b'{"cut": '])
def test_a_damaged_entry_is_ignored_and_written_anew(
    overlay: None, tmp_path: Path, counted: tuple[Renderer, Callable[[], int]], damage: bytes
) -> None:
    renderer, calls = counted
    first = render(renderer, Folder(PATH))
    (entry,) = (tmp_path / "renders").glob("*/*")
    entry.write_bytes(damage)
    assert render(renderer, Folder(PATH)) == first
    assert calls() == 2
    assert render(renderer, Folder(PATH)) == first
    assert calls() == 2


def test_an_entry_that_was_altered_is_not_believed(tmp_path: Path) -> None:
    kept = RenderCache(tmp_path)
    kept.write("abcd", [{"kind": "Secret"}])
    assert kept.read("abcd") == [{"kind": "Secret"}]
    file = tmp_path / "ab" / "cd"
    file.write_bytes(file.read_bytes().replace(b"Secret", b"Public"))
    assert kept.read("abcd") is None


def test_a_failure_is_not_kept(root: Path, counted: tuple[Renderer, Callable[[], int]]) -> None:
    renderer, calls = counted
    lay(root, {"apps/media/one/kustomization.yaml": "resources: [a.yaml]\n"})
    assert render_all(renderer, [Folder("apps/media/one")]).problems
    assert render_all(renderer, [Folder("apps/media/one")]).problems
    assert calls() == 2


def test_many_at_once_do_not_disturb_one_another(overlay: None, root: Path, renderer: Renderer) -> None:
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    folders = [Folder(PATH), Folder("apps/media/one"), Folder("apps/media/one/objects")]
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(lambda _: render_all(renderer, folders).require(), range(4)))
    assert all(dict(one) == dict(several[0]) for one in several)
    assert names(several[0]["apps/media/one"]) == ["ConfigMap media/extra", "ConfigMap media/greeter-settings"]


def test_a_cache_that_cannot_be_written_costs_time_only(overlay: None, renderer: Renderer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert render(replace(renderer, kept=RenderCache(tmp_path / "file" / "renders")), Folder(PATH))
    assert render(replace(renderer, kept=None), Folder(PATH))


def test_the_least_recently_used_render_is_removed_first(tmp_path: Path) -> None:
    kept = RenderCache(tmp_path, most_bytes=1000)
    for number in range(10):
        kept.write(f"{number:04}", [{"text": "x" * 100}])
        os.utime(tmp_path / "00" / f"{number:02}", (number, number))
    kept.read("0000")
    kept.prune()
    assert sorted(file.name for file in (tmp_path / "00").iterdir()) == ["00", "07", "08", "09"]
    assert sum(file.stat().st_size for file in tmp_path.glob("*/*")) <= 750


def test_a_render_is_read_back_as_it_was(tmp_path: Path) -> None:
    items = [{"kind": "ConfigMap", "data": {"a": "ä\n\u2028", "b": 1, "c": 1.5, "d": None, "e": [True, {}]}}]
    RenderCache(tmp_path).write("abcd", items)
    assert RenderCache(tmp_path).read("abcd") == items

"""A folder that does not render is reported with file, line and the program's own message; all folders at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from errors import ProgramMissing, TreeRefused
from manifests.render import Folder, Renderer, render, render_all
from tests.manifests.checkout import KUSTOMIZATION, Charts, config_map, lay, message, messages


@pytest.mark.parametrize(
    ("name", "text", "start"),
    [
        ("a.yaml", "a: 1\n b: 2\n", "a.yaml:2: b: 2: is not YAML: mapping values are not allowed"),
        ("a.yaml", "a: \x01\n", "a.yaml:1: has the control character 0x01; look at this line"),
        ("a.yaml", "apiVersion: v1\nmetadata: {}\n# kind:\n", "a.yaml: holds an object without kind; "),
        ("a.yaml", config_map("b") + "---\n[1, 2]\n", "a.yaml: holds [1, 2] where an object should be; "),
        ("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: x\n", "a.yaml: holds a Pod whose metadata is no map; "),
        ("a.json", '{"a": 1}\n{"b": 2}', "a.json:2: is not one JSON object: Extra data; "),
        ("a.json", '{"a": 1}', "a.json: holds an object without apiVersion and kind; "),
        ("a.yaml", "a: b\n", "a.yaml: has no object, and Argo CD ignores it; write one, or begin the file with"),
        ("a.yaml", "---\n# nothing left\n", "a.yaml: is empty; write its object, or remove the file"),
        ("a.yaml", "kind: A\nkind: B\n", "a.yaml:2: kind: the key stands twice, first on line 1; keep one of them"),
        ("a.jsonnet", "{}", "a.jsonnet: is jsonnet, which Argo CD would run and nothing here does; "),
    ],
)
def test_a_malformed_manifest_is_refused_with_its_place(
    root: Path, renderer: Renderer, name: str, text: str, start: str
) -> None:
    lay(root, {"apps/media/plain/ok.yaml": config_map("ok")})
    (root / "apps/media/plain" / name).write_text(text, encoding="utf-8")
    said = message(renderer, "apps/media/plain")
    assert said.startswith(f"apps/media/plain/{start}")
    assert said.endswith(("[manifest-malformed]", "[yaml-syntax]", "[file-empty]", "[yaml-duplicate-key]"))


def test_listed_files_are_not_empty_and_have_no_duplicate_keys(root: Path, renderer: Renderer) -> None:
    lay(
        root,
        {
            "apps/_shared/part/kustomization.yaml": "kind: Component\nresources: [empty.yaml]\n",
            "apps/_shared/part/empty.yaml": "",
            "apps/media/one/kustomization.yaml": "namespace: a\nresources: [b.yaml]\ncomponents: [../../_shared/part]\n"
            "namespace: b\n",
            "apps/media/one/b.yaml": config_map("b") + "data: {}\ndata: {}\n",
        },
    )
    assert messages(renderer, "apps/media/one") == [
        (
            "apps/_shared/part/empty.yaml: is empty; write its object, or remove the file and the line that lists it "
            "[file-empty]"
        ),
        "apps/media/one/b.yaml:6: data: the key stands twice, first on line 5; keep one of them [yaml-duplicate-key]",
        (
            "apps/media/one/kustomization.yaml:4: namespace: the key stands twice, first on line 1; keep one of them "
            "[yaml-duplicate-key]"
        ),
    ]


def test_bytes_that_are_not_text_are_refused(root: Path, renderer: Renderer) -> None:
    lay(root, {"apps/media/plain/ok.yaml": config_map("ok")})
    (root / "apps/media/plain/bad.yaml").write_bytes(b"a: 1\nb: \xff\n")
    assert message(renderer, "apps/media/plain") == (
        "apps/media/plain/bad.yaml:2: byte 0xff: is not UTF-8; save the file as UTF-8 [yaml-encoding]"
    )


def test_a_missing_chart_is_reported_with_its_repository(root: Path, renderer: Renderer) -> None:
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    with pytest.raises(TreeRefused) as refused:
        render(renderer, Folder("apps/media/one"))
    assert str(refused.value) == (
        "apps/media/one/kustomization.yaml:4: helmCharts[0] = greeter 1.0.0: is not on this machine, and a render "
        "fetches nothing: chart of https://charts.example.com; fetch it: ./homelab render --fetch [chart-missing]\n"
        "1 problem"
    )


def test_a_chart_without_a_repository_is_in_the_folder(root: Path, renderer: Renderer) -> None:
    lay(root, {"apps/media/one/kustomization.yaml": "helmCharts:\n  - {name: greeter}\n"})
    assert message(renderer, "apps/media/one") == (
        "apps/media/one/kustomization.yaml:2: helmCharts[0] = greeter: has no `repo`, and there is no chart at "
        "apps/media/one/charts/greeter; add `repo` and `version` [chart-missing]"
    )


@pytest.mark.parametrize("version", ["", "1", "^1.0.0", "1.x", "latest"])
def test_a_chart_whose_version_is_not_exact_is_refused(root: Path, renderer: Renderer, version: str) -> None:
    entry = f"helmCharts:\n  - {{name: greeter, repo: 'oci://registry.example.com/charts', version: '{version}'}}\n"
    lay(root, {"apps/media/one/kustomization.yaml": entry})
    value = f"greeter {version}".strip()
    assert message(renderer, "apps/media/one") == (
        f"apps/media/one/kustomization.yaml:2: helmCharts[0] = {value}: is not pinned; "
        "give one version with all three parts [chart-unpinned]"
    )


def test_an_error_in_values_has_helms_message_without_temporary_paths(
    root: Path, renderer: Renderer, charts: Charts
) -> None:
    schema = '{"type": "object", "properties": {"who": {"type": "string"}}}'
    charts.add("greeter", files={"values.schema.json": schema})
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    lay(root, {"apps/media/one/values.yaml": "who: 1\n"})
    assert message(renderer, "apps/media/one") == (
        "apps/media/one/values.yaml:1: values don't meet the specifications of the schema(s) in the following "
        "chart(s): greeter: - at '/who': got number, want string; correct it here [render-failed]"
    )


def test_values_that_are_no_yaml_are_reported_with_their_line(root: Path, renderer: Renderer, charts: Charts) -> None:
    charts.add("greeter")
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    lay(root, {"apps/media/one/values.yaml": "who: [\n"})
    said = "apps/media/one/values.yaml:2: is not YAML: did not find expected node content; look at this line and "
    assert message(renderer, "apps/media/one").startswith(said)


def test_a_network_is_never_reached(root: Path, renderer: Renderer) -> None:
    url = "https://github.com/example/repo//config?ref=v1"
    lay(root, {"apps/media/one/kustomization.yaml": f"resources:\n  - {url}\n"})
    assert message(renderer, "apps/media/one") == (
        f"apps/media/one/kustomization.yaml:2: resources[0] = {url}: is not on this machine, and a render fetches "
        "nothing; fetch it: ./homelab render --fetch [base-missing]"
    )
    lay(root, {"apps/media/one/kustomization.yaml": f"resources: [a.yaml]\npatches: [{{path: '{url}'}}]\n"})
    lay(root, {"apps/media/one/a.yaml": config_map("a")})
    assert message(renderer, "apps/media/one") == (
        f"apps/media/one/kustomization.yaml:2: patches[0].path = {url}: is an URL, and a render reads no network; "
        "keep a copy in the folder [reference-url]"
    )


@pytest.mark.parametrize("url", ["https://github.com/example/repo//config", "git@example.com:a/b?ref=main"])
def test_a_remote_base_without_a_pinned_reference_is_refused(root: Path, renderer: Renderer, url: str) -> None:
    lay(root, {"apps/media/one/kustomization.yaml": f"components:\n  - {url}\n"})
    assert message(renderer, "apps/media/one") == (
        f"apps/media/one/kustomization.yaml:2: components[0] = {url}: is not pinned; "
        "add ?ref= with a commit [base-unpinned]"
    )


def test_paths_out_of_the_checkout_are_refused(root: Path, renderer: Renderer) -> None:
    lay(root.parent, {"secret/a.yaml": config_map("a"), "secret/kustomization.yaml": "resources: [a.yaml]\n"})
    lay(root, {"apps/media/one/kustomization.yaml": "resources:\n  - ../../../../secret\n"})
    assert message(renderer, "apps/media/one") == (
        "apps/media/one/kustomization.yaml:2: resources[0] = ../../../../secret: leads out of the checkout; "
        "refer to folders of this repository [reference-outside]"
    )


def test_a_missing_program_is_the_machines_matter(root: Path, renderer: Renderer) -> None:
    lay(root, {"apps/media/one/kustomization.yaml": "resources: [a.yaml]\n", "apps/media/one/a.yaml": config_map("a")})
    with pytest.raises(ProgramMissing, match=r"kustomize: not on the PATH; get it: \./homelab tools"):
        render(replace(renderer, env={"PATH": str(root)}), Folder("apps/media/one"))


def test_problems_of_all_folders_are_reported_and_the_others_render(root: Path, renderer: Renderer) -> None:
    lay(
        root,
        {
            "apps/media/good/kustomization.yaml": "resources: [a.yaml]\n",
            "apps/media/good/a.yaml": config_map("a"),
            "apps/media/missing/kustomization.yaml": "# one\nresources:\n  - nothere.yaml\n",
            "apps/media/broken/kustomization.yaml": "resources: [a.yaml]\n",
            "apps/media/broken/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n data: {}\n",
            "apps/media/unknown/kustomization.yaml": "resource: [a.yaml]\n",
            "apps/media/syntax/kustomization.yaml": "resources: [\n",
            "apps/media/empty/README.md": "",
        },
    )
    paths = [f"apps/media/{name}" for name in ("good", "missing", "broken", "unknown", "syntax", "empty", "gone")]
    renders = render_all(renderer, map(Folder, paths))
    assert list(renders.objects) == ["apps/media/good"]
    assert [str(problem) for problem in renders.problems] == [
        (
            "apps/media/broken/a.yaml:4: accumulating resources from 'a.yaml': MalformedYAMLError: yaml: line 4: did "
            "not find expected key in File: a.yaml; correct it here [render-failed]"
        ),
        (
            "apps/media/empty: holds nothing to render; add a kustomization.yaml, a Chart.yaml or manifests "
            "[nothing-to-render]"
        ),
        "apps/media/gone: is not a folder; add a kustomization.yaml, a Chart.yaml or manifests [nothing-to-render]",
        (
            "apps/media/missing/kustomization.yaml:3: accumulating resources from 'nothere.yaml': open "
            "apps/media/missing/nothere.yaml: no such file or directory; correct it here [render-failed]"
        ),
        (
            "apps/media/syntax/kustomization.yaml:2: is not YAML: did not find expected node content; "
            "look at this line and the one above it [yaml-syntax]"
        ),
        (
            'apps/media/unknown/kustomization.yaml:1: invalid Kustomization: json: unknown field "resource"; '
            "correct it here [render-failed]"
        ),
    ]
    with pytest.raises(TreeRefused, match="6 problems"):
        renders.require()

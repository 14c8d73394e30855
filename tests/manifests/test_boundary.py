"""A kustomization runs nothing, and references nothing outside of its repository, in any spelling."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from tests.manifests.checkout import config_map, lay

GENERATOR = "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\nname: foo\nrepo: evil://x\n"
EXECUTES = (
    "generators: [generator.yaml]\n",
    "generators:\n  - |\n" + "".join(f"    {line}\n" for line in GENERATOR.splitlines()),
    "transformers: [./folder]\n",
    "validators: [../x.yaml]\n",
    "helmGlobals: {configHome: home}\n",
    "helmCharts: [{name: x, nameTemplate: '{{ env \"TOKEN\" }}'}]\n",
    "helmChartInflationGenerator: [{chartName: x, helmHome: home}]\n",
    "helmChartInflationGenerator: [{chartName: x, helmBin: ./run.sh}]\n",
    "helmChartInflationGenerator: [{chartName: x, extraArgs: [--post-renderer, x]}]\n",
    "x: &x {configHome: home}\nhelmGlobals: {<<: *x}\n",
)
CASES = (
    "Generators: [generator.yaml]\n",
    "helmglobals: {configHome: home}\n",
    "helmGlobals: {CONFIGHOME: home}\n",
    "configMapGenerator: [{name: x, Files: [/etc/hostname]}]\n",
    "tran\u017fformers: [x.yaml]\n",
    "configMapGenerator: [{name: x, env\u017f: [/etc/hostname]}]\n",
)
OUTSIDE = (
    "resources: [/etc/x.yaml]\n",
    "resources: [../../../../x]\n",
    "components: [apps/../../../../../x]\n",
    "crds: [/etc/x.json]\n",
    "configurations: [../../../../x.yaml]\n",
    "openapi: {path: /etc/x.json}\n",
    "patches: [{path: /etc/x.yaml}]\n",
    "patchesStrategicMerge: [/etc/x.yaml]\n",
    "patchesJson6902: [{path: ../../../../x.yaml}]\n",
    "replacements: [{path: /etc/x.yaml}]\n",
    "configMapGenerator: [{name: x, files: [/outside.txt]}]\n",
    "configMapGenerator: [{name: x, files: [e=/proc/self/environ]}]\n",
    "configMapGenerator: [{name: x, files: ['e=../../../../secret']}]\n",
    "configMapGenerator: [{name: x, envs: [/etc/environment]}]\n",
    "secretGenerator: [{name: x, env: /etc/environment}]\n",
    "configMapGenerator: [{name: x, files: [!!binary L2V0Yy9wYXNzd2Q=]}]\n",
    "helmCharts: [{name: x, valuesFile: /abs.yaml}]\n",
    "helmCharts: [{name: x, additionalValuesFiles: [/abs.yaml]}]\n",
    "helmGlobals: {chartHome: /srv/charts}\n",
    "helmGlobals: {chartHome: ../../../../charts}\n",
    "helmChartInflationGenerator: [{chartName: x, values: /abs.yaml}]\n",
)
URLS = (
    "configMapGenerator: [{name: x, files: ['http://127.0.0.1:8765/secret.txt']}]\n",
    "configMapGenerator: [{name: x, files: ['a=HTTP://127.0.0.1:8765/secret.txt']}]\n",
    "patches: [{path: 'http://localhost:8765/patch.yaml'}]\n",
    "resources: ['http://127.0.0.1:8765/a.yaml']\n",
    "resources: ['https://2130706433/a.yaml']\n",
    "resources: ['https://[::1]/a.yaml']\n",
    "resources: ['https://0x7f.1/a//b?ref=v1']\n",
    "resources: ['http://169.254.169.254/latest.yaml']\n",
    "resources: ['file:///srv/git/x//y?ref=v1']\n",
    "resources: ['https://user:hunter2@example.com/x//y?ref=v1']\n",
    "components: ['https://example.com/x//y?ref=--upload-pack=touch']\n",
    "resources: ['github.com/x/y?ref=-x']\n",
    "resources: ['ext::sh -c touch% x']\n",
    "helmCharts: [{name: x, repo: 'evil://x', version: 1.0.0}]\n",
    "helmCharts: [{name: x, repo: 'file:///srv/charts', version: 1.0.0}]\n",
    "helmCharts: [{name: x, repo: 'http://localhost:9/', version: 1.0.0}]\n",
    "helmCharts: [{name: x, repo: '--post-renderer=x', version: 1.0.0}]\n",
)
NAMES = (
    "helmCharts: [{name: ../../../elsewhere, version: 1.0.0, repo: 'https://x.org'}]\n",
    "helmCharts: [{name: x, version: ../../1.0.0, repo: 'https://x.org'}]\n",
    "helmCharts: [{name: --x, version: 1.0.0, repo: 'https://x.org'}]\n",
    "helmCharts: [{name: x, version: --x, repo: 'https://x.org'}]\n",
    "helmCharts: [{name: x, version: 1.0.0, repo: 'https://x.org', releaseName: --post-renderer=./pr.sh}]\n",
    "helmCharts: [{name: x, version: 1.0.0, repo: 'https://x.org', namespace: ../x}]\n",
    "helmChartInflationGenerator: [{chartName: /x, chartVersion: 1.0.0, chartRepoUrl: 'https://x.org'}]\n",
    'helmCharts: [{name: "x\\ny", version: 1.0.0, repo: "https://x.org"}]\n',
)


def checks(root: Path, text: str) -> set[str]:
    lay(root, {"apps/media/one/kustomization.yaml": text})
    contents = contents_of(CheckoutReader(root), "apps/media/one")
    assert not contents.charts
    assert not contents.bases
    return {problem.check for problem in contents.problems} - {"chart-missing"}


@pytest.mark.parametrize("text", EXECUTES)
def test_keys_that_run_a_program_are_refused(root: Path, text: str) -> None:
    assert checks(root, text) == {"render-executes"}


@pytest.mark.parametrize("text", CASES)
def test_a_key_in_another_case_is_refused(root: Path, text: str) -> None:
    assert "render-key" in checks(root, text)


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_path_that_leads_out_of_the_checkout_is_refused(root: Path, text: str) -> None:
    assert checks(root, text) == {"reference-outside"}


@pytest.mark.parametrize("text", URLS)
def test_an_url_for_a_render_or_a_plugin_is_refused(root: Path, text: str) -> None:
    assert checks(root, text) == {"reference-url"}


@pytest.mark.parametrize("text", NAMES)
def test_a_chart_is_named_by_a_name(root: Path, text: str) -> None:
    assert checks(root, text) == {"chart-name"}


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../../secret.yaml", "/proc/self/environ", "/etc", "/"])
def test_a_link_that_leads_out_of_the_checkout_is_refused(root: Path, target: str) -> None:
    lay(root.parent, {"secret.yaml": config_map("secret")})
    lay(root, {"apps/media/one/kustomization.yaml": "resources: []\n"})
    (root / "apps/media/one/linked").symlink_to(target)
    (problem,) = contents_of(CheckoutReader(root), "apps/media/one").problems
    assert str(problem) == (
        "apps/media/one/linked: leads out of the checkout; copy its target into the repository [reference-outside]"
    )


def test_a_link_within_a_path_can_lead_out(root: Path) -> None:
    lay(root, {"apps/media/one/a.txt": "x"})
    (root / "apps/media/other").symlink_to("/etc")
    text = "configMapGenerator: [{name: x, files: [../other/hostname]}]\nresources: [../other/x.yaml]\n"
    assert checks(root, text) == {"reference-outside"}


def test_a_link_that_leads_to_itself_ends(root: Path) -> None:
    lay(root, {"apps/media/one/kustomization.yaml": "resources: [loop]\n"})
    (root / "apps/media/one/loop").symlink_to("loop")
    assert {one.check for one in contents_of(CheckoutReader(root), "apps/media/one").problems} == {"manifest-malformed"}


def test_a_pipe_in_a_folder_is_reported_without_waiting(root: Path) -> None:
    lay(root, {"apps/media/one/kustomization.yaml": "resources: []\n"})
    os.mkfifo(root / "apps/media/one/pipe.yaml")
    (problem,) = contents_of(CheckoutReader(root), "apps/media/one").problems
    assert problem.rule == "cannot be read: is no regular file"


def test_a_harmless_kustomization_is_accepted(root: Path) -> None:
    lay(
        root,
        {
            "apps/media/one/a.txt": "",
            "apps/_shared/b/kustomization.yaml": "kind: Component\n",
            "apps/media/one/kustomization.yaml": """\
                resources: [https://github.com/example/repo//config?ref=v1.2.3, "git@example.com:a/b?ref=v1"]
                components: [../../_shared/b]
                patches: [{target: {kind: A, name: .*}, patch: '[{op: add, path: /spec/Generators, value: /etc/x}]'}]
                commonAnnotations: {Generators: https://localhost, see: /etc/x}
                labels: [{pairs: {Name: x}, includeSelectors: false}]
                configMapGenerator: [{name: x, literals: [PATH=/etc/x, URL=http://localhost], files: [k=a.txt]}]
                helmCharts:
                  - {name: x, repo: 'https://charts.example.com', version: 1.0.0, releaseName: x,
                     valuesInline: {configHome: /etc, nameTemplate: x}}
                """,
        },
    )
    contents = contents_of(CheckoutReader(root), "apps/media/one")
    assert contents.problems == []
    assert len(contents.charts) == 1
    assert len(contents.bases) == 2

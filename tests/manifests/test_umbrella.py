"""Umbrella charts render as a release of Argo CD does, and their lock must match Chart.yaml."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import programs
from manifests.checkout import CheckoutReader
from manifests.contents import contents_of
from manifests.objects import Object
from manifests.render import OFFLINE, Folder, Renderer, render
from manifests.sources import Chart
from manifests.umbrella import lock_digest
from manifests.vendor import vendor
from tests.manifests.checkout import (
    REPOSITORY,
    Bases,
    Charts,
    config_map,
    lay,
    make_chart,
    message,
    messages,
    names,
    settings,
)

UMBRELLA = f"""\
    apiVersion: v2
    name: bundle
    version: 0.1.0
    dependencies:
      - name: greeter
        version: 1.0.0
        repository: {REPOSITORY}
        condition: greeter.enabled
    """
LOCK = f"""\
    dependencies:
    - name: greeter
      repository: {REPOSITORY}
      version: 1.0.0
    digest: sha256:e4a7c8a6
    """


@pytest.fixture
def umbrella(root: Path, charts: Charts) -> Path:
    charts.add("greeter")
    wanted = {"name": "greeter", "version": "1.0.0", "repository": REPOSITORY}
    lock = LOCK.replace("sha256:e4a7c8a6", lock_digest([{**wanted, "condition": "greeter.enabled"}], [wanted]))
    lay(root, {"apps/media/bundle/Chart.yaml": UMBRELLA, "apps/media/bundle/Chart.lock": lock})
    lay(root, {"apps/media/bundle/values.yaml": "greeter:\n  who: umbrella\n"})
    lay(root, {"apps/media/bundle/templates/own.yaml": config_map("own")})
    return root / "apps/media/bundle"


def test_the_release_of_an_umbrella_chart_is_its_application(umbrella: Path, renderer: Renderer) -> None:
    items = render(renderer, Folder("apps/media/bundle", release="media-bundle", namespace="cinema"))
    assert sorted(names(items)) == [
        "ConfigMap cinema/media-bundle-settings",
        "ConfigMap own",
        "CustomResourceDefinition.apiextensions.k8s.io things.example.com",
    ]
    assert settings(items)["who"] == "umbrella"
    assert settings(items)["namespace"] == "cinema"
    assert settings(render(renderer, Folder("apps/media/bundle")))["namespace"] == "media"
    assert sorted(path.name for path in umbrella.iterdir()) == ["Chart.lock", "Chart.yaml", "templates", "values.yaml"]


def test_an_umbrella_chart_without_a_lock_is_refused(umbrella: Path, renderer: Renderer) -> None:
    (umbrella / "Chart.lock").unlink()
    assert message(renderer, "apps/media/bundle") == (
        "apps/media/bundle/Chart.yaml:4: dependencies: has dependencies and no Chart.lock; "
        "run `helm dependency update` there and commit Chart.lock [chart-lock-missing]"
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("version: 1.0.0", "version: 1.1.0", "locks version 1.0.0 of greeter, but Chart.yaml has 1.1.0"),
        ("example.com", "example.org", "locks repository https://charts.example.com of greeter, but Chart.yaml has"),
        ("- name: greeter", "- name: welcome", "locks greeter, but Chart.yaml depends on welcome"),
        ("greeter.enabled", "greeter.wanted", "was made for another Chart.yaml: its digest differs"),
        ("version: 1.0.0", "version: 1.x", "was made for another Chart.yaml: its digest differs"),
    ],
)
def test_a_lock_that_was_made_for_another_chart_is_refused(
    umbrella: Path, renderer: Renderer, old: str, new: str, says: str
) -> None:
    chart = umbrella / "Chart.yaml"
    chart.write_text(chart.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    said = message(renderer, "apps/media/bundle")
    assert said.startswith(f"apps/media/bundle/Chart.lock: {says}")
    assert said.endswith("commit Chart.lock [chart-lock-old]")


@pytest.mark.parametrize("lock", ["- a\n", "a\n", "", "dependencies: a\n", "dependencies: [{version: 1.0.0}]\n"])
def test_a_lock_that_is_none_is_refused(umbrella: Path, renderer: Renderer, lock: str) -> None:
    (umbrella / "Chart.lock").write_text(lock, encoding="utf-8")
    assert "but Chart.yaml depends on greeter" in message(renderer, "apps/media/bundle")


def test_another_version_in_charts_than_the_lock_names_is_refused(umbrella: Path, renderer: Renderer) -> None:
    make_chart(umbrella / "charts" / "greeter", Chart("greeter", "0.9.0", REPOSITORY))
    assert message(renderer, "apps/media/bundle") == (
        "apps/media/bundle/Chart.lock: locks version 1.0.0 of greeter, but charts/ holds 0.9.0; "
        "remove it there: helm would use it without a message [chart-lock-old]"
    )


def test_a_chart_that_lies_in_charts_needs_no_source(umbrella: Path, renderer: Renderer, charts: Charts) -> None:
    make_chart(umbrella / "charts" / "greeter", Chart("greeter", "1.0.0", REPOSITORY))
    assert len(render(renderer, Folder("apps/media/bundle"))) == 3
    assert charts.asked == []


def test_a_chart_outside_of_the_checkout_is_not_read(umbrella: Path, renderer: Renderer, tmp_path: Path) -> None:
    outside = make_chart(tmp_path / "outside", Chart("greeter", "9.9.9", REPOSITORY))
    lay(umbrella, {"charts/greeter/values.yaml": ""})
    (umbrella / "charts/greeter/Chart.yaml").symlink_to(outside / "Chart.yaml")
    assert message(renderer, "apps/media/bundle") == (
        "apps/media/bundle/charts/greeter/Chart.yaml: leads out of the checkout; "
        "copy its target into the repository [reference-outside]"
    )


def test_a_dependency_without_an_url_is_in_charts(umbrella: Path, renderer: Renderer) -> None:
    for name in ("Chart.yaml", "Chart.lock"):
        text = (umbrella / name).read_text(encoding="utf-8").replace(REPOSITORY, '"@mine"')
        (umbrella / name).write_text(text, encoding="utf-8")
    entry = {"name": "greeter", "version": "1.0.0", "repository": "@mine"}
    lock = (umbrella / "Chart.lock").read_text(encoding="utf-8").rpartition("digest:")[0]
    digest = lock_digest([{**entry, "condition": "greeter.enabled"}], [entry])
    (umbrella / "Chart.lock").write_text(f"{lock}digest: {digest}\n", encoding="utf-8")
    assert message(renderer, "apps/media/bundle") == (
        "apps/media/bundle/Chart.yaml:5: dependencies[0] = greeter 1.0.0: is not in charts/, and @mine is no URL to "
        "fetch it from; write the repository's URL, or copy the chart there [chart-missing]"
    )


def test_a_lock_that_helm_itself_wrote_is_accepted(root: Path, renderer: Renderer, env: dict[str, str]) -> None:
    chart = "apiVersion: v2\nname: bundle\nversion: 0.1.0\ndependencies:\n"
    first = (
        "- {name: greeter, version: '>=1.0.0 <2', repository: 'file://../greeter', alias: first, tags: [a, 'ä&b']}\n"
    )
    second = (
        "- {name: greeter, version: 1.0.0, repository: 'file://../greeter', condition: second.wanted, alias: second,\n"
        "   import-values: [data, {parent: x, child: y<z}]}\n"
    )
    lay(root, {"apps/media/bundle/Chart.yaml": chart + first + second})
    make_chart(root / "apps/media/greeter", Chart("greeter", "1.0.0", ""))
    programs.run("helm", "dependency", "update", ".", cwd=root / "apps/media/bundle", env=env | OFFLINE)
    assert names(render(renderer, Folder("apps/media/bundle")))
    lock = root / "apps/media/bundle/Chart.lock"
    lock.write_text(lock.read_text(encoding="utf-8").replace("digest: sha256:", "digest: sha256:0"), encoding="utf-8")
    assert "its digest differs" in message(renderer, "apps/media/bundle")


OBJECTS = """\
    apiVersion: v2
    name: shop-objects
    version: 1.0.0
    """
SHOP = f"""\
    apiVersion: v2
    name: shop
    version: 0.1.0
    dependencies:
      - {{name: greeter, version: 1.0.0, repository: {REPOSITORY}}}
      - {{name: shop-objects, version: 1.0.0, repository: "file://../base"}}
    """
PRODUCTION = "apps/media/shop/production"


@pytest.fixture
def shop(root: Path, charts: Charts) -> Path:
    """Lay an app whose environment is an umbrella around its own base."""
    charts.add("greeter")
    wanted = [
        {"name": "greeter", "version": "1.0.0", "repository": REPOSITORY},
        {"name": "shop-objects", "version": "1.0.0", "repository": "file://../base"},
    ]
    lock = {"dependencies": wanted, "digest": lock_digest(wanted, wanted)}
    lay(root, {f"{PRODUCTION}/Chart.yaml": SHOP, f"{PRODUCTION}/Chart.lock": yaml.safe_dump(lock)})
    template = config_map("own", domain="{{ .Values.global.domain }}")
    lay(root, {"apps/media/shop/base/Chart.yaml": OBJECTS, "apps/media/shop/base/templates/own.yaml": template})
    lay(
        root,
        {
            "apps/media/shop/base/values.yaml": "greeter: {who: base}\nglobal: {domain: none}\n",
            "apps/_settings/production/values/media/shop.yaml": "global: {domain: home.example.com}\n",
            "apps/_settings/dev/values/media/shop.yaml": "global: {domain: dev.example.com}\n",
        },
    )
    return root / "apps/media/shop"


def own(items: tuple[Object, ...]) -> dict[str, str]:
    return dict(next(item["data"] for item in items if item["metadata"]["name"] == "own"))


def test_an_environment_takes_the_chart_of_its_base(shop: Path, renderer: Renderer) -> None:
    before = sorted(path for path in shop.rglob("*"))
    items = render(renderer, Folder(PRODUCTION, release="media-shop", namespace="cinema"))
    assert settings(items)["who"] == "base"
    assert own(items)["domain"] == "home.example.com"
    assert sorted(path for path in shop.rglob("*")) == before, "a render writes nothing into the checkout"


def test_values_of_an_environment_come_last(shop: Path, root: Path, renderer: Renderer) -> None:
    lay(root, {f"{PRODUCTION}/values.yaml": "greeter: {who: production}\nglobal: {domain: own.example.com}\n"})
    items = render(renderer, Folder(PRODUCTION))
    assert (settings(items)["who"], own(items)["domain"]) == ("production", "own.example.com")


def test_another_environment_has_its_own_settings(shop: Path, renderer: Renderer) -> None:
    shutil.copytree(shop / "production", shop / "dev")
    assert own(render(renderer, Folder("apps/media/shop/dev")))["domain"] == "dev.example.com"


def test_base_and_settings_are_inputs_of_the_render(shop: Path, root: Path) -> None:
    found = contents_of(CheckoutReader(root), PRODUCTION)
    assert set(found.files) == {
        "apps/_settings/production/values/media/shop.yaml",
        "apps/media/shop/base/Chart.yaml",
        "apps/media/shop/base/templates/own.yaml",
        "apps/media/shop/base/values.yaml",
        f"{PRODUCTION}/Chart.lock",
        f"{PRODUCTION}/Chart.yaml",
    }
    assert found.local == {"apps/media/shop/base": f"{PRODUCTION}/charts/shop-objects"}
    assert [wanted.chart.name for wanted in found.charts] == ["greeter"]


def test_a_changed_base_renders_again(shop: Path, root: Path, renderer: Renderer) -> None:
    assert own(render(renderer, Folder(PRODUCTION)))["domain"] == "home.example.com"
    (shop / "base/templates/own.yaml").write_text("", encoding="utf-8")
    fresh = replace(renderer, reader=CheckoutReader(root))
    assert "ConfigMap own" not in names(render(fresh, Folder(PRODUCTION)))


def test_a_vendored_tree_builds_without_the_base(shop: Path, root: Path, charts: Charts, env: dict[str, str]) -> None:
    placed = vendor(root, [PRODUCTION], charts, Bases())
    assert [one.place for one in placed] == [f"{PRODUCTION}/charts/greeter"]
    assert (root / PRODUCTION / "charts/shop-objects/templates/own.yaml").is_file()
    shutil.rmtree(shop / "base")
    made = programs.run(
        "helm", "template", "x", "--set", "global.domain=a", ".", cwd=root / PRODUCTION, env=env | OFFLINE
    )
    assert "name: own" in made.stdout


def test_a_base_of_another_version_is_refused(shop: Path, renderer: Renderer) -> None:
    chart = shop / "base/Chart.yaml"
    chart.write_text(chart.read_text(encoding="utf-8").replace("1.0.0", "1.1.0"), encoding="utf-8")
    assert message(renderer, PRODUCTION) == (
        f"{PRODUCTION}/Chart.yaml:6: dependencies[1] = shop-objects 1.0.0 of file://../base: "
        "differs from apps/media/shop/base/Chart.yaml, which is shop-objects 1.1.0; "
        "run `helm dependency update` there and commit Chart.lock [chart-missing]"
    )


def test_a_base_that_is_no_chart_is_refused(shop: Path, renderer: Renderer) -> None:
    (shop / "base/Chart.yaml").unlink()
    assert message(renderer, PRODUCTION) == (
        f"{PRODUCTION}/Chart.yaml:6: dependencies[1] = shop-objects 1.0.0 of file://../base: "
        "is not in charts/, and apps/media/shop/base is no chart; "
        "run `helm dependency update` there and commit Chart.lock [chart-missing]"
    )


@pytest.mark.parametrize("elsewhere", ["file://../../../../../outside", "file:///etc", "file://~/charts"])
def test_a_local_chart_outside_of_the_checkout_is_refused(shop: Path, renderer: Renderer, elsewhere: str) -> None:
    for name in ("Chart.yaml", "Chart.lock"):
        file = shop / "production" / name
        file.write_text(file.read_text(encoding="utf-8").replace("file://../base", elsewhere), encoding="utf-8")
    said = (
        f"{PRODUCTION}/Chart.yaml:6: dependencies[1].repository: leads out of the checkout; "
        "name a folder of this repository: file://../NAME [reference-outside]"
    )
    assert said in messages(renderer, PRODUCTION)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'version: 1.0.0, repository: "file',
            'version: 1.1.0, repository: "file',
            "locks version 1.0.0 of shop-objects",
        ),
        ("file://../base", "file://../base/", "locks repository file://../base of shop-objects"),
    ],
)
def test_a_lock_of_another_base_is_refused(shop: Path, renderer: Renderer, old: str, new: str, says: str) -> None:
    chart = shop / "production/Chart.yaml"
    text = chart.read_text(encoding="utf-8")
    assert old in text
    chart.write_text(text.replace(old, new), encoding="utf-8")
    said = message(renderer, PRODUCTION)
    assert said.startswith(f"{PRODUCTION}/Chart.lock: {says}")
    assert said.endswith("[chart-lock-old]")

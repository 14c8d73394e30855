"""Argo CD's own folder: both of its shapes, the objects that `up` makes, and Argo CD's report on its settings."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import programs
from config.app_settings import folder_of, generated
from config.load import read_stack
from manifests.objects import Object
from manifests.render import Folder, Renderer, render
from manifests.render_cache import RenderCache
from ops.rehearsal.sources import sources
from ops.toolchain.catalogue import BY_PROGRAM
from ops.toolchain.lookup import CRDS, MANIFESTS, Toolchain, ensure

pytestmark = pytest.mark.xdist_group("argocd folder")

FOLDER = "apps/system/argocd"
SMALL, LARGE = f"{FOLDER}/dev", f"{FOLDER}/large"
CHOSEN = """\
  homelab:platform:
    argocd:
      replicas: ha
      sso: {issuer: https://id.example.com, clientId: argocd, adminGroup: admins}
"""
CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tools() -> Toolchain:
    return ensure(("argocd", "helm", "kustomize", CRDS, MANIFESTS))


@pytest.fixture(scope="module")
def renderer(tools: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    place = tmp_path_factory.mktemp("argocd")
    for copied in (FOLDER, folder_of("dev")):
        shutil.copytree(CHECKOUT / copied, place / "checkout" / copied)
    _write_large(place / "checkout")
    charts, bases = sources(place / "charts", tools)
    return Renderer(
        place / "checkout",
        kubernetes="1.36.3",
        charts=charts,
        bases=bases,
        env=tools.env(),
        kept=RenderCache(place / "renders"),
    )


def _write_large(root: Path) -> None:
    """Add an environment whose stack file chooses several replicas and single sign-on."""
    text = (CHECKOUT / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    assert "environment: dev\n" in text
    assert "  homelab:platform:\n" in text
    text = text.replace("environment: dev\n", "environment: large\n").replace("  homelab:platform:\n", CHOSEN)
    (root / "Pulumi.large.yaml").write_text(text, encoding="utf-8")
    kustomization = (root / SMALL / "kustomization.yaml").read_text(encoding="utf-8")
    written = {
        **generated(read_stack(root / "Pulumi.large.yaml"), {}),
        f"{LARGE}/kustomization.yaml": kustomization.replace("/dev", "/large"),
    }
    for name, content in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")


@pytest.fixture(scope="module", params=[SMALL, LARGE])
def objects(request: pytest.FixtureRequest, renderer: Renderer) -> tuple[Object, ...]:
    return render(renderer, Folder(request.param))


def test_objects_of_up_are_not_in_git(objects: tuple[Object, ...]) -> None:
    assert [one["metadata"]["name"] for one in objects if one["kind"] == "Secret"] == []
    assert "redis-initial-password" not in yaml.safe_dump(list(objects))


def test_the_default_project_allows_nothing(objects: tuple[Object, ...]) -> None:
    (default,) = (one for one in objects if one["kind"] == "AppProject")
    assert (default["metadata"]["name"], default["metadata"]["namespace"]) == ("default", "argocd")
    assert default["spec"] == {
        **{allowed: [] for allowed in ("sourceRepos", "destinations", "clusterResourceWhitelist")},
        "namespaceResourceBlacklist": [{"group": "*", "kind": "*"}],
    }


def containers(objects: tuple[Object, ...]) -> list[dict[str, Any]]:
    pods = [one["spec"]["template"]["spec"] for one in objects if one["kind"] in ("Deployment", "StatefulSet")]
    return [one for pod in pods for one in (*pod.get("initContainers", ()), *pod["containers"])]


def test_no_container_pulls_an_image_that_the_node_has(objects: tuple[Object, ...]) -> None:
    assert [one["name"] for one in containers(objects) if one.get("imagePullPolicy") == "Always"] == []


def test_a_slow_line_ends_no_render(objects: tuple[Object, ...]) -> None:
    (params,) = (one["data"] for one in objects if one["metadata"]["name"] == "argocd-cmd-params-cm")
    (renders,) = (one for one in containers(objects) if one["name"] == "argocd-repo-server")
    (limit,) = (one["value"] for one in renders["env"] if one["name"] == "ARGOCD_EXEC_TIMEOUT")
    assert (limit, params["controller.repo.server.timeout.seconds"]) == ("180s", "300")


def test_an_app_that_breaks_again_is_reported_again(objects: tuple[Object, ...]) -> None:
    (told,) = (one["data"] for one in objects if one["metadata"]["name"] == "argocd-notifications-cm")
    once = {name: "oncePer" in text for name, text in told.items() if name.startswith("trigger.")}
    assert once == {"trigger.on-degraded": False, "trigger.on-unknown": False, "trigger.on-sync-failed": True}


def test_a_message_has_the_keys_that_its_readers_know(objects: tuple[Object, ...]) -> None:
    (told,) = (one["data"] for one in objects if one["metadata"]["name"] == "argocd-notifications-cm")
    body = yaml.safe_load(told["template.trouble"])["webhook"]["homelab"]["body"]
    sent = json.loads(re.sub(r"\{\{ .*? \}\}", "x", body))
    assert sent["text"] == sent["message"], "Slack and Mattermost read the one, Gotify the other"
    assert sent["title"]


def test_every_container_knows_its_share_of_a_small_machine(objects: tuple[Object, ...]) -> None:
    shares = {one["name"]: one.get("resources", {}) for one in containers(objects)}
    assert {name for name, share in shares.items() if set(share) != {"requests", "limits"}} == set()


def test_more_replicas_never_block_a_drain_by_accident(renderer: Renderer) -> None:
    large = render(renderer, Folder(LARGE))
    many = {one["metadata"]["name"] for one in large if one.get("spec", {}).get("replicas", 1) > 1}
    budgets = {one["metadata"]["name"]: one["spec"] for one in large if one["kind"] == "PodDisruptionBudget"}
    assert many == set(budgets)
    assert {spec["maxUnavailable"] for spec in budgets.values()} == {1}


def test_single_sign_on_closes_the_door_of_the_admin(renderer: Renderer) -> None:
    settings = _map(render(renderer, Folder(LARGE)), "argocd-cm")
    assert settings["admin.enabled"] == "false"
    provider = yaml.safe_load(settings["oidc.config"])
    assert (provider["issuer"], provider["clientID"]) == ("https://id.example.com", "argocd")
    assert provider["clientSecret"] == "$oidc.clientSecret"


@pytest.mark.parametrize(
    ("kind", "status", "health"),
    [
        ("argoproj.io/v1alpha1/Application", {}, "Progressing"),
        ("argoproj.io/v1alpha1/Application", {"sync": {"comparedTo": {"source": {"path": "old"}}}}, "Progressing"),
        ("argoproj.io/v1alpha1/Application", {"sync": {"comparedTo": {"source": {"path": "new"}}}}, "Degraded"),
        ("ceph.rook.io/v1/CephCluster", {}, "Progressing"),
        ("ceph.rook.io/v1/CephCluster", {"phase": "Ready", "ceph": {"health": "HEALTH_WARN"}}, "Healthy"),
        ("ceph.rook.io/v1/CephCluster", {"phase": "Ready", "ceph": {"health": "HEALTH_ERR"}}, "Degraded"),
        ("volsync.backube/v1alpha1/ReplicationSource", {}, "Healthy"),
        ("volsync.backube/v1alpha1/ReplicationSource", {"latestMoverStatus": {"result": "Failed"}}, "Degraded"),
        ("volsync.backube/v1alpha1/ReplicationSource", {"lastSyncTime": "2026-01-01T03:17:00Z"}, "Degraded"),
        ("volsync.backube/v1alpha1/ReplicationSource", {"lastSyncTime": "2126-01-01T03:17:00Z"}, "Healthy"),
    ],
)
def test_argo_cd_sees_health_where_it_knows_none_by_itself(
    kind: str, status: dict[str, Any], health: str, renderer: Renderer, tools: Toolchain, tmp_path: Path
) -> None:
    version, _, name = kind.rpartition("/")
    if name == "Application" and status:
        status = {**status, "health": {"status": health}}
    thing = {"apiVersion": version, "kind": name, "metadata": {"name": "it"}, "status": status}
    asked = _written(tmp_path / "thing.yaml", {**thing, "spec": {"source": {"path": "new"}}})
    said = _argocd(renderer, tools, tmp_path, "resource-overrides", "health", asked)
    assert f"STATUS: {health}\n" in said


@pytest.mark.parametrize("name", ["helm", "kustomize"])
def test_the_renderers_are_those_of_argo_cds_image(name: str, tools: Toolchain) -> None:
    listed = (tools.manifests(MANIFESTS).parent / "bin" / "tool-versions.sh").read_text(encoding="utf-8")
    version = re.search(rf"^{name}_VERSION=(.+)$", listed, re.MULTILINE | re.IGNORECASE)
    assert version is not None
    assert str(BY_PROGRAM[name].version) == version[1]


def test_argo_cd_accepts_its_settings(renderer: Renderer, tools: Toolchain, tmp_path: Path) -> None:
    said = _argocd(renderer, tools, tmp_path, "validate")
    assert "--enable-helm --load-restrictor LoadRestrictionsNone" in said
    assert "❌" not in said


def _argocd(renderer: Renderer, tools: Toolchain, place: Path, *words: str) -> str:
    """Validate the settings with Argo CD's own program, without a cluster."""
    settings = next(one for one in render(renderer, Folder(SMALL)) if one["metadata"]["name"] == "argocd-cm")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "argocd-secret", "namespace": "argocd"}}
    files = [
        *("--argocd-cm-path", _written(place / "settings.yaml", settings)),
        *("--argocd-secret-path", _written(place / "secret.yaml", {**secret, "data": {"server.secretkey": "eA=="}})),
    ]
    env = tools.env() | {"HOME": str(place), "KUBECONFIG": ""}
    return programs.run("argocd", "admin", "settings", *words, *files, env=env).stdout


def _written(file: Path, document: Object) -> str:
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(file)


def _map(objects: tuple[Object, ...], name: str) -> dict[str, str]:
    data: dict[str, str] = next(one["data"] for one in objects if one["metadata"]["name"] == name)
    return data

"""The platform after its first day: seeded once, adopted by Argo CD, and stable."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import programs
from components.platform.seed import text
from errors import ProgramFailed
from lab.api import Object
from lab.delivery import git_server
from ops.toolchain.lookup import ensure
from tests.lab.home import GADGETS, NOTES_FILE, SEEDED, Home, eventually, laid
from tests.lab.parity import differences

pytestmark = pytest.mark.xdist_group("home")

CHART = "apps/cert-manager/cert-manager/dev/kustomization.yaml"
MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: wrong}
"""
ISSUER = """\
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: wrong}
spec: {acme: {server: https://acme.example.com}}
"""


@pytest.fixture(scope="class")
def restored(home: Home) -> Iterator[None]:
    """Restore the files afterwards."""
    before = {file: home.read(file) for file in (NOTES_FILE, CHART)}
    yield
    for file, content in before.items():
        home.write(file, content)
    commit = home.push()
    for name in ("security-secret-stores", "cert-manager-cert-manager"):
        home.wait_healthy(name, commit)


def planned(home: Home) -> dict[str, int]:
    """Return the resources that the engine would change, by operation."""
    ran = home.run("preview", "--rehearse", "--json")
    assert ran.code == 0, ran.err
    (infrastructure,) = ran.result["infrastructure"]
    assert infrastructure["against"] == "rehearsal"
    return dict(infrastructure["counts"])


def note(home: Home, name: str) -> Object | None:
    return home.api.get("v1", "ConfigMap", name, "security")


def test_argo_cd_renders_every_folder_as_the_project_does(home: Home) -> None:
    compared, different = differences(home)
    assert different == []
    assert compared > len(SEEDED)


class TestAdopted:
    """Argo CD owns the seeded objects."""

    @pytest.mark.parametrize("folder", SEEDED)
    def test_a_seeded_folder_is_synced_without_a_difference(self, home: Home, folder: str) -> None:
        status = home.wait_healthy(folder.replace("/", "-"))["status"]
        assert {one["status"] for one in status["resources"]} == {"Synced"}

    def test_a_seed_uses_the_field_manager_of_argo_cd(self, home: Home) -> None:
        stays = note(home, "stays")
        assert stays
        assert {one["manager"] for one in stays["metadata"]["managedFields"]} == {"argocd-controller"}


class TestPeace:
    """Without changes, Pulumi has no work."""

    @pytest.mark.nightly  # every time, the previews below see nothing to do
    def test_a_run_that_looks_at_everything_changes_nothing(self, home: Home) -> None:
        where = home.settings.delivery
        before = git_server.head_of(home.lab, where.repository, where.revision)
        assert set(home.whole("--refresh")["changes"]) == {"same"}
        assert git_server.head_of(home.lab, where.repository, where.revision) == before, "a commit for nothing"

    def test_a_preview_needs_no_cluster(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        with home.without_cluster(monkeypatch):
            assert planned(home) == {}


@pytest.mark.usefixtures("restored")
class TestOthersChangeIt:
    """Git and users change seeded objects, one after the other, and in the end Pulumi still has no work."""

    def test_fields_labels_and_objects_that_leave_git_are_pruned(self, home: Home) -> None:
        kept = next(yaml.safe_load_all(home.read(NOTES_FILE)))
        del kept["data"]["goes"], kept["metadata"]["labels"]["goes"]
        home.write(NOTES_FILE, yaml.safe_dump(kept))
        home.wait_healthy("security-secret-stores", home.push())
        eventually("pruned", lambda: note(home, "goes") is None)
        stays = note(home, "stays")
        assert stays
        assert (stays["data"], stays["metadata"]["labels"]) == ({"stays": "yes"}, {"stays": "yes"})

    def test_a_renamed_object_and_a_raised_chart_follow_git(self, home: Home) -> None:
        found = re.search(r"version: (v\d+\.\d+\.)(\d+)", home.read(CHART))
        assert found
        raised = f"{found[1]}{int(found[2]) + 1}"
        home.write(CHART, home.read(CHART).replace(found[0], f"version: {raised}"))
        home.write(NOTES_FILE, home.read(NOTES_FILE).replace("name: stays", "name: renamed"))
        commit = home.push()
        for name in ("security-secret-stores", "cert-manager-cert-manager"):
            home.wait_healthy(name, commit)
        eventually("renamed", lambda: note(home, "stays") is None and note(home, "renamed") is not None)
        controller = home.api.get("apps/v1", "Deployment", "cert-manager", "cert-manager")
        assert controller
        assert controller["metadata"]["labels"]["app.kubernetes.io/version"] == raised

    def test_argo_cd_reports_a_live_edit(self, home: Home) -> None:
        home.merge("v1", "ConfigMap", "security", "renamed", {"data": {"stays": "by hand"}})
        home.wait_for(
            "security-secret-stores", lambda one: (one or {})["status"]["sync"]["status"] == "OutOfSync", "OutOfSync"
        )
        assert "ConfigMap security/renamed: data.stays (by kubectl-edit, " in home.status()

    def test_pulumi_changes_nothing_and_keeps_the_edit(self, home: Home) -> None:
        assert planned(home) == {}
        edited = note(home, "renamed")
        assert edited
        assert edited["data"]["stays"] == "by hand"


WRONG_APP = "apps/media/wrong/dev"
PATCHED = {
    f"{WRONG_APP}/kustomization.yaml": "resources: [map.yaml]\npatches: [{path: patch.yaml}]\n",
    f"{WRONG_APP}/map.yaml": MAP,
    f"{WRONG_APP}/patch.yaml": MAP.replace("wrong", "typo"),
}
WRONG = {
    "a patch that meets nothing": (PATCHED, "no matches for Id ConfigMap.v1.[noGrp]/typo"),
    "a misspelt field": (
        {
            f"{WRONG_APP}/kustomization.yaml": "resources: [map.yaml]\n",
            f"{WRONG_APP}/map.yaml": MAP + "dat: {}\n",
        },
        f"{WRONG_APP} cannot be applied:\nError from server: failed to create typed patch object",
    ),
    "an issuer that lacks what it needs": (
        {
            f"{WRONG_APP}/kustomization.yaml": "resources: [issuer.yaml]\n",
            f"{WRONG_APP}/issuer.yaml": ISSUER,
        },
        "spec.acme.privateKeySecretRef: Required value",
    ),
}


class TestWrongInputs:
    """Clear refusals of a seed; none of them prevents the next run from continuing."""

    @pytest.mark.parametrize("what", WRONG)
    def test_a_wrong_folder_is_refused_and_seeded_after_its_fix(self, home: Home, tmp_path: Path, what: str) -> None:
        files, refusal = WRONG[what]
        laid(tmp_path, files)
        with pytest.raises(ProgramFailed) as refused:
            seed(home, tmp_path)
        assert refusal in refused.value.output
        laid(
            tmp_path,
            {
                f"{WRONG_APP}/kustomization.yaml": "resources: [map.yaml]\n",
                f"{WRONG_APP}/map.yaml": MAP,
            },
        )
        assert seed(home, tmp_path) == f"{WRONG_APP}: 1 objects applied\n"
        assert home.api.delete("v1", "ConfigMap", "wrong", "media")

    def test_a_wrong_definition_is_refused_and_the_others_are_applied(self, home: Home, tmp_path: Path) -> None:
        made = {name: re.sub("gadget", name, GADGETS, flags=re.IGNORECASE) for name in ("broken", "seeded", "whole")}
        made["broken"] = made["broken"].replace("scope: Namespaced", "scope: Everywhere")
        for name, definition in {**made, "unbuilt": "", "plain": MAP}.items():
            resource = "nowhere.yaml" if name == "unbuilt" else "one.yaml"
            kustomization = f"resources: [{resource}]\n"
            folder = f"apps/media/{name}/dev"
            laid(tmp_path, {f"{folder}/kustomization.yaml": kustomization, f"{folder}/one.yaml": definition})
        with pytest.raises(ProgramFailed) as refused:
            seed(home, tmp_path, "definitions")
        assert "apps/media/broken/dev: its CRDs cannot be applied" in refused.value.output
        assert "apps/media/unbuilt/dev is left to Argo CD" in refused.value.output
        laid(tmp_path, {"apps/media/broken/dev/one.yaml": made["whole"].replace("whole", "broken")})
        assert seed(home, tmp_path, "definitions") == "2 definitions\n"
        assert home.api.get("v1", "ConfigMap", "wrong", "media") is None
        assert home.api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", "seededs.example.com") is None
        for name in ("broken", "whole"):
            assert home.api.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{name}s.example.com")


def seed(home: Home, root: Path, script: str = "seed") -> str:
    """Run the script of `up`, without its retries."""
    said = {"FOLDER": WRONG_APP, "NAMESPACE": "media", "WAITS": "", "KUBERNETES": "1.36.3", "TRIES": "1"}
    said |= {"CATEGORIES": "media", "SEEDED": "media/seeded", "ENVIRONMENT": "dev"}
    kubeconfig = {"KUBECONFIG_TEXT": home.lab.kubeconfig.read_text(encoding="utf-8"), "HOME": str(root)}
    environment = ensure(("kubectl", "kustomize", "helm")).env() | said | kubeconfig
    return programs.run("sh", "-c", text(script), env=environment, cwd=root).stdout


WELL_KNOWN = {
    "argocd/repository-homelab password",
    "argocd/argocd-secret server.secretkey",
    "cert-manager/internal-ca tls.key",
}


class TestSecrets:
    """Secrets that must appear nowhere."""

    def test_no_secret_is_printed_logged_or_stored_in_clear(self, home: Home) -> None:
        canaries = dict(secrets(home))
        assert len(canaries) > 20
        assert set(canaries) >= WELL_KNOWN
        places = dict(home.places())
        bare = git_server.bare_repository(home.lab, home.settings.delivery.repository)
        places["what Git remembers"] = programs.run("git", "--git-dir", bare, "log", "-p", "--all").stdout
        leaks = [(place, name) for place, text in places.items() for name, value in canaries.items() if value in text]
        assert leaks == []


def secrets(home: Home) -> Iterator[tuple[str, str]]:
    """Return the secrets of Pulumi, of the operators and of the machines; the middle of long ones."""
    public = {"ca.crt", "tls.crt", "url", "type", "username", "name"}
    for one in home.api.list("v1", "Secret"):
        for key, value in (one.get("data") or {}).items():
            secret = base64.b64decode(value).decode(errors="replace")
            if key not in public and len(secret) > 15:
                name = f"{one['metadata']['namespace']}/{one['metadata']['name']} {key}"
                yield name, middle(secret)
                yield f"{name} as it lies in the API", middle(value)
    pattern = re.compile(r"(?:key|token|secret|secretboxEncryptionSecret): (\S{20,})")
    for node in home.rack.nodes():
        for number, found in enumerate(pattern.findall(node.configuration)):
            yield f"{node.name} {number}", middle(found)


def middle(secret: str) -> str:
    line = max(secret.splitlines(), key=len)
    return line[len(line) // 3 : len(line) // 3 + 40] if len(line) > 80 else line

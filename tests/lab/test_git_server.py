"""Git decides: pushes reach the cluster, removed folders leave it, and failures of Git cost no workload."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

import pytest

import programs
from lab.delivery import git_server
from lab.delivery.git_server import QUIET
from lab.running import servers
from ops.__main__ import main
from ops.rehearsal.entry import refresh_argocd
from tests.lab.checkout import ROOT
from tests.lab.home import ARGOPROJ, GADGETS, OWN, Home, eventually

pytestmark = pytest.mark.xdist_group("home")

LAMP = ("media/lamp", "--image", "example.com/lamp:1.0.0", "--port", "8080", "--host", "lamp.dev.example.com")
GADGET = """\
apiVersion: example.com/v1
kind: Gadget
metadata: {name: late}
"""


def uids(home: Home, category: str) -> dict[str, str]:
    """Return the UIDs of an app's objects, which differ for objects that were created again."""
    kinds = (("apps/v1", "Deployment"), ("v1", "PersistentVolumeClaim"), ("v1", "ConfigMap"))
    found = {kind: home.api.get(version, kind, OWN[category], category) for version, kind in kinds}
    return {kind: one["metadata"]["uid"] for kind, one in found.items() if one}


def everything(home: Home) -> dict[str, dict[str, str]]:
    """Return the UIDs of every Application and of the objects of both categories."""
    found = {one["metadata"]["name"]: one["metadata"]["uid"] for one in home.apps()}
    return {"Applications": found, **{category: uids(home, category) for category in OWN}}


def outlived(home: Home, complaint: str, seconds: float) -> str:
    """Refresh all sets and Applications while Git is down; require that no object goes, and return the conditions."""
    before = everything(home)
    sets = {one["name"] for one in home.api.metadata(ARGOPROJ, "ApplicationSet", "argocd")}
    home.refresh_sets()
    home.refresh(*before["Applications"])
    home.wait_for_condition("media-shelf", complaint)
    home.wait_for_condition("ai-toy", complaint)
    eventually("met by every set", lambda: home.failing_sets() == sets)
    said = home.run("status")
    assert said.code == 1
    assert "Unknown" in said.out
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        home.refresh_sets()
        time.sleep(10)
        assert everything(home) == before
    assert home.failing_sets() == sets
    return said.out


def recovered(home: Home) -> None:
    """Refresh all sets and Applications once Git is back."""
    home.refresh_sets()
    eventually("recovered", lambda: not home.failing_sets())
    home.refresh(*(one["metadata"]["name"] for one in home.apps()))
    for name in ("media-shelf", "ai-toy"):
        home.wait_healthy(name)


def left_of_the_lamp(home: Home) -> list[str]:
    """Return the kinds of the new app's objects that exist."""
    every = "all,configmap,secret,persistentvolumeclaim,networkpolicy,httproute"
    said = home.kubectl(
        "get", every, "--namespace", "media", "--selector", "app.kubernetes.io/name=lamp", "--output", "name"
    )
    return [line.partition("/")[0].partition(".")[0] for line in said.splitlines()]


@pytest.fixture
def workloads(home: Home) -> Iterator[None]:
    """Require that everything of the kept category is the same object afterwards."""
    before = uids(home, "media")
    assert len(before) == 3
    yield
    assert uids(home, "media") == before


@pytest.mark.usefixtures("workloads")
class TestFolders:
    """Folders that are added and removed."""

    def test_a_pushed_app_becomes_an_application_without_up(self, home: Home) -> None:
        assert main(["new", *LAMP, "--root", str(home.root)]) == 0
        home.wait_healthy("media-lamp", home.push())
        route = home.api.get("gateway.networking.k8s.io/v1", "HTTPRoute", "lamp", "media")
        assert route
        assert "lamp.dev.example.com" in route["spec"]["hostnames"]

    def test_a_folder_that_left_is_retired_and_its_objects_stay(self, home: Home) -> None:
        home.remove("apps/media/lamp/dev")
        commit = home.push()
        home.wait_healthy("media-shelf", commit)
        home.wait_for("media-lamp", lambda one: "app path does not exist" in str(one), "without its folder")
        assert {"deployment", "httproute", "networkpolicy", "service"} <= set(left_of_the_lamp(home))
        assert "retired: the folder left Git, the objects stay:\n  media-lamp" in home.settled()

    def test_retired_applications_are_deleted_as_documented(self, home: Home) -> None:
        page = (ROOT / "docs/understanding/handover.md").read_text(encoding="utf-8")
        for command in re.findall(r"^    kubectl (delete .*)$", page, re.MULTILINE):
            home.kubectl(*command.replace("jellyfin", "lamp").split())
        eventually("gone", lambda: left_of_the_lamp(home) == [])
        assert "retired" not in home.settled()

    def test_removal_delete_prunes_all_but_data(self, home: Home) -> None:
        file = "apps/ai/toy/dev/kustomization.yaml"
        before, text = uids(home, "ai"), home.read(file)
        home.remove("apps/ai/toy/dev")
        home.push()
        eventually("deleted", lambda: home.app("ai-toy") is None)
        eventually("pruned", lambda: set(uids(home, "ai")) == {"PersistentVolumeClaim"})
        home.write(file, text)
        home.wait_healthy("ai-toy", home.push())
        after = uids(home, "ai")
        assert after["PersistentVolumeClaim"] == before["PersistentVolumeClaim"]
        assert after["Deployment"] != before["Deployment"]

    @pytest.mark.nightly  # a minute and three
    @pytest.mark.parametrize("seconds", [5, 120])
    def test_an_app_whose_definition_comes_late_recovers_by_itself(self, home: Home, seconds: int) -> None:
        home.write_app("media/gadget", GADGET)
        home.push()
        home.wait_for_condition("media-gadget", "example.com")
        time.sleep(seconds)
        home.write_app("crds/gadgets", GADGETS)
        home.push(look=False)
        look = {"argocd.argoproj.io/application-set-refresh": "true"}
        home.api.annotate(ARGOPROJ, "ApplicationSet", "crds", look, "argocd")
        eventually("defined", lambda: home.api.knows("example.com/v1", "Gadget"))
        home.wait_healthy("media-gadget", seconds=120, ask=False)
        home.remove("apps/media/gadget")
        home.remove("apps/crds/gadgets")
        home.push()
        home.delete_application("media-gadget")
        home.delete_application("crds-gadgets")
        assert home.api.delete("apiextensions.k8s.io/v1", "CustomResourceDefinition", "gadgets.example.com")


@pytest.mark.nightly  # minutes of waiting until the cluster answers again
@pytest.mark.usefixtures("workloads")
class TestAccidents:
    """Failures of Git and of its readers, which cost nothing under `keep`."""

    def test_a_silent_git_server_is_reported_and_costs_nothing(
        self, home: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = everything(home)
        with home.without_git(monkeypatch):
            assert "failed to list refs" in outlived(home, "failed to list refs", 120)
        recovered(home)
        assert everything(home) == before

    def test_a_killed_repo_server_costs_nothing(self, home: Home) -> None:
        before = everything(home)
        with home.without_repo_server():
            outlived(home, "connection refused", 30)
        eventually("back", lambda: servers.runs(home.lab, "argocd-repo-server"))
        home.push_change("blue")
        shelf = home.api.get("v1", "ConfigMap", "shelf", "media")
        assert shelf
        assert shelf["data"] == {"colour": "blue"}
        home.push_change("red")
        recovered(home)
        assert everything(home) == before

    def test_an_empty_revision_prunes_nothing(self, home: Home) -> None:
        where = home.settings.delivery
        bare = git_server.bare_repository(home.lab, where.repository)
        person = {"NAME": "rehearsal", "EMAIL": "rehearsal@lab.invalid"}
        author = {f"GIT_{role}_{part}": text for role in ("AUTHOR", "COMMITTER") for part, text in person.items()}
        environment = {**os.environ, **QUIET, **author}

        def git(*arguments: str) -> str:
            return programs.run("git", "--git-dir", bare, *arguments, env=environment, stdin="").stdout.strip()

        head = git("rev-parse", where.revision)
        empty = git("commit-tree", git("hash-object", "-t", "tree", "-w", "--stdin"), "-m", "oops", "-p", head)
        git("update-ref", f"refs/heads/{where.revision}", empty)
        refresh_argocd(home.lab)
        home.wait_for("media-shelf", lambda one: "app path does not exist" in str(one), "without its folder")
        assert "app path does not exist" in home.status()
        # `delete` as documented: without the folder there is no workload, but objects with data stay.
        eventually("deleted", lambda: home.app("ai-toy") is None)
        eventually("pruned", lambda: set(uids(home, "ai")) == {"PersistentVolumeClaim"})
        deployments = {one["metadata"]["name"] for one in home.api.list("apps/v1", "Deployment", "argocd")}
        assert {"argocd-repo-server", "argocd-server"} <= deployments
        git("update-ref", f"refs/heads/{where.revision}", head)
        refresh_argocd(home.lab)
        home.wait_healthy("media-shelf", head)
        home.wait_healthy("ai-toy", head)

    def test_a_renamed_category_retires_its_applications_and_keeps_their_objects(self, home: Home) -> None:
        listed = [path for path in (home.root / "apps/media").rglob("*") if path.is_file()]
        files = {str(path.relative_to(home.root / "apps/media")): path.read_text(encoding="utf-8") for path in listed}
        assert {"category.yaml", "shelf/base/app.yaml", "shelf/dev/kustomization.yaml"} <= files.keys()
        home.remove("apps/media")
        for file, text in files.items():
            home.write(f"apps/films/{file}", text.replace("media:", "films:"))
        home.push()
        home.wait_for("media-shelf", lambda one: "app path does not exist" in str(one), "without its folder")
        said = home.status()
        home.remove("apps/films")
        for file, text in files.items():
            home.write(f"apps/media/{file}", text)
        home.wait_healthy("media-shelf", home.push())
        assert "retired: the folder left Git, the objects stay:\n  media-shelf" in said

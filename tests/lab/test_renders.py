"""The renders of a commit, and Argo CD's report on an app whose entry is missing in the secret store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.running import servers
from tests.lab.home import SHELF, Home, eventually

pytestmark = pytest.mark.xdist_group("home")

RENDERED = re.compile(r'application"?[=:]"?([a-z0-9-]+)')
BASE = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [app.yaml]
components: [../../../_shared/colours]
"""
SHARED = """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources: [shared.yaml]
"""
CONFIG = "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {colour: COLOUR}}\n"
ASKING = """\
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  name: asking
  annotations: {homelab.dev/entries: "asking-key: random hex 32"}
spec:
  refreshInterval: 1h
  secretStoreRef: {kind: ClusterSecretStore, name: homelab}
  data:
    - {secretKey: key, remoteRef: {key: asking-key, property: value}}
"""


class RenderCount:
    """The applications that the repo-server has rendered since a moment."""

    def __init__(self, log: Path) -> None:
        """Begin now."""
        self.log, self.begin = log, log.stat().st_size

    @property
    def names(self) -> set[str]:
        """Return every application whose manifests were in no cache."""
        with self.log.open("rb") as opened:
            opened.seek(self.begin)
            lines = opened.read().decode("utf-8", errors="replace").splitlines()
        found = (RENDERED.search(line) for line in lines if "manifest cache miss" in line)
        return {match[1] for match in found if match}


@pytest.fixture
def renders(home: Home) -> Iterator[RenderCount]:
    """Count renders from a commit that rendered nothing: a new or removed kind renders every app once more."""
    for number in range(6):
        counted = RenderCount(servers.log_of(home.lab, "argocd-repo-server"))
        home.write("unread/config.yaml", config("nobody", str(number)))
        commit = home.push()
        for app in home.apps():
            home.wait_healthy(app["metadata"]["name"], commit)
        if not counted.names:
            break
    yield counted
    home.remove("unread")


@pytest.fixture
def layered(home: Home) -> Iterator[None]:
    """Add an app with a base, the folder of its environment and a shared component."""
    home.write("apps/_shared/colours/kustomization.yaml", SHARED)
    home.write("apps/_shared/colours/shared.yaml", config("shared", "red"))
    home.write_app("media/layered", config("layered", "red"))
    home.write("apps/media/layered/base/kustomization.yaml", BASE)
    home.wait_healthy("media-layered", home.push())
    yield
    for folder in ("apps/_shared/colours", "apps/media/layered"):
        home.remove(folder)
    home.push()
    home.delete_application("media-layered")
    for name in ("layered", "shared"):
        assert home.api.delete("v1", "ConfigMap", name, "media")


def config(name: str, colour: str) -> str:
    return CONFIG.replace("NAME", name).replace("COLOUR", colour)


def colour(home: Home, name: str) -> str:
    found = home.api.get("v1", "ConfigMap", name, "media") or {"data": {}}
    return str(found["data"].get("colour"))


def test_a_commit_to_one_app_renders_that_app_alone(home: Home, renders: RenderCount) -> None:
    text = home.read(SHELF)
    home.write(SHELF, text.replace("colour: red", "colour: green"))
    commit = home.push()
    for name in ("media-shelf", "ai-toy", "system-argocd", "kube-system-cilium"):
        home.wait_healthy(name, commit)
    home.write(SHELF, text)
    home.wait_healthy("media-shelf", home.push())
    assert renders.names == {"media-shelf"}


@pytest.mark.usefixtures("layered")
@pytest.mark.parametrize(
    ("file", "name"),
    [("apps/media/layered/base/app.yaml", "layered"), ("apps/_shared/colours/shared.yaml", "shared")],
    ids=["base", "shared"],
)
def test_a_commit_to_a_base_or_component_reaches_the_environment(home: Home, file: str, name: str) -> None:
    home.write(file, config(name, "blue"))
    home.wait_healthy("media-layered", home.push())
    eventually("blue", lambda: colour(home, name) == "blue")


@pytest.mark.nightly  # a minute
def test_a_missing_entry_of_the_store_is_seen_and_made(home: Home) -> None:
    home.write_app("media/asking", ASKING)
    commit = home.push()
    found = home.wait_for("media-asking", lambda one: "could not get secret data" in str(one), "failing for its entry")
    assert found["status"]["health"]["status"] == "Degraded"
    listed = home.run("secrets")
    assert listed.code == 1
    assert re.search(r"^asking-key +random, 32 hexadecimal digits +media/asking +missing$", listed.out, re.MULTILINE)
    assert re.search(r"^asking-key .* sent$", home.run("secrets", "--create").out, re.MULTILINE)
    home.wait_healthy("media-asking", commit)
    home.remove("apps/media/asking")
    home.push()
    home.delete_application("media-asking")
    assert home.api.delete("external-secrets.io/v1", "ExternalSecret", "asking", "media")
    assert home.api.delete("v1", "Secret", "asking-key", "secret-source")

"""The product's requests to the Kubernetes plugin, through its own components: the life of one cluster, in runs.

Namespaces that stay, Secrets, the guard, projects and ApplicationSets of the present tree, on a real API server with
Argo CD's own definitions; no controller runs, so that the plugin and the server alone are tested.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import yaml

from components.handover.application_defaults import ALLOW_DELETION
from lab.api import Api
from ops.toolchain import lookup
from tests.lab.plugins.desk import CHECKOUT, Desk
from tests.lab.plugins.story import EngineRuns

pytestmark = [pytest.mark.xdist_group("kubernetes product"), pytest.mark.nightly]

PROGRAM = """
    import os
    from pathlib import Path
    from types import SimpleNamespace

    import pulumi
    from pulumi_command.local import Command
    from pulumi_kubernetes import core
    from pulumi_kubernetes.admissionregistration import v1 as admission
    from pulumi_kubernetes.apiextensions import CustomResource

    from components.handover.application_sets import GitSource, application_set
    from components.handover.guard import guard
    from components.handover.projects import project
    from components.platform.namespaces import Namespaces, NamespacesArgs
    from config.tree import namespaces_of, read_tree
    from stacks.providers import kubernetes_provider

    generation, version = os.environ["GENERATION"], os.environ["VERSION"]
    repository = "https://git.example.org/homelab.git"
    bootstrap = Command("bootstrap", create="true",
                        opts=pulumi.ResourceOptions(replacement_trigger=generation, retain_on_delete=True))
    settings = SimpleNamespace(cluster=SimpleNamespace(name="homelab", generation=generation))
    provider = kubernetes_provider(settings, pulumi.Output.secret(os.environ["TEXT"]))
    tree = read_tree(Path(os.environ["CHECKOUT"]))
    wanted = {name: level for name, level in namespaces_of(tree).items() if name in os.environ["SPACES"].split()}
    spaces = Namespaces("namespaces", NamespacesArgs(wanted, bootstrap),
                        pulumi.ResourceOptions(providers=[provider])).made

    def options(*after):
        return pulumi.ResourceOptions(provider=provider, deleted_with=bootstrap, depends_on=list(after))

    core.v1.Secret("credential", metadata={"name": "credential", "namespace": "argocd"},
                   string_data={"password": pulumi.Output.secret("hunter2")}, opts=options(spaces["argocd"]))
    policy, binding = guard()
    before = [
        admission.ValidatingAdmissionPolicy("guard", metadata=policy["metadata"], spec=policy["spec"], opts=options()),
        admission.ValidatingAdmissionPolicyBinding("binding", metadata=binding["metadata"], spec=binding["spec"],
                                                   opts=options()),
    ]
    for category in tree.chosen(os.environ["CATEGORIES"].split()):
        source = GitSource(repository, version, ".", "production")
        for what, manifest in (("project", project(category, repository)), ("set", application_set(category, source))):
            before = [CustomResource(f"{what}-{category.name}", manifest["apiVersion"], manifest["kind"],
                                     metadata=manifest["metadata"], spec=manifest["spec"],
                                     opts=options(spaces["argocd"], *before))]
"""
SPACES, CATEGORIES = "argocd media", "media system"
# Two namespaces, a project and a set for each category, a Secret, and the guard's two halves.
OBJECTS = 2 + 4 + 3
# The stack, the bootstrap, the provider, and the component of the namespaces.
ALL = OBJECTS + 4
NAMES = ("set-media", "project-media", "guard", "namespaces-media")
ARGOCD = "argoproj.io/v1alpha1"


@pytest.fixture(scope="module")
def life(new_desk: Callable[[str], Desk], kubeconfig: str) -> EngineRuns:
    api, life = Api(kubeconfig), EngineRuns(new_desk("life"))
    folder = lookup.ensure(("argocd-manifests",)).manifests("argocd-manifests") / "argo-cd" / "crds"
    for file in sorted(folder.glob("*-crd.yaml")):
        api.apply(yaml.safe_load(file.read_text()), field_manager="argocd-controller")
    desk = life.desk
    desk.env.update({"PYTHONPATH": str(CHECKOUT), "CHECKOUT": str(CHECKOUT), "TEXT": kubeconfig, "SPACES": SPACES})
    life.record("made", lambda: desk.up(PROGRAM), GENERATION="1", VERSION="main", CATEGORIES=CATEGORIES)
    life.record("settled", lambda: desk.up("", "--refresh"))
    life.record("taken out", desk.up, CATEGORIES="system", VERSION="v2")
    lose(api)
    life.record("rebuilt", desk.up, CATEGORIES=CATEGORIES, GENERATION="2")
    life.record("cut off foreseen", desk.preview, TEXT=re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", kubeconfig))
    life.record("cut off", desk.up, VERSION="v3")
    life.record("looked at", desk.refresh)
    life.record("destroyed", desk.destroy)
    return life


def lose(api: Api) -> None:
    """Delete the objects that a new cluster would not have; the others are adopted."""
    for kind in ("ApplicationSet", "AppProject"):
        for thing in api.list(ARGOCD, kind, "argocd"):
            known = {"name": thing["metadata"]["name"], "namespace": "argocd", "annotations": {ALLOW_DELETION: "true"}}
            api.apply({"apiVersion": ARGOCD, "kind": kind, "metadata": known}, field_manager="person")
            api.delete(ARGOCD, kind, known["name"], "argocd")
    api.delete("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "homelab-guard")


def test_everything_is_made_in_one_run(life: EngineRuns) -> None:
    assert life.runs["made"].counts() == {"created": ALL}, life.runs["made"].text


def test_the_next_run_with_a_refresh_changes_nothing(life: EngineRuns) -> None:
    assert life.runs["settled"].counts() == {"unchanged": ALL}, life.runs["settled"].text


def test_the_guard_refuses_the_deletion_of_a_removed_set(life: EngineRuns) -> None:
    text = life.runs["taken out"].text
    assert life.runs["taken out"].exit_code != 0
    assert "ValidatingAdmissionPolicy 'homelab-guard' with binding 'homelab-guard' denied request: deleting an" in text
    assert {"set-media", "project-media"} <= life.states["taken out"].keys()


def test_a_new_generation_creates_everything_and_deletes_nothing(life: EngineRuns) -> None:
    # The test's two clusters are one server: a deletion of the old objects would take the new ones.
    assert life.runs["rebuilt"].counts()["replaced"] == OBJECTS + 2, life.runs["rebuilt"].text
    before, after = life.states["settled"], life.states["rebuilt"]
    assert before.keys() == after.keys()
    same = {
        name: before[name]["outputs"]["metadata"]["uid"] == after[name]["outputs"]["metadata"]["uid"] for name in NAMES
    }
    assert same == {"set-media": False, "project-media": False, "guard": False, "namespaces-media": True}


@pytest.mark.parametrize("run", ["cut off foreseen", "cut off", "looked at"])
def test_without_the_cluster_nothing_in_it_changes_and_nothing_fails(life: EngineRuns, run: str) -> None:
    assert life.runs[run].exit_code == 0, life.runs[run].text
    before, after = life.states["rebuilt"], life.states[run]
    assert before.keys() == after.keys()
    for name in NAMES:
        assert after[name]["outputs"] == before[name]["outputs"]


def test_without_the_cluster_a_preview_shows_no_change_in_it(life: EngineRuns) -> None:
    text = life.runs["cut off foreseen"].text
    assert "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping..." in text
    assert re.search(rf"Resources:\n    ~ 1 to update\n    {ALL - 1} unchanged", text), text


def test_a_destroy_sends_no_request_to_the_api(life: EngineRuns, api: Api) -> None:
    assert life.runs["destroyed"].exit_code == 0, life.runs["destroyed"].text
    assert life.states["destroyed"] == {}
    assert len(api.list(ARGOCD, "ApplicationSet", "argocd")) == 2
    assert api.get("v1", "Namespace", "media")


@pytest.mark.parametrize("run", ["made", "rebuilt", "looked at"])
def test_no_secret_lies_open_in_the_state(life: EngineRuns, run: str) -> None:
    for open_ in ("hunter2", "aHVudGVyMi", "client-key-data"):
        assert open_ not in life.raw[run]

"""`preview --rehearse`: the report and the rehearsed Argo CD see the same objects change, and nothing is applied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

import programs
from config.load import read_stack
from config.tree import read_tree
from lab.delivery import git_server, repo_server
from lab.delivery.repo_server import AppSource
from lab.running import servers
from manifests.objects import Identity
from ops.checking.validation import StackApp, places_of
from ops.review.rehearsed import observations
from ops.review.report import Rehearsed
from ops.review.revisions import span_of
from ops.review.sides import AppPair, pairs_of, side_of
from tests.lab.checkout import ROOT
from tests.lab.home import ENVIRONMENT, IN_ENVIRONMENT, KUSTOMIZATION, WORKLOAD, Home, laid
from tests.repository import commit_all

pytestmark = [pytest.mark.xdist_group("home"), pytest.mark.nightly]

SAMPLE, CHART, SHARED = "apps/media/sample", "apps/media/chart", "apps/_shared/sample"
APP = f"{SAMPLE}/base/app.yaml"
IN_BASE = f"{KUSTOMIZATION.replace('RESOURCES', 'app.yaml')}components: [../../../_shared/sample]\n"
GENERATED = "configMapGenerator: [{name: generated, literals: [mode=one]}]\n"
PATCH = '[{"op": "replace", "path": "/spec/replicas", "value": 2}]'
PATCHED = f"patches: [{{target: {{kind: Deployment}}, patch: '{PATCH}'}}]\n"
ENV = """\
          env:
            - {name: FIRST, value: one}
            - {name: SECOND, value: two}
          envFrom: [{configMapRef: {name: generated}}]
"""
SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {name: sample}
spec:
  selector: {app.kubernetes.io/name: sample}
  ports: [{name: http, port: 80}]
"""
COMPONENT = """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources: [shared.yaml]
"""
CONFIG = "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {colour: COLOUR}}\n"
TEMPLATE = CONFIG.replace("NAME", "{{ .Release.Name }}").replace("COLOUR", "{{ .Values.colour }}")
FILES = {
    APP: WORKLOAD.replace("APP", "sample").replace(
        "          securityContext: {allow", f"{ENV}          securityContext: {{allow"
    ),
    f"{SAMPLE}/base/kustomization.yaml": f"{IN_BASE}{GENERATED}",
    f"{SAMPLE}/{ENVIRONMENT}/kustomization.yaml": f"{IN_ENVIRONMENT}{PATCHED}",
    f"{SHARED}/kustomization.yaml": COMPONENT,
    f"{SHARED}/shared.yaml": CONFIG.replace("NAME", "shared").replace("COLOUR", "red"),
    f"{CHART}/{ENVIRONMENT}/Chart.yaml": "{apiVersion: v2, name: chart, version: 1.0.0}\n",
    f"{CHART}/{ENVIRONMENT}/templates/config.yaml": TEMPLATE,
    f"{CHART}/base/values.yaml": "colour: red\n",
}

Edit = Callable[[Home], None]


@dataclass(frozen=True)
class Change:
    """One change of the sample, and the objects that differ after it, by app."""

    name: str
    edit: Edit
    objects: Mapping[str, int]


def replaces(file: str, old: str, new: str) -> Edit:
    return lambda home: home.edit(old, new, file)


def reorders(home: Home) -> None:
    first, second = ENV.splitlines(keepends=True)[1:3]
    home.edit(f"{first}{second}", f"{second}{first}", APP)


def sets_a_domain(home: Home) -> None:
    home.edit("domain: dev.example.com", "domain: other.example.com")
    home.write_settings()


def adds_an_app(home: Home) -> None:
    home.write_app("media/late", WORKLOAD.replace("APP", "late"))
    home.write_settings()


CHANGES = (
    Change("an image", replaces(APP, "sample:1.0.0", "sample:1.1.0"), {"media/sample": 1}),
    Change("a variable", replaces(APP, "value: two", "value: three"), {"media/sample": 1}),
    Change("values of a chart", replaces(f"{CHART}/base/values.yaml", "red", "green"), {"media/chart": 1}),
    Change("an added object", lambda home: home.write(APP, home.read(APP) + SERVICE), {"media/sample": 1}),
    Change(
        "a removed object", lambda home: home.write(APP, home.read(APP).rpartition("---\n")[0]), {"media/sample": 1}
    ),
    # The old and the new ConfigMap, and the workload that refers to them.
    Change(
        "a generated ConfigMap",
        replaces(f"{SAMPLE}/base/kustomization.yaml", "mode=one", "mode=two"),
        {"media/sample": 3},
    ),
    Change(
        "a patch",
        replaces(f"{SAMPLE}/{ENVIRONMENT}/kustomization.yaml", '"value": 2', '"value": 3'),
        {"media/sample": 1},
    ),
    Change("a shared component", replaces(f"{SHARED}/shared.yaml", "colour: red", "colour: blue"), {"media/sample": 1}),
    Change("an order of a list", reorders, {}),
    Change("a setting", sets_a_domain, {"system/argocd": 3}),
    Change("an added app", adds_an_app, {"media/late": 3}),
    Change("a removed app", lambda home: shutil.rmtree(home.root / SAMPLE), {"media/sample": 5}),
)


@pytest.fixture(scope="module")
def sample(home: Home) -> Iterator[Home]:
    """Commit the checkout with an app and an umbrella chart that are not in the cluster."""
    laid(home.root, FILES)
    home.write_settings()
    commit_all(home.root)
    yield home
    for folder in (SAMPLE, CHART, SHARED):
        home.remove(folder)
    home.write_settings()


@dataclass(frozen=True)
class Preview:
    """What the report and Argo CD found of one change."""

    pairs: Mapping[str, AppPair]
    rehearsed: Rehearsed


@pytest.fixture(scope="module")
def cluster(sample: Home) -> str:
    """Return the state of the cluster before the first preview."""
    return state_of(sample)


@pytest.fixture(scope="module")
def previews(sample: Home, cluster: str) -> dict[str, Preview]:
    """Preview every change, each alone."""
    assert cluster
    return {change.name: preview(sample, change.edit) for change in CHANGES}


def preview(home: Home, edit: Edit) -> Preview:
    try:
        edit(home)
        span = span_of(home.root, "HEAD")
        with span.before() as folder:
            before = side_of(folder, [home.stack])
            after = side_of(span.root, [home.stack], before)
            pairs = pairs_of(before, after, [home.stack])
            # Of its own charts Argo CD renders the same stand-ins: what they do not show, neither side has.
            assert [one for one in pairs.notes if "stand-ins" not in one] == []
            rehearsed = observations(home.root, home.stack, home.settings, span, folder, pairs.apps)
        return Preview({one.label: one for one in pairs.apps}, rehearsed)
    finally:
        programs.run("git", "reset", "--hard", "--quiet", cwd=home.root)
        programs.run("git", "clean", "--force", "-d", "--quiet", "apps", cwd=home.root)


def state_of(home: Home) -> str:
    """Return every Application with its commit and last sync, their objects, and the refs of the repository."""
    found: dict[str, object] = {}
    for app in home.apps():
        name, status = app["metadata"]["name"], app["status"]
        found[name] = [app["spec"], status["sync"].get("revision"), status.get("operationState", {}).get("finishedAt")]
        for one in status.get("resources", ()):
            version = f"{one['group']}/{one['version']}" if one.get("group") else one["version"]
            item = home.api.get(version, one["kind"], one["name"], one.get("namespace", ""))
            assert item is not None, one
            meta = item["metadata"]
            # Controllers write a status at any time, which changes no generation.
            key = Identity(one.get("group", ""), one["kind"], one.get("namespace", ""), one["name"])
            found[f"{name} {key}"] = [meta["uid"], meta.get("generation") or meta["resourceVersion"]]
    return json.dumps([found, refs_of(home)], sort_keys=True)


def source_of(place: StackApp) -> AppSource:
    return AppSource(place.app.full_name, place.app.category, place.namespace, place.app.path)


def refs_of(home: Home) -> str:
    bare = git_server.bare_repository(home.lab, git_server.served_as(home.settings.delivery.repository))
    return programs.run("git", "--git-dir", bare, "for-each-ref").stdout


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_the_report_has_the_objects_that_argo_cd_renders_otherwise(
    previews: dict[str, Preview], change: Change
) -> None:
    found = previews[change.name]
    said = {one.app: (one.objects, one.differences, one.error) for one in found.rehearsed.observations}
    assert {app: objects for app, (objects, *_) in said.items() if objects} == change.objects
    assert {app: rest for app, (_, *rest) in said.items() if rest != [(), ""]} == {}
    assert set(found.pairs) == set(change.objects)
    assert found.rehearsed.note == ""


@pytest.mark.usefixtures("previews")
def test_a_preview_changes_nothing_in_the_cluster_or_in_git(sample: Home, cluster: str) -> None:
    assert state_of(sample) == cluster


def test_the_verb_reports_the_renders_of_argo_cd(sample: Home, cluster: str) -> None:
    replaces(APP, "sample:1.0.0", "sample:1.1.0")(sample)
    try:
        ran = sample.run("preview", "--rehearse", "--base", "HEAD", "--format", "json")
    finally:
        programs.run("git", "reset", "--hard", "--quiet", cwd=sample.root)
    assert ran.code == 0, ran.err
    found = {"stack": sample.stack, "app": "media/sample", "objects": 1, "differences": [], "error": ""}
    assert ran.result["rehearsed"] == {"observations": [found], "note": ""}
    assert state_of(sample) == cluster


def test_the_numbers_of_the_documentation_are_those_of_this_test(previews: dict[str, Preview]) -> None:
    objects = sum(one.objects for each in previews.values() for one in each.rehearsed.observations)
    text = " ".join((ROOT / "docs/understanding/rehearsal.md").read_text(encoding="utf-8").split())
    assert f"{len(CHANGES)} example changes, {objects} objects that differ, 0 differences" in text


def test_argo_cd_is_asked_as_by_its_own_controller(home: Home) -> None:
    where = home.settings.delivery
    repository = git_server.served_as(where.repository)
    commit = git_server.head_of(home.lab, repository, where.revision)
    log = servers.log_of(home.lab, repo_server.NAME)
    with repo_server.connected(home.lab, repository) as server:
        names = {app["metadata"]["name"] for app in home.apps()}
        for name in sorted(names):
            home.wait_healthy(name, commit)
        begin = log.stat().st_size
        places = places_of(read_stack(home.root / f"Pulumi.{home.stack}.yaml"), read_tree(home.root))
        sources = {place.app.full_name: source_of(place) for place in places if place.app.full_name in names}
        assert all(server.objects(source, commit) for source in sources.values())
    with log.open("rb") as opened:
        opened.seek(begin)
        said = opened.read().decode()
    assert (said.count("manifest cache hit"), said.count("manifest cache miss")) == (len(names), 0)

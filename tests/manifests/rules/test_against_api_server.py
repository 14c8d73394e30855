"""The schemas accept each object that a real API server accepts: stricter ones would refuse good manifests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.load import read_stacks
from config.tree import namespaces_of, read_tree
from lab.api import Api, ApiAnswer
from lab.control_plane import kubernetes
from lab.layout import Lab
from lab.running import servers
from manifests.objects import CRD, Object
from manifests.rules import conformance
from manifests.rules.stack_objects import AppObject, StackObjects, is_cluster_wide
from ops.checking.validation import SCHEMAS, Validation
from ops.toolchain.lookup import ensure
from tests.lab.control_plane.test_kubernetes import generated
from tests.manifests.rules.test_robust import mutants

pytestmark = pytest.mark.nightly
ROOT = Path(__file__).parents[3]
DRY = {"dryRun": "All", "fieldValidation": "Strict"}
CONFLICT = 409  # Kubernetes creates some roles itself
KINDS = (
    *("Deployment", "StatefulSet", "CronJob", "Service", "PersistentVolumeClaim", "PodDisruptionBudget", "ConfigMap"),
    *("HTTPRoute", "Gateway", "ExternalSecret", "Certificate", "Cluster", "ReplicationSource", "Rollout"),
)
SHARE, ENOUGH = 5, 100


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("cluster")
    env = ensure((*kubernetes.PARTS, "talosctl")).env()
    lab = Lab(folder / "lab")
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("PATH", env["PATH"])
            kubernetes.start(lab, generated(folder, "homelab"))
        yield Api.of(lab)
    finally:
        servers.stop_all(lab)


@pytest.fixture(scope="module")
def looked_at(api: Api) -> tuple[Validation, StackObjects]:
    """Render the tree for the stack homelab, and create its namespaces and definitions in the API server."""
    stacks = read_stacks(ROOT)
    seen = Validation(ROOT, [one for one in stacks if one.name == "homelab"], read_tree(ROOT))
    seen.render()
    assert seen.problems == []
    objects = seen.stack_objects(seen.stacks[0])
    begin(api, objects, namespaces_of(seen.tree))
    return seen, objects


def begin(api: Api, objects: StackObjects, namespaces: Iterable[str]) -> None:
    """Create the namespaces and the definitions that the objects need."""
    for namespace in namespaces:
        if api.get("v1", "Namespace", namespace) is None:
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    crds = [*objects.registered, *(obj.item for obj in objects.of(CRD))]
    for crd in crds:
        api.apply(crd, field_manager="test", force=True)
    for crd in crds:
        name = crd["metadata"]["name"]
        api.wait(crd["apiVersion"], CRD, name, until=established, what="established", seconds=60)


def established(crd: Object | None) -> bool:
    said = ((crd or {}).get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in said)


def tried(api: Api, objects: StackObjects, obj: AppObject) -> ApiAnswer:
    """Send an object to the API server as a dry run, and return the answer."""
    item: dict[str, Any] = {**obj.item, "metadata": {**obj.metadata}}
    if not is_cluster_wide(objects, obj):
        item["metadata"].setdefault("namespace", obj.namespace)
    namespace = item["metadata"].get("namespace") or ""
    path = api.path(item["apiVersion"], obj.kind, namespace if isinstance(namespace, str) else "x")
    return api.request("POST", path, query=DRY, body=item)


def asked(api: Api, objects: StackObjects, objs: Sequence[AppObject]) -> list[ApiAnswer]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda obj: tried(api, objects, obj), objs))


def test_every_object_of_the_tree_is_taken(api: Api, looked_at: tuple[Validation, StackObjects]) -> None:
    _, objects = looked_at
    objs = [obj for obj in objects.all if obj.kind != CRD]
    refused = [
        f"{obj.app.path}: {obj}: {answer.message}"
        for obj, answer in zip(objs, asked(api, objects, objs), strict=True)
        if not answer.ok and answer.code != CONFLICT
    ]
    assert refused == []


def test_the_schemas_refuse_nothing_that_an_api_server_takes(
    api: Api, looked_at: tuple[Validation, StackObjects]
) -> None:
    seen, objects = looked_at
    one_each = tuple(next(objects.of(kind)) for kind in KINDS)
    crds = tuple(objects.of(CRD))
    some = tuple(mutants(replace(objects, all=one_each)))[::SHARE]
    judge = conformance.Conformer(seen.tools.manifests(SCHEMAS) / "kubernetes", seen.tools.env(), kept=None)
    found, _ = conformance.check(judge, [replace(objects, all=(*crds, *some))])
    refused = {id(one.obj): one for one in found}
    taken = [obj for obj, answer in zip(some, asked(api, objects, some), strict=True) if answer.ok]
    assert len(taken) > ENOUGH
    stricter = [f"{one.app.path}: {refused[id(one)].rule}" for one in taken if id(one) in refused]
    # Null in a list or as a required field is a mistake in a manifest, but Go reads it as empty or as zero.
    assert [said for said in stricter if "got null" not in said] == []

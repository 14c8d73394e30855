"""The requests to a rehearsed repo-server, and its answers, on a real gRPC connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped] # it ships none
import pytest
from google.protobuf import json_format  # type: ignore[import-untyped] # likewise

from errors import ApiFailed, RenderFailed, TryAgain
from lab.api import Api
from lab.delivery import argocd_cache, repo_server
from lab.delivery.repo_server import TRACKING, AppSource
from lab.layout import Lab
from lab.running import servers

REPOSITORY = "https://git.example.com/me/homelab.git"
SECRETS = {"url": "aHR0cHM6Ly9naXQuZXhhbXBsZS5jb20vbWUvaG9tZWxhYi5naXQ=", "username": "Z2l0", "password": "c2VjcmV0"}
CLUSTER = {"serverVersion": "v1.36.3", "apiVersions": ["v1", "apps/v1"]}
JELLYFIN = AppSource("media-jellyfin", "media", "media", "apps/media/jellyfin/dev")
ITEM = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}


@dataclass
class Server:
    """A repo-server that records requests and returns the manifests that a test chose."""

    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)
    refusal: tuple[grpc.StatusCode, str] | None = None

    def answer(self, request: Any, context: Any) -> Any:
        self.requests.append(json_format.MessageToDict(request))
        if self.refusal:
            context.abort(*self.refusal)
        return repo_server._message("ManifestResponse")(manifests=self.manifests)


class Cluster:
    """The objects of Argo CD that a request is made of."""

    def get(self, _version: str, kind: str, name: str, _namespace: str) -> dict[str, Any] | None:
        assert (kind, name) == ("ConfigMap", "argocd-cm")
        return {"data": {"kustomize.buildOptions": "--enable-helm", "installationID": "one"}}

    def list(self, _version: str, kind: str, _namespace: str, labels: str) -> list[dict[str, Any]]:
        assert (kind, labels) == ("Secret", "argocd.argoproj.io/secret-type=repository")
        return [{"data": {"url": "aHR0cHM6Ly9vdGhlci5leGFtcGxlLmNvbQ=="}}, {"data": SECRETS}]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


@pytest.fixture
def server(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve on a free port, which the lab has recorded."""
    made, grpc_server = Server(), grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        made.answer,
        request_deserializer=repo_server._message("ManifestRequest").FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )
    service, _, method = repo_server.METHOD.strip("/").partition("/")
    grpc_server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    made.port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    monkeypatch.setattr(servers, "port", lambda _lab, name: {repo_server.NAME: made.port}[name])
    monkeypatch.setattr(Api, "of", lambda _lab: Cluster())
    monkeypatch.setattr(argocd_cache, "values", lambda _lab, _pattern: {"one": CLUSTER})
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    yield made
    grpc_server.stop(None).wait()


def test_a_request_has_what_the_controller_sends(server: Server, lab: Lab) -> None:
    with repo_server.connected(lab, REPOSITORY) as connected:
        assert connected.kubernetes == "v1.36.3"
        assert connected.objects(JELLYFIN, "c0ffee") == []
    assert server.requests == [
        {
            "repo": {"repo": REPOSITORY, "username": "git", "password": "secret", "type": "git"},
            "revision": "c0ffee",
            "appLabelKey": "app.kubernetes.io/instance",
            "appName": "media-jellyfin",
            "namespace": "media",
            "applicationSource": {
                "repoURL": REPOSITORY,
                "path": "apps/media/jellyfin/dev",
                "targetRevision": "c0ffee",
            },
            "kustomizeOptions": {"buildOptions": "--enable-helm"},
            "kubeVersion": "v1.36.3",
            "apiVersions": ["v1", "apps/v1"],
            "trackingMethod": "annotation",
            "helmOptions": {"valuesFileSchemes": ["https", "http"]},
            "projectName": "media",
            "installationID": "one",
        }
    ]


def test_an_umbrella_chart_gets_its_values_files(server: Server, lab: Lab) -> None:
    app = AppSource("media-chart", "media", "media", "apps/media/chart/dev", ("../base/values.yaml", "values.yaml"))
    with repo_server.connected(lab, REPOSITORY) as connected:
        connected.objects(app, "c0ffee")
    (request,) = server.requests
    assert request["applicationSource"]["helm"] == {
        "valueFiles": ["../base/values.yaml", "values.yaml"],
        "ignoreMissingValueFiles": True,
    }


def test_objects_come_without_the_annotation_that_tracks_them(server: Server, lab: Lab) -> None:
    metadata = {"name": "two", "annotations": {TRACKING: "media-jellyfin:/ConfigMap:media/two", "kept": "yes"}}
    tracked = {**ITEM, "metadata": {"name": "one", "annotations": {TRACKING: "media-jellyfin:/ConfigMap:media/one"}}}
    server.manifests = [json.dumps(tracked), json.dumps({**ITEM, "metadata": metadata})]
    with repo_server.connected(lab, REPOSITORY) as connected:
        found = connected.objects(JELLYFIN, "c0ffee")
    assert found == [ITEM, {**ITEM, "metadata": {"name": "two", "annotations": {"kept": "yes"}}}]


def test_a_failed_render_is_one_of_the_app_and_an_absent_answer_is_not(server: Server, lab: Lab) -> None:
    server.refusal = (grpc.StatusCode.UNKNOWN, "`kustomize build` failed exit status 1")
    with repo_server.connected(lab, REPOSITORY) as connected:
        with pytest.raises(RenderFailed, match=r"^`kustomize build` failed exit status 1$"):
            connected.objects(JELLYFIN, "c0ffee")
        server.refusal = (grpc.StatusCode.UNAVAILABLE, "gone")
        with pytest.raises(TryAgain) as refused:
            connected.objects(JELLYFIN, "c0ffee")
    assert str(refused.value) == "the rehearsed Argo CD does not answer: gone; run the same command again"


@pytest.mark.usefixtures("server")
def test_a_cluster_that_argo_cd_has_not_read_and_an_unknown_repository_are_refused(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        pytest.raises(ApiFailed, match=r"^the rehearsed Argo CD has no repository https://git.example.com/other$"),
        repo_server.connected(lab, "https://git.example.com/other"),
    ):
        pass
    monkeypatch.setattr(argocd_cache, "values", lambda _lab, _pattern: {})
    with pytest.raises(TryAgain) as refused, repo_server.connected(lab, REPOSITORY):
        pass
    assert str(refused.value) == "the rehearsed Argo CD has not read its cluster yet; run the same command again"

"""Renders of any commit by the rehearsed Argo CD: requests to its repo-server, as its controller sends them.

The source of an app and a commit come in, the objects of Argo CD's render go out. The request has the same settings,
credentials and cluster facts as a controller's, so that the repo-server answers a commit that it has rendered for the
controller from its cache. Nothing reaches the cluster. `ops.review.rehearsed` compares the objects of two commits.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import grpc  # type: ignore[import-untyped] # it ships none
from google.protobuf import (  # type: ignore[import-untyped] # likewise
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
)

from errors import ApiFailed, RenderFailed, TryAgain
from lab.api import Api, Object
from lab.delivery import argocd, argocd_cache
from lab.layout import Lab
from lab.running import servers

NAME = "argocd-repo-server"
METHOD = "/repository.RepoServerService/GenerateManifest"
IN_CLUSTER = "https://kubernetes.default.svc"
SECONDS_TO_RENDER = 180.0
TRACKING = "argocd.argoproj.io/tracking-id"
# The fields of Argo CD's messages that a request needs, by their numbers in reposerver/repository/repository.proto and
# pkg/apis/application/v1alpha1/generated.proto; `*` marks a list.
FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Repository": {"repo": (1, "string"), "username": (2, "string"), "password": (3, "string"), "type": (11, "string")},
    "Helm": {"valueFiles": (1, "*string"), "ignoreMissingValueFiles": (8, "bool")},
    "Source": {
        "repoURL": (1, "string"),
        "path": (2, "string"),
        "targetRevision": (4, "string"),
        "helm": (7, "Helm"),
    },
    "KustomizeOptions": {"buildOptions": (1, "string")},
    "HelmOptions": {"valuesFileSchemes": (1, "*string")},
    "ManifestRequest": {
        "repo": (1, "Repository"),
        "revision": (2, "string"),
        "appLabelKey": (4, "string"),
        "appName": (5, "string"),
        "namespace": (8, "string"),
        "applicationSource": (10, "Source"),
        "kustomizeOptions": (13, "KustomizeOptions"),
        "kubeVersion": (14, "string"),
        "apiVersions": (15, "*string"),
        "trackingMethod": (19, "string"),
        "helmOptions": (21, "HelmOptions"),
        "projectName": (25, "string"),
        "installationID": (27, "string"),
    },
    "ManifestResponse": {"manifests": (1, "*string")},
}
TYPES = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
}
MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
ONE, MANY = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL, descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED


@dataclass(frozen=True)
class AppSource:
    """An Application's name, project and namespace, and the folder in Git that it is rendered from."""

    name: str
    project: str
    namespace: str
    path: str
    value_files: Sequence[str] = ()
    """The values files of an umbrella chart; those that do not exist are ignored."""


@dataclass(frozen=True)
class RepoServer:
    """The repo-server of a rehearsal, with everything that is equal in all requests."""

    channel: Any
    repository: str
    common: Mapping[str, Any] = field(repr=False)  # it has the password of the Git server

    @property
    def kubernetes(self) -> str:
        """Return the version of Kubernetes that charts are rendered for."""
        return str(self.common["kubeVersion"])

    def objects(self, app: AppSource, commit: str) -> list[Object]:
        """Return the objects of an app at a commit, without the annotation by which Argo CD tracks them."""
        request = json_format.ParseDict(self._request(app, commit), _message("ManifestRequest")())
        call = self.channel.unary_unary(
            METHOD,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_message("ManifestResponse").FromString,
        )
        try:
            answer = call(request, timeout=SECONDS_TO_RENDER)
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise TryAgain(
                    f"the rehearsed Argo CD does not answer: {error.details()}; run the same command again"
                ) from None
            raise RenderFailed(error.details()) from None
        return [untracked(json.loads(text)) for text in answer.manifests]

    def _request(self, app: AppSource, commit: str) -> dict[str, Any]:
        source: dict[str, Any] = {"repoURL": self.repository, "path": app.path, "targetRevision": commit}
        if app.value_files:
            source["helm"] = {"valueFiles": list(app.value_files), "ignoreMissingValueFiles": True}
        own = {"appName": app.name, "namespace": app.namespace, "projectName": app.project}
        return {**self.common, **own, "revision": commit, "applicationSource": source}


@contextmanager
def connected(lab: Lab, repository: str) -> Iterator[RepoServer]:
    """Yield the repo-server of a rehearsal for the apps of a repository."""
    options = (("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0))
    with grpc.insecure_channel(f"127.0.0.1:{servers.port(lab, NAME)}", options) as channel:
        yield RepoServer(channel, repository, _common(lab, repository))


def untracked(item: Object) -> Object:
    """Return the object without the annotation by which Argo CD tracks it."""
    meta = dict(item["metadata"])
    kept = {name: value for name, value in (meta.pop("annotations", None) or {}).items() if name != TRACKING}
    return {**item, "metadata": {**meta, **({"annotations": kept} if kept else {})}}


def _common(lab: Lab, repository: str) -> dict[str, Any]:
    """Return the fields that the controller takes from Argo CD's settings, its Secrets and the cluster."""
    api = Api.of(lab)
    settings = (api.get("v1", "ConfigMap", "argocd-cm", argocd.NAMESPACE) or {}).get("data") or {}
    schemes = settings.get("helm.valuesFileSchemes", "https,http").split(",")
    cluster = next(iter(argocd_cache.values(lab, f"cluster|info|{IN_CLUSTER}|*").values()), None)
    if cluster is None:
        raise TryAgain("the rehearsed Argo CD has not read its cluster yet; run the same command again")
    return {
        "repo": {"repo": repository, "type": "git", **_credentials(api, repository)},
        "appLabelKey": settings.get("application.instanceLabelKey") or "app.kubernetes.io/instance",
        "trackingMethod": settings.get("application.resourceTrackingMethod") or "annotation",
        "installationID": settings.get("installationID", ""),
        "kustomizeOptions": {"buildOptions": settings.get("kustomize.buildOptions", "")},
        "helmOptions": {"valuesFileSchemes": [one.strip() for one in schemes if one.strip()]},
        "kubeVersion": cluster["serverVersion"],
        "apiVersions": cluster["apiVersions"],
    }


def _credentials(api: Api, repository: str) -> dict[str, str]:
    """Return the user and password of a repository, from the Secret that Argo CD reads."""
    labels = "argocd.argoproj.io/secret-type=repository"
    for secret in api.list("v1", "Secret", argocd.NAMESPACE, labels):
        texts = {name: base64.b64decode(value).decode() for name, value in (secret.get("data") or {}).items()}
        if texts.get("url") == repository:
            return {name: texts[name] for name in ("username", "password") if name in texts}
    raise ApiFailed(f"the rehearsed Argo CD has no repository {repository}", code=0)


def _message(name: str) -> Any:
    """Return the class of one of Argo CD's messages."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"argocd.{name}"))


@cache
def _pool() -> Any:
    """Return the descriptions of the messages in `FIELDS`."""
    file = descriptor_pb2.FileDescriptorProto(name="argocd.proto", package="argocd", syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for key, (number, kind) in fields.items():
            one = kind.removeprefix("*")
            known = {"type": TYPES[one]} if one in TYPES else {"type": MESSAGE, "type_name": f".argocd.{one}"}
            label = MANY if kind.startswith("*") else ONE
            message.field.add(name=key, json_name=key, number=number, label=label, **known)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool

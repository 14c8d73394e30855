"""A client of the rehearsed Kubernetes API, in the words of kubectl: get, list, apply, create, delete, wait.

    api = Api.of(lab)
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "media"}}, field_manager="me")
    api.wait("v1", "Node", "one", until=lambda node: condition(node, "Ready"), what="Ready", seconds=20)

A kubeconfig with its authority, certificate and key inside comes in, and objects as plain dictionaries. Objects go out,
None for a missing one, or `ApiFailed` with the message of the API server. All modules that act on the rehearsed cluster
continue from here.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from errors import ApiFailed, TookTooLong
from lab.layout import Lab

Object = dict[str, Any]
Texts = Mapping[str, str]

POLL = 0.1
CONNECT, ANSWER = 5, 30
# As many as the threads of a plugin; a connection beyond the pool would be closed after every answer.
CONNECTIONS = 64
# "storage is (re)initializing": a server that is ready may still have to read its objects of a kind.
AGAIN = Retry(
    10,
    connect=0,
    read=0,
    status_forcelist=[HTTPStatus.TOO_MANY_REQUESTS],
    allowed_methods={"GET"},
    raise_on_status=False,
)
APPLY = "application/apply-patch+yaml"
KINDS = "x-kubernetes-group-version-kind"
MERGE = "application/merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class ApiAnswer:
    """The API server's answer to a request."""

    code: int
    body: Object

    @property
    def ok(self) -> bool:
        """Report whether the request succeeded."""
        return self.code < HTTPStatus.BAD_REQUEST

    @property
    def reason(self) -> str:
        """The reason of a refusal in one word of Kubernetes, such as AlreadyExists or Conflict."""
        return str(self.body.get("reason", ""))

    @property
    def message(self) -> str:
        """The server's message about a refusal."""
        return str(self.body.get("message", self.code))


class Api:
    """A client of one API server, with one identity."""

    def __init__(self, kubeconfig: str) -> None:
        """Read the server and the identity from a kubeconfig."""
        config = yaml.safe_load(kubeconfig)
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        self.server: str = cluster["server"]
        self._session = requests.Session()
        # A proxy in the environment is for the programs that must not get out; the API server is on loopback.
        self._session.trust_env = False
        self._session.mount("https://", _Identified(_ssl(cluster, user)))
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    @classmethod
    def of(cls, lab: Lab) -> Api:
        """Return a client of a lab's control plane, as its administrator."""
        return cls(lab.kubeconfig.read_text(encoding="utf-8"))

    def ask(self, path: str) -> str:
        """Return the server's answer to a path, such as /readyz."""
        return self._call("GET", path).text

    def knows(self, api_version: str, kind: str) -> bool:
        """Report whether the server serves a kind and publishes its schema, which comes a moment later."""
        try:
            root = _root(api_version)
            self._resource(root, api_version, kind)
            # The server publishes an empty document for a group that was just removed.
            published = json.loads(self.ask(f"/openapi/v3{root}") or "{}")
        except ApiFailed as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise
        schemas = published.get("components", {}).get("schemas", {}).values()
        return any(one["kind"] == kind for schema in schemas for one in schema.get(KINDS, []))

    def namespaced(self, api_version: str, kind: str) -> bool | None:
        """Report whether a kind is namespaced; None if the server does not serve it."""
        try:
            return self._resource(_root(api_version), api_version, kind)[1]
        except ApiFailed as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        body: Any = None,
    ) -> ApiAnswer:
        """Send any request, where the caller decides about a refusal; `path` has the paths of objects."""
        sent = "" if body is None else json.dumps(body)
        answer = self._reach(method, path, query=query, headers={"Content-Type": content}, body=sent)
        try:
            document = answer.json()
        except ValueError:
            document = {"message": answer.text[:300]}
        return ApiAnswer(answer.status_code, document if isinstance(document, dict) else {"message": str(document)})

    def get(self, api_version: str, kind: str, name: str, namespace: str = "") -> Object | None:
        """Return an object, or None if it does not exist."""
        try:
            found: Object = self._call("GET", self.path(api_version, kind, namespace, name)).json()
        except ApiFailed as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise
        return found

    def list(self, api_version: str, kind: str, namespace: str = "", labels: str = "") -> list[Object]:
        """Return all objects of a kind, in one namespace or in all, by a label selector if there is one."""
        query = {"labelSelector": labels} if labels else {}
        found = self._call("GET", self.path(api_version, kind, namespace), query=query).json()
        return [{"apiVersion": api_version, "kind": kind, **item} for item in found["items"]]

    def metadata(self, api_version: str, kind: str, namespace: str = "") -> Sequence[Object]:
        """Return the metadata of all objects of a kind: for frequent reads of large objects."""
        found = self._call("GET", self.path(api_version, kind, namespace), headers={"Accept": METADATA}).json()
        return [item["metadata"] for item in found["items"] or ()]

    def count(self, api_version: str, kind: str) -> int:
        """Return the number of objects without reading them."""
        found = self._call("GET", self.path(api_version, kind), query={"limit": "1"}).json()
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount") or 0)

    def apply(self, thing: Mapping[str, Any], *, field_manager: str, force: bool = False) -> Object:
        """Apply an object on the server's side, as a field manager."""
        query = {"fieldManager": field_manager, "force": str(force).lower()}
        return self._send("PATCH", self._path_of(thing), thing, content=APPLY, query=query)

    def create(self, thing: Mapping[str, Any]) -> Object:
        """Create an object; the server refuses an existing one."""
        return self._send("POST", self._path_of(thing, named=False), thing)

    def delete(self, api_version: str, kind: str, name: str, namespace: str = "") -> bool:
        """Delete an object and, in the background as kubectl does, its dependents; report whether it existed."""
        try:
            path = self.path(api_version, kind, namespace, name)
            self._call("DELETE", path, query={"propagationPolicy": "Background"})
        except ApiFailed as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def delete_all(self, api_version: str, kind: str, namespace: str) -> None:
        """Delete all objects of a kind in a namespace."""
        self._call("DELETE", self.path(api_version, kind, namespace))

    def annotate(
        self, api_version: str, kind: str, name: str, annotations: Mapping[str, str | None], namespace: str = ""
    ) -> Object:
        """Add annotations to an object; None removes one."""
        path = self.path(api_version, kind, namespace, name)
        return self._send("PATCH", path, {"metadata": {"annotations": annotations}}, content=MERGE)

    def patch_status(
        self, api_version: str, kind: str, name: str, status: Mapping[str, Any], namespace: str = ""
    ) -> Object:
        """Change parts of an object's status; lists are replaced whole."""
        path = f"{self.path(api_version, kind, namespace, name)}/status"
        return self._send("PATCH", path, {"status": status}, content=MERGE)

    def wait(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str = "",
        *,
        until: Callable[[Object | None], bool],
        what: str,
        seconds: float,
    ) -> Object | None:
        """Poll an object until a condition is met, and return it; None if its absence is required."""
        deadline = time.monotonic() + seconds
        while not until(found := self.get(api_version, kind, name, namespace)):
            if time.monotonic() > deadline:
                last = json.dumps(found.get("status", {}))[:500] if found else "it does not exist"
                identity = "/".join(part for part in (kind, namespace, name) if part)
                raise TookTooLong(f"{identity}: not {what} after {seconds:.0f} s; last seen: {last}")
            time.sleep(POLL)
        return found

    def _path_of(self, thing: Mapping[str, Any], *, named: bool = True) -> str:
        metadata = thing["metadata"]
        name = metadata["name"] if named else ""
        return self.path(thing["apiVersion"], thing["kind"], metadata.get("namespace", ""), name)

    def path(self, api_version: str, kind: str, namespace: str = "", name: str = "") -> str:
        """Return the path of an object, or of all objects of a kind."""
        root = _root(api_version)
        plural, namespaced = self._resource(root, api_version, kind)
        folder = f"/namespaces/{namespace}" if namespaced and namespace else ""
        return f"{root}{folder}/{plural}{'/' if name else ''}{name}"

    def _resource(self, root: str, api_version: str, kind: str) -> tuple[str, bool]:
        """Return the plural of a kind and whether it is namespaced; the server may get new kinds at any time."""
        if kind not in self._resources.get(root, {}):
            listed = self._call("GET", root).json()["resources"]
            whole = [resource for resource in listed if "/" not in resource["name"]]
            self._resources[root] = {one["kind"]: (one["name"], one["namespaced"]) for one in whole}
        if kind not in self._resources[root]:
            raise ApiFailed(
                f"{kind} of {api_version}: {self.server} does not serve this kind", code=HTTPStatus.NOT_FOUND
            )
        return self._resources[root][kind]

    def _send(
        self,
        method: str,
        path: str,
        thing: Mapping[str, Any],
        *,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        body = json.dumps(thing)
        sent: Object = self._call(method, path, query=query, headers={"Content-Type": content}, body=body).json()
        return sent

    def _call(
        self, method: str, path: str, *, query: Texts | None = None, headers: Texts | None = None, body: str = ""
    ) -> requests.Response:
        answer = self._reach(method, path, query=query, headers=headers, body=body)
        if not answer.ok:
            raise ApiFailed(f"{method} {path}: {_message(answer)}", code=answer.status_code)
        return answer

    def _reach(
        self, method: str, path: str, *, query: Texts | None, headers: Texts | None, body: str
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                f"{self.server}{path}",
                params=query,
                data=body.encode() or None,
                headers=headers,
                timeout=(CONNECT, ANSWER),
            )
        except requests.RequestException as error:
            raise ApiFailed(f"{method} {path}: {self.server} does not answer: {_first_error(error)}", code=0) from error


def acting_as(kubeconfig: str, account: str, namespace: str) -> str:
    """Return the administrator's kubeconfig with which a program acts as a service account."""
    config: dict[str, Any] = yaml.safe_load(kubeconfig)
    for user in config["users"]:
        user["user"]["as"] = f"system:serviceaccount:{namespace}:{account}"
    return yaml.safe_dump(config, sort_keys=False)


def condition(thing: Mapping[str, Any] | None, kind: str) -> bool:
    """Report whether an object exists and one of its conditions, such as Ready or Available, is true."""
    conditions = (thing or {}).get("status", {}).get("conditions") or []
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def _first_error(error: BaseException) -> BaseException:
    """Return the first error; the library wraps it in all of its own layers."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


class _Identified(HTTPAdapter):
    """Connections that trust one authority only and present a client certificate."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Store the context before the pools are made."""
        self._context = context
        super().__init__(pool_maxsize=CONNECTIONS, max_retries=AGAIN)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Use the context in every pool."""
        super().init_poolmanager(*arguments, **options, ssl_context=self._context)

    def cert_verify(self, *arguments: Any) -> None:
        """Add nothing: requests would trust all public authorities as well."""


def _ssl(cluster: Mapping[str, str], user: Mapping[str, str]) -> ssl.SSLContext:
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    pair = [base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")]
    # Python reads a certificate from a file only.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.pem"
        file.touch(mode=0o600)
        file.write_bytes(b"\n".join(pair))
        context.load_cert_chain(file)
    return context


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


def _message(answer: requests.Response) -> str:
    """Return the message of a Status object, or the text that came instead."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.text[:300]}"

"""Stand-in for the plugin of pulumi-kubernetes: it acts on a real API server, the rehearsed one.

It accepts any `kubernetes:<group>/<version>:<Kind>`, custom resources and Patch kinds too. As the official plugin since
4.29 it creates objects so that an existing one is refused (unless `upsertExistingObjects`), applies changes on the
server's side with a field manager per resource, previews both with the server's dry run, replaces by the official table
of immutable fields, waits for the objects that it creates and deletes, and writes the same state. It refuses Helm, YAML
and kustomize resources by name (the program renders for itself and seeds by a command), client-side apply and rendering
to a directory. It connects to servers on loopback only, and never searches for a kubeconfig of the user's. Like the
official plugin it writes the kubeconfig to TMPDIR at every start and leaves it there, and waits long for a server that
accepts connections and never answers.

The engine's requests come in. `lab.plugins.kubernetes_objects` has the meaning of objects,
`lab.plugins.kubernetes_cluster` sends the requests to a server, `lab.plugins.kubernetes_waits` decides when an object
is ready.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from pulumi.provider.experimental import provider as sdk

from errors import ApiFailed, HomelabError, TookTooLong
from lab.api import CONNECT
from lab.plugins import kubernetes_objects as objects
from lab.plugins import kubernetes_waits as waits
from lab.plugins.base import StandIn, difference, old_inputs, own_type, unfinished
from lab.plugins.kubernetes_cluster import Applier, connect
from lab.plugins.kubernetes_objects import Object
from lab.plugins.properties import UNKNOWN, Plain, Properties, Unknown, changes, plain_map, top
from lab.plugins.schema import InputProblem
from lab.plugins.server import serve

# An API server that accepts a connection and never answers costs the official plugin two handshakes at its start, and
# one more for each comparison of a custom resource, one after the other: it requests the list of kinds.
SECONDS_OF_A_HANDSHAKE = 10.0
NOT_OBJECTS = ("helm.sh", "kustomize", "yaml")
PLACE = ("kubeconfig", "context", "cluster")
SKIPPED = "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping..."
FORGOTTEN = (
    "configured Kubernetes cluster is unreachable and the `deleteUnreachable` option is enabled. "
    "Deleting the unreachable resource from Pulumi state"
)
STALE = (
    "configured Kubernetes cluster is unreachable and the `skipUnreachable` option is enabled. "
    "Returned data could not reflect the actual cluster configuration."
)
NO_LIST = (
    "list resources exist for compatibility with YAML manifests and Helm charts, and cannot be created directly. Use "
    "the underlying resource type instead"
)
HOW_TO_FORGET = (
    "If the cluster was deleted, you can remove this resource from Pulumi state by rerunning the operation with the "
    'PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
)


class Kubernetes(StandIn):
    """The plugin of pulumi-kubernetes."""

    package, distribution = "kubernetes", "pulumi_kubernetes"
    cluster: Applier | None = None
    is_silent = False
    """Whether the API server accepts connections and does not answer."""
    asking = threading.Lock()
    unreachable = "no kubeconfig was given, and this stand-in searches for none"

    async def check_config(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        """Refuse settings that the provider does not have, and those that this stand-in does not support."""
        answer = await super().check_config(request)
        given = self.settings_of(request.new_inputs)
        answer.failures = [*(answer.failures or []), *self.failures(request.urn, _undone(given))]
        return answer

    async def diff_config(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        """Compare settings: the cluster's identifier decides on replacements, without one its address."""
        before, after = self.settings_of(request.old_state), self.settings_of(request.new_inputs)
        anew = _anew(before, after)
        return difference(changes(before, after), lambda path: top(path) in anew)

    def configured(self) -> None:
        """Find out whether the cluster can be reached."""
        self.cluster, kubeconfig = None, self.settings.get("kubeconfig", "")
        if not kubeconfig:
            return
        opened, _ = tempfile.mkstemp(prefix="kubeconfig")
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(kubeconfig)
        began = time.monotonic()
        try:
            api, namespace = connect(kubeconfig, self.settings.get("context", ""), self.settings.get("cluster", ""))
            api.ask("/version")
        except ApiFailed as error:
            self.unreachable = f"unable to load schema information from the API server: {error}"
            self.is_silent = error.code == 0 and time.monotonic() - began >= CONNECT
            self.wait_for_silence(2)
            return
        except HomelabError as error:
            self.unreachable = str(error)
            return
        self.cluster = Applier(
            api,
            self.settings.get("namespace") or namespace,
            upsert=self.flag("upsertExistingObjects", "UPSERT_EXISTING_OBJECTS"),
            force=self.flag("enablePatchForce", "ENABLE_PATCH_FORCE"),
            cancelled=self.cancelled,
        )

    def wait_for_silence(self, handshakes: int) -> None:
        """Wait as long as the official plugin does for a server that does not answer."""
        with self.asking:
            time.sleep(handshakes * SECONDS_OF_A_HANDSHAKE if self.is_silent else 0)

    def flag(self, name: str, variable: str) -> bool:
        """Return a setting, or the variable in its place: a destroy runs no program that could set it."""
        value: Any = self.settings.get(name, os.environ.get(f"PULUMI_K8S_{variable}") == "true")
        return value is True

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        """Set the name and namespace of the object, and refuse errors that need no server to be found."""
        if self.cluster is None and self.flag("skipUpdateUnreachable", "SKIP_UPDATE_UNREACHABLE"):
            self.say(request.urn, SKIPPED, "warning", False)
            return sdk.CheckResponse(request.old_inputs)
        token, before = own_type(request.type), plain_map(request.old_inputs)
        problems = list(_not_an_object(token))
        if problems:
            return sdk.CheckResponse(request.new_inputs, problems)
        thing = objects.normalized(plain_map(request.new_inputs), token)
        problems = list(_refused(thing, patch=is_patch(token, thing)))
        thing = objects.with_name(thing, before, request.name, request.random_seed)
        thing = await asyncio.to_thread(self._placed, thing)
        return sdk.CheckResponse(objects.marked(thing, request.new_inputs), problems)

    def _placed(self, thing: Plain) -> Plain:
        known = thing["metadata"]
        if isinstance(known, Unknown) or known.get("namespace") or not self._is_namespaced(thing):
            return thing
        return {**thing, "metadata": {**known, "namespace": self.cluster.namespace if self.cluster else "default"}}

    def _is_namespaced(self, thing: Plain) -> bool:
        """Report whether a kind is namespaced; one that is not known yet is assumed to be."""
        if self.cluster is None:
            return not (objects.is_built_in(thing) and thing["kind"] in objects.WITHOUT_NAMESPACE)
        return self.cluster.api.namespaced(thing["apiVersion"], thing["kind"]) is not False

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        """Compare the desired with the live object, and return the changes that replace it."""
        live, last = objects.unmarked_state(plain_map(request.old_state))
        thing = plain_map(request.new_inputs)
        if not objects.is_built_in(thing):
            await asyncio.to_thread(self.wait_for_silence, 1)
        before = objects.base_of(live, plain_map(old_inputs.get()) or last or live)
        if not await asyncio.to_thread(self._is_namespaced, thing):
            before, thing = _without_namespace(before), _without_namespace(thing)
        found = objects.differences(before, thing, request.ignore_changes)
        mutable = {"Secret": "enableSecretMutable", "ConfigMap": "enableConfigMapMutable"}.get(thing["kind"], "")
        variable = {"Secret": "ENABLE_SECRET_MUTABLE", "ConfigMap": "ENABLE_CONFIGMAP_MUTABLE"}.get(thing["kind"], "")
        is_a_patch = is_patch(own_type(request.type), thing)
        patterns = list(objects.replacing_paths(thing, mutable_content=self.flag(mutable, variable), patch=is_a_patch))
        known, had = objects.metadata(thing), objects.metadata(live)
        keeps_its_name = known.get("name") == had.get("name") and known.get("namespace") == had.get("namespace")
        return difference(
            found,
            lambda path: any(pattern.match(path) for pattern in patterns),
            delete_first=keeps_its_name and not objects.annotation(thing, objects.AUTONAMED),
        )

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        """Create an object and wait until it is ready, or preview the creation with a dry run."""
        if request.preview and self.cluster is None:
            return sdk.CreateResponse("", request.properties)
        cluster, thing = self._reached(), plain_map(request.properties)
        manager = objects.annotation(thing, "pulumi.com/patchFieldManager") or objects.new_manager()
        patch = is_patch(own_type(request.type), thing)

        def make() -> Object | None:
            say = self._status(request.urn)
            return cluster.create(thing, manager, request.urn, say, preview=request.preview, patch=patch)

        live = await asyncio.to_thread(make)
        if live is None:
            return sdk.CreateResponse("", request.properties)
        if request.preview:
            live.pop("status", None)
            return sdk.CreateResponse("", self._state(live, thing, request.properties, manager))
        live = await self._ready(request, live, thing)
        if unfinished.get():
            began = f'resource "{request.urn}" was successfully created, but the Kubernetes API server reported that '
            unfinished.set(f"{began}it failed to fully initialize or become live: {unfinished.get()}")
        return sdk.CreateResponse(objects.id_of(live), self._state(live, thing, request.properties, manager))

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        """Apply a change and wait until it is done, or preview the change with a dry run."""
        if request.preview and self.cluster is None:
            return sdk.UpdateResponse(request.news)
        cluster, thing = self._reached(), plain_map(request.news)
        state = plain_map(request.olds)
        before, _ = objects.unmarked_state(state)
        name, last_manager = before["metadata"]["name"], str(state.get(objects.FIELD_MANAGER, ""))
        manager = objects.annotation(thing, "pulumi.com/patchFieldManager") or last_manager or objects.new_manager()
        patch, first_version = is_patch(own_type(request.type), thing), str(state.get(objects.FIRST_VERSION, ""))

        def change() -> Object | None:
            return cluster.update(thing, name, manager, request.ignore_changes, preview=request.preview, patch=patch)

        try:
            live = await asyncio.to_thread(change)
        except ApiFailed as error:
            live = None if request.preview else await asyncio.to_thread(cluster.get, thing, name)
            if live is None:
                raise ApiFailed(f'update of resource "{request.urn}" failed: {error}', code=error.code) from None
            unfinished.set(str(error))
        if live is None:
            return sdk.UpdateResponse(request.news)
        if not request.preview and not unfinished.get():
            if last_manager not in ("", manager):
                live = await asyncio.to_thread(cluster.relinquish, live, last_manager)
            live = await self._ready(request, live, thing)
        if unfinished.get():
            failure = f'the Kubernetes API server reported that "{objects.id_of(live)}" failed to fully initialize or '
            unfinished.set(f"{failure}become live: {unfinished.get()}")
        return sdk.UpdateResponse(self._state(live, thing, request.news, manager, first_version))

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        """Read an object; a missing one has no id."""
        if self.cluster is None:
            return self._unread(request)
        namespace, name = objects.split_id(request.resource_id)
        state = plain_map(request.properties)
        before, last = objects.unmarked_state(state)
        inputs = plain_map(request.inputs) or last
        version, kind = objects.kind_of(own_type(request.type))
        known = {**(inputs or before or {"apiVersion": version, "kind": kind}), "metadata": {}}
        if namespace:
            known["metadata"] = {"namespace": namespace}
        known = await asyncio.to_thread(self._placed, known)
        live = await asyncio.to_thread(self.cluster.get, known, name)
        if live is None:
            return sdk.ReadResponse("")
        shape = objects.base_of(live, inputs) if inputs else objects.imported(live)
        if inputs and objects.is_built_in(inputs):
            shape = objects.drifted(inputs, before, live)
        manager, given = str(state.get(objects.FIELD_MANAGER, "")) or objects.new_manager(), request.inputs
        first_version = str(state.get(objects.FIRST_VERSION, ""))
        marked = self._state(live, shape, given, manager, first_version)
        return sdk.ReadResponse(request.resource_id, marked, objects.marked(shape, given))

    def _unread(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        """Return the state of a resource whose cluster cannot be reached."""
        self._warn(request.urn)
        if self.flag("deleteUnreachable", "DELETE_UNREACHABLE"):
            self.say(request.urn, FORGOTTEN, "info", False)
            return sdk.ReadResponse("")
        if self.flag("skipUpdateUnreachable", "SKIP_UPDATE_UNREACHABLE"):
            self.say(request.urn, STALE, "info", False)
            return sdk.ReadResponse(request.resource_id, request.properties, request.inputs)
        raise ApiFailed(f"failed to read resource state due to unreachable cluster. {HOW_TO_FORGET}", code=0)

    async def delete(self, request: sdk.DeleteRequest) -> None:
        """Delete an object and wait until it is gone; a Patch only gives up its fields."""
        live, inputs = objects.unmarked_state(state := plain_map(request.properties))
        if self.cluster is None:
            self._warn(request.urn)
            if not self.flag("deleteUnreachable", "DELETE_UNREACHABLE"):
                raise ApiFailed(f"configured Kubernetes cluster is unreachable. {HOW_TO_FORGET}", code=0)
            self.say(request.urn, FORGOTTEN, "info", False)
            return
        namespace, name = objects.split_id(request.resource_id)
        known = {**objects.metadata(inputs), "name": name, **({"namespace": namespace} if namespace else {})}
        thing = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": known}
        if is_patch(own_type(request.type), live):
            manager = str(state.get(objects.FIELD_MANAGER, ""))
            await asyncio.to_thread(self.cluster.relinquish, thing, manager)
            return
        seconds = waits.timeout_of(thing, request.timeout)
        await asyncio.to_thread(self.cluster.delete, thing, self._status(request.urn), seconds)

    async def construct(self, request: sdk.ConstructRequest) -> sdk.ConstructResponse:
        """Refuse components by name."""
        raise HomelabError(_only_objects(request.resource_type))

    def _reached(self) -> Applier:
        if self.cluster is None:
            raise ApiFailed(f"configured Kubernetes cluster is unreachable: {self.unreachable}", code=0)
        return self.cluster

    def _warn(self, urn: str) -> None:
        self.say(urn, f"configured Kubernetes cluster is unreachable: {self.unreachable}", "warning", False)

    def _status(self, urn: str) -> Callable[[str], None]:
        """Return a function that prints each status once beside a resource."""
        last = [""]

        def show(text: str) -> None:
            if text != last[0]:
                last[0] = text
                self.say(urn, text, "info", True)

        return show

    async def _ready(self, request: Any, live: Object, thing: Plain) -> Object:
        """Wait until an object is ready; if it never is, it exists nevertheless."""
        cluster, name = self._reached(), live["metadata"]["name"]

        def wait() -> Object:
            return waits.until_ready(
                live,
                thing,
                lambda: cluster.get(live, name),
                self._status(request.urn),
                seconds=waits.timeout_of(thing, request.timeout),
                cancelled=self.cancelled,
            )

        try:
            return await asyncio.to_thread(wait)
        except (TookTooLong, ApiFailed) as error:
            unfinished.set(str(error))
            return await asyncio.to_thread(cluster.get, live, name) or live

    def _state(
        self, live: Object, thing: Plain, given: Properties, manager: str, first_version: str = ""
    ) -> dict[str, Any]:
        return objects.recorded(live, thing, given, first_version or live["apiVersion"], manager)


def is_patch(token: str, thing: Plain) -> bool:
    """Report whether a type changes fields of an object of another owner."""
    _, kind = objects.kind_of(token)
    return kind.endswith("Patch") and thing.get("kind") != kind


def _undone(given: Plain) -> Iterator[InputProblem]:
    if given.get("enableServerSideApply") is False:
        yield InputProblem("enableServerSideApply", "this stand-in of kubernetes applies on the server's side only.")
    for name in ("renderYamlToDirectory", "alwaysRender"):
        if given.get(name):
            yield InputProblem(name, "this stand-in of kubernetes does not render to a directory.")


def _not_an_object(token: str) -> Iterator[sdk.CheckFailure]:
    version, kind = objects.kind_of(token)
    if version.partition("/")[0] in NOT_OBJECTS:
        yield sdk.CheckFailure("", _only_objects(token))
    elif kind.endswith("List"):
        yield sdk.CheckFailure("", NO_LIST)


def _only_objects(token: str) -> str:
    return f"this stand-in of kubernetes does not make {token}: only objects of the cluster"


def _refused(thing: Plain, *, patch: bool) -> Iterator[sdk.CheckFailure]:
    known = objects.metadata(thing)
    if patch and not known.get("name"):
        yield sdk.CheckFailure("", "patch resources require the `.metadata.name` field to be set")
    if known.get("generateName"):
        reason = "the `.metadata.generateName` field is not supported in Server-Side Apply mode"
        yield sdk.CheckFailure("", reason)
    for reason in waits.refused(thing):
        yield sdk.CheckFailure("", f"pulumi.com/waitFor: {reason}")


def _without_namespace(thing: Plain) -> Plain:
    known = {name: value for name, value in objects.metadata(thing).items() if name != "namespace"}
    return {**thing, "metadata": known or thing.get("metadata")}


def _anew(before: Plain, after: Plain) -> set[str]:
    """Return the settings whose change replaces everything in the cluster."""
    identifiers = before.get("clusterIdentifier"), after.get("clusterIdentifier")
    if identifiers[1] is not None and identifiers[0] == identifiers[1]:
        return set()
    anew = {"clusterIdentifier"} if None not in identifiers else set()
    unknown = next((name for name in PLACE if after.get(name) is UNKNOWN), None)
    if unknown:
        return anew | {unknown}
    places = _place(before), _place(after)
    moved = None not in places and places[0] != places[1]
    return anew | ({name for name in PLACE if before.get(name) != after.get(name)} if moved else set())


def _place(settings: Plain) -> Any:
    """Return the address of the cluster of a kubeconfig, or nothing if it has none."""
    try:
        config = yaml.safe_load(settings["kubeconfig"])
        chosen = settings.get("context") or config["current-context"]
        context = next(item["context"] for item in config["contexts"] if item["name"] == chosen)
        cluster = settings.get("cluster") or context["cluster"]
        return next(item["cluster"] for item in config["clusters"] if item["name"] == cluster)
    except (yaml.YAMLError, KeyError, TypeError, StopIteration):
        return None


if __name__ == "__main__":
    serve(Kubernetes())

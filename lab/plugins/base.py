"""The base of all stand-ins: `StandIn` is a whole plugin, `ResourceKind` is one type of resource in plain Python.

    class Token(ResourceKind):
        replace_on = ("bytes",)
        unknown_in_preview = ("text",)

        def create(self, inputs, preview):
            text = secrets.token_hex(inputs["bytes"])
            return text[:8], {"text": text}

    class Tokens(StandIn):
        package, distribution = "tokens", "pulumi_tokens"
        kinds = {"tokens:index/token:Token": Token}

The engine's requests come in. The base converts them to plain values, refuses those that the package's tables
(`lab.plugins.schema`) do not allow, reports the meaning of a change, handles secrets and unknown values, and passes the
rest to a kind. The engine's answers go out. A plugin's module ends with `lab.plugins.server.serve`.

Methods of a kind run in threads of their own, several at once: state that two resources share needs a lock.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

from pulumi.provider.experimental import provider as sdk

from errors import HomelabError
from lab.plugins.properties import UNKNOWN, Plain, Properties, PropertyOperation, changes, plain_map, top
from lab.plugins.schema import InputProblem, Members, Schema

# The engine and the SDK add these to the configuration of a provider.
ENGINE_KEYS = frozenset(("version", "pluginDownloadURL", "pluginChecksums", "__internal"))
KINDS_OF_CHANGE = {
    PropertyOperation.ADD: (sdk.PropertyDiffKind.ADD, sdk.PropertyDiffKind.ADD_REPLACE),
    PropertyOperation.DELETE: (sdk.PropertyDiffKind.DELETE, sdk.PropertyDiffKind.DELETE_REPLACE),
    PropertyOperation.UPDATE: (sdk.PropertyDiffKind.UPDATE, sdk.PropertyDiffKind.UPDATE_REPLACE),
}

# The inputs in the state: the engine sends them with every request, the SDK's request objects drop them.
old_inputs: ContextVar[Properties] = ContextVar("old_inputs", default=MappingProxyType({}))
# The reason why the resource of this request is not finished; the SDK's answers have no field for it.
unfinished: ContextVar[str] = ContextVar("unfinished", default="")


@dataclass(frozen=True)
class Unfinished:
    """A resource that exists although its creation or change did not finish; the engine records it as such."""

    id: str
    outputs: Plain
    reason: str


class ResourceKind:
    """One type of resource: how it is created, read, changed and deleted. One instance serves one request."""

    replace_on: ClassVar[tuple[str, ...]] = ()
    """Inputs whose change replaces the resource, beside those of the tables."""
    unknown_in_preview: ClassVar[tuple[str, ...]] = ()
    """Outputs that are unknown in a preview of a creation, beside those that the tables require."""
    unknown_on_update: ClassVar[tuple[str, ...]] = ()
    """Outputs that become unknown in a preview of a change."""
    acts_in_preview: ClassVar[bool] = False
    """Whether previews call `create` and `update` too; inputs may be `UNKNOWN` then."""
    delete_before_replace: ClassVar[bool] = False
    """Whether the old resource is deleted before the new one is created."""
    secret_outputs: ClassVar[tuple[str, ...]] = ()
    """Outputs that are secret although the tables do not mark them."""

    def __init__(self, provider: StandIn, urn: str = "", timeout: float = 0) -> None:
        """Store the plugin, its settings, the resource of this request and its timeout in seconds (0: none)."""
        self.provider, self.urn, self.timeout = provider, urn, timeout
        self.given: Plain = {}
        """The desired inputs, while they are compared with those of the state."""

    @property
    def name(self) -> str:
        """The resource's logical name."""
        return self.urn.rsplit("::", 1)[-1]

    def say(self, text: str, *, severity: str = "info", status: bool = False) -> None:
        """Print a line beside this resource; the next line replaces one that is a status."""
        self.provider.say(self.urn, text, severity, status)

    def refusals(self, inputs: Plain) -> Iterable[InputProblem]:
        """Return the errors in values whose names and types are valid."""
        return ()

    def create(self, inputs: Plain, preview: bool) -> tuple[str, Plain] | Unfinished:
        """Create the resource; return its id and the outputs that are not inputs."""
        raise NotImplementedError

    def read(self, id: str, outputs: Plain) -> Plain | None:  # noqa: A002 - the engine's word
        """Return the present outputs (an `id` among them becomes its id), or None if the resource is gone."""
        return outputs

    def update(self, id: str, old_outputs: Plain, inputs: Plain, preview: bool) -> Plain | Unfinished:  # noqa: A002
        """Change the resource; return the changed outputs. Every change replaces a kind without this method."""
        raise NotImplementedError

    def delete(self, id: str, outputs: Plain) -> None:  # noqa: A002
        """Delete the resource; a missing one is no error."""

    def renewed(self, outputs: Plain, inputs: Plain) -> Plain:
        """Return the outputs that only an update can renew, as time goes by, with `UNKNOWN` for each value."""
        return {}

    def outlived(self, outputs: Plain) -> Iterable[str]:
        """Return the outputs that only a new resource can renew, as time goes by."""
        return ()

    def replaces(self, path: str) -> bool:
        """Report whether a change at this path replaces the resource."""
        return top(path) in self.replace_on


def own_type(token: str) -> str:
    """Return a type without the chain of its parents' types."""
    return token.rsplit("$", 1)[-1]


class StandIn(sdk.Provider):
    """A plugin: a package's tables, the kinds of its resources and its functions."""

    package: ClassVar[str]
    distribution: ClassVar[str]
    kinds: ClassVar[Mapping[str, type[ResourceKind]]] = {}
    functions: ClassVar[Mapping[str, Callable[[Any, Plain], Plain]]] = {}
    """Each takes the plugin and its arguments and returns results."""
    config_replace_on: ClassVar[tuple[str, ...]] = ()
    """Settings of the provider whose change replaces all of its resources."""

    def __init__(self) -> None:
        """Begin without settings; `configure` sets them."""
        self.settings: Plain = {}
        self.cancelled = threading.Event()
        self.say: Callable[[str, str, str, bool], None] = lambda urn, text, severity, status: None

    @cached_property
    def schema(self) -> Schema:
        """The package's tables."""
        return Schema.of(self.package)

    @cached_property
    def version(self) -> str:
        """The version of the installed SDK package, which the official plugin would have too."""
        from importlib.metadata import version  # noqa: PLC0415 - costs every start otherwise

        return version(self.distribution)

    def configured(self) -> None:
        """Apply new settings."""

    def kind_of(self, token: str) -> type[ResourceKind]:
        """Return the kind of a type token."""
        token = own_type(token)
        if token not in self.kinds:
            raise HomelabError(f"this stand-in of {self.package} does not support {token}")
        return self.kinds[token]

    def members(self, token: str) -> tuple[Members, Members]:
        """Return the inputs and outputs of a resource."""
        return self.schema.inputs(own_type(token)), self.schema.outputs(own_type(token))

    async def cancel(self) -> None:
        """Notify all waits that they have to end."""
        self.cancelled.set()

    async def get_schema(self, request: sdk.GetSchemaRequest) -> sdk.GetSchemaResponse:
        """Return no schema: the installed SDK package has it."""
        return sdk.GetSchemaResponse("")

    async def check_config(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        """Refuse settings that the provider does not have."""
        given = self.settings_of(request.new_inputs)
        failures = self.failures(request.urn, self.schema.problems(self.schema.configuration, given))
        for failure in failures:
            failure.reason = f"could not validate provider configuration: {failure.reason}"
        return sdk.CheckResponse(self.schema.marked(self.schema.configuration, request.new_inputs), failures)

    async def diff_config(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        """Return the changed settings, and whether they replace everything that was created with them."""
        found = changes(self.settings_of(request.old_state), self.settings_of(request.new_inputs))
        return difference(found, lambda path: top(path) in self.config_replace_on)

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        """Store the settings."""
        self.settings = self.settings_of(request.args)
        await asyncio.to_thread(self.configured)
        return sdk.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        """Return all errors that the official provider would return, at once."""
        kind = self.kind_of(request.type)(self, request.urn)
        members, _ = self.members(request.type)
        inputs = plain_map(request.new_inputs)
        problems = list(self.schema.problems(members, inputs)) or list(kind.refusals(inputs))
        return sdk.CheckResponse(self.schema.marked(members, request.new_inputs), self.failures(request.urn, problems))

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        """Compare the new inputs with those of the state."""
        kind = self.kind_of(request.type)(self, request.urn)
        members, _ = self.members(request.type)
        kind.given = plain_map(request.new_inputs)
        found = [*changes(plain_map(old_inputs.get()), kind.given)]
        state = plain_map(request.old_state)
        outlived = set(kind.outlived(state))
        found += [(name, PropertyOperation.UPDATE) for name in sorted(outlived)]
        renewed = kind.renewed(state, kind.given)
        found += changes({name: state[name] for name in renewed}, renewed)

        def replaces(path: str) -> bool:
            always = type(kind).update is ResourceKind.update or path in outlived
            return always or kind.replaces(path) or self.schema.replaces(members, top(path))

        outputs = {*outlived, *renewed}
        return difference(found, replaces, delete_first=kind.delete_before_replace, outputs=outputs)

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        """Create a resource, or preview its creation."""
        kind = self.kind_of(request.type)(self, request.urn, request.timeout)
        made: tuple[str, Plain] | Unfinished = ("", {})
        if kind.acts_in_preview or not request.preview:
            made = await asyncio.to_thread(kind.create, plain_map(request.properties), request.preview)
        id_, computed = self._made(made)
        if request.preview:
            _, members = self.members(request.type)
            names = {*members.required, *kind.unknown_in_preview} - request.properties.keys()
            computed = {**dict.fromkeys(names, UNKNOWN), **computed}
        return sdk.CreateResponse(id_, self._outputs(kind, request.type, request.properties, computed))

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        """Change a resource, or preview the change."""
        kind = self.kind_of(request.type)(self, request.urn, request.timeout)
        before = plain_map(request.olds)
        changed: Plain | Unfinished = {}
        if kind.acts_in_preview or not request.preview:
            given = plain_map(request.news)
            changed = await asyncio.to_thread(kind.update, request.resource_id, dict(before), given, request.preview)
        _, computed = self._made(changed if isinstance(changed, Unfinished) else (request.resource_id, changed))
        if request.preview:
            unknown = dict.fromkeys(set(kind.unknown_on_update) - request.news.keys(), UNKNOWN)
            computed = {**unknown, **kind.renewed(before, plain_map(request.news)), **computed}
        kept = {name: value for name, value in before.items() if name not in {*old_inputs.get(), *request.news}}
        return sdk.UpdateResponse(self._outputs(kind, request.type, request.news, {**kept, **computed}))

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        """Read a resource; drift appears as a change of the inputs that it belongs to."""
        kind = self.kind_of(request.type)(self, request.urn)
        before = plain_map(request.properties)
        now = await asyncio.to_thread(kind.read, request.resource_id, dict(before))
        if now is None:
            return sdk.ReadResponse("")
        id_ = str(now.pop("id", request.resource_id))
        members, _ = self.members(request.type)
        drifted = {name for name in members.properties if now.get(name) != before.get(name)}
        hidden = {name for name, value in request.inputs.items() if value.contains_secret()}
        inputs = {name: value for name, value in request.inputs.items() if name not in drifted}
        seen = {name: now[name] for name in drifted if now.get(name) is not None}
        inputs |= self.schema.wrapped(members, seen, hidden)
        return sdk.ReadResponse(id_, self._outputs(kind, request.type, request.properties, now, echo=False), inputs)

    async def delete(self, request: sdk.DeleteRequest) -> None:
        """Delete a resource."""
        kind = self.kind_of(request.type)(self, request.urn, request.timeout)
        await asyncio.to_thread(kind.delete, request.resource_id, plain_map(request.properties))

    async def invoke(self, request: sdk.InvokeRequest) -> sdk.InvokeResponse:
        """Run a function."""
        if request.tok not in self.functions:
            raise HomelabError(f"this stand-in of {self.package} does not support the function {request.tok}")
        arguments = plain_map(request.args)
        problems = list(self.schema.problems(self.schema.arguments(request.tok), arguments))
        if problems:
            return sdk.InvokeResponse(None, self.failures(request.tok, problems))
        results = await asyncio.to_thread(self.functions[request.tok], self, arguments)
        return sdk.InvokeResponse(self.schema.wrapped(self.schema.results(request.tok), results))

    def settings_of(self, given: Properties) -> Plain:
        """Convert a provider's configuration to plain values; the SDK sends all but text as JSON."""
        settings = {name: value for name, value in plain_map(given).items() if name not in ENGINE_KEYS}
        for name, value in settings.items():
            spec = self.schema.configuration.properties.get(name, {})
            if isinstance(value, str) and spec.get("type") != "string":
                settings[name] = _from_json(value)
        return settings

    def failures(self, owner: str, problems: Iterable[InputProblem]) -> list[sdk.CheckFailure]:
        """Return errors with the messages of the official providers, and their paths."""
        name = owner.rsplit("::", 1)[-1]
        return [
            # Without a property's name: the engine would print the value, which may be a secret.
            sdk.CheckFailure("", f"{problem.reason} Examine values at '{name}.{problem.path}'.")
            for problem in problems
        ]

    def _outputs(
        self, kind: ResourceKind, token: str, given: Properties, computed: Plain, *, echo: bool = True
    ) -> dict[str, Any]:
        """Merge inputs and outputs; an output is secret if the input of the same name was."""
        _, members = self.members(token)
        values = {**(plain_map(given) if echo else {}), **computed}
        known = {name: value for name, value in values.items() if value is not None and name in members.properties}
        hidden = {name for name, value in given.items() if value.contains_secret()}
        return self.schema.wrapped(members, known, {*hidden, *kind.secret_outputs})

    def _made(self, made: tuple[str, Plain] | Unfinished) -> tuple[str, Plain]:
        if isinstance(made, Unfinished):
            unfinished.set(made.reason)
            return made.id, made.outputs
        return made


def difference(
    found: Iterable[tuple[str, PropertyOperation]],
    replaces: Callable[[str], bool],
    *,
    delete_first: bool = False,
    outputs: Collection[str] = (),
) -> sdk.DiffResponse:
    """Report to the engine the changes, the replacing ones among them, and the changed outputs."""
    detailed, names, anew = {}, [], []
    for path, change in found:
        again = replaces(path)
        detailed[path] = sdk.PropertyDiff(KINDS_OF_CHANGE[change][again], input_diff=top(path) not in outputs)
        names.append(top(path))
        if again:
            anew.append(top(path))
    return sdk.DiffResponse(
        changes=bool(detailed),
        replaces=list(dict.fromkeys(anew)),
        delete_before_replace=bool(anew) and delete_first,
        diffs=list(dict.fromkeys(names)),
        detailed_diff=detailed,
    )


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

"""The stand-in for the Kubernetes plugin in this process, called as the engine calls it, with plain values."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue

from lab.plugins import base
from lab.plugins.kubernetes import Kubernetes
from lab.plugins.properties import engine_value, plain_map

Answer = TypeVar("Answer")
Given = dict[str, PropertyValue]
Inputs = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A resource as the engine records it."""

    urn: str
    id: str
    inputs: Given
    state: Given
    unfinished: str = ""

    @property
    def live(self) -> dict[str, Any]:
        """The recorded outputs, in plain values."""
        return plain_map(self.state)


@dataclass
class Calls:
    """One plugin, one engine."""

    plugin: Kubernetes = field(default_factory=Kubernetes)
    said: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def to(cls, kubeconfig: str, **settings: Any) -> Calls:
        """Configure a plugin."""
        calls = cls()
        calls.plugin.say = lambda urn, text, severity, status: calls.said.append((severity, text))
        given = wrapped({"kubeconfig": kubeconfig, **settings})
        calls.ask(
            lambda: calls.plugin.configure(sdk.ConfigureRequest({}, given, accept_secrets=True, accept_resources=True))
        )
        return calls

    def check(self, token: str, name: str, inputs: Inputs | Given, last: Given | None = None) -> Given:
        """Check inputs; fail with the refusals."""
        request = sdk.CheckRequest(urn(token, name), last or {}, wrapped(inputs), b"seed")
        answer, _ = self.ask(lambda: self.plugin.check(request))
        assert not answer.failures, [failure.reason for failure in answer.failures]
        return answer.inputs or {}

    def refusals(self, token: str, inputs: Inputs) -> list[str]:
        """Return the refusals of inputs."""
        request = sdk.CheckRequest(urn(token, "it"), {}, wrapped(inputs), b"seed")
        answer, _ = self.ask(lambda: self.plugin.check(request))
        return [failure.reason for failure in answer.failures or []]

    def make(self, token: str, name: str, inputs: Inputs | Given, *, preview: bool = False, timeout: float = 0) -> Made:
        """Check and create."""
        given = self.check(token, name, inputs)
        request = sdk.CreateRequest(urn(token, name), given, timeout, preview)
        answer, unfinished = self.ask(lambda: self.plugin.create(request))
        return Made(request.urn, answer.resource_id or "", given, answer.properties or {}, unfinished)

    def compare(self, made: Made, inputs: Inputs, ignored: Sequence[str] = ()) -> sdk.DiffResponse:
        """Check and compare."""
        given = self._again(made, inputs)
        request = sdk.DiffRequest(made.urn, made.id, made.state, given, list(ignored))
        return self.ask(lambda: self.plugin.diff(request), made.inputs)[0]

    def change(
        self, made: Made, inputs: Inputs, *, preview: bool = False, ignored: Sequence[str] = (), timeout: float = 0
    ) -> Made:
        """Check and update."""
        given = self._again(made, inputs)
        request = sdk.UpdateRequest(made.urn, made.id, made.state, given, timeout, list(ignored), preview)
        answer, unfinished = self.ask(lambda: self.plugin.update(request), made.inputs)
        return replace(made, inputs=given, state=answer.properties, unfinished=unfinished)

    def read(self, made: Made) -> Made | None:
        """Refresh, or import a resource without state."""
        request = sdk.ReadRequest(made.urn, made.id, made.state, made.inputs)
        answer, _ = self.ask(lambda: self.plugin.read(request))
        if not answer.resource_id:
            return None
        return replace(made, id=answer.resource_id, state=answer.properties, inputs=answer.inputs)

    def unmake(self, made: Made, timeout: float = 0) -> None:
        """Delete."""
        self.ask(lambda: self.plugin.delete(sdk.DeleteRequest(made.urn, made.id, made.state, timeout)))

    def warnings(self) -> list[str]:
        """Return the printed warnings."""
        return [text for severity, text in self.said if severity == "warning"]

    def ask(self, call: Callable[[], Awaitable[Answer]], last: Given | None = None) -> tuple[Answer, str]:
        """Send one request; return the answer, and the reason why the resource is not finished."""

        async def asked() -> tuple[Answer, str]:
            base.old_inputs.set(last or {})
            return await call(), base.unfinished.get()

        return asyncio.run(asked())

    def _again(self, made: Made, inputs: Inputs) -> Given:
        _, token, name = made.urn.rsplit("::", 2)
        return self.check(token, name, inputs, made.inputs)


def meanwhile(act: Callable[[], object], seconds: float = 0.4) -> threading.Timer:
    """Run an action a moment later, during a request."""
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def urn(token: str, name: str) -> str:
    """Return the name of a resource as the engine writes it."""
    return f"urn:pulumi:dev::desk::{token}::{name}"


def wrapped(inputs: Inputs | Given) -> Given:
    """Convert plain values for the engine; values of the engine stay."""
    return {name: value if isinstance(value, PropertyValue) else engine_value(value) for name, value in inputs.items()}

"""The plugin as a process: it prints its port, serves the engine by gRPC, and ends after the engine.

A `StandIn` comes in. The SDK's servicer translates requests; this module adds what it lacks: our errors become one
message of the engine (the SDK would show a traceback), the old inputs of the state reach the plugin, provider settings
can be compared, an unfinished resource is recorded as such, and lines for the user reach the engine's log. As with an
official plugin, requests continue after the engine was killed, and no process that they started ends with the plugin;
once idle this one ends, an official one stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped] # it ships none
from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime import proto
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc, status_pb2

from errors import HomelabError
from lab.plugins.base import StandIn, old_inputs, unfinished

# Commands wait for clusters; with the default of a few threads one command would wait for another.
THREADS = 64
SECONDS_BETWEEN_LOOKS = 0.5
KINDS = {kind: getattr(proto.PropertyDiff, kind.name) for kind in sdk.PropertyDiffKind}


def serve(stand_in: StandIn) -> None:
    """Serve as the plugin until the engine ends it."""
    logging.getLogger("grpc").addHandler(logging.NullHandler())
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")  # the engine prints everything that a plugin prints
    engine = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    asyncio.run(_serve(stand_in, engine))


async def _serve(stand_in: StandIn, engine: str) -> None:
    loop = asyncio.get_running_loop()
    workers = Workers(THREADS)
    loop.set_default_executor(workers)
    starter = os.getppid()
    asked_to_end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_end.set)
    if engine:
        stand_in.say = _log(engine)
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(stand_in, engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while (os.getppid() == starter or workers.busy) and not asked_to_end.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asked_to_end.wait(), SECONDS_BETWEEN_LOOKS)
    os._exit(0)  # a thread that waits must not keep the process alive


class Workers(ThreadPoolExecutor):
    """Threads that are known to be busy also when the connection of their request is gone."""

    def __init__(self, threads: int) -> None:
        """Begin idle."""
        super().__init__(threads)
        self.busy: set[Future[Any]] = set()

    def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
        """Submit a task, and record its end."""
        future = super().submit(*arguments, **options)
        self.busy.add(future)
        future.add_done_callback(self.busy.discard)
        return future


def _log(engine: str) -> Callable[[str, str, str, bool], None]:
    """Return a function that sends a line to the engine; the first line opens the connection."""
    stubs: list[engine_pb2_grpc.EngineStub] = []

    def say(urn: str, text: str, severity: str, status: bool) -> None:
        if not stubs:
            stubs.append(engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine, options=_GRPC_CHANNEL_OPTIONS)))
        level = getattr(engine_pb2, severity.upper())
        request = engine_pb2.LogRequest(severity=level, message=text, urn=urn, ephemeral=status)
        with contextlib.suppress(grpc.RpcError):  # an engine that is gone reads no log
            stubs[0].Log(request, timeout=5)

    return say


Method = Callable[[Any, Any, Any], Coroutine[Any, Any, Any]]


def _readable(method: Method) -> Method:
    """Turn each error of a method into one message for the engine."""

    async def answered(self: Servicer, request: Any, context: Any) -> Any:
        try:
            return await method(self, request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - a traceback would reach the person at the terminal
            code, message = self.refusal(error)
        return await context.abort(code, message)

    return answered


class Servicer(ProviderServicer):
    """The SDK's servicer, completed."""

    def __init__(self, stand_in: StandIn, engine: str) -> None:
        """Serve one plugin to one engine."""
        super().__init__(sys.argv[1:], stand_in.version, stand_in, engine)
        self._stand_in = stand_in

    def refusal(self, error: BaseException) -> tuple[grpc.StatusCode, str]:
        """Return the answer to the engine; the SDK raises an error anew, with its traceback as text."""
        if type(error) is Exception and error.__context__ is not None:
            error = error.__context__
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if isinstance(error, NotImplementedError):
            return grpc.StatusCode.UNIMPLEMENTED, str(error)
        return grpc.StatusCode.UNKNOWN, str(error) if isinstance(error, HomelabError) else self.bug_in_one_line(error)

    def bug_in_one_line(self, error: BaseException) -> str:
        """Return one line about a bug, with its place."""
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "somewhere"
        message = f"{type(error).__name__}: {error}"
        return f"the stand-in of {self._stand_in.package} failed at {where}: {message}; this is a bug of the stand-in"

    @_readable
    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's word
        """Check inputs; without old inputs the answer has none, which the SDK does not distinguish from empty ones."""
        answer = await super().Check(request, context)
        if request.news.fields and not answer.inputs.fields and not request.HasField("olds"):
            answer.ClearField("inputs")
        return answer

    @_readable
    async def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's word
        """Compare, with the old inputs of the state."""
        old_inputs.set(PropertyValue.unmarshal_map(request.old_inputs))
        return await super().Diff(request, context)

    @_readable
    async def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's word
        """Compare settings; the SDK's own would read attributes that no difference has."""
        answer = await self._provider.diff_config(
            sdk.DiffRequest(
                request.urn,
                request.id,
                PropertyValue.unmarshal_map(request.olds),
                PropertyValue.unmarshal_map(request.news),
                list(request.ignoreChanges),
            )
        )
        changed = proto.DiffResponse.DIFF_SOME if answer.changes else proto.DiffResponse.DIFF_NONE
        return proto.DiffResponse(
            replaces=answer.replaces,
            changes=changed,
            diffs=answer.diffs,
            detailedDiff={
                path: proto.PropertyDiff(kind=KINDS[found.kind], inputDiff=found.input_diff)
                for path, found in answer.detailed_diff.items()
            },
            hasDetailedDiff=True,
        )

    @_readable
    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's word
        """Create a resource; record an unfinished one as such."""
        answer = await super().Create(request, context)
        if unfinished.get():
            await self._record(context, answer.id, answer.properties, request.properties)
        return answer

    @_readable
    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's word
        """Change a resource, with the old inputs of the state."""
        old_inputs.set(PropertyValue.unmarshal_map(request.old_inputs))
        answer = await super().Update(request, context)
        if unfinished.get():
            await self._record(context, request.id, answer.properties, request.news)
        return answer

    @_readable
    async def Construct(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's word
        """Create a component; the SDK's own would add a traceback to every error."""
        return await self._construct(request, context)

    async def _record(self, context: Any, id_: str, properties: Any, inputs: Any) -> None:
        """Record a resource that exists and is not finished; the next run continues from there."""
        reason = unfinished.get()
        detail = provider_pb2.ErrorResourceInitFailed(id=id_, properties=properties, reasons=[reason], inputs=inputs)
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason)
        status.details.add().Pack(detail)
        await context.abort(grpc.StatusCode.UNKNOWN, reason, (("grpc-status-details-bin", status.SerializeToString()),))


# Requests that the SDK handles, with our messages.
for _name in ("CheckConfig", "Configure", "Read", "Delete", "Invoke", "Call", "Cancel"):
    setattr(Servicer, _name, _readable(getattr(ProviderServicer, _name)))

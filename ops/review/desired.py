"""The desired resources of two revisions, recorded while the program runs without an engine, and how they differ.

    python -m ops.review.desired STACK BEFORE AFTER    # prints JSON for `ops.review.infrastructure`

A process of its own: the SDK keeps the state of a run in global variables. The program is that of this checkout; a
revision gives it a stack file, apps and patches, and made-up secrets, the same for both revisions. Nothing is written,
no plugin starts and no host is reached. What only a host can answer is unknown, as in a preview of a first `up`. The
rules by which a change replaces a resource are those of the stand-ins, which follow the official plugins.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import json_format  # type: ignore[import-untyped] # it ships none
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks

from config.checks import check_stack
from config.load import read_stack
from config.model import SecretSettings, Settings
from config.tree import read_tree
from lab.delivery.prepared_tree import secret_values
from lab.plugins import kubernetes_objects
from lab.plugins.base import ResourceKind, StandIn
from lab.plugins.command import Commands
from lab.plugins.properties import changes, top
from lab.plugins.proxmoxve import ProxmoxPlugin
from lab.plugins.random import Random
from lab.plugins.talos import Talos
from lab.plugins.tls import Tls
from ops.review.plan import SECRET, SIGNATURE
from stacks.homelab import build

SCHEMATIC = "talos:imageFactory/schematic:Schematic"
INDEX = re.compile(r"\[\d+\]")
PLUGINS: Mapping[str, type[StandIn]] = {
    plugin.package: plugin for plugin in (Commands, ProxmoxPlugin, Random, Talos, Tls)
}


class Unanswered(Mocks):
    """Mocks whose every output is unknown."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Return the inputs of a resource, which has no id yet; that of a schematic follows from its text."""
        known = hashlib.sha256(args.inputs["schematic"].encode()).hexdigest() if args.typ == SCHEMATIC else ""
        return known, args.inputs

    def call(self, args: MockCallArgs) -> dict[str, Any]:  # type: ignore[override]
        """Return no result of a function."""
        return {}


class Recorder(MockMonitor):
    """The engine's side of a run, which records every resource."""

    def __init__(self) -> None:
        """Begin without resources."""
        super().__init__(Unanswered())
        self.found: dict[str, dict[str, Any]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the engine's word
        """Record a resource; components and providers are none."""
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.custom and not request.type.startswith("pulumi:"):
            inputs = _plain(json_format.MessageToDict(request.object))
            self.found[response.urn] = {
                "inputs": inputs,
                "trigger": _plain(json_format.MessageToDict(request.replacement_trigger)),
                "ignored": list(request.ignoreChanges),
            }
        _close_loop()
        return response

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the engine's word
        """Answer a function."""
        response = super().Invoke(request)  # type: ignore[no-untyped-call]
        _close_loop()
        return response


def main(stack: str, before: str, after: str) -> None:
    """Print both revisions' resources that differ, and the error of a revision whose program does not run."""
    secrets: dict[str, str] = {}
    recorded = [_recorded(stack, Path(root), secrets) if root else {} for root in (before, after)]
    errors = [one if isinstance(one, str) else "" for one in recorded]
    old, new = ({} if isinstance(one, str) else one for one in recorded)
    print(json.dumps({"errors": errors, "changes": list(differences(old, new)) if not errors[1] else []}))


def _recorded(stack: str, root: Path, secrets: dict[str, str]) -> dict[str, dict[str, Any]] | str:
    """Return the resources of a revision, or the reason why its program does not run."""
    try:
        tree = read_tree(root)
        file = root / f"Pulumi.{stack}.yaml"
        settings = read_stack(file).require(lambda one: check_stack(root, one, tree))
        secrets |= {name: value for name, value in secret_values(settings).items() if name not in secrets}
        return _run(stack, lambda: build(_with_secrets(settings, secrets), tree, root))
    except Exception as error:  # noqa: BLE001 - whatever a revision contains, the report has one line about it
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"


def _with_secrets(settings: Settings, values: Mapping[str, str]) -> Settings:
    named: dict[str, Any] = {name: value for name, value in values.items() if "." not in name}
    repositories = {repository.name for repository in settings.platform.repositories}
    named["repositories"] = {name: values[f"repositories.{name}"] for name in repositories}
    return settings.model_copy(update={"secrets": SecretSettings.model_validate(named)})


def _run(stack: str, program: Any) -> dict[str, dict[str, Any]]:
    recorder, loop = Recorder(), asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    set_mocks(recorder.mocks, project="homelab", stack=stack, preview=True, monitor=recorder)
    try:
        loop.run_until_complete(pulumi.runtime.stack.run_pulumi_func(program))
    finally:
        loop.close()
    return recorder.found


def _close_loop() -> None:
    """Close the event loop that the SDK left open in this thread of its pool."""
    with contextlib.suppress(RuntimeError):
        asyncio.get_event_loop_policy().get_event_loop().close()
        asyncio.set_event_loop(None)


def _plain(value: Any) -> Any:
    """Return a value of the protocol without secrets, and whole numbers as such."""
    if isinstance(value, dict):
        if SIGNATURE in value:
            return SECRET
        return {name: _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def differences(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each resource that differs, with the operation that the engine would choose."""
    for urn in dict.fromkeys((*new, *old)):
        one, other = old.get(urn), new.get(urn)
        if one is None or other is None:
            operation = "delete" if other is None else "create"
        else:
            ignored = {_spelled(path) for path in other["ignored"]}
            paths = [path for path, _ in changes(one["inputs"], other["inputs"]) if _spelled(path) not in ignored]
            replaced = one["trigger"] != other["trigger"] or _replaces(urn, paths, other["inputs"])
            operation = "replace" if replaced else "update" if paths else "same"
        if operation != "same":
            yield {"urn": urn, "operation": operation, "before": _side(one), "after": _side(other)}


def _side(one: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the inputs, with the trigger of a replacement, which is no input."""
    if one is None:
        return None
    trigger = {"replacementTrigger": one["trigger"]} if one["trigger"] else {}
    return {**one["inputs"], **trigger}


def _spelled(path: str) -> str:
    return INDEX.sub("[0]", path)


def _replaces(urn: str, paths: list[str], inputs: dict[str, Any]) -> bool:
    """Report whether a change of these inputs replaces the resource."""
    token = urn.split("::")[2].rsplit("$", 1)[-1]
    package = token.partition(":")[0]
    if package == "kubernetes":
        patterns = list(kubernetes_objects.replacing_paths(inputs, mutable_content=False))
        return any(pattern.match(path) for path in paths for pattern in patterns)
    if package not in PLUGINS:
        return False
    plugin = PLUGINS[package]()
    kind = plugin.kind_of(token)(plugin, urn)
    kind.given = inputs
    members, _ = plugin.members(token)
    always = type(kind).update is ResourceKind.update and bool(paths)
    return always or any(kind.replaces(path) or plugin.schema.replaces(members, top(path)) for path in paths)


if __name__ == "__main__":
    main(*sys.argv[1:])

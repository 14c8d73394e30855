"""A preview of the engine as data: its events come in, the changed resources by component go out.

`ops.review.infrastructure` runs the engine. No value of a secret becomes part of the result: the engine filters those
that it knows, and `manifests.redact` covers the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pulumi.automation.events import EngineEvent, StepEventMetadata, StepEventStateMetadata

from manifests.redact import covered, covered_object
from ops.engine.timeline import PHASES, is_ours, phase_of
from ops.review.report import ComponentChange, PropertyChange, ResourceChange

OPERATIONS = ("create", "update", "replace", "delete", "read", "refresh")
RENAMED = {"import": "create", "import-replacement": "replace"}
SECRET, LATER = "(secret)", "(known after the change)"
FILTERED = "[secret]"  # the engine's own word
SIGNATURE = "4dabf18193072939515e22adb298388d"  # the engine marks a secret by this key
UNKNOWN = re.compile(r"04da6b54-80e4-46f7-96ec-b56ff0331ba9|output<string>")
INTERNAL = ("__defaults", "__internal", "__provider", "version", "pluginDownloadURL")
LONGEST = 160


@dataclass(frozen=True)
class Resource:
    """One resource on both sides of its change."""

    urn: str
    operation: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    paths: tuple[str, ...] = ()
    """The changed properties by the engine's word, where its inputs do not differ."""

    @property
    def type(self) -> str:
        """Return the resource's type, without those of its parents."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]

    @property
    def name(self) -> str:
        """Return the resource's logical name."""
        return self.urn.rsplit("::", 1)[-1]


@dataclass
class Planned:
    """A collector of events: `Engine(..., plan.on_event)`."""

    resources: dict[str, Resource] = field(default_factory=dict)
    drifted: dict[str, Resource] = field(default_factory=dict)
    """Resources whose state a refresh changed."""

    def on_event(self, event: EngineEvent) -> None:
        """Record the step of a resource; components, providers and the stack are none."""
        before, after = event.resource_pre_event, event.res_outputs_event
        if after and after.metadata.op.value == "refresh" and not is_ours(after.metadata.urn):
            self._refreshed(after.metadata)
        elif before and before.metadata.op.value != "refresh" and not is_ours(before.metadata.urn):
            self._planned(before.metadata)

    def _planned(self, step: StepEventMetadata) -> None:
        operation = RENAMED.get(step.op.value, step.op.value)
        if operation in (*OPERATIONS, "same"):
            paths = tuple(step.detailed_diff or step.diffs or ())
            self.resources[step.urn] = Resource(step.urn, operation, _inputs(step.old), _inputs(step.new), paths)

    def _refreshed(self, step: StepEventMetadata) -> None:
        """Record live inputs that differ; outputs have the status of objects, and secrets that nothing filters."""
        old, new = _inputs(step.old), _inputs(step.new)
        if new is None:
            self.drifted[step.urn] = Resource(step.urn, "delete", old, None)
        elif old != new:
            self.drifted[step.urn] = Resource(step.urn, "refresh", old, new)

    @property
    def changed(self) -> list[Resource]:
        """Return the resources that change; drift that the run corrects appears as the correction alone."""
        planned = {urn: one for urn, one in self.resources.items() if one.operation != "same"}
        return list({**self.drifted, **planned}.values())


def _inputs(state: StepEventStateMetadata | None) -> Mapping[str, Any] | None:
    return None if state is None or not (state.urn or state.inputs) else opened(dict(state.inputs or {}))


def opened(value: Any) -> Any:
    """Return a value of an event with a word in place of each secret."""
    if isinstance(value, Mapping):
        return SECRET if SIGNATURE in value else {name: opened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [opened(inner) for inner in value]
    return value.replace(FILTERED, SECRET) if isinstance(value, str) else value


def counts(resources: Iterable[Resource]) -> dict[str, int]:
    """Return the number of resources by operation."""
    found: dict[str, int] = {}
    for one in resources:
        found[one.operation] = found.get(one.operation, 0) + 1
    return {name: found[name] for name in OPERATIONS if name in found}


def components(resources: Iterable[Resource]) -> tuple[ComponentChange, ...]:
    """Return the resources by component, in the order of a run, each with its changed properties."""
    found: dict[str, list[ResourceChange]] = {name: [] for name in (*PHASES, "stack")}
    for one in resources:
        found[phase_of(one.urn)].append(
            ResourceChange(
                operation=one.operation,
                type=one.type,
                name=one.name,
                properties=tuple(_properties(one)),
            )
        )
    return tuple(ComponentChange(component=name, resources=tuple(rows)) for name, rows in found.items() if rows)


def _properties(one: Resource) -> Iterator[PropertyChange]:
    """Yield the changed properties; of a resource that is made or deleted the type and name are enough."""
    if one.operation in ("create", "delete", "read"):
        return
    old, new = _hidden(one, one.before or {}), _hidden(one, one.after or {})
    found = list(changes(one.before or {}, one.after or {}))
    for path in found:
        before, after = _pair(_at(old, path), _at(new, path))
        yield PropertyChange(path=_shown_path(path), before=before, after=after)
    shown = [_shown_path(path) for path in found]
    for name in one.paths:  # the engine compares values that it filters from its events
        if not any(path.startswith(name) or name.startswith(path) for path in shown):
            yield PropertyChange(path=name)


def changes(old: Any, new: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each value that differs."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys((*old, *new)):
            if name not in INTERNAL or path:
                yield from changes(old.get(name), new.get(name), (*path, name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from changes(*pair, (*path, index))
    else:
        yield path


def _hidden(one: Resource, values: Mapping[str, Any]) -> Any:
    hide = covered_object if one.type.startswith("kubernetes:") and "kind" in values else covered
    return hide(dict(values), lambda value: SECRET)


def _at(values: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        if isinstance(values, Mapping):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int) and part < len(values):
            values = values[part]
        else:
            return values  # a part of it is covered as a whole
    return values


def _shown_path(path: tuple[str | int, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _pair(old: Any, new: Any) -> tuple[str, str]:
    """Return both values on one line each: a secret by its kind, a long text by its beginning or first difference."""
    before, after = _text(old), _text(new)
    lines, others = before.splitlines() or [""], after.splitlines() or [""]
    at = 0
    if len(lines) > 1 and len(others) > 1:
        pairs = enumerate(zip(lines, others, strict=False))
        at = next((number for number, (one, other) in pairs if one != other), min(len(lines), len(others)) - 1)
    return _line(lines, at), _line(others, at)


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return UNKNOWN.sub(LATER, text)


def _line(lines: list[str], at: int) -> str:
    cut = " ..." if len(lines[at]) > LONGEST else ""
    return f"{lines[at][:LONGEST]}{cut}" + (f" (line {at + 1} of {len(lines)})" if len(lines) > 1 else "")

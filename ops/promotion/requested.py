"""A list of promotions from a file: YAML or JSON, one entry for each app or part of the infrastructure.

    - {app: media/immich, to: staging}
    - {app: media/jellyfin, revision: 0c5a3a9d1e4f7b2c6d8e9f0a1b2c3d4e5f6a7b8c}

A file comes in; names, the two environments and named commits go out. `ops.promote` adds them to its options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from config.explain import Places, explain
from config.pins import COMMIT
from config.rules import rule
from config.section import Section
from config.source import read
from config.values import Text
from errors import Problem, Refused


class RequestedApp(Section):
    """One entry of the list."""

    app: Text = Field(description="the app, as category/app, or a part of the infrastructure")
    source: Text = Field(default="", alias="from", description="the environment that has the version")
    target: Text = Field(default="", alias="to", description="the environment that gets it")
    revision: Annotated[Text, Field(pattern=rf"^(?:{COMMIT})?$")] = Field(
        default="", description="the commit whose version is promoted (default: the one that the source runs)"
    )


@dataclass(frozen=True)
class Requests:
    """The content of a file, for one step of the chain."""

    names: tuple[str, ...]
    source: str
    target: str
    revisions: Mapping[str, str]
    """Commits by the names of the apps."""


@rule("promotion-list", scope="program", why="A part of the list would be promoted elsewhere, or not at all.")
def requests_of(path: Path, source: str, target: str) -> Requests:
    """Read a file, and refuse entries of several steps of the chain; options complete entries without environments."""
    name = path.name
    found = read(path, name)
    places = Places(name, found.first)
    if found.problems:
        raise Refused(found.problems)
    value: Any = found.first.value
    if not isinstance(value, list) or not value:
        rule, fix = "is not a list of promotions", "write `- {app: category/app, to: ENVIRONMENT}` for each"
        raise Refused([Problem(name, 0, "", "", rule, fix, "promotion-list")])
    entries, problems = [], []
    for index, entry in enumerate(value):
        at = Places(name, found.first, lambda inner, index=index: (index, *inner))  # type: ignore[misc]
        try:
            entries.append(TypeAdapter(RequestedApp).validate_python(entry))
        except ValidationError as error:
            problems += explain(error, RequestedApp, at)
    for key, given in (("from", source), ("to", target)):
        field = {"from": "source", "to": "target"}[key]
        values = {getattr(entry, field) for entry in entries} - {"", given}
        if values and (given or len(values) > 1):
            named = ", ".join(sorted(values | ({given} if given else set())))
            rule, fix = "differs between the entries", "write a file for each step of the chain"
            problems.append(places.problem("promotion-list", (0, key), named, rule, fix))
    for index, one in enumerate(entries):
        if one.app in [other.app for other in entries[:index]]:
            rule, fix = "is in the list twice", "remove one of the two"
            problems.append(places.problem("promotion-list", (index, "app"), one.app, rule, fix))
    if problems:
        raise Refused(problems)
    return Requests(
        tuple(entry.app for entry in entries),
        source or next((entry.source for entry in entries if entry.source), ""),
        target or next((entry.target for entry in entries if entry.target), ""),
        {entry.app: entry.revision for entry in entries if entry.revision},
    )

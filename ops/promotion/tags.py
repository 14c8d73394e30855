"""The annotated tag of an environment: every pin and every version of it, at one commit.

    production/20261129-221403
    {"environment": "production", "commit": "…", "apps": {"media/immich": "…"}, "infrastructure": {"talos": "1.13.10"}}

A checkout comes in, a tag of its HEAD goes out, signed where Git signs tags. `release_of` reads the message of one
again. `ops.promote` makes the tag after a promotion to the last environment was merged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.load import read_stacks
from config.tree import Tree
from errors import Declined, Problem, Refused
from ops.promotion.git_store import GitStore
from ops.promotion.infrastructure import stack_file, value_of
from ops.promotion.names import COMMAND, INFRASTRUCTURE


@dataclass(frozen=True)
class Release:
    """An environment at one commit, as its tag records it."""

    environment: str
    commit: str
    apps: Mapping[str, str]
    """The commit that each app is rendered from: its pin, else the tagged commit."""
    infrastructure: Mapping[str, str]
    """The versions of Talos and Kubernetes, and the extensions; nothing without a stack file."""


def release(store: GitStore, tree: Tree, environment: str) -> Release:
    """Return the present state of an environment in HEAD, or refuse files that differ from it or cannot be read."""
    stacks = read_stacks(store.root)
    if dirty := store.dirty(["apps", *(one.places.file for one in stacks)]):
        rule = "has changes that are not committed, and the tag would lack them"
        raise Declined(f"{min(dirty)}: {rule}; git commit them, or git stash")
    if problems := [problem for one in stacks if one.settings is None for problem in one.problems]:
        raise Refused(problems)  # the tag would lack the infrastructure
    apps = {app.label: app.revision or store.head for app in tree.apps_in(environment)}
    file = stack_file(store, environment)
    parts = {} if isinstance(file, Problem) else {part: value_of(file.settings, part) for part in INFRASTRUCTURE}
    return Release(environment, store.head, dict(sorted(apps.items())), parts)


def tag(store: GitStore, tree: Tree, environment: str, now: datetime) -> tuple[str, bool]:
    """Tag HEAD as a release of an environment, unless it is one already; return the name and whether it is new."""
    for name in store.tags(f"{environment}/*"):
        if store.resolved(f"refs/tags/{name}") == store.head and release_of(store.tag_message(name)):
            return name, False
    made = release(store, tree, environment)
    name = f"{environment}/{now:%Y%m%d-%H%M%S}"
    text = json.dumps(vars(made), indent=2)
    store.write_tag(name, f"{environment} at {now:%Y-%m-%d %H:%M:%S} UTC\n\n{text}\n")
    return name, True


def require_merged(store: GitStore, merged: str) -> None:
    """Refuse to tag a commit that the main branch does not have: a squash would replace it."""
    if merged != store.head:
        raise Declined(
            f"{COMMAND} --tag: HEAD is not in the main branch yet, and a merge can replace its commits; merge it, then "
            "git pull"
        )


def release_of(message: str) -> Release | None:
    """Return the release in the message of a tag, None for another message."""
    try:
        value: Any = json.loads(message.partition("\n\n")[2].partition("\n-----BEGIN")[0])
        return Release(**{name: value[name] for name in Release.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return None

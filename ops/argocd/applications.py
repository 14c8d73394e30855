"""What Argo CD says about a cluster, as plain facts: Applications with what they are expected to be.

Objects of the cluster and the tree of the checkout come in, rows and findings go out; nothing here asks or prints.
`ops.argocd.client` fetches the objects, `ops.status` and `ops.sync` show what follows, `ops.engine.run` waits on it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.handover.application_defaults import CATEGORY, DIGEST, LAYER, LAYERS
from components.handover.application_sets import digest
from config.tree import ENVIRONMENTS, CategoryFolder

Object = Mapping[str, Any]

OUR_MANAGERS = (
    "argocd-controller",
    "kubelet",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "pulumi-kubernetes",
)
BY = {"username": "homelab sync"}
NO_SET, UNPUSHED = "its ApplicationSet is missing", "is not pushed: Git does not have it"
GOOD = ("Synced", "Healthy")
# What Argo CD says of a folder that left Git.
NO_FOLDER = "app path does not exist"
# What Argo CD puts before every error of its repo-server; a row has no room for it.
PREAMBLE = re.compile(
    r"(Failed to load target state: |failed to generate manifest for source \d+ of \d+: "
    r"|rpc error: code = \w+ desc = )+"
)
ENVIRONMENT = re.compile(rf"(?:^|/){ENVIRONMENTS}/([^/]+)/[^/]+/\*$")
REFUSED = re.compile(
    r"authentication required|authentication failed|authorization failed|permission denied|unauthorized", re.IGNORECASE
)


@dataclass(frozen=True)
class Application:
    """One Application as a person wants to see it."""

    name: str
    category: str
    layer: str
    sync: str
    health: str
    revision: str
    synced_at: str
    error: str
    stopped: bool
    """Whether it syncs by itself, its last sync failed for good, and Argo CD does not retry it."""
    progress: str
    """A digest of the states of its objects: another one means that something has moved."""
    failed: bool
    """Whether Argo CD could not do what was asked: an object that is not well is no such failure."""
    waits: str
    """The object that is not ready yet, and why, while nothing has failed."""
    manual: bool
    here: bool
    """Whether this checkout asks for it, or it is somebody's own."""
    retired: bool
    running: bool
    unpruned: bool
    """Whether nothing differs but objects that left Git and are still there."""
    drifted: tuple[tuple[str, str, str, str], ...]
    """Objects that are there and differ from Git: group, kind, namespace, name."""
    deleted: tuple[tuple[str, str, str, str], ...]
    """Objects that a sync of this very revision made, and that are not there."""

    def is_good(self, expected: str) -> bool:
        """Whether it is where it has to be."""
        at_revision = not expected or self.revision == expected
        return (self.sync, self.health) == GOOD and at_revision and not self.running

    def state(self, expected: str) -> str:
        """Say in one word what keeps it."""
        if self.retired:
            return "retired"
        if self.running:
            return "syncing"
        if (self.sync, self.health) == GOOD and expected and self.revision != expected:
            return "behind"
        return self.health if self.sync == "Synced" else self.sync


def applications(found: Sequence[Object], expected_names: set[str]) -> list[Application]:
    """Read all Applications, in the order of their layers and names."""
    rows = [_application(one, expected_names) for one in found]
    return sorted(rows, key=lambda row: (LAYERS.index(row.layer) if row.layer in LAYERS else len(LAYERS), row.name))


def operation(found: Object, categories: Sequence[CategoryFolder], environment: str) -> Object:
    """Write the sync of an Application as its own policy has it: Argo CD reads what is asked for as it stands."""
    category = (found["metadata"].get("labels") or {}).get(CATEGORY)
    known = next((one.settings.sync_in(environment) for one in categories if one.name == category), None)
    policy = found["spec"].get("syncPolicy") or {}
    # A manual Application does not say whether it prunes: its category does.
    prune = known.prune == "enabled" if known else bool((policy.get("automated") or {}).get("prune"))
    wish: dict[str, Any] = {"initiatedBy": BY, "sync": {"prune": prune}}
    if "syncOptions" in policy:
        wish["sync"]["syncOptions"] = policy["syncOptions"]
    if "retry" in policy:
        wish["retry"] = policy["retry"]
    return wish


def _application(found: Object, expected_names: set[str]) -> Application:
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    operation = status.get("operationState") or {}
    labels = metadata.get("labels") or {}
    sync = status.get("sync") or {}
    errors = _errors(status, operation)
    automated = "automated" in (spec.get("syncPolicy") or {})
    here = not labels.get(CATEGORY) or metadata["name"] in expected_names
    ended, synced_to = operation.get("finishedAt", ""), (operation.get("syncResult") or {}).get("revision", "")
    made = operation.get("phase") == "Succeeded" and synced_to == sync.get("revision", "")
    differ = [one for one in status.get("resources") or () if one.get("status") == "OutOfSync"]
    kept = [one for one in differ if not one.get("requiresPruning")]
    gone = [one for one in kept if (one.get("health") or {}).get("status") == "Missing"]
    return Application(
        name=metadata["name"],
        category=labels.get(CATEGORY, ""),
        layer=labels.get(LAYER, ""),
        sync=sync.get("status", "Unknown"),
        health=(status.get("health") or {}).get("status", "Unknown"),
        revision=sync.get("revision", ""),
        synced_at=ended,
        error=_first_line([*errors, *_ailing(status, "Degraded", "Missing")]),
        stopped=automated
        and operation.get("phase") in ("Error", "Failed")
        and "operation" not in found
        and sync.get("status") != "Synced",
        progress=_progress(status),
        failed=bool(errors),
        waits=_first_line(_ailing(status, "Progressing", "Suspended")),
        manual=not automated,
        here=here,
        retired=not here and any(NO_FOLDER in message for message in errors),
        # What Argo CD has not looked at since it synced still tells of before.
        running=operation.get("phase") in ("Running", "Terminating")
        or "operation" in found
        or status.get("reconciledAt", ended) < ended,
        unpruned=bool(differ) and not kept,
        drifted=tuple(_key_of(one) for one in kept if one not in gone),
        deleted=tuple(map(_key_of, gone)) if made else (),
    )


def _progress(status: Object) -> str:
    objects = [
        (one["kind"], one["name"], one.get("status"), one.get("health")) for one in status.get("resources") or ()
    ]
    return hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()[:16]


def _key_of(thing: Object) -> tuple[str, str, str, str]:
    return thing.get("group", ""), thing["kind"], thing.get("namespace", ""), thing["name"]


def _errors(status: Object, operation: Object) -> list[str]:
    """Say what Argo CD could not do."""
    conditions = [one["message"] for one in status.get("conditions") or () if one["type"].endswith("Error")]
    failing = operation.get("phase") in ("Error", "Failed") or (
        operation.get("phase") == "Running" and operation.get("retryCount", 0)
    )
    return [*conditions, *([operation.get("message", "")] if failing else [])]


def _ailing(status: Object, *states: str) -> list[str]:
    """Name the objects in one of these states of health, and why they are in it."""
    return [
        f"{one['kind']}/{one['name']}: {one['health'].get('message') or one['health']['status']}"
        for one in status.get("resources") or ()
        if (one.get("health") or {}).get("status") in states
    ]


def _first_line(said: Sequence[str]) -> str:
    return next((PREAMBLE.sub("", " ".join(text.split())) for text in said if text), "")


def edits(thing: Object) -> Iterator[tuple[str, str, str]]:
    """Say which fields of an object somebody else than Argo CD has set: path, who, when."""
    for entry in thing["metadata"].get("managedFields") or ():
        manager = entry.get("manager", "")
        if manager.startswith(OUR_MANAGERS) or entry.get("subresource") == "status":
            continue
        for path in _paths(entry.get("fieldsV1") or {}):
            if not path.startswith(("metadata.", "status.")):
                yield path, manager, entry.get("time", "")


def _paths(fields: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Write managed fields as people do: spec.containers[app].image."""
    inner = {key: value for key, value in fields.items() if key != "."}
    if not inner:
        yield above.removeprefix(".")
    for key, value in inner.items():
        kind, _, name = key.partition(":")
        part = f".{name}" if kind == "f" else f"[{_key(name)}]"
        yield from _paths(value, above + part)


def _key(text: str) -> str:
    """Take the telling part of a list item's key, such as its name."""
    return text.strip("{}").split(",")[0].partition(":")[2].strip('"') or text


def expected_applications(categories: Sequence[CategoryFolder]) -> set[str]:
    """Name every Application that the tree makes."""
    return {app.full_name for category in categories for app in category.apps}


def missing(categories: Sequence[CategoryFolder], sets: Sequence[Object], projects: Sequence[Object]) -> list[str]:
    """Name ApplicationSets and AppProjects that are not there."""
    said = []
    for kind, found in (("ApplicationSet", sets), ("AppProject", projects)):
        there = {one["metadata"]["name"] for one in found}
        names = [category.name for category in categories if category.name not in there]
        every = len(names) == len(categories) > 1
        said += [f"all {len(names)} {kind}s: run ./homelab up"] if every else [f"{kind} {name}" for name in names]
    return said


def absent(
    categories: Sequence[CategoryFolder], names: Collection[str], sets: Sequence[Object], in_git: Collection[str]
) -> dict[str, str]:
    """Say of every folder whose Application is not there why that is, as far as it can be known."""
    there = {one["metadata"]["name"]: _set_error(one) for one in sets}
    said = {}
    for category in categories:
        for app in category.apps:
            if app.full_name in names:
                continue
            if category.name not in there:
                said[app.full_name] = NO_SET
            elif app.path not in in_git:
                said[app.full_name] = f"{app.path} {UNPUSHED}"
            else:
                said[app.full_name] = there[category.name] or "its ApplicationSet has not made it"
    return said


def _set_error(found: Object) -> str:
    conditions = (found.get("status") or {}).get("conditions") or ()
    failing = [one for one in conditions if one.get("type") == "ErrorOccurred" and one.get("status") == "True"]
    return _first_line([one.get("message", "") for one in failing])


def closed(found: Sequence[Object], credentials: Mapping[str, str], is_there: Callable[[str], bool]) -> list[str]:
    """Name repositories that do not open, and the Secrets that hold, or should, what opens them."""
    said = {}
    for one in found:
        source = one["spec"].get("template", one)["spec"].get("source") or {}
        for condition in (one.get("status") or {}).get("conditions") or ():
            message = condition.get("message", "")
            refused = REFUSED.search(message)
            if refused:
                url = next((known for known in credentials if known in message), source.get("repoURL", ""))
                secret = credentials.get(url)
                said[url] = f"{url}: {refused[0]}; {_credentials(secret, is_there)}"
    return list(said.values())


def _credentials(secret: str | None, is_there: Callable[[str], bool]) -> str:
    if not secret:
        return "no Secret of ours is for it"
    holds, missing = "holds its credentials", "is missing: ./homelab up --refresh"
    return f"Secret {secret} {holds if is_there(secret) else missing}"


def followed(sets: Sequence[Object]) -> set[tuple[str, str]]:
    """Say which repository, and which environment of it, our ApplicationSets follow."""
    ours = [one["spec"]["generators"] for one in sets if CATEGORY in (one["metadata"].get("labels") or {})]
    merged = [each["git"] for generators in ours for each in generators[0].get("merge", {}).get("generators", ())]
    folders = [(git["repoURL"], ENVIRONMENT.search(git["directories"][0]["path"])) for git in merged]
    return {(repository, environment[1]) for repository, environment in folders if environment}


def waiting_for_up(categories: Sequence[CategoryFolder], sets: Sequence[Object]) -> list[str]:
    """Name categories whose category.yaml says something else than what was handed over."""
    applied = {one["metadata"]["name"]: (one["metadata"].get("annotations") or {}).get(DIGEST) for one in sets}
    return [
        category.name
        for category in categories
        if category.name in applied and applied[category.name] != digest(category.settings)
    ]


def age(timestamp: str) -> str:
    """Say how long ago something was."""
    if not timestamp:
        return ""
    then = datetime.fromisoformat(timestamp)
    seconds = int((datetime.now(UTC) - then).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"

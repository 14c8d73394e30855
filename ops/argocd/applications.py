"""The state of a cluster's Applications, compared with the tree of the checkout.

Objects of the cluster and the categories of the tree come in, plain facts go out. Pure: `ops.argocd.client` reads the
objects, `ops.argocd.report` puts the facts together.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from components.handover.application_defaults import CATEGORY, DIGEST, LAYER, LAYERS
from components.handover.application_sets import digest
from config.pins import IS_COMMIT
from config.tree import APPS, CategoryFolder
from manifests.objects import Identity, Object

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
# Argo Rollouts' reasons for a pause that a person ends; a pause of a canary's step usually ends by itself.
UNTIL_PROMOTED = ("BlueGreenPause", "InconclusiveAnalysisRun")
ABORTED = "RolloutAborted"
# Argo CD's error about a folder that was removed from Git.
NO_FOLDER = "app path does not exist"
# Argo CD's preamble to every error of its repo-server; a row has no room for it.
PREAMBLE = re.compile(
    r"(Failed to load target state: |failed to generate manifest for source \d+ of \d+: "
    r"|rpc error: code = \w+ desc = )+"
)
# Argo CD's message about a requested sync that a window holds back.
BLOCKED = "Sync operation blocked by sync window"
ENVIRONMENT = re.compile(rf"(?:^|/){APPS}/[^/]+/\*/([^/]+)/[^/]+$")
REFUSED = re.compile(
    r"authentication required|authentication failed|authorization failed|permission denied|unauthorized", re.IGNORECASE
)


@dataclass(frozen=True)
class Application:
    """The facts about one Application that decide whether it is good."""

    name: str
    category: str
    layer: str
    sync: str
    health: str
    revision: str
    synced_at: str
    error: str
    stopped: bool
    """Whether its sync is automated and the last one failed for good: Argo CD does not retry it."""
    progress: str
    """A digest of the states of its objects; it changes when one of them does."""
    failed: bool
    """Whether a comparison or a sync failed; an object that is not healthy is no such failure."""
    waiting_for: str
    """The first object that is not ready yet, and the reason."""
    manual: bool
    expected: bool
    """Whether a folder of this checkout makes it, or no category does: then it is a user's own."""
    retired: bool
    running: bool
    blocked: bool
    """Whether its requested sync waits for a sync window."""
    deployed: bool
    """Whether a sync of it has ever succeeded."""
    unpruned: bool
    """Whether the only differences are objects that were removed from Git and still exist."""
    drifted: tuple[Identity, ...]
    """Objects whose live state differs from the desired state."""
    deleted: tuple[Identity, ...]
    """Objects that a sync of the current revision made, and that no longer exist."""
    pin: str = ""
    """The commit that Git pins it to; empty where it follows the branch."""
    target: str = ""
    """The revision that its ApplicationSet has given it."""

    @property
    def awaits_promotion(self) -> bool:
        """Return whether a Rollout of it is paused until a person promotes or aborts it."""
        return self.health == "Suspended" and self.waiting_for.endswith(UNTIL_PROMOTED) and not self.running

    @property
    def is_aborted(self) -> bool:
        """Return whether a Rollout of it went back to the old version; only another commit changes that."""
        return self.health == "Degraded" and f": {ABORTED}: " in self.error and not self.running

    def is_good(self, expected: str) -> bool:
        """Return whether it is Synced and Healthy at its pin, or at the expected revision."""
        return (self.sync, self.health) == GOOD and not self.is_behind(expected) and not self.running

    def is_behind(self, expected: str) -> bool:
        """Return whether it is at another revision than its pin, or than the expected one where it has none."""
        return bool(expected or self.pin) and self.revision != (self.pin or expected)

    @property
    def waits_for_set(self) -> bool:
        """Return whether its ApplicationSet has not yet read the pin, or the end of a pin, from Git."""
        return self.target != self.pin if self.pin else bool(IS_COMMIT.match(self.target))

    def state(self, expected: str) -> str:
        """Return the reason why it is not good, in one word."""
        if self.retired:
            return "retired"
        if self.running:
            return "syncing"
        if (self.sync, self.health) == GOOD and self.is_behind(expected):
            return "behind"
        return self.health if self.sync == "Synced" else self.sync


def applications(
    found: Sequence[Object], expected_names: set[str], pins: Mapping[str, str] | None = None
) -> list[Application]:
    """Return all Applications, sorted by layer and name; without the pins in Git, each has the one of its source."""
    rows = [_application(one, expected_names, pins) for one in found]
    return sorted(rows, key=lambda row: (LAYERS.index(row.layer) if row.layer in LAYERS else len(LAYERS), row.name))


def operation(found: Object, categories: Sequence[CategoryFolder], environment: str) -> Object:
    """Return a sync operation with the Application's own policy: Argo CD adds nothing of it to a requested sync."""
    category = (found["metadata"].get("labels") or {}).get(CATEGORY)
    known = next((one.settings.sync_in(environment) for one in categories if one.name == category), None)
    policy = found["spec"].get("syncPolicy") or {}
    # A manual Application has no field for pruning; its category has one.
    prune = known.prune == "enabled" if known else bool((policy.get("automated") or {}).get("prune"))
    requested: dict[str, Any] = {"initiatedBy": BY, "sync": {"prune": prune}}
    if "syncOptions" in policy:
        requested["sync"]["syncOptions"] = policy["syncOptions"]
    if "retry" in policy:
        requested["retry"] = policy["retry"]
    return requested


def _application(found: Object, expected_names: set[str], pins: Mapping[str, str] | None) -> Application:
    source = found["spec"].get("source") or {}
    target = source.get("targetRevision", "")
    own = target if IS_COMMIT.match(target) else ""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    operation = status.get("operationState") or {}
    labels = metadata.get("labels") or {}
    sync = status.get("sync") or {}
    errors = _errors(status, operation)
    automated = "automated" in (spec.get("syncPolicy") or {})
    expected = not labels.get(CATEGORY) or metadata["name"] in expected_names
    ended, synced_to = operation.get("finishedAt", ""), (operation.get("syncResult") or {}).get("revision", "")
    made = operation.get("phase") == "Succeeded" and synced_to == sync.get("revision", "")
    differ = [one for one in status.get("resources") or () if one.get("status") == "OutOfSync"]
    desired = [one for one in differ if not one.get("requiresPruning")]
    gone = [one for one in desired if (one.get("health") or {}).get("status") == "Missing"]
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
        waiting_for=_first_line(_ailing(status, "Progressing", "Suspended")),
        manual=not automated,
        expected=expected,
        retired=not expected and any(NO_FOLDER in message for message in errors),
        # Until Argo CD reconciles after a sync, the status is that of before the sync.
        running=operation.get("phase") in ("Running", "Terminating")
        or "operation" in found
        or status.get("reconciledAt", ended) < ended,
        blocked=operation.get("phase") == "Running" and operation.get("message", "").startswith(BLOCKED),
        deployed=bool(status.get("history")),
        unpruned=bool(differ) and not desired,
        drifted=tuple(_identity(one) for one in desired if one not in gone),
        deleted=tuple(map(_identity, gone)) if made else (),
        pin=own if pins is None else pins.get(source.get("path", ""), ""),
        target=target,
    )


def _progress(status: Object) -> str:
    objects = [
        (one["kind"], one["name"], one.get("status"), one.get("health")) for one in status.get("resources") or ()
    ]
    return hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()[:16]


def _identity(resource: Object) -> Identity:
    return Identity(resource.get("group", ""), resource["kind"], resource.get("namespace", ""), resource["name"])


def _errors(status: Object, operation: Object) -> list[str]:
    """Return the errors of the last comparison and the last sync."""
    conditions = [one["message"] for one in status.get("conditions") or () if one["type"].endswith("Error")]
    failing = operation.get("phase") in ("Error", "Failed") or (
        operation.get("phase") == "Running" and operation.get("retryCount", 0)
    )
    return [*conditions, *([operation.get("message", "")] if failing else [])]


def _ailing(status: Object, *states: str) -> list[str]:
    """Return the objects in one of these states of health, each with the reason."""
    return [
        f"{one['kind']}/{one['name']}: {one['health'].get('message') or one['health']['status']}"
        for one in status.get("resources") or ()
        if (one.get("health") or {}).get("status") in states
    ]


def _first_line(messages: Sequence[str]) -> str:
    return next((PREAMBLE.sub("", " ".join(text.split())) for text in messages if text), "")


class Edit(NamedTuple):
    """A field that was not set by Argo CD or by a controller of ours."""

    path: str
    manager: str
    time: str


def edits(live: Object) -> Iterator[Edit]:
    """Yield the fields of a live object that were edited."""
    for entry in live["metadata"].get("managedFields") or ():
        manager = entry.get("manager", "")
        if manager.startswith(OUR_MANAGERS) or entry.get("subresource") == "status":
            continue
        for path in _paths(entry.get("fieldsV1") or {}):
            if not path.startswith(("metadata.", "status.")):
                yield Edit(path, manager, entry.get("time", ""))


def _paths(fields: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the paths of managed fields, such as spec.containers[app].image."""
    inner = {key: value for key, value in fields.items() if key != "."}
    if not inner:
        yield above.removeprefix(".")
    for key, value in inner.items():
        kind, _, name = key.partition(":")
        part = f".{name}" if kind == "f" else f"[{_key(name)}]"
        yield from _paths(value, above + part)


def _key(text: str) -> str:
    """Return the value of a list item's key, such as its name."""
    return text.strip("{}").split(",")[0].partition(":")[2].strip('"') or text


def expected_applications(categories: Sequence[CategoryFolder]) -> set[str]:
    """Return the name of every Application that the tree makes."""
    return {app.full_name for category in categories for app in category.apps}


def missing(categories: Sequence[CategoryFolder], sets: Sequence[Object], projects: Sequence[Object]) -> list[str]:
    """Return the ApplicationSets and AppProjects that do not exist."""
    lines = []
    for kind, found in (("ApplicationSet", sets), ("AppProject", projects)):
        existing = {one["metadata"]["name"] for one in found}
        names = [category.name for category in categories if category.name not in existing]
        every = len(names) == len(categories) > 1
        lines += [f"all {len(names)} {kind}s: run ./homelab up"] if every else [f"{kind} {name}" for name in names]
    return lines


def absent(
    categories: Sequence[CategoryFolder], names: Collection[str], sets: Sequence[Object], in_git: Collection[str]
) -> dict[str, str]:
    """Return the folders without an Application, each with the reason."""
    errors = {one["metadata"]["name"]: _set_error(one) for one in sets}
    reasons = {}
    for category in categories:
        for app in category.apps:
            if app.full_name in names:
                continue
            if category.name not in errors:
                reasons[app.full_name] = NO_SET
            elif app.path not in in_git:
                reasons[app.full_name] = f"{app.path} {UNPUSHED}"
            else:
                reasons[app.full_name] = errors[category.name] or "its ApplicationSet has not made it"
    return reasons


def _set_error(found: Object) -> str:
    conditions = (found.get("status") or {}).get("conditions") or ()
    failing = [one for one in conditions if one.get("type") == "ErrorOccurred" and one.get("status") == "True"]
    return _first_line([one.get("message", "") for one in failing])


def inaccessible(found: Sequence[Object], secrets: Mapping[str, str], has_secret: Callable[[str], bool]) -> list[str]:
    """Return the repositories that reject Argo CD, each with the Secret that has its credentials."""
    lines = {}
    for one in found:
        source = one["spec"].get("template", one)["spec"].get("source") or {}
        for condition in (one.get("status") or {}).get("conditions") or ():
            message = condition.get("message", "")
            refused = REFUSED.search(message)
            if refused:
                url = next((known for known in secrets if known in message), source.get("repoURL", ""))
                lines[url] = f"{url}: {refused[0]}; {_credentials(secrets.get(url), has_secret)}"
    return list(lines.values())


def _credentials(secret: str | None, has_secret: Callable[[str], bool]) -> str:
    if not secret:
        return "the stack has no Secret for it"
    holds, missing = "holds its credentials", "is missing: ./homelab up --refresh"
    return f"Secret {secret} {holds if has_secret(secret) else missing}"


def followed(sets: Sequence[Object]) -> set[tuple[str, str]]:
    """Return the repositories that our ApplicationSets read, each with the environment."""
    ours = [one["spec"]["generators"] for one in sets if CATEGORY in (one["metadata"].get("labels") or {})]
    files = [
        (git["repoURL"], ENVIRONMENT.search(file["path"]))
        for generators in ours
        for git in (generator.get("git", {}) for generator in generators)
        for file in git.get("files", ())
    ]
    return {(repository, environment[1]) for repository, environment in files if environment}


def waiting_for_up(categories: Sequence[CategoryFolder], sets: Sequence[Object]) -> list[str]:
    """Return the categories whose category.yaml differs from the one that was handed over."""
    applied = {one["metadata"]["name"]: (one["metadata"].get("annotations") or {}).get(DIGEST) for one in sets}
    return [
        category.name
        for category in categories
        if category.name in applied and applied[category.name] != digest(category.settings)
    ]


def age(timestamp: str) -> str:
    """Return the time since a timestamp, in one unit."""
    if not timestamp:
        return ""
    then = datetime.fromisoformat(timestamp)
    seconds = int((datetime.now(UTC) - then).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"

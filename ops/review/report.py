"""The report of `./homelab preview` as data: every format is made from it, and its JSON schema is documented.

`ops.review.assemble` fills it. Every text in it may come from a stranger: a format escapes it. No value in it is a
secret: differences are redacted before they become part of a report.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Verdict = Literal["routine", "review", "dangerous"]
Operation = Literal["added", "removed", "changed"]
Jump = Literal["patch", "minor", "major", "downgrade", "digest", "other"]
Cost = Literal["nothing", "service restart", "reboot", "replacement"]
Fate = Literal["pruned", "kept by annotation", "kept by removal", "kept by prune", "waits for a person", "deleted"]


class Part(BaseModel):
    """The base of every part: camelCase keys, frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Revision(Part):
    """One side of the comparison."""

    commit: str = Field(description="the commit; empty where there is none yet")
    subject: str = Field(default="", description="the first line of its message")
    changed_files: int = Field(default=0, description="files of the working tree that differ from the commit")


class Danger(Part):
    """A change that may destroy something, interrupt something or widen access."""

    rule: str = Field(description="the id of the rule: docs/reference/dangers.md")
    where: str = Field(description="the app, object, setting or resource")
    reason: str = Field(description="what the change does there")
    why: str = Field(default="", description="the consequence, in one sentence: the reason of the rule")
    file: str = Field(default="", description="the file of the working tree, where one is known")
    stacks: tuple[str, ...] = Field(default=(), description="the stacks that it concerns")
    certainty: Literal["certain", "guessed", "judged by the API server"] = Field(
        default="certain", description="whether the API server, a rule or a guess decides"
    )


class PropertyChange(Part):
    """One property of a resource before and after; an empty text is an absent property."""

    path: str = Field(description="the path of the property inside of the resource")
    before: str = Field(default="", description="its value, or empty where it is absent")
    after: str = Field(default="", description="its value, or empty where it is absent")


class ResourceChange(Part):
    """One resource that the engine would change."""

    operation: Literal["create", "update", "replace", "delete", "read", "refresh"] = Field(
        description="the operation of the engine"
    )
    type: str = Field(description="the type of the resource")
    name: str = Field(description="its name in the program")
    properties: tuple[PropertyChange, ...] = Field(default=(), description="its properties that change")


class ComponentChange(Part):
    """The resources of one component."""

    component: str = Field(description="the name of the component")
    resources: tuple[ResourceChange, ...] = Field(description="its resources that change")


class Infrastructure(Part):
    """The engine's preview of one stack."""

    stack: str = Field(description="the name of the stack")
    against: Literal["state", "empty state", "base", "rehearsal", "unaffected", "not run"] = Field(
        description="the other side of the comparison"
    )
    note: str = Field(default="", description="the reason, or what the reader must know about the comparison")
    counts: dict[str, int] = Field(default_factory=dict, description="resources by operation")
    components: tuple[ComponentChange, ...] = Field(default=(), description="components with changes")
    messages: tuple[str, ...] = Field(default=(), description="warnings and errors of the engine")


class NodeConfiguration(Part):
    """The change of one node's machine configuration, redacted."""

    stack: str = Field(description="the name of the stack")
    node: str = Field(description="the name of the node")
    cost: Cost = Field(description="the consequence for the node")
    why: str = Field(default="", description="the reason for the cost")
    difference: tuple[str, ...] = Field(default=(), description="lines of a unified difference")


class RemovedObject(Part):
    """An object that left the manifests, and what Argo CD does with it."""

    object: str = Field(description="its API version, kind, namespace and name")
    fate: Fate = Field(description="the consequence for the live object")
    why: str = Field(description="the annotation, setting or rule that decides")


class ApplicationChange(Part):
    """An Application that was added, removed or changed."""

    app: str = Field(description="category/app")
    stacks: tuple[str, ...] = Field(description="the stacks in which the change is the same")
    operation: Operation = Field(description="the change of the Application itself")
    added: int = Field(default=0, description="number of added objects")
    changed: int = Field(default=0, description="number of changed objects")
    removed: int = Field(default=0, description="number of removed objects")
    removed_objects: tuple[RemovedObject, ...] = Field(default=(), description="each removed object")
    sync: str = Field(default="", description="automatic or manual, and a change of it")


class ObjectChange(Part):
    """One object, as a unified difference with context."""

    object: str = Field(description="its API version, kind, namespace and name")
    operation: Operation = Field(description="the change of the object")
    difference: tuple[str, ...] = Field(default=(), description="lines of a unified difference")
    folded: int = Field(default=0, description="changed lines that are noise: checksums, labels of charts")


class ManifestChange(Part):
    """The changed objects of one app, once for all stacks in which the change is the same."""

    app: str = Field(description="category/app")
    stacks: tuple[str, ...] = Field(description="the stacks in which the change is the same")
    objects: tuple[ObjectChange, ...] = Field(default=(), description="the objects that differ")
    error: str = Field(default="", description="the reason why a side did not render")
    not_compared: int = Field(default=0, description="objects of the side that did render")


class VersionChange(Part):
    """An image, chart, remote base or part of the platform that moved."""

    app: str = Field(description="category/app, or the setting of a stack")
    stacks: tuple[str, ...] = Field(description="the stacks in which the change is the same")
    kind: Literal["image", "chart", "base", "platform"] = Field(description="the kind of the thing that moved")
    name: str = Field(description="its name without a version")
    before: str = Field(default="", description="the old version")
    after: str = Field(default="", description="the new version")
    digest_before: str = Field(default="", description="the old digest")
    digest_after: str = Field(default="", description="the new digest")
    stand_in: bool = Field(
        default=False,
        description="whether a stand-in replaced the chart or base, so that its own changes are not shown",
    )
    jump: Jump = Field(description="the size of the step")
    release_notes: str = Field(default="", description="the page of the release, on a known forge")


class CheckChange(Part):
    """A problem that only one side has."""

    where: str = Field(description="file and line")
    rule: str = Field(description="the rule that is broken")
    fix: str = Field(description="a way to mend it")
    check: str = Field(description="the id of the check: docs/reference/checks.md")


class Checks(Part):
    """What the change breaks and what it mends."""

    broken: tuple[CheckChange, ...] = Field(default=(), description="findings that only the new side has")
    mended: tuple[CheckChange, ...] = Field(default=(), description="findings that only the old side has")
    note: str = Field(default="", description="a limit of the comparison")


class Observation(Part):
    """What a rehearsed Argo CD says of both revisions of one app."""

    stack: str = Field(description="the name of the stack")
    app: str = Field(description="category/app")
    objects: int = Field(description="objects that differ by Argo CD's own render")
    differences: tuple[str, ...] = Field(default=(), description="objects in which this report and Argo CD disagree")
    error: str = Field(default="", description="the reason why Argo CD has no render")


class Rehearsed(Part):
    """The part that `--rehearse` adds."""

    observations: tuple[Observation, ...] = Field(default=(), description="each app that was compared")
    note: str = Field(default="", description="a limit of the comparison")


class Report(Part):
    """Everything that a change will do."""

    verdict: Verdict = Field(
        description="routine: only versions moved, patch or minor; dangerous: dangers were found; review: all else"
    )
    because: tuple[str, ...] = Field(default=(), description="the reasons of the verdict, in one line each")
    base: Revision = Field(description="the revision before the change")
    head: Revision = Field(description="the revision after the change")
    stacks: tuple[str, ...] = Field(description="the stacks that were compared")
    counts: dict[str, int] = Field(default_factory=dict, description="dangers, apps, objects, resources, versions")
    dangers: tuple[Danger, ...] = Field(default=(), description="the dangers, without repetition")
    infrastructure: tuple[Infrastructure, ...] = Field(default=(), description="the engine's preview of each stack")
    machines: tuple[NodeConfiguration, ...] = Field(default=(), description="nodes whose machine configuration changes")
    applications: tuple[ApplicationChange, ...] = Field(default=(), description="Applications that change")
    versions: tuple[VersionChange, ...] = Field(default=(), description="versions that move")
    manifests: tuple[ManifestChange, ...] = Field(default=(), description="objects that differ, by app")
    checks: Checks = Field(default=Checks(), description="findings of the checks on one side only")
    rehearsed: Rehearsed | None = Field(
        default=None, description="the observations of a rehearsed Argo CD, with --rehearse"
    )
    notes: tuple[str, ...] = Field(default=(), description="what is missing or simulated in this report")


Kind = TypeVar("Kind", "ApplicationChange", "Danger", "VersionChange")


def joined(found: Iterable[tuple[Kind, Iterable[str]]]) -> list[Kind]:
    """Return each part once, with all stacks in which it was found."""
    stacks: dict[Kind, set[str]] = {}
    for part, names in found:
        stacks.setdefault(part.model_copy(update={"stacks": ()}), set()).update(names)
    return [part.model_copy(update={"stacks": tuple(sorted(names))}) for part, names in stacks.items()]

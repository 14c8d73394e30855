"""The drift report: everything that runs otherwise than desired, in resources, machine configurations and applications.

The engine refreshes and previews (`ops.review.infrastructure`), each node's running configuration is compared with the
applied one (`ops.review.machines`), and Argo CD reports on the applications (`ops.argocd.report`). `ops.status` and
`ops.preview` print it. Nothing is written, and no credential is shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import yaml
from pulumi.automation.events import EngineEvent, OpType
from pydantic import BaseModel, ConfigDict

import programs
from config import derive
from config.derive import Machine
from config.model import Settings
from config.tree import Tree
from errors import Declined, HomelabError, ProgramFailed, printable
from local.files import write_private
from ops.argocd.client import ArgoCDClient, with_kubeconfig
from ops.argocd.report import EDITS, SyncReport, current_report
from ops.engine.engine import Engine
from ops.engine.timeline import Timeline
from ops.rehearsal.client import client_of
from ops.result import Result
from ops.review.infrastructure import engine_of, previewed
from ops.review.machines import drifted
from ops.review.plan import SIGNATURE, Planned
from ops.review.report import Infrastructure, NodeConfiguration
from ops.stack import checked
from ops.terminal import coloured, count

APPLIED = "talos:machine/configurationApply:ConfigurationApply"
PREFIX = "cluster-configuration-"
SECONDS = 30.0


class Unread(BaseModel):
    """A node whose configuration could not be read, and the reason."""

    model_config = ConfigDict(frozen=True)

    node: str
    reason: str


@dataclass(frozen=True)
class Drift:
    """Everything in which a stack differs from its desired state."""

    stack: str
    infrastructure: Infrastructure
    machines: tuple[NodeConfiguration, ...]
    unread: tuple[Unread, ...]
    applications: SyncReport | None
    """Nothing where no API server answers."""

    @property
    def failed(self) -> bool:
        """Return whether a part of the report is missing."""
        return bool(self.infrastructure.note) or bool(self.unread) or self.applications is None

    @property
    def changes(self) -> bool:
        """Return whether anything differs."""
        applications = self.applications
        differs = applications is not None and (not applications.is_good or bool(applications.edits))
        return bool(self.infrastructure.counts) or bool(self.machines) or differs

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON output."""
        return {
            "stack": self.stack,
            "changes": self.changes,
            "failed": self.failed,
            "infrastructure": self.infrastructure.model_dump(mode="json", by_alias=True),
            "machines": [one.model_dump(mode="json", by_alias=True) for one in self.machines],
            "unread": [one.model_dump() for one in self.unread],
            "applications": self.applications.as_dict() if self.applications else None,
        }


def report_drift(root: Path, stack: str, *, rehearsal: bool) -> Result:
    """Return the drift report of a stack, or of its rehearsal."""
    drift = drift_of(root, stack, rehearsal=rehearsal)
    return Result("\n".join(lines(drift)), drift.as_dict(), good=not drift.failed, changes=drift.changes)


def drift_of(root: Path, stack: str, *, rehearsal: bool) -> Drift:
    """Compare a stack with what runs: first the engine, which reads every host, then the nodes, then Argo CD."""
    _, settings, tree = checked(root, stack)
    source: Literal["state", "rehearsal"] = "rehearsal" if rehearsal else "state"
    with Timeline(planned=True) as timeline, _reading(root, stack, source, timeline) as (engine, planned):
        if engine.env:
            raise Declined(f"{stack}: nothing is deployed yet, so that nothing can have drifted; ./homelab up")
        outputs = engine.outputs()
        with _client(root, stack, rehearsal, outputs) as client:
            client.refuse_timeout()
            outcome = engine.preview(refresh=True)
            found = previewed(stack, source, "", planned, outcome)
            changed, unread = _machines(stack, settings, engine, str(outputs.get("talosconfig", "")))
            applications = _applications(client, settings, tree)
    return Drift(stack, found, changed, unread, applications)


def _reading(
    root: Path, stack: str, source: Literal["state", "rehearsal"], timeline: Timeline
) -> AbstractContextManager[tuple[Engine, Planned]]:
    """Return the engine, with a display that leaves the refresh of each resource out: most find nothing."""

    def on_event(event: EngineEvent) -> None:
        step = event.resource_pre_event or event.res_outputs_event
        if step is None or step.metadata.op is not OpType.REFRESH:
            timeline.on_event(event)

    return engine_of(root, root, stack, source, on_event)


def _client(
    root: Path, stack: str, rehearsal: bool, outputs: Mapping[str, Any]
) -> AbstractContextManager[ArgoCDClient]:
    if rehearsal:
        return nullcontext(client_of(root, stack))
    return with_kubeconfig(str(outputs.get("kubeconfig", "")))


def _applications(client: ArgoCDClient, settings: Settings, tree: Tree) -> SyncReport | None:
    if not client.answers():
        return None
    return current_report(client, settings, tree.chosen(settings.delivery.environment))


def _machines(
    stack: str, settings: Settings, engine: Engine, talosconfig: str
) -> tuple[tuple[NodeConfiguration, ...], tuple[Unread, ...]]:
    """Compare the running configuration of each node with the applied one; only a made node has one."""
    applied = applied_configurations(engine.state(in_clear=True))
    found, unread = [], []
    with TemporaryDirectory() as folder:
        file = Path(folder) / "talosconfig"
        write_private(file, talosconfig)
        for node in derive.machines(settings):
            if node.name not in applied:
                continue
            try:
                found.append(drifted(stack, node.name, _running(node, settings, file), applied[node.name]))
            except (HomelabError, yaml.YAMLError) as error:
                unread.append(Unread(node=node.name, reason=_reason(error)))
    return tuple(one for one in found if one), tuple(unread)


def applied_configurations(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the configurations that were applied last, by node, from a state with its secrets in clear."""
    found = {}
    for resource in state.get("resources") or ():
        name = str(resource.get("urn", "")).rsplit("::", 1)[-1]
        if resource.get("type") == APPLIED and not resource.get("delete") and name.startswith(PREFIX):
            value = resource["inputs"]["machineConfigurationInput"]
            in_clear = json.loads(value["plaintext"]) if isinstance(value, dict) and SIGNATURE in value else value
            found[name.removeprefix(PREFIX)] = str(in_clear)
    return found


def _running(node: Machine, settings: Settings, talosconfig: Path) -> str:
    """Read the configuration that a node runs, which may be older than one that waits for a reboot."""
    planes = ",".join(str(one.address) for one in derive.machines(settings) if one.role == "control-plane")
    reached = ("--talosconfig", talosconfig, "--endpoints", planes, "--nodes", str(node.address))
    command = (*reached, "get", "machineconfig", "v1alpha1", "-o", "yaml")
    return str(yaml.safe_load(programs.run("talosctl", *command, timeout=SECONDS).stdout)["spec"])


def _reason(error: Exception) -> str:
    """Return the last line of an error: it has no part of a configuration."""
    if isinstance(error, yaml.YAMLError):
        return "talosctl returned no YAML"
    text = error.output if isinstance(error, ProgramFailed) else str(error)
    return text.strip().splitlines()[-1] if text.strip() else "no reason was given"


def lines(drift: Drift) -> Iterator[str]:
    """Yield the report for a terminal: each part that differs, then one line that sums it up."""
    yield from _infrastructure(drift.infrastructure)
    for one in drift.machines:
        yield coloured(f"machine configuration of {one.node}, running (-) and applied (+)", "bold")
        yield from (f"  {printable(line)}" for line in one.difference)
        yield f"  to apply it again: {one.cost} ({one.why})"
        yield ""
    yield from _listed("not read", (f"{one.node}: {one.reason}" for one in drift.unread))
    applications = drift.applications
    if applications is None:
        yield from _listed("applications", ["the API server does not answer"])
    else:
        yield from _applications_of(applications)
    yield _summary(drift)


def _applications_of(report: SyncReport) -> Iterator[str]:
    """Yield unfinished and missing applications, and live edits; `status` has the whole table."""
    yield from _listed(
        "applications", (f"{one.name}: {one.sync}, {one.health} {one.error[:100]}".strip() for one in report.unfinished)
    )
    yield from _listed("missing", [*report.missing, *(f"{name}: {why}" for name, why in report.absent.items())])
    yield from _listed(EDITS, report.edits)


def _infrastructure(found: Infrastructure) -> Iterator[str]:
    if found.note:
        yield from (found.note, "")
    for component in found.components:
        yield coloured(component.component, "bold")
        for resource in component.resources:
            yield printable(f"  {resource.operation} {resource.name}")
            yield from (
                printable(f"    {one.path}: {one.before or '(none)'} -> {one.after or '(none)'}")
                for one in resource.properties
            )
        yield ""


def _listed(title: str, items: Iterable[str]) -> Iterator[str]:
    shown = [f"  {printable(item)}" for item in items]
    if shown:
        yield from (f"{title}:", *shown, "")


def _summary(drift: Drift) -> str:
    resources = sum(drift.infrastructure.counts.values())
    applications = drift.applications
    unfinished = len(applications.unfinished) + len(applications.absent) if applications else 0
    edits = len(applications.edits) if applications else 0
    parts = (
        count(resources, "resource"),
        count(len(drift.machines), "machine configuration"),
        count(unfinished, "application"),
        count(edits, "live edit"),
    )
    if drift.failed:
        return coloured(f"the report is not complete; found so far: {', '.join(parts)}", "red")
    return coloured(f"drift: {', '.join(parts)}" if drift.changes else "no drift", "red" if drift.changes else "green")

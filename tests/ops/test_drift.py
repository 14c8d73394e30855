"""The drift report: its exit codes, its lines, and the configurations that it compares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from errors import ExitCode, ProgramFailed, TookTooLong
from ops import drift
from ops.argocd.applications import Application
from ops.argocd.report import SyncReport
from ops.drift import Drift, Unread, applied_configurations, lines, report_drift
from ops.review.machines import drifted
from ops.review.plan import SIGNATURE
from ops.review.report import ComponentChange, Infrastructure, PropertyChange, ResourceChange

CANARY = "canary" + "5D1x9"
RUNNING = f"machine: {{token: {CANARY}, sysctls: {{a: '1'}}}}\n---\nkind: HostnameConfig\nhostname: worker-1\n"
APPLIED = "machine: {token: other, sysctls: {a: '2'}}\n---\nkind: HostnameConfig\nhostname: worker-1\n"
INCOMPLETE = "the report is not complete; found so far:"
NOTHING = Infrastructure(stack="dev", against="state")


def application(sync: str = "Synced") -> Application:
    return Application(
        name="media-jellyfin",
        category="media",
        layer="applications",
        sync=sync,
        health="Healthy",
        revision="c0ffee",
        synced_at="",
        error="",
        stopped=False,
        progress="",
        failed=False,
        waiting_for="",
        manual=False,
        expected=True,
        retired=False,
        running=False,
        blocked=False,
        deployed=True,
        unpruned=False,
        drifted=(),
        deleted=(),
    )


def found(**parts: Any) -> Drift:
    """Return a report without drift, but for the given parts."""
    usual: dict[str, Any] = {
        "stack": "dev",
        "infrastructure": NOTHING,
        "machines": (),
        "unread": (),
        "applications": SyncReport("c0ffee", [application()]),
    }
    return Drift(**usual | parts)


UPDATED = Infrastructure(
    stack="dev",
    against="state",
    counts={"update": 1},
    components=(
        ComponentChange(
            component="machines",
            resources=(
                ResourceChange(
                    operation="update",
                    type="proxmoxve:index/vmLegacy:VmLegacy",
                    name="machines-worker-1",
                    properties=(PropertyChange(path="cpu.cores", before="3", after="4"),),
                ),
            ),
        ),
    ),
)
EDITED = SyncReport("c0ffee", [application()], edits=["Deployment media/jellyfin: spec.replicas (by kubectl, 3 s ago)"])


@pytest.mark.parametrize(
    ("parts", "code", "last"),
    [
        ({}, ExitCode.DONE, "no drift"),
        (
            {"infrastructure": UPDATED},
            ExitCode.CHANGES,
            "drift: 1 resource, 0 machine configurations, 0 applications, 0 live edits",
        ),
        (
            {"machines": (drifted("dev", "worker-1", RUNNING, APPLIED),)},
            ExitCode.CHANGES,
            "drift: 0 resources, 1 machine configuration, 0 applications, 0 live edits",
        ),
        (
            {"applications": SyncReport("c0ffee", [application("OutOfSync")])},
            ExitCode.CHANGES,
            "drift: 0 resources, 0 machine configurations, 1 application, 0 live edits",
        ),
        (
            {"applications": EDITED},
            ExitCode.CHANGES,
            "drift: 0 resources, 0 machine configurations, 0 applications, 1 live edit",
        ),
        (
            {"unread": (Unread(node="cp-1", reason="no route to host"),), "infrastructure": UPDATED},
            ExitCode.NOT_GOOD,
            f"{INCOMPLETE} 1 resource, 0 machine configurations, 0 applications, 0 live edits",
        ),
        (
            {"applications": None},
            ExitCode.NOT_GOOD,
            f"{INCOMPLETE} 0 resources, 0 machine configurations, 0 applications, 0 live edits",
        ),
        (
            {"infrastructure": NOTHING.model_copy(update={"note": "the preview failed and is not complete: x"})},
            ExitCode.NOT_GOOD,
            f"{INCOMPLETE} 0 resources, 0 machine configurations, 0 applications, 0 live edits",
        ),
    ],
)
def test_the_code_says_whether_something_differs_or_failed(
    parts: dict[str, Any], code: ExitCode, last: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(drift, "drift_of", lambda root, stack, rehearsal: found(**parts))
    result = report_drift(tmp_path, "dev", rehearsal=False)
    assert result.code == code
    assert result.text.splitlines()[-1] == last
    assert json.loads(json.dumps(result.as_dict()))["failed"] is (code == ExitCode.NOT_GOOD)


def test_the_codes_are_those_of_other_drift_checks() -> None:
    assert (ExitCode.DONE.value, ExitCode.CHANGES.value, ExitCode.NOT_GOOD.value) == (0, 2, 1)


def test_each_part_has_its_lines() -> None:
    configuration = drifted("dev", "worker-1", RUNNING, APPLIED)
    assert configuration
    assert configuration.why == (
        "machine.token takes effect at the next reboot of the node; Talos applies machine.sysctls without a reboot"
    )
    parts = {
        "infrastructure": UPDATED,
        "machines": (configuration,),
        "unread": (Unread(node="cp-1", reason="no route to host"),),
        "applications": SyncReport("c0ffee", [application("OutOfSync")], edits=EDITED.edits, absent={"x": "no folder"}),
    }
    assert list(lines(found(**parts)))[:-1] == [
        "machines",
        "  update machines-worker-1",
        "    cpu.cores: 3 -> 4",
        "",
        "machine configuration of worker-1, running (-) and applied (+)",
        "  @@ -6,3 +6,3 @@",
        "       sysctls:",
        "  -      a: '1'",
        "  +      a: '2'",
        "       token: (covered)",
        "   machine configuration.machine.token: (covered), changed",
        f"  to apply it again: reboot ({configuration.why})",
        "",
        "not read:",
        "  cp-1: no route to host",
        "",
        "applications:",
        "  media-jellyfin: OutOfSync, Healthy",
        "",
        "missing:",
        "  x: no folder",
        "",
        "live edits, undone by the next sync where Git has another value:",
        "  Deployment media/jellyfin: spec.replicas (by kubectl, 3 s ago)",
        "",
    ]
    assert CANARY not in json.dumps(found(**parts).as_dict())


def test_an_equal_configuration_is_no_drift() -> None:
    assert drifted("dev", "worker-1", APPLIED, f"# a comment\n{APPLIED}") is None


def test_the_applied_configurations_come_from_the_state() -> None:
    kind = "talos:machine/configurationApply:ConfigurationApply"
    urn = f"urn:pulumi:dev::homelab::homelab:cluster:Cluster${kind}::cluster-configuration-worker-1"
    secret = {SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(APPLIED)}
    applied = {"urn": urn, "type": kind, "inputs": {"machineConfigurationInput": secret}}
    replaced = {**applied, "delete": True, "inputs": {"machineConfigurationInput": "old"}}
    others = {"urn": "urn:pulumi:dev::homelab::pulumi:pulumi:Stack::homelab-dev", "type": "pulumi:pulumi:Stack"}
    assert applied_configurations({"resources": [others, replaced, applied]}) == {"worker-1": APPLIED}
    assert applied_configurations({}) == {}


def test_the_reason_of_an_unread_node_is_one_line() -> None:
    assert drift._reason(TookTooLong("talosctl get: no end after 30 s")) == "talosctl get: no end after 30 s"
    failed = ProgramFailed("talosctl get failed", status=1, output="x\nrpc error: code = Unavailable\n")
    assert drift._reason(failed) == "rpc error: code = Unavailable"
    assert drift._reason(yaml.YAMLError(CANARY)) == "talosctl returned no YAML"


def test_live_values_do_not_control_the_terminal() -> None:
    live = "\x1b[2Jx\n::error::y"
    one = UPDATED.components[0].resources[0]
    changed = one.model_copy(update={"properties": (PropertyChange(path="text", before=live, after=live),)})
    component = UPDATED.components[0].model_copy(update={"resources": (changed,)})
    edited = SyncReport("c0ffee", [application()], edits=[live])
    parts = {"infrastructure": UPDATED.model_copy(update={"components": (component,)}), "applications": edited}
    shown = [
        *lines(
            found(**parts),
        )
    ]
    assert "    text: \\u001b[2Jx\\n::error::y -> \\u001b[2Jx\\n::error::y" in shown
    assert "  \\u001b[2Jx\\n::error::y" in shown

"""Dangers of versions and of the engine's preview, as tables."""

from __future__ import annotations

import pytest

from ops.review.dangers.plans import LOST, destroyed
from ops.review.dangers.rules import REGISTER, rules_of
from ops.review.report import ComponentChange, Infrastructure, ResourceChange, VersionChange

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64

# kind, jump, before, after, digests: the dangers.
VERSIONS = {
    ("chart", "major", "1.2.3", "2.0.0", "", ""): {"major-chart-bump": "1.2.3 → 2.0.0"},
    ("chart", "minor", "1.2.3", "1.3.0", "", ""): {},
    ("image", "major", "1.2.3", "2.0.0", ONE, OTHER): {"major-image-bump": "1.2.3 → 2.0.0"},
    ("image", "patch", "1.2.3", "1.2.4", ONE, OTHER): {},
    ("base", "major", "v1.2.3", "v2.0.0", "", ""): {"major-base-bump": "v1.2.3 → v2.0.0"},
    ("base", "minor", "v1.2.3", "v1.3.0", "", ""): {},
    ("platform", "major", "1.2.3", "2.0.0", "", ""): {},
    ("platform", "downgrade", "1.2.3", "1.2.2", "", ""): {},
    ("image", "downgrade", "1.2.3", "1.2.2", "", ""): {"downgrade": "1.2.3 → 1.2.2"},
    ("image", "minor", "1.2.3", "1.3.0", ONE, ""): {"tag-without-digest": "1.2.3 had a digest, 1.3.0 has none"},
    ("image", "minor", "1.2.3", "1.3.0", "", ONE): {},
    ("image", "patch", "1.2.3", "1.2.4", ONE, ONE): {
        "digest-stale": "1.2.3 → 1.2.4, and both have sha256:111111111111"
    },
    ("platform", "downgrade", "1.13.4", "1.13.0", "", ""): {},
    ("image", "other", "1.2.3", "", ONE, ""): {},
    ("image", "digest", "1.2.3", "1.2.3", ONE, OTHER): {
        "digest-changed-under-tag": "1.2.3: sha256:111111111111 → sha256:222222222222"
    },
    ("image", "digest", "1.2.3", "1.2.3", "", OTHER): {},
}


@pytest.mark.parametrize(("change", "expected"), VERSIONS.items(), ids=str)
def test_a_version_that_moved_has_these_dangers(change: tuple[str, ...], expected: dict[str, str]) -> None:
    names = ("kind", "jump", "before", "after", "digest_before", "digest_after")
    given = dict(zip(names, change, strict=True))
    subject = VersionChange.model_validate({"app": "media/app", "stacks": ("dev",), "name": "ghcr.io/a/b", **given})
    found = [danger for run in rules_of("version") for danger in run(subject)]
    assert {danger.rule: danger.reason for danger in found} == expected
    assert all((danger.where, danger.stacks) == ("media/app: ghcr.io/a/b", ("dev",)) for danger in found)


def test_every_danger_of_a_version_has_a_scenario() -> None:
    broken = {name for found in VERSIONS.values() for name in found}
    assert broken == {name for name, one in REGISTER.items() if one.reads == "version"}


@pytest.mark.parametrize(
    ("operation", "kind", "reason"),
    [
        ("replace", "proxmoxve:index/vmLegacy:VmLegacy", "replace: the VM with all disks"),
        (
            "delete",
            "talos:machine/secrets:Secrets",
            "delete: the secrets of the cluster: every certificate and every node",
        ),
        ("delete", "kubernetes:argoproj.io/v1alpha1:AppProject", "delete: the AppProject of running Applications"),
        ("update", "proxmoxve:index/vmLegacy:VmLegacy", ""),
        ("create", "talos:machine/secrets:Secrets", ""),
        ("replace", "command:local:Command", ""),
        ("delete", "proxmoxve:download/file:File", ""),
    ],
)
def test_the_engine_loses_these_resources(operation: str, kind: str, reason: str) -> None:
    resource = ResourceChange.model_validate({"operation": operation, "type": kind, "name": "machines-cp-1"})
    plan = Infrastructure(
        stack="dev", against="state", components=(ComponentChange(component="machines", resources=(resource,)),)
    )
    found = [(one.rule, one.where, one.reason, one.stacks) for one in destroyed(plan)]
    assert found == ([("plan-destroys", "machines: machines-cp-1", reason, ("dev",))] if reason else [])


def test_each_type_that_the_engine_loses_is_one_that_the_program_makes() -> None:
    assert all(reason and end.startswith((":", "machine/")) for end, reason in LOST.items())

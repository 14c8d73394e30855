"""Dangers of the engine's preview: resources with state that it would delete or replace."""

from __future__ import annotations

from collections.abc import Iterator

from ops.review.dangers.rules import rule
from ops.review.report import Danger, Infrastructure

# By the end of the type's name; with the reason.
LOST = {
    ":VmLegacy": "the VM with all disks",
    ":Vm": "the VM with all disks",
    "machine/secrets:Secrets": "the secrets of the cluster: every certificate and every node",
    ":Bootstrap": "the bootstrap of etcd",
    ":PrivateKey": "a key that certificates depend on",
    ":SelfSignedCert": "a certificate that others trust",
    ":ApplicationSet": "the ApplicationSet with its Applications",
    ":AppProject": "the AppProject of running Applications",
    ":Namespace": "the namespace, which the cluster keeps without an owner",
    ":CustomResourceDefinition": "the CRD with every object of its kind",
}


@rule(
    "plan-destroys", reads="plan", why="The engine deletes it with its state; a resource of the same name is a new one."
)
def destroyed(subject: Infrastructure) -> Iterator[Danger]:
    """Yield resources with state that are deleted or replaced."""
    for component in subject.components:
        for one in component.resources:
            lost = next((what for end, what in LOST.items() if one.type.endswith(end)), None)
            if lost and one.operation in ("delete", "replace"):
                where = f"{component.component}: {one.name}"
                yield Danger(
                    rule="plan-destroys", where=where, reason=f"{one.operation}: {lost}", stacks=(subject.stack,)
                )

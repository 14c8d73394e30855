"""Dangers of a stack's nodes: VMs and disks that are lost, control planes that change.

The settings of both sides are compared as `config.derive` completes them, since a changed address can make another VM.
A VM keeps its id, and knows its disks by their position (`components.machines.hardware`). Proxmox shrinks no disk;
disks of a running VM are not moved, because no change may stop a node (`reboot_after_update`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from config import derive
from config.derive import Machine
from ops.review.dangers.context import SettingsPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger

# Changes with a rule of their own.
ELSEWHERE = ("name", "role", "vm_id", "generation", "data_disks", "disk")


def _machines(subject: SettingsPair) -> tuple[Mapping[str, Machine], Mapping[str, Machine]]:
    before, after = ({one.name: one for one in derive.machines(settings)} for settings in subject.settings)
    return before, after


def _both(subject: SettingsPair) -> Iterator[tuple[Machine, Machine]]:
    before, after = _machines(subject)
    return ((before[name], after[name]) for name in before if name in after)


def _danger(name: str, subject: SettingsPair, node: str, reason: str) -> Danger:
    return Danger(rule=name, where=f"node {node}", reason=reason, file=subject.file)


@rule("node-removed", reads="settings", why="Its VM is deleted with all disks; a control plane leaves etcd.")
def removed(subject: SettingsPair) -> Iterator[Danger]:
    """Yield nodes that are gone; a renamed node is one that is gone, and a new one."""
    before, after = _machines(subject)
    for name, one in before.items():
        if name not in after:
            disks = f" and {len(one.data_disks)} data disks" if one.data_disks else ""
            yield _danger("node-removed", subject, name, f"the {one.role} is deleted: VM {one.vm_id}{disks}")


@rule("vm-replaced", reads="settings", why="The VM is deleted with all disks before the new one is made.")
def replaced(subject: SettingsPair) -> Iterator[Danger]:
    """Yield VMs with another id, which often follows from the address."""
    for before, after in _both(subject):
        if before.vm_id != after.vm_id:
            follows = " (it follows from the address)" if before.address != after.address else ""
            reason = f"VM {before.vm_id} is deleted, and made again as {after.vm_id}{follows}"
            yield _danger("vm-replaced", subject, before.name, reason)


@rule("disk-removed", reads="settings", why="The data is lost, unless it has a copy elsewhere.")
@rule("disk-unchangeable", reads="settings", why="`up` fails halfway, after it has changed other nodes.")
def disks(subject: SettingsPair) -> Iterator[Danger]:
    """Yield disks that are gone, and changes of disks that Proxmox or the provider refuses."""
    for before, after in _both(subject):
        if before.vm_id != after.vm_id:
            continue
        for index, disk in list(enumerate(before.data_disks, start=1))[len(after.data_disks) :]:
            reason = f"scsi{index} of {disk.size} leaves the VM: the last disk goes, at any place of the list"
            yield _danger("disk-removed", subject, before.name, reason)
        sizes = [(before.disk, after.disk)]
        sizes += [(was.size, now.size) for was, now in zip(before.data_disks, after.data_disks, strict=False)]
        for index, (was, now) in enumerate(sizes):
            if now < was:
                reason = f"scsi{index} has {was}, and no disk shrinks to {now}"
                yield _danger("disk-unchangeable", subject, before.name, reason)
        for index, (old, new) in enumerate(zip(before.data_disks, after.data_disks, strict=False), start=1):
            if old.storage != new.storage:
                reason = f"scsi{index} moves to another storage, and the VM must not stop for it"
                yield _danger("disk-unchangeable", subject, before.name, reason)


@rule(
    "control-plane-touched",
    reads="settings",
    why="It holds a member of etcd; a mistake on all of them ends the cluster.",
)
def control_planes(subject: SettingsPair) -> Iterator[Danger]:
    """Yield control planes that are added or change, by settings or by their machine configuration."""
    before, after = _machines(subject)
    planes = {name for side in (before, after) for name, one in side.items() if one.role == "control-plane"}
    old, new = (settings.cluster for settings in subject.settings)
    upgraded = (old.talos_version, old.kubernetes_version) != (new.talos_version, new.kubernetes_version)
    # An upgrade restarts the services of one node after the other, and checks etcd before each.
    harmless = ("nothing", "service restart") if upgraded else ("nothing",)
    costs = {one.node: one.cost for one in subject.configurations if one.cost not in harmless}
    for name in sorted(planes & after.keys()):
        if name not in before:
            yield _danger("control-plane-touched", subject, name, "a new member joins etcd")
        elif before[name].role != after[name].role:
            reason = f"{before[name].role} turns {after[name].role}"
            yield _danger("control-plane-touched", subject, name, reason)
        else:
            changed = [
                key.name
                for key in fields(Machine)
                if key.name not in ELSEWHERE and getattr(before[name], key.name) != getattr(after[name], key.name)
            ]
            reasons = [f"changes: {', '.join(changed).replace('_', ' ')}"] if changed else []
            reasons += [f"its machine configuration changes: {costs[name]}"] if name in costs else []
            if reasons:
                yield _danger("control-plane-touched", subject, name, "; ".join(reasons))


@rule("generation-raised", reads="settings", why="A node, or the cluster, is made again: one that still runs is lost.")
def generations(subject: SettingsPair) -> Iterator[Danger]:
    """Yield another generation of the cluster or of a node."""
    old, new = (settings.cluster.generation for settings in subject.settings)
    if old != new:
        reason = f"{old} → {new}: bootstrap, seed and handover run again"
        yield Danger(rule="generation-raised", where="cluster.generation", reason=reason, file=subject.file)
    for before, after in _both(subject):
        if before.generation != after.generation:
            reason = f"{before.generation} → {after.generation}: the node is configured as a new VM"
            yield _danger("generation-raised", subject, before.name, reason)

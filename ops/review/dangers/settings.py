"""Dangers of a stack's other settings: versions, addresses, protection, and the part of Git that it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from config import derive
from config.checks import gateway_api, versions
from config.facts import Facts, SettingFinding
from config.model import Settings
from config.source import dotted
from config.stacks import check_step
from ops.review.dangers.context import SettingsPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger


@rule("version-pair-unknown", reads="settings", why="These versions were never tried together.")
def pairs(subject: SettingsPair) -> Iterator[Danger]:
    """Yield versions that are in no row of the table, and were before."""
    found: list[dict[tuple[object, ...], SettingFinding]] = []
    for side, stack in zip(subject.sides, (subject.before, subject.after), strict=True):
        facts = Facts(side.root, stack, stack.require(), side.tree)
        made = (*versions(facts), *gateway_api(facts))
        found.append({(one.check, one.path, one.value): one for one in made})  # its text has the number of a line
    for key, one in found[1].items():
        if key not in found[0]:
            where, reason = dotted(one.path), f"{one.value} {one.rule}"
            yield Danger(rule="version-pair-unknown", where=where, reason=reason, file=subject.file)


@rule("step-refused", reads="settings", why="`up` refuses the change, or the cluster would not survive it.")
@rule("platform-downgrade", reads="settings", why="Talos and etcd cannot read what a newer version wrote.")
def steps(subject: SettingsPair) -> Iterator[Danger]:
    """Yield changes that the running cluster cannot make in one step, and versions that go back."""
    for problem in check_step(subject.before, subject.after):
        if problem.check != "version-lowered":
            reason = f"{problem.value} {problem.rule}"
            yield Danger(rule="step-refused", where=problem.key, reason=reason, file=subject.file)
    old, new = (settings.cluster for settings in subject.settings)
    for key, was, now in (
        ("talosVersion", old.talos_version, new.talos_version),
        ("kubernetesVersion", old.kubernetes_version, new.kubernetes_version),
    ):
        if (now.major, now.minor, now.patch) < (was.major, was.minor, was.patch):
            where, reason = f"cluster.{key}", f"{was} → {now}"
            yield Danger(rule="platform-downgrade", where=where, reason=reason, file=subject.file)


def _addresses(settings: Settings) -> dict[str, tuple[Any, str]]:
    """Return each address that others remember, with what is lost with it."""
    network = settings.network
    return {
        "network.endpoint": (derive.endpoint(settings), "kubeconfigs and nodes reach the API at the old address"),
        "network.domain": (network.domain, "every route, certificate and login gets another name"),
        "network.subnet": (network.subnet, "nodes lose their addresses"),
        "network.podCidr": (network.pod_cidr, "pods keep addresses that nothing routes, until all of them restart"),
        "network.serviceCidr": (
            network.service_cidr,
            "Services keep addresses outside of it, the API's own among them",
        ),
        "network.loadBalancerRange": (str(network.load_balancer_range), "load balancers may get other addresses"),
    }


@rule("address-changed", reads="settings", why="Others remember it: clients, certificates, DNS names, running pods.")
def addresses(subject: SettingsPair) -> Iterator[Danger]:
    """Yield changed addresses and names of the stack."""
    before, after = map(_addresses, subject.settings)
    for where, (old, _) in before.items():
        new, lost = after[where]
        if old != new:
            reason = f"{old} → {new}: {lost}"
            yield Danger(rule="address-changed", where=where, reason=reason, file=subject.file)


@rule("protection-lowered", reads="settings", why="`destroy`, or a mistake, can delete control planes and data.")
@rule("source-changed", reads="settings", why="Apps without a folder there are retired or deleted, all at once.")
def ownership(subject: SettingsPair) -> Iterator[Danger]:
    """Yield a protection that is given up, and another part of Git."""
    old, new = subject.settings
    if old.cluster.protect != new.cluster.protect == "nothing":
        where, reason = "cluster.protect", "control planes and data disks are protected no longer"
        yield Danger(rule="protection-lowered", where=where, reason=reason, file=subject.file)
    for key in ("repository", "revision", "path", "environment"):
        was, now = getattr(old.delivery, key), getattr(new.delivery, key)
        if was != now:
            where, reason = f"delivery.{key}", f"{was} → {now}"
            yield Danger(rule="source-changed", where=where, reason=reason, file=subject.file)

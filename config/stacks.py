"""Checks across stack files: changes that need several steps, and values that two stacks cannot share.

Stacks as `config.load` reads them come in, problems go out. The rules of one stack are those of `config.checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from config import derive
from config.app_settings import folder_of
from config.load import Stack
from config.model import Settings
from config.rules import rule
from config.source import KeyPath
from config.tree import Tree
from errors import Problem

MISSPELT = 0.8


@rule(
    "version-skipped",
    scope="stacks",
    why="Talos and Kubernetes upgrade from one minor version to the next, and test no other path.",
)
@rule("version-lowered", scope="stacks", why="Talos and Kubernetes write data that older minor versions cannot read.")
@rule(
    "upgrade-and-members",
    scope="stacks",
    why="Nodes are upgraded before others change or leave, and an upgrade needs a complete etcd.",
)
@rule(
    "fact-changed",
    scope="stacks",
    why="It is part of the cluster's identity: certificates, MACs and secrets are derived from it.",
)
def check_step(before: Stack, after: Stack) -> list[Problem]:
    """Yield changes that one step cannot make: skipped or lowered versions, permanent facts."""
    if before.settings is None or after.settings is None:
        return []
    old, new = before.settings.cluster, after.settings.cluster
    problems = []
    for key, was, now in (
        ("talosVersion", old.talos_version, new.talos_version),
        ("kubernetesVersion", old.kubernetes_version, new.kubernetes_version),
    ):
        path = ("cluster", key)
        if (now.major, now.minor) > (was.major, was.minor + 1):
            rule, fix = f"skips a minor version after {was}", f"go to {was.major}.{was.minor + 1} first, then on"
            problems.append(after.places.problem("version-skipped", path, now, rule, fix))
        elif (now.major, now.minor) < (was.major, was.minor):
            rule, fix = f"is older than {was}, and no minor version can be lowered", f"stay at {was}"
            problems.append(after.places.problem("version-lowered", path, now, rule, fix))
        elif now != was and _changes_nodes(before.settings, after.settings):
            rule = "changes together with control planes, generations or VM ids, and an upgrade needs whole nodes"
            problems.append(after.places.problem("upgrade-and-members", path, now, rule, f"stay at {was} in this step"))
    for key, was_, now_ in (("name", old.name, new.name), ("talosContract", old.talos_contract, new.talos_contract)):
        if was_ != now_:
            rule, fix = f"was {was_}, and every certificate of the cluster contains it", f"put {was_} back"
            problems.append(after.places.problem("fact-changed", ("cluster", key), now_, rule, fix))
    if old.boot != new.boot:
        rule, fix = f"was {old.boot}, and existing VMs cannot change it", f"put {old.boot} back"
        problems.append(after.places.problem("fact-changed", ("cluster", "boot"), new.boot, rule, fix))
    return problems


def _changes_nodes(old: Settings, new: Settings) -> bool:
    """Return whether control planes are added or removed, or a remaining node is configured again."""
    was, now = ({node.name: node for node in derive.machines(settings)} for settings in (old, new))
    planes = [{name for name, node in nodes.items() if node.role == "control-plane"} for nodes in (was, now)]
    anew = any(was[name].incarnation != now[name].incarnation for name in was.keys() & now.keys())
    return old.cluster.generation != new.cluster.generation or planes[0] != planes[1] or anew


@rule("environment-unknown", scope="stacks")
def check_environments(stacks: Sequence[Stack], tree: Tree) -> list[Problem]:
    """Yield environments that no stack uses and whose name resembles a stack's environment."""
    return [
        Problem(folder_of(name), 0, "", name, "is an environment of no stack", fix, "environment-unknown")
        for name, fix in environments_aside(stacks, tree)
        if fix
    ]


def environments_aside(stacks: Sequence[Stack], tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield the environments that no stack uses, if all stacks name theirs; with a fix for a likely misspelling."""
    named = {stack.name: stack.settings.delivery.environment for stack in stacks if stack.settings}
    used = sorted(set(named.values()))
    if len(named) < len(stacks) or not set(tree.environments) >= set(used):
        return
    for name in sorted(set(tree.environments) - set(used)):
        near = [*get_close_matches(name, used, n=1, cutoff=MISSPELT), *(one for one in used if one.startswith(name))]
        of_stack = f"did you mean {named[name]}, the environment of stack {name}?" if name in named else ""
        yield name, of_stack or (f"did you mean {near[0]}?" if near else "")


@rule(
    "stack-name-twice",
    scope="stacks",
    why="The cluster's name is in its certificates, its MACs and its kubeconfig context.",
)
@rule("stack-address-twice", scope="stacks", why="Two stacks on one network share its addresses.")
@rule("stack-vm-id-twice", scope="stacks", why="Proxmox assigns a VM id once.")
@rule("stack-mac-twice", scope="stacks", why="Two stacks on one network share its MACs.")
def check_together(stacks: Sequence[Stack]) -> list[Problem]:
    """Yield values that two stacks cannot share: a cluster name, a VM id of one Proxmox, an address of one network."""
    owners: dict[tuple[object, ...], Stack] = {}
    problems = []
    for stack in stacks:
        for check, scope, path, value in _claims(stack.settings) if stack.settings else ():
            owner = owners.setdefault((check, *scope, value), stack)
            if owner is not stack:
                rule, fix = f"is taken by {owner.places.file}", "give each stack its own"
                problems.append(stack.places.problem(check, path, value, rule, fix))
    return problems


def _claims(settings: Settings) -> Iterator[tuple[str, tuple[object, ...], KeyPath, object]]:
    network, proxmox = settings.network, settings.proxmox
    yield "stack-name-twice", (), ("cluster", "name"), settings.cluster.name
    wire = (network.subnet, proxmox.vlan)
    if network.vip:
        yield "stack-address-twice", wire, ("network", "vip"), network.vip
    for index, machine in enumerate(derive.machines(settings)):
        node = ("cluster", "nodes", index)
        yield "stack-address-twice", wire, (*node, "address"), machine.address
        yield "stack-vm-id-twice", (proxmox.endpoint,), (*node, "vmId"), machine.vm_id
        if settings.cluster.nodes[index].mac:  # a derived one differs by the name of the cluster
            yield "stack-mac-twice", (), (*node, "mac"), machine.mac

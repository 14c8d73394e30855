"""Rules of two values against each other: the cross rules of the settings, each with an id.

`Facts` come in, findings go out; every rule is a pure generator with the scope `settings`, so a new rule is one
decorated function and one fixture. `ops.check` runs them for all stacks, `__main__.py` for the stack that the engine
runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from config import derive, gate_rules, tree_rules  # noqa: F401 - the imports register the rules of both modules
from config.compatibility import compatible, is_newer
from config.explain import nearest
from config.facts import Facts, SettingFinding
from config.load import Stack
from config.model import Node
from config.rules import rule, rules_of
from config.source import KeyPath, read
from config.tree import Tree, chart_versions
from config.values import GIBI, Size, Version
from errors import Problem

LEAST_MEMORY = Size(2 * GIBI)
LEAST_DISK = Size(10 * GIBI)
LEAST_CONTROL_PLANE_CPU = 2
HA_WORKERS = 3
SECURE_SINCE = (1, 14)
POINT_TO_POINT = 2  # the network's own address and its broadcast address, of a network with both


def check_stack(root: Path, stack: Stack, tree: Tree) -> list[Problem]:
    """Run every rule on one stack."""
    if stack.settings is None:
        return []
    facts = Facts(root, stack, stack.settings, tree)
    findings = (finding for run in rules_of("settings") for finding in run(facts))
    return [
        stack.places.problem(found.check, found.path, found.value, found.rule, found.fix)
        for found in dict.fromkeys(findings)
    ]


def _twice(
    facts: Facts, check: str, what: str, owners: Sequence[tuple[KeyPath, object]], fix: str
) -> Iterator[SettingFinding]:
    """Yield values with two owners, and name both; two derived values clash only after two set ones."""
    first: dict[object, KeyPath] = {}
    for path, value in owners:
        if value in first:
            if not facts.stated(path) and not facts.stated(first[value]):
                continue
            rule = f"is the {what} of {facts.at(*first[value])} already"
            yield SettingFinding(check, path, value, rule, fix)
        elif value is not None:
            first[value] = path


def _node_values(facts: Facts, key: str) -> list[tuple[KeyPath, object]]:
    field = {"vmId": "vm_id"}.get(key, key)
    machines = enumerate(derive.machines(facts.settings))
    return [(("cluster", "nodes", index, key), getattr(machine, field)) for index, machine in machines]


def _further_macs(facts: Facts) -> list[tuple[KeyPath, Any]]:
    """Return the derived MACs of further network cards: two cards of a node on one network derive the same."""
    found: list[tuple[KeyPath, Any]] = []
    for index, machine in enumerate(derive.machines(facts.settings)):
        for place, card in enumerate(machine.cards[1:]):
            path: KeyPath = ("cluster", "nodes", index, "networkCards", place)
            found.append(((*path, "mac") if facts.stated((*path, "mac")) else path, card.mac))
    return found


def _addresses(facts: Facts) -> list[tuple[KeyPath, Any]]:
    network = facts.settings.network
    hosts = enumerate(facts.settings.proxmox.hosts)
    return [
        (("network", "gateway"), network.gateway),
        *([(("network", "vip"), network.vip)] if network.vip else []),
        *((("proxmox", "hosts", index, "address"), host.address) for index, host in hosts),
        *_node_values(facts, "address"),
    ]


def _balancers(facts: Facts) -> list[tuple[KeyPath, Any]]:
    return [(("network", "loadBalancers", name), address) for name, address in facts.settings.network.load_balancers]


@rule("node-name-twice", scope="settings", why="Kubernetes knows two machines of one name as one Node.")
@rule("address-twice", scope="settings", why="Two owners of one address answer in turn.")
@rule("mac-twice", scope="settings", why="A switch delivers to one of two equal MACs.")
@rule("vm-id-twice", scope="settings", why="Proxmox assigns a VM id once.")
@rule("host-name-twice", scope="settings", why="One Proxmox host has one entry.")
@rule("repository-name-twice", scope="settings", why="The name is that of one credential Secret.")
def duplicates(facts: Facts) -> Iterator[SettingFinding]:
    """Check that a name, an address, a MAC and a VM id have one owner."""
    yield from _twice(facts, "node-name-twice", "name", _node_values(facts, "name"), "give each node its own name")
    yield from _twice(facts, "address-twice", "address", _addresses(facts), "choose a free address")
    yield from _twice(facts, "address-twice", "address", _balancers(facts), "choose another one of the range")
    macs = [*_node_values(facts, "mac"), *_further_macs(facts)]
    yield from _twice(facts, "mac-twice", "MAC", macs, "give each card its own, or leave `mac` out")
    ids = _node_values(facts, "vmId")
    yield from _twice(facts, "vm-id-twice", "VM id", ids, "give each node its own, or leave `vmId` out")
    hosts = [(("proxmox", "hosts", i, "name"), host.name) for i, host in enumerate(facts.settings.proxmox.hosts)]
    yield from _twice(facts, "host-name-twice", "name", hosts, "give each host its own entry")
    named = [
        (("platform", "repositories", i, "name"), repository.name)
        for i, repository in enumerate(facts.settings.platform.repositories)
    ]
    yield from _twice(facts, "repository-name-twice", "name", named, "give each repository its own name")


@rule(
    "address-in-range",
    scope="settings",
    why="Two owners of one address answer in turn: a load balancer would shadow the node.",
)
@rule(
    "address-outside-subnet",
    scope="settings",
    why="The node would have no route to its gateway and could not be reached.",
)
@rule(
    "address-reserved",
    scope="settings",
    why="The first and the last address of a network belong to the network itself.",
)
@rule(
    "range-outside-subnet",
    scope="settings",
    why="No client on the network would send ARP requests for these addresses.",
)
@rule(
    "address-outside-range",
    scope="settings",
    why="The pool assigns its own addresses only: the load balancer would wait for ever.",
)
def addresses(facts: Facts) -> Iterator[SettingFinding]:
    """Check that addresses are in the subnet and outside of the load balancers' range."""
    network = facts.settings.network
    subnet, pool = network.subnet, network.load_balancer_range
    for path, address in _addresses(facts):
        if address in pool:
            rule = f"lies in {facts.at('network', 'loadBalancerRange')} {pool}"
            yield SettingFinding(
                "address-in-range", path, address, rule, "choose an address outside it, or move the range"
            )
        if path[0] == "proxmox":
            continue  # a host may be in a separate management network
        if address not in subnet:
            rule = f"is outside {facts.at('network', 'subnet')} {subnet}"
            yield SettingFinding("address-outside-subnet", path, address, rule, f"choose one between {_span(facts)}")
        elif address in (subnet.network_address, subnet.broadcast_address):
            rule = f"is the network's or the broadcast address of {subnet}"
            yield SettingFinding("address-reserved", path, address, rule, f"choose one between {_span(facts)}")
    if pool.first not in subnet or pool.last not in subnet:
        rule = f"is not wholly inside {facts.at('network', 'subnet')} {subnet}"
        yield SettingFinding(
            "range-outside-subnet", ("network", "loadBalancerRange"), pool, rule, "move it into the subnet"
        )
    for path, address in _balancers(facts):
        if address not in pool:
            rule = f"is outside {facts.at('network', 'loadBalancerRange')} {pool}"
            yield SettingFinding(
                "address-outside-range", path, address, rule, "choose one inside, or make the range larger"
            )


def _span(facts: Facts) -> str:
    subnet = facts.settings.network.subnet
    first, last = (1, -2) if subnet.num_addresses > POINT_TO_POINT else (0, -1)
    return f"{subnet[first]} and {subnet[last]}"


@rule("cidr-overlap", scope="settings", why="An address in two networks is routed to one of them only.")
def cidrs(facts: Facts) -> Iterator[SettingFinding]:
    """Check that pods, services and nodes have separate networks."""
    network = facts.settings.network
    owners = (("subnet", network.subnet), ("podCidr", network.pod_cidr), ("serviceCidr", network.service_cidr))
    for (first, one), (second, other) in combinations(owners, 2):
        if one.overlaps(other):
            rule = f"overlaps {facts.at('network', first)} {one}"
            yield SettingFinding("cidr-overlap", ("network", second), other, rule, "choose a network of its own")


@rule("control-planes-none", scope="settings", why="A cluster needs a node that runs the Kubernetes API.")
@rule(
    "control-planes-even",
    scope="settings",
    why="etcd needs a majority: a fourth member adds a way to fail and tolerates no further loss.",
)
@rule("vip-missing", scope="settings", why="Clients would know one control plane only, and lose the API with it.")
def quorum(facts: Facts) -> Iterator[SettingFinding]:
    """Check that the number of control planes is odd, and that more than one share an address or a name."""
    planes, vip = derive.control_planes(facts.settings), facts.settings.network.vip
    if not planes:
        yield SettingFinding(
            "control-planes-none", ("cluster", "nodes"), None, "has no control plane", "give a node that role"
        )
    elif len(planes) % 2 == 0:
        rule = (
            f"has {len(planes)} control planes; an even number tolerates no more failures than one control plane fewer"
        )
        yield SettingFinding("control-planes-even", ("cluster", "nodes"), None, rule, "make it 1, 3 or 5")
    if len(planes) > 1 and vip is None and facts.settings.network.endpoint is None:
        rule = f"is missing with {len(planes)} control planes"
        yield SettingFinding("vip-missing", ("network", "vip"), None, rule, "add a free address of the subnet")


@rule("host-unknown", scope="settings", why="The VM would have nowhere to run.")
@rule("host-takes-no-nodes", scope="settings", why="The entry of the host reserves it for other services.")
@rule("host-memory-exceeded", scope="settings", why="Proxmox starts VMs beyond its memory, and kills one later.")
@rule(
    "architecture-mixed",
    scope="settings",
    why="Proxmox runs VMs of the host's own processor; only root may emulate another.",
)
@rule("images-not-shared", scope="settings", why="An image is downloaded once, and the other hosts would not find it.")
@rule(
    "control-planes-together",
    scope="settings",
    why="Three control planes on one host do not survive the loss of that host.",
)
def hosts(facts: Facts) -> Iterator[SettingFinding]:
    """Check that hosts exist, accept nodes and have enough memory, and that control planes do not all share one."""
    known = {host.name: host for host in facts.settings.proxmox.hosts}
    room: dict[str, int] = {}
    for index, machine in enumerate(derive.machines(facts.settings)):
        path = ("cluster", "nodes", index, "host")
        host = known.get(machine.host)
        if host is None:
            fix = nearest(machine.host, list(known), f"the hosts are {', '.join(known)}")
            yield SettingFinding("host-unknown", path, machine.host, "is not one of proxmox.hosts", fix)
        elif host.nodes == "none":
            rule = "takes no nodes (nodes: none)"
            yield SettingFinding(
                "host-takes-no-nodes", path, machine.host, rule, "choose another host, or allow nodes there"
            )
        room[machine.host] = room.get(machine.host, 0) + machine.memory.bytes
    for index, host in enumerate(facts.settings.proxmox.hosts):
        if host.memory and room.get(host.name, 0) > host.memory.bytes:
            rule = f"is less than the {Size(room[host.name])} of its nodes together"
            path = ("proxmox", "hosts", index, "memory")
            yield SettingFinding("host-memory-exceeded", path, host.memory, rule, "make nodes smaller, or move one")
    yield from _processors(facts)
    yield from _shared_images(facts)
    planes = derive.control_planes(facts.settings)
    usable = [host for host in known.values() if host.nodes == "allowed"]
    if len(planes) > 1 and len(usable) > 1 and len({node.host for node in planes}) == 1:
        rule = f"puts every control plane on {planes[0].host}: when it stops, the cluster stops"
        yield SettingFinding("control-planes-together", ("cluster", "nodes"), None, rule, "spread them over the hosts")


def _processors(facts: Facts) -> Iterator[SettingFinding]:
    """Check that the VMs of a host have its architecture."""
    first: dict[str, tuple[int, Node]] = {}
    for index, node in enumerate(facts.settings.cluster.nodes):
        other_index, other = first.setdefault(node.host, (index, node))
        if node.architecture != other.architecture:
            rule = f"is not the {other.architecture} of {facts.at('cluster', 'nodes', other_index)} on {node.host}"
            path = ("cluster", "nodes", index, "architecture")
            yield SettingFinding(
                "architecture-mixed", path, node.architecture, rule, "choose a host with that processor"
            )


@rule("secure-boot-too-early", scope="settings", why="The firmware would boot any image without a warning.")
def secure_boot(facts: Facts) -> Iterator[SettingFinding]:
    """Check that secure boot is enforced: the image must contain the keys that the firmware enrolls."""
    cluster = facts.settings.cluster
    if cluster.boot == "secure" and (cluster.talos_version.major, cluster.talos_version.minor) < SECURE_SINCE:
        since = ".".join(map(str, SECURE_SINCE))
        rule = f"is not enforced by Talos {cluster.talos_version}, whose disk images bring the firmware no keys"
        yield SettingFinding(
            "secure-boot-too-early", ("cluster", "boot"), "secure", rule, f"begin with Talos {since} or later"
        )


def _shared_images(facts: Facts) -> Iterator[SettingFinding]:
    """Check that hosts with shared images use the same storage."""
    proxmox = facts.settings.proxmox
    for index, host in enumerate(proxmox.hosts if proxmox.image_storage == "shared" else ()):
        if host.images != proxmox.hosts[0].images:
            rule = (
                f"is not the {proxmox.hosts[0].images} of {facts.at('proxmox', 'hosts', 0)}, and imageStorage is shared"
            )
            path = ("proxmox", "hosts", index, "images")
            yield SettingFinding("images-not-shared", path, host.images, rule, "name one storage that all hosts share")


@rule("size-missing", scope="settings", why="The node has no size.")
@rule("memory-below-floor", scope="settings", why="Talos does not boot with less.")
@rule("disk-below-floor", scope="settings", why="Talos refuses to install on less.")
@rule("cpu-below-floor", scope="settings", why="Below two processors etcd loses its heartbeats under load.")
def sizes(facts: Facts) -> Iterator[SettingFinding]:
    """Check that every node has a size that Talos accepts."""
    cluster = facts.settings.cluster
    for index, node in enumerate(cluster.nodes):
        if node.role == "worker" and not cluster.sizes.worker and not (node.cpu and node.memory and node.disk):
            rule = f"is missing and {node.name} does not set all of cpu, memory and disk"
            yield SettingFinding("size-missing", ("cluster", "sizes", "worker"), None, rule, "add the workers' size")
            continue
        size = derive.node_size(cluster, node)
        role = "controlPlane" if node.role == "control-plane" else "worker"

        def path(key: str, node: Node = node, index: int = index, role: str = role) -> KeyPath:
            own = getattr(node, key) is not None
            return ("cluster", "nodes", index, key) if own else ("cluster", "sizes", role, key)

        if size.memory < LEAST_MEMORY:
            rule = f"is below the {LEAST_MEMORY} that Talos needs"
            yield SettingFinding(
                "memory-below-floor", path("memory"), size.memory, rule, "give it more, for example 4GiB"
            )
        if size.disk < LEAST_DISK:
            rule = f"is below the {LEAST_DISK} that Talos needs"
            yield SettingFinding("disk-below-floor", path("disk"), size.disk, rule, "give it more, for example 40GiB")
        if node.role == "control-plane" and size.cpu < LEAST_CONTROL_PLANE_CPU:
            rule = f"is below the {LEAST_CONTROL_PLANE_CPU} that a control plane needs"
            yield SettingFinding("cpu-below-floor", path("cpu"), size.cpu, rule, "give it two or more")


@rule(
    "contract-newer",
    scope="settings",
    why="The contract is the version that created the cluster; a later one is impossible.",
)
@rule("kubernetes-incompatible", scope="settings", why="Talos refuses to run it, halfway through an upgrade.")
@rule("talos-unknown", scope="settings", why="Its supported Kubernetes versions are not known here.")
@rule("talosctl-too-old", scope="settings", why="A cluster of such a version starts, but cannot be upgraded later.")
def versions(facts: Facts) -> Iterator[SettingFinding]:
    """Check that Talos and Kubernetes are compatible."""
    cluster = facts.settings.cluster
    talos, kubernetes, contract = cluster.talos_version, cluster.kubernetes_version, cluster.talos_contract
    known, tool = compatible()["talos"], compatible()["talosctl"]
    usable = [line for line in known if not is_newer(line, tool["talos"])]
    refused: set[str] = set()
    if talos.line not in known:
        refused.add("talosVersion")
        rule = f"is a version that was never tested here; known versions are {', '.join(usable)}"
        yield SettingFinding("talos-unknown", ("cluster", "talosVersion"), talos, rule, "choose a known one")
    elif kubernetes.line not in known[talos.line]:
        refused.add("kubernetesVersion")
        rule = f"does not run on Talos {talos.line} {facts.at('cluster', 'talosVersion')}"
        fix = f"choose {known[talos.line][0]} to {known[talos.line][-1]}"
        yield SettingFinding("kubernetes-incompatible", ("cluster", "kubernetesVersion"), kubernetes, rule, fix)
    if is_newer(contract, talos.line):
        refused.add("talosContract")
        rule = f"is newer than {facts.at('cluster', 'talosVersion')} {talos}"
        fix = "write the minor version that the cluster was made with"
        yield SettingFinding("contract-newer", ("cluster", "talosContract"), contract, rule, fix)
    chosen = (("talosVersion", talos, "talos"), ("kubernetesVersion", kubernetes, "kubernetes"))
    for key, version, newest in (*chosen, ("talosContract", contract, "contract")):
        if key not in refused and is_newer(version, tool[newest]):
            rule = f"is newer than {tool[newest]}, the newest that the pinned talosctl {tool['version']} can work with"
            fix = f"choose a {tool[newest]}: a newer one would start and could not be upgraded"
            yield SettingFinding("talosctl-too-old", ("cluster", key), version, rule, fix)


@rule(
    "cilium-unknown",
    scope="settings",
    why="Gateways work with tested pairs of Cilium and Gateway API only; this pair is untested.",
)
@rule(
    "gateway-api-incompatible",
    scope="settings",
    why="With other CRDs than it supports, Cilium leaves Gateways without an address or an error.",
)
def gateway_api(facts: Facts) -> Iterator[SettingFinding]:
    """Check that Cilium supports the CRDs of the Gateway API in this environment."""
    delivery = facts.settings.delivery
    apps = {app.label: app for app in facts.tree.apps_in(delivery.environment)}
    cilium, crds = apps.get("kube-system/cilium"), apps.get("crds/gateway-api")
    if facts.settings.platform.cni != "cilium" or not cilium or not crds:
        return
    charts, bases = chart_versions(facts.root, cilium), chart_versions(facts.root, crds)
    chart = charts.get("cilium", "")
    ref = next((ref for source, ref in bases.items() if "gateway-api" in source), "")
    try:
        line, api = Version.parse(chart).line, Version.parse(ref).line
    except ValueError:
        return  # not pinned by a version: a render reports it
    known = compatible()["cilium"]
    if line not in known:
        rule = (
            f"of {cilium.path} is a version of Cilium that was never tested here; known versions are {', '.join(known)}"
        )
        yield SettingFinding("cilium-unknown", ("platform", "cni"), chart, rule, "pin a known one")
    elif api not in known[line]:
        rule = f"of {cilium.path} does not understand Gateway API {ref} of {crds.path}"
        fix = f"pin Gateway API {' or '.join(known[line])} there"
        yield SettingFinding("gateway-api-incompatible", ("platform", "cni"), f"cilium {chart}", rule, fix)


@rule("email-missing", scope="settings", why="Let's Encrypt sends its warnings about expiring certificates there.")
@rule("ha-needs-workers", scope="settings", why="Three replicas on fewer nodes stay Pending for ever.")
@rule("no-place-for-workloads", scope="settings", why="Every pod would stay Pending for ever.")
@rule("repository-unknown", scope="settings", why="A credential without a repository is never used.")
def platform(facts: Facts) -> Iterator[SettingFinding]:
    """Check that each part of the platform has its prerequisites."""
    settings = facts.settings
    certificates = settings.platform.certificates
    if certificates.issuer != "internal" and not certificates.email:
        rule = f"is missing with the issuer {certificates.issuer}"
        email = ("platform", "certificates", "email")
        yield SettingFinding("email-missing", email, None, rule, "add the address for warnings of Let's Encrypt")
    workers = [node for node in settings.cluster.nodes if node.role == "worker"]
    if settings.platform.argocd.replicas == "ha" and len(workers) < HA_WORKERS:
        rule = f"needs {HA_WORKERS} workers and there are {len(workers)}"
        yield SettingFinding("ha-needs-workers", ("platform", "argocd", "replicas"), "ha", rule, "choose single")
    if not workers and settings.cluster.workloads_on_control_planes == "refused":
        rule = "is refused and there is no worker"
        path = ("cluster", "workloadsOnControlPlanes")
        yield SettingFinding("no-place-for-workloads", path, None, rule, "write `allowed`, or add a worker")
    names = [repository.name for repository in settings.platform.repositories]
    for name in settings.secrets.repositories:
        if name not in names:
            fix = nearest(name, names, "remove it, or add the repository")
            yield SettingFinding(
                "repository-unknown", ("secrets", "repositories", name), None, "has no platform.repositories", fix
            )


@rule("patch-missing", scope="settings", why="`up` would fail halfway without the patch.")
@rule("patch-malformed", scope="settings", why="Talos would reject the patch in the middle of `up`.")
def files(facts: Facts) -> Iterator[SettingFinding]:
    """Check that patch files exist and contain YAML."""
    patches = facts.settings.cluster.patches
    owners: list[tuple[KeyPath, str]] = []
    for key, listed in (("all", patches.all), ("controlPlane", patches.control_plane), ("worker", patches.worker)):
        owners += [(("cluster", "patches", key, index), file) for index, file in enumerate(listed)]
    for node_index, node in enumerate(facts.settings.cluster.nodes):
        owners += [(("cluster", "nodes", node_index, "patches", i), file) for i, file in enumerate(node.patches)]
    for path, file in owners:
        if not (facts.root / file).is_file():
            yield SettingFinding("patch-missing", path, file, "does not exist", "add the file, or remove the line")
            continue
        source = read(facts.root / file, file)
        if source.problems or not all(isinstance(document.value, dict) for document in source.documents):
            rule = str(source.problems[0]) if source.problems else "is not a machine-config patch"
            yield SettingFinding("patch-malformed", path, file, rule, "write a map such as `machine: {sysctls: {...}}`")

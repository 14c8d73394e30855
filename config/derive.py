"""Facts that follow from the settings and therefore cannot be set: endpoint, names, ids, MACs, images.

Pure functions from `config.model` values to facts. `config.checks` compares them, `stacks` passes them to components.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from pydantic import SecretStr

from config.model import ClusterSettings, DataDisk, Node, NodeSize, Role, SecretSettings, Settings
from config.secret_stores import KINDS, Kind
from config.values import Size

API_PORT = 6443


@dataclass(frozen=True)
class Card:
    """One network card of a VM."""

    bridge: str
    vlan: int | None
    mtu: int | None
    mac: str


@dataclass(frozen=True)
class Machine:
    """One node with all facts that follow for it."""

    name: str
    role: Role
    address: IPv4Address
    host: str
    architecture: str
    cpu: int
    memory: Size
    disk: Size
    mac: str
    vm_id: int
    generation: int
    labels: dict[str, str]
    taints: tuple[str, ...]
    extensions: tuple[str, ...]
    kernel_arguments: tuple[str, ...]
    patches: tuple[str, ...]
    data_disks: tuple[DataDisk, ...]
    pci: tuple[str, ...]
    usb: tuple[str, ...]
    cards: tuple[Card, ...]

    @property
    def incarnation(self) -> str:
        """Return a text that changes when the VM is made again, by a raised generation or another VM id."""
        return f"{self.generation}.{self.vm_id}"


def machines(settings: Settings) -> tuple[Machine, ...]:
    """Return every node in the order of the settings."""
    return tuple(machine(settings, node) for node in settings.cluster.nodes)


def patch_files(settings: Settings) -> frozenset[str]:
    """Return the patches of all nodes; they can be anywhere in the repository."""
    return frozenset(path for one in machines(settings) for path in one.patches)


def machine(settings: Settings, node: Node) -> Machine:
    """Return a node, completed from its role, its address and its name."""
    cluster = settings.cluster
    size = node_size(cluster, node)
    of_role = cluster.patches.control_plane if node.role == "control-plane" else cluster.patches.worker
    return Machine(
        name=node.name,
        role=node.role,
        address=node.address,
        host=node.host,
        architecture=node.architecture,
        cpu=size.cpu,
        memory=size.memory,
        disk=size.disk,
        mac=cards(settings, node)[0].mac,
        vm_id=node.vm_id or derived_vm_id(settings.proxmox.first_vm_id, settings.network.subnet, node.address),
        generation=node.generation,
        labels=dict(node.labels),
        taints=node.taints,
        extensions=tuple(sorted({*cluster.extensions, *node.extensions})),
        kernel_arguments=tuple(dict.fromkeys((*cluster.kernel_arguments, *node.kernel_arguments))),
        patches=(*cluster.patches.all, *of_role, *node.patches),
        data_disks=node.data_disks,
        pci=node.pci,
        usb=node.usb,
        cards=cards(settings, node),
    )


def cards(settings: Settings, node: Node) -> tuple[Card, ...]:
    """Return the network cards of a node, the one with its address first."""
    proxmox, name = settings.proxmox, settings.cluster.name
    of_host = next((host.bridge for host in proxmox.hosts if host.name == node.host), None)
    first = Card(
        bridge=node.bridge or of_host or proxmox.bridge,
        vlan=node.vlan or proxmox.vlan,
        mtu=proxmox.mtu,
        mac=node.mac or derived_mac(name, node.name),
    )
    further = (
        Card(card.bridge, card.vlan, card.mtu, card.mac or derived_mac(name, f"{node.name}/{card.bridge}/{card.vlan}"))
        for card in node.network_cards
    )
    return (first, *further)


def storages(settings: Settings, machine: Machine) -> tuple[str, ...]:
    """Return the storages that hold the disks of a machine, the one of its system disk first."""
    of_host = next((host.disks for host in settings.proxmox.hosts if host.name == machine.host), "")
    return tuple(dict.fromkeys((of_host, *(disk.storage or of_host for disk in machine.data_disks))))


def mappings(machine: Machine) -> tuple[tuple[str, str], ...]:
    """Return the resource mappings that a machine uses, each with its kind."""
    return (*(("pci", name) for name in machine.pci), *(("usb", name) for name in machine.usb))


def node_size(cluster: ClusterSettings, node: Node) -> NodeSize:
    """Return the node's own size or its role's; `config.checks` refuses a role without one."""
    of_role = cluster.sizes.control_plane if node.role == "control-plane" else cluster.sizes.worker
    base = of_role or cluster.sizes.control_plane
    return NodeSize.model_construct(
        cpu=node.cpu or base.cpu, memory=node.memory or base.memory, disk=node.disk or base.disk
    )


def derived_mac(cluster: str, node: str) -> str:
    """Return a locally administered MAC that never changes."""
    digest = hashlib.sha256(f"{cluster}/{node}".encode()).hexdigest()
    return ":".join(["02", *(digest[at : at + 2] for at in range(0, 10, 2))])


def derived_vm_id(first: int, subnet: IPv4Network, address: IPv4Address) -> int:
    """Return a VM id from the address' offset in its subnet, so that the order of nodes does not matter."""
    return first + int(address) - int(subnet.network_address)


def control_planes(settings: Settings) -> tuple[Node, ...]:
    """Return the nodes that run etcd."""
    return tuple(node for node in settings.cluster.nodes if node.role == "control-plane")


def api_address(settings: Settings) -> IPv4Address:
    """Return the address of the Kubernetes API: the VIP, or the first control plane."""
    return settings.network.vip or control_planes(settings)[0].address


def endpoint(settings: Settings) -> str:
    """Return the URL of the Kubernetes API."""
    return f"https://{settings.network.endpoint or api_address(settings)}:{API_PORT}"


def cert_sans(settings: Settings) -> tuple[str, ...]:
    """Return every address and name at which the API answers."""
    named = [settings.network.endpoint] if settings.network.endpoint else []
    planes = (str(node.address) for node in control_planes(settings))
    return tuple(dict.fromkeys([*named, str(api_address(settings)), *planes, "127.0.0.1"]))


def platform_apps(settings: Settings) -> Mapping[str, str]:
    """Return the apps of the tree that the program seeds, each with the namespace that it needs."""
    cilium = {"kube-system/cilium": "kube-system"} if settings.platform.cni == "cilium" else {}
    return cilium | {
        "cert-manager/cert-manager": "cert-manager",
        "cert-manager/issuers": "cert-manager",
        "security/external-secrets": "security",
        "security/secret-stores": "security",
        "system/argocd": "argocd",
    }


def repository_host(settings: Settings) -> str:
    """Return the host of `delivery.repository`, from a URL or from git's own form user@host:path."""
    whole = settings.delivery.repository
    place = whole.partition("://")[2] or whole
    return re.split("[/:]", place.rpartition("@")[2])[0]


def untrusted_issuer(settings: Settings) -> str:
    """Return the issuer, unless programs trust its certificates by default."""
    issuer = settings.platform.certificates.issuer
    return "" if issuer == "letsencrypt" else issuer


def store_kind(settings: Settings) -> Kind:
    """Return the kind of the stack's secret store."""
    return KINDS[settings.platform.secret_store.kind]


def store_token(settings: Settings) -> SecretStr | None:
    """Return the credential that opens the secret store, if its kind has one and it is set."""
    field = store_kind(settings).token_field
    token: SecretStr | None = getattr(settings.secrets, field) if field else None
    return token


def needed_secrets(settings: Settings) -> tuple[str, ...]:
    """Return the secrets that these settings require, by their keys in the stack file."""
    needed = ["proxmoxToken"]
    if token := store_kind(settings).token:
        needed.append(token)
    if settings.platform.argocd.sso:
        needed.append("oidcClientSecret")
    if not settings.delivery.repository.startswith("https://"):
        needed.append("gitSshKey")
    needed += [f"repositories.{repository.name}" for repository in settings.platform.repositories]
    return tuple(needed)


def missing_secrets(settings: Settings) -> tuple[str, ...]:
    """Return the required secrets that are not set."""
    by_alias = {str(field.alias): name for name, field in SecretSettings.model_fields.items()}

    def is_set(name: str) -> bool:
        section, _, key = name.partition(".")
        value = getattr(settings.secrets, by_alias[section])
        return key in value if key else value is not None

    return tuple(name for name in needed_secrets(settings) if not is_set(name))


def how_to_set(stack: str, missing: Sequence[str]) -> str:
    """Return the required secrets that are not set, with the command that sets them."""
    return f"{', '.join(missing)} (pulumi config set --stack {stack} --secret --path homelab:secrets.NAME)"

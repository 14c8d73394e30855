"""The settings as typed, closed, frozen values: one section per concern.

What flows in is the plain data of a stack file; unknown keys are refused and every value is a real type. What two
values say about each other is the matter of `config.checks`, what follows from them of `config.derive`. The
descriptions are the reference that docs/reference/settings.md is made from.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from config.rules import rule
from config.secret_stores import SecretStore
from config.section import Section
from config.values import (
    Address,
    AppPath,
    Bytes,
    Checksum,
    Domain,
    Email,
    Extension,
    Https,
    KernelArgument,
    Labels,
    Mac,
    Minor,
    Name,
    Network,
    Number,
    Range,
    RelativePath,
    Release,
    Repository,
    Secret,
    Span,
    Taint,
    Text,
    Url,
    choice,
    is_a_kubelets,
    refuse,
)

Generation = Annotated[Number, Field(ge=1, le=9999)]
Role = Annotated[Literal["control-plane", "worker"], choice("control-plane", "worker")]
Vlan = Annotated[Number, Field(ge=1, le=4094)]
Mtu = Annotated[Number, Field(ge=1, le=65520)]
Architecture = Annotated[Literal["amd64", "arm64"], choice("amd64", "arm64")]


class LoadBalancers(Section):
    """Addresses of the range that stay: the router's DNS leads to them, devices in the house know them."""

    internal: Address = Field(description="the gateway for the house; the router's wildcard name leads here")
    public: Address = Field(description="the gateway for the world; the tunnel ends here")
    passthrough: Address = Field(description="the gateway for what brings its own certificate")
    mosquitto: Address = Field(description="where devices in the house speak MQTT")


def _from_the_first(network: dict[str, Any]) -> LoadBalancers:
    first = network["load_balancer_range"].first
    return LoadBalancers(**{name: first + place for place, name in enumerate(LoadBalancers.model_fields)})


class NetworkSettings(Section):
    """The network that nodes and services live in."""

    domain: Domain = Field(description="the domain below which every route gets its name")
    subnet: Network = Field(description="the network of hosts and nodes")
    gateway: Address = Field(description="the router's address in the subnet")
    nameservers: tuple[Address, ...] = Field(min_length=1, description="who answers DNS for the nodes")
    time_servers: tuple[Text, ...] = Field(default=("time.cloudflare.com",), description="who tells nodes the time")
    vip: Address | None = Field(
        default=None,
        description="the shared address of the control planes; needed from two on, worth having from one on",
    )
    endpoint: Domain | None = Field(
        default=None,
        description="a DNS name for the Kubernetes API, which leads to `vip` or to a load balancer of your own",
    )
    load_balancer_range: Range = Field(description="addresses that services of type LoadBalancer may take")
    load_balancers: LoadBalancers = Field(
        default_factory=_from_the_first, description="those of them that stay; the first four where absent"
    )
    pod_cidr: Network = Field(default="10.244.0.0/16", validate_default=True, description="addresses of pods")
    service_cidr: Network = Field(default="10.96.0.0/12", validate_default=True, description="addresses of services")


class Host(Section):
    """One Proxmox VE host."""

    name: Name = Field(description="the node name that Proxmox shows")
    address: Address = Field(description="the host's own address")
    images: Text = Field(default="local", description="the storage that takes disk images (content type import)")
    disks: Text = Field(default="local-lvm", description="the storage that takes the disks of VMs")
    bridge: Text | None = Field(default=None, description="the bridge of this host; `proxmox.bridge` where absent")
    memory: Bytes | None = Field(default=None, description="memory that VMs may use; where given, the sum is checked")
    nodes: Annotated[Literal["allowed", "none"], choice("allowed", "none")] = Field(
        default="allowed", description="`none` keeps nodes off a host that serves something else"
    )


class Proxmox(Section):
    """The hypervisors and what their VMs have in common."""

    endpoint: Https = Field(description="the API of any host of the cluster")
    certificate: Annotated[Literal["verified", "self-signed"], choice("verified", "self-signed")] = Field(
        default="verified", description="`self-signed` accepts the certificate that Proxmox comes with"
    )
    hosts: tuple[Host, ...] = Field(min_length=1, description="the hosts that images and VMs are made on")
    image_storage: Annotated[Literal["per-host", "shared"], choice("per-host", "shared")] = Field(
        default="per-host",
        description="`shared` downloads each image once, to a storage that all hosts share and name as `images`",
    )
    bridge: Text = Field(default="vmbr0", description="the bridge that VMs are plugged into")
    vlan: Vlan | None = Field(default=None, description="the VLAN tag of the VMs")
    mtu: Mtu | None = Field(default=None, description="the MTU of the VMs' first network card; 1 takes the bridge's")
    cpu_type: Text = Field(
        default="host", description="the processor that VMs see; a named model lets them move between unlike hosts"
    )
    pool: Text | None = Field(default=None, description="the resource pool that the VMs belong to; it has to exist")
    tags: tuple[Name, ...] = Field(default=(), description="tags beside the stack's name")
    scsi: Annotated[
        Literal["virtio-scsi-pci", "virtio-scsi-single"], choice("virtio-scsi-pci", "virtio-scsi-single")
    ] = Field(default="virtio-scsi-pci", description="the SCSI controller; Talos was seen to hang with `-single`")
    high_availability: Annotated[Literal["none", "restart"], choice("none", "restart")] = Field(
        default="none",
        description="`restart` has Proxmox 9 start VMs elsewhere when their host fails, control planes apart; "
        "their disks need storages that all hosts share",
    )
    first_vm_id: Annotated[Number, Field(ge=100, le=999_000_000)] = Field(
        default=1000, description="VM ids are this plus the address' place in the subnet, where a node has no vmId"
    )


class NodeSize(Section):
    """How large the nodes of a role are."""

    cpu: Annotated[Number, Field(ge=1, le=512)] = Field(description="virtual processors")
    memory: Bytes = Field(description="memory")
    disk: Bytes = Field(description="the system disk")


class NodeSizes(Section):
    """The sizes by role."""

    control_plane: NodeSize = Field(description="of control planes")
    worker: NodeSize | None = Field(default=None, description="of workers; may be absent where there are none")


class NetworkCard(Section):
    """A further network card of a node; a patch of the node gives it its addresses, by its MAC."""

    bridge: Text = Field(description="the bridge that it is plugged into")
    vlan: Vlan | None = Field(default=None, description="its VLAN tag")
    mtu: Mtu | None = Field(default=None, description="its MTU; 1 takes the bridge's")
    mac: Mac | None = Field(
        default=None, description="where absent, made from the names of cluster, node and bridge, and the VLAN"
    )


class DataDisk(Section):
    """A further disk of a node, for storage that outlives the system disk."""

    size: Bytes = Field(description="how large it is")
    storage: Text | None = Field(default=None, description="the Proxmox storage; the host's `disks` where absent")
    backup: Annotated[Literal["excluded", "included"], choice("excluded", "included")] = Field(
        default="excluded", description="whether backup jobs of Proxmox copy this disk"
    )


class Node(Section):
    """One Talos node, which is one VM."""

    name: Name = Field(description="the node's and the VM's name")
    role: Role = Field(description="what the node does")
    address: Address = Field(description="the node's fixed address")
    host: Name = Field(description="the Proxmox host that the VM runs on")
    architecture: Architecture = Field(default="amd64", description="the processor's architecture, which is the host's")
    cpu: Annotated[Number, Field(ge=1, le=512)] | None = Field(default=None, description="instead of the role's size")
    memory: Bytes | None = Field(default=None, description="instead of the role's size")
    disk: Bytes | None = Field(default=None, description="instead of the role's size")
    mac: Mac | None = Field(default=None, description="where absent, made from the cluster's and the node's name")
    vm_id: Annotated[Number, Field(ge=100, le=999_999_999)] | None = Field(
        default=None, description="where absent, made from the address"
    )
    generation: Generation = Field(
        default=1, description="raised after its VM was lost or deleted: the new one is configured"
    )
    labels: Labels = Field(default_factory=dict, description="the node's labels in Kubernetes")
    taints: tuple[Taint, ...] = Field(default=(), description="the node's taints, as key=value:Effect")
    extensions: tuple[Extension, ...] = Field(default=(), description="Talos extensions beside the cluster's")
    kernel_arguments: tuple[KernelArgument, ...] = Field(default=(), description="beside the cluster's")
    patches: tuple[RelativePath, ...] = Field(default=(), description="your own machine-config patch files")
    data_disks: tuple[DataDisk, ...] = Field(default=(), description="further disks; protected in production")
    pci: tuple[Name, ...] = Field(default=(), description="PCI resource mappings of Proxmox to pass through")
    usb: tuple[Name, ...] = Field(default=(), description="USB resource mappings of Proxmox to pass through")
    bridge: Text | None = Field(
        default=None, description="the bridge of the first network card; the host's where absent"
    )
    vlan: Vlan | None = Field(default=None, description="the VLAN tag of the first card; `proxmox.vlan` where absent")
    network_cards: tuple[NetworkCard, ...] = Field(default=(), description="further network cards")

    @field_validator("labels")
    @classmethod
    @rule(
        "label-restricted",
        scope="file",
        why="The node may not set it: Kubernetes rejects all labels of the node without a report.",
    )
    def _a_workers_own(cls, labels: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        for key in labels if info.data.get("role") == "worker" else ():
            if not is_a_kubelets(key):
                refuse(
                    "label-restricted", f"{key!r} is a label that Kubernetes lets no worker set", "use kubectl label"
                )
        return labels


class Patches(Section):
    """Your own machine-config patch files, beside those that follow from the settings."""

    all: tuple[RelativePath, ...] = Field(default=(), description="for every node")
    control_plane: tuple[RelativePath, ...] = Field(default=(), description="for control planes")
    worker: tuple[RelativePath, ...] = Field(default=(), description="for workers")


class Cluster(Section):
    """The Talos cluster."""

    name: Name = Field(description="the cluster's name; part of every node's certificate")
    talos_version: Release = Field(description="what nodes run; raising it upgrades one node after the other")
    talos_contract: Minor = Field(description="the Talos minor version that the cluster was made with; it stays")
    kubernetes_version: Release = Field(description="what the cluster runs; raising it runs the upgrade")
    generation: Generation = Field(
        default=1, description="raised after all VMs were lost or deleted: the cluster is made again"
    )
    drain_timeout: Span = Field(
        default="30m",
        validate_default=True,
        description="how long a node's pods may take to leave it before an upgrade or a removal",
    )
    protect: Annotated[Literal["nothing", "control-planes-and-data"], choice("nothing", "control-planes-and-data")] = (
        Field(default="control-planes-and-data", description="what `destroy` refuses to take")
    )
    boot: Annotated[Literal["plain", "secure"], choice("plain", "secure")] = Field(
        default="plain", description="`secure` boots signed images only and gives each VM a TPM; it stays"
    )
    sizes: NodeSizes = Field(description="how large nodes are, by role")
    nodes: tuple[Node, ...] = Field(min_length=1, description="every node")
    workloads_on_control_planes: Annotated[Literal["allowed", "refused"], choice("allowed", "refused")] = Field(
        default="refused", description="`allowed` for clusters without enough workers"
    )
    extensions: tuple[Extension, ...] = Field(
        default=("siderolabs/qemu-guest-agent",), description="Talos extensions of every node"
    )
    kernel_arguments: tuple[KernelArgument, ...] = Field(
        default=(), description="arguments of the kernel on every node, such as intel_iommu=on; part of the image"
    )
    image_factory: Domain = Field(
        default="factory.talos.dev", description="the image factory that makes images and installers"
    )
    image_checksums: dict[Text, Checksum] = Field(
        default_factory=dict,
        description="SHA-256 of disk images by their path at the factory; where one is listed, all have to be",
    )
    registry_mirrors: dict[Text, tuple[Https, ...]] = Field(
        default_factory=dict, description="mirrors by registry, such as docker.io: [https://mirror.example.com]"
    )
    patches: Patches = Field(default_factory=Patches, description="your own machine-config patches")


class Certificates(Section):
    """Who signs the certificates of routes."""

    issuer: Annotated[
        Literal["letsencrypt-staging", "letsencrypt", "internal"],
        choice("letsencrypt-staging", "letsencrypt", "internal"),
    ] = Field(default="letsencrypt-staging", description="staging until all works: rebuilds hit the real one's limits")
    email: Email | None = Field(
        default=None, description="where Let's Encrypt writes to; needed for both of its issuers"
    )
    dns: Annotated[Literal["cloudflare"], choice("cloudflare")] = Field(
        default="cloudflare", description="who proves the domain (DNS-01)"
    )


class SingleSignOn(Section):
    """Login to Argo CD with OpenID Connect."""

    issuer: Https = Field(description="the OpenID Connect issuer")
    client_id: Text = Field(description="the client's id there; its secret is homelab:secrets.oidcClientSecret")
    admin_group: Text = Field(description="the group whose members may change things")


class ArgoCD(Section):
    """How Argo CD runs."""

    replicas: Annotated[Literal["single", "ha"], choice("single", "ha")] = Field(
        default="single", description="`ha` needs three workers"
    )
    polling: Span = Field(default="3m", validate_default=True, description="how often Git is asked for news")
    sso: SingleSignOn | None = Field(default=None, description="login with OpenID Connect; admin only where absent")


class ExternalRepository(Section):
    """A private Git, Helm or OCI repository that applications come from."""

    name: Name = Field(description="the name of its credential Secret")
    url: Url = Field(description="the repository's URL")
    type: Annotated[Literal["git", "helm", "oci"], choice("git", "helm", "oci")] = Field(description="what it is")
    username: Text | None = Field(default=None, description="its user; the password is under secrets.repositories")


class Platform(Section):
    """What the cluster offers to applications."""

    cni: Annotated[Literal["cilium", "flannel"], choice("cilium", "flannel")] = Field(
        default="cilium", description="who connects pods; `flannel` is Talos' own and leaves kube-proxy on"
    )
    certificates: Certificates = Field(default_factory=Certificates, description="who signs certificates")
    secret_store: SecretStore = Field(description="where External Secrets reads")
    argocd: ArgoCD = Field(default_factory=ArgoCD, description="how Argo CD runs")
    repositories: tuple[ExternalRepository, ...] = Field(default=(), description="private repositories beside this one")


class Delivery(Section):
    """Which part of Git this stack runs."""

    repository: Repository = Field(description="this repository, as Argo CD reaches it")
    revision: Text = Field(default="main", description="the branch, tag or commit to follow")
    path: RelativePath = Field(default=".", description="the folder of the repository that holds apps/")
    environment: Name = Field(description="which folder of environments/ takes the place of the base")
    categories: tuple[Name, ...] | None = Field(default=None, description="only these categories; all where absent")
    exclude: tuple[AppPath, ...] = Field(
        default=(), description="apps of these categories that this stack does not run, as category/app"
    )
    wait: Annotated[Literal["generated", "healthy"], choice("generated", "healthy")] = Field(
        default="healthy", description="what `up` waits for after the handover"
    )
    stall_timeout: Span = Field(
        default="10m",
        validate_default=True,
        description="a wait for applications fails once nothing has changed for so long; more where images take longer",
    )


class Secrets(Section):
    """Everything secret, under one key; set each with `pulumi config set --secret --path homelab:secrets.NAME`."""

    proxmox_token: Secret | None = Field(
        default=None,
        description="the API token, as user@realm!name=uuid",
        json_schema_extra={"format": "proxmox-token"},
    )
    git_token: Secret | None = Field(
        default=None, description="reads a private https repository", json_schema_extra={"format": "token"}
    )
    git_ssh_key: Secret | None = Field(
        default=None, description="reads a private ssh repository", json_schema_extra={"format": "ssh-key"}
    )
    webhook_secret: Secret | None = Field(
        default=None,
        description="proves that a webhook comes from Git; made where absent",
        json_schema_extra={"format": "token"},
    )
    bitwarden_token: Secret | None = Field(
        default=None, description="the machine account's access token", json_schema_extra={"format": "token"}
    )
    vault_token: Secret | None = Field(
        default=None, description="reads the KV engine", json_schema_extra={"format": "token"}
    )
    onepassword_token: Secret | None = Field(
        default=None, description="the Connect server's token", json_schema_extra={"format": "token"}
    )
    oidc_client_secret: Secret | None = Field(
        default=None, description="of the single sign-on client", json_schema_extra={"format": "token"}
    )
    notification_url: Secret | None = Field(
        default=None, description="where Argo CD posts notifications", json_schema_extra={"format": "https"}
    )
    repositories: dict[Text, Secret] = Field(
        default_factory=dict,
        description="passwords or ssh keys by repository name",
        json_schema_extra={"format": "token"},
    )


class Settings(Section):
    """One stack."""

    network: NetworkSettings
    proxmox: Proxmox
    cluster: Cluster
    platform: Platform
    delivery: Delivery
    secrets: Secrets = Field(default_factory=Secrets)

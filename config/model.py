"""The settings as typed, closed, frozen values: one section per concern.

The plain data of a stack file flows in; unknown keys are refused and every value is a real type. `config.checks`
compares values, `config.derive` computes the facts that follow. docs/reference/settings.md is generated from the
descriptions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from config.gates import Gates
from config.rules import rule
from config.secret_stores import SecretStore
from config.section import Section
from config.values import (
    Address,
    Bytes,
    Checksum,
    Domain,
    Email,
    Environment,
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
Part = Annotated[Literal["talos", "kubernetes", "extensions"], choice("talos", "kubernetes", "extensions")]
Architecture = Annotated[Literal["amd64", "arm64"], choice("amd64", "arm64")]


class LoadBalancers(Section):
    """Fixed addresses of the range, which DNS names and devices reference."""

    internal: Address = Field(
        description="the gateway for the local network; the router's wildcard DNS name resolves to it"
    )
    public: Address = Field(description="the gateway for the internet; the tunnel ends here")
    passthrough: Address = Field(description="the gateway for services with a certificate of their own")
    mosquitto: Address = Field(description="the address of the MQTT broker, for devices")


def _from_the_first(network: dict[str, Any]) -> LoadBalancers:
    first = network["load_balancer_range"].first
    return LoadBalancers(**{name: first + place for place, name in enumerate(LoadBalancers.model_fields)})


class NetworkSettings(Section):
    """The network of nodes and services."""

    domain: Domain = Field(description="the parent domain of all routes")
    subnet: Network = Field(description="the network of hosts and nodes")
    gateway: Address = Field(description="the router's address in the subnet")
    nameservers: tuple[Address, ...] = Field(min_length=1, description="the DNS servers of the nodes")
    time_servers: tuple[Text, ...] = Field(default=("time.cloudflare.com",), description="the NTP servers of the nodes")
    vip: Address | None = Field(
        default=None,
        description="the shared address of the control planes; required for more than one, useful for one",
    )
    endpoint: Domain | None = Field(
        default=None,
        description="a DNS name for the Kubernetes API that resolves to `vip` or to your own load balancer",
    )
    load_balancer_range: Range = Field(description="addresses that services of type LoadBalancer may take")
    load_balancers: LoadBalancers = Field(
        default_factory=_from_the_first, description="fixed addresses in that range (default: the first four)"
    )
    pod_cidr: Network = Field(default="10.244.0.0/16", validate_default=True, description="addresses of pods")
    service_cidr: Network = Field(default="10.96.0.0/12", validate_default=True, description="addresses of services")


class Host(Section):
    """One Proxmox VE host."""

    name: Name = Field(description="the node name in Proxmox")
    address: Address = Field(description="the host's own address")
    images: Text = Field(default="local", description="the storage for disk images (content type import)")
    disks: Text = Field(default="local-lvm", description="the storage for disks of VMs")
    bridge: Text | None = Field(default=None, description="the bridge of this host (default: `proxmox.bridge`)")
    memory: Bytes | None = Field(default=None, description="the memory that VMs may use in total; the sum is checked")
    nodes: Annotated[Literal["allowed", "none"], choice("allowed", "none")] = Field(
        default="allowed", description="`none` reserves the host for other services"
    )


class Proxmox(Section):
    """The hypervisors, and the properties that all VMs share."""

    endpoint: Https = Field(description="the API of any host of the cluster")
    certificate: Annotated[Literal["verified", "self-signed"], choice("verified", "self-signed")] = Field(
        default="verified", description="`self-signed` accepts the certificate that Proxmox generates"
    )
    hosts: tuple[Host, ...] = Field(min_length=1, description="the hosts that images and VMs are made on")
    image_storage: Annotated[Literal["per-host", "shared"], choice("per-host", "shared")] = Field(
        default="per-host",
        description="`shared` downloads each image once, to the storage `images`, which all hosts must share",
    )
    bridge: Text = Field(default="vmbr0", description="the bridge of the VMs")
    vlan: Vlan | None = Field(default=None, description="the VLAN tag of the VMs")
    mtu: Mtu | None = Field(default=None, description="the MTU of the VMs' first network card; 1 takes the bridge's")
    cpu_type: Text = Field(
        default="host",
        description="the processor model of the VMs; a named model allows migration between different hosts",
    )
    pool: Text | None = Field(default=None, description="the resource pool of the VMs, which must exist")
    tags: tuple[Name, ...] = Field(default=(), description="additional tags; the stack's name is one")
    scsi: Annotated[
        Literal["virtio-scsi-pci", "virtio-scsi-single"], choice("virtio-scsi-pci", "virtio-scsi-single")
    ] = Field(default="virtio-scsi-pci", description="the SCSI controller; Talos was seen to hang with `-single`")
    high_availability: Annotated[Literal["none", "restart"], choice("none", "restart")] = Field(
        default="none",
        description="`restart` makes Proxmox 9 start VMs on another host when theirs fails, and keeps "
        "control planes apart; all hosts must share the storages of their disks",
    )
    first_vm_id: Annotated[Number, Field(ge=100, le=999_000_000)] = Field(
        default=1000,
        description="the VM id of a node without vmId is this plus the offset of its address in the subnet",
    )


class NodeSize(Section):
    """The size of the nodes of a role."""

    cpu: Annotated[Number, Field(ge=1, le=512)] = Field(description="virtual processors")
    memory: Bytes = Field(description="memory")
    disk: Bytes = Field(description="the system disk")


class NodeSizes(Section):
    """The sizes by role."""

    control_plane: NodeSize = Field(description="the size of control planes")
    worker: NodeSize | None = Field(default=None, description="the size of workers; required if there are any")


class NetworkCard(Section):
    """A further network card of a node; a patch of the node sets its addresses, by its MAC."""

    bridge: Text = Field(description="the bridge of the card")
    vlan: Vlan | None = Field(default=None, description="its VLAN tag")
    mtu: Mtu | None = Field(default=None, description="its MTU; 1 takes the bridge's")
    mac: Mac | None = Field(
        default=None, description="the MAC (default: derived from the names of cluster, node and bridge, and the VLAN)"
    )


class DataDisk(Section):
    """A further disk of a node, for storage that outlives the system disk."""

    size: Bytes = Field(description="its size")
    storage: Text | None = Field(default=None, description="the Proxmox storage (default: the host's `disks`)")
    backup: Annotated[Literal["excluded", "included"], choice("excluded", "included")] = Field(
        default="excluded", description="whether backup jobs of Proxmox copy this disk"
    )


class Node(Section):
    """One Talos node, which is one VM."""

    name: Name = Field(description="the node's and the VM's name")
    role: Role = Field(description="its role")
    address: Address = Field(description="the node's fixed address")
    host: Name = Field(description="the Proxmox host that the VM runs on")
    architecture: Architecture = Field(default="amd64", description="the architecture of the host's processor")
    cpu: Annotated[Number, Field(ge=1, le=512)] | None = Field(default=None, description="instead of the role's size")
    memory: Bytes | None = Field(default=None, description="instead of the role's size")
    disk: Bytes | None = Field(default=None, description="instead of the role's size")
    mac: Mac | None = Field(default=None, description="the MAC (default: derived from the names of cluster and node)")
    vm_id: Annotated[Number, Field(ge=100, le=999_999_999)] | None = Field(
        default=None, description="the VM id (default: derived from the address)"
    )
    generation: Generation = Field(
        default=1, description="raise it after the VM was lost or deleted, to configure the new one"
    )
    labels: Labels = Field(default_factory=dict, description="the node's labels in Kubernetes")
    taints: tuple[Taint, ...] = Field(default=(), description="the node's taints, as key=value:Effect")
    extensions: tuple[Extension, ...] = Field(default=(), description="additional Talos extensions")
    kernel_arguments: tuple[KernelArgument, ...] = Field(default=(), description="additional kernel arguments")
    patches: tuple[RelativePath, ...] = Field(default=(), description="additional machine-config patch files")
    data_disks: tuple[DataDisk, ...] = Field(default=(), description="further disks; protected in production")
    pci: tuple[Name, ...] = Field(default=(), description="PCI resource mappings of Proxmox to pass through")
    usb: tuple[Name, ...] = Field(default=(), description="USB resource mappings of Proxmox to pass through")
    bridge: Text | None = Field(default=None, description="the bridge of the first network card (default: the host's)")
    vlan: Vlan | None = Field(default=None, description="the VLAN tag of the first card (default: `proxmox.vlan`)")
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
    """Additional machine-config patch files."""

    all: tuple[RelativePath, ...] = Field(default=(), description="for every node")
    control_plane: tuple[RelativePath, ...] = Field(default=(), description="for control planes")
    worker: tuple[RelativePath, ...] = Field(default=(), description="for workers")


class ClusterSettings(Section):
    """The Talos cluster."""

    name: Name = Field(description="the cluster's name; part of every node's certificate")
    talos_version: Release = Field(description="the Talos version; raising it upgrades one node after the other")
    talos_contract: Minor = Field(
        description="the Talos minor version with which the cluster was created; never change it"
    )
    kubernetes_version: Release = Field(description="the Kubernetes version; raising it upgrades the cluster")
    generation: Generation = Field(
        default=1, description="raise it after all VMs were lost or deleted, to make the cluster again"
    )
    drain_timeout: Span = Field(
        default="30m",
        validate_default=True,
        description="the timeout of a node's drain before an upgrade or a removal",
    )
    protect: Annotated[Literal["nothing", "control-planes-and-data"], choice("nothing", "control-planes-and-data")] = (
        Field(default="control-planes-and-data", description="the resources that `destroy` refuses to delete")
    )
    boot: Annotated[Literal["plain", "secure"], choice("plain", "secure")] = Field(
        default="plain",
        description="`secure` boots signed images only and gives each VM a TPM; it cannot be changed later",
    )
    sizes: NodeSizes = Field(description="the sizes of nodes by role")
    nodes: tuple[Node, ...] = Field(min_length=1, description="every node")
    workloads_on_control_planes: Annotated[Literal["allowed", "refused"], choice("allowed", "refused")] = Field(
        default="refused", description="`allowed` lets pods of applications run on control planes"
    )
    extensions: tuple[Extension, ...] = Field(
        default=("siderolabs/qemu-guest-agent",), description="Talos extensions of every node"
    )
    kernel_arguments: tuple[KernelArgument, ...] = Field(
        default=(), description="kernel arguments of every node, such as intel_iommu=on; they are part of the image"
    )
    image_factory: Domain = Field(
        default="factory.talos.dev", description="the image factory for images and installers"
    )
    image_checksums: dict[Text, Checksum] = Field(
        default_factory=dict,
        description="SHA-256 of disk images by their path at the factory; list all images or none",
    )
    registry_mirrors: dict[Text, tuple[Https, ...]] = Field(
        default_factory=dict, description="the mirrors of registries, such as docker.io: [https://mirror.example.com]"
    )
    patches: Patches = Field(default_factory=Patches, description="additional machine-config patches")


class CertificateSettings(Section):
    """The issuer of the certificates of routes."""

    issuer: Annotated[
        Literal["letsencrypt-staging", "letsencrypt", "internal"],
        choice("letsencrypt-staging", "letsencrypt", "internal"),
    ] = Field(
        default="letsencrypt-staging",
        description="use staging until everything works: repeated rebuilds exceed the rate limits of letsencrypt",
    )
    email: Email | None = Field(
        default=None, description="the address for warnings of Let's Encrypt; required for both of its issuers"
    )
    dns: Annotated[Literal["cloudflare"], choice("cloudflare")] = Field(
        default="cloudflare", description="the DNS provider that proves ownership of the domain (DNS-01)"
    )


class SingleSignOn(Section):
    """Login to Argo CD with OpenID Connect."""

    issuer: Https = Field(description="the OpenID Connect issuer")
    client_id: Text = Field(description="the id of the client; its secret is homelab:secrets.oidcClientSecret")
    admin_group: Text = Field(description="the group with administrator rights")


class ArgoCDSettings(Section):
    """The operation of Argo CD."""

    replicas: Annotated[Literal["single", "ha"], choice("single", "ha")] = Field(
        default="single", description="the number of replicas; `ha` requires three workers"
    )
    polling: Span = Field(
        default="3m", validate_default=True, description="the interval at which Argo CD refreshes from Git"
    )
    sso: SingleSignOn | None = Field(
        default=None, description="login with OpenID Connect (default: only the local admin)"
    )


class ExternalRepository(Section):
    """A private Git, Helm or OCI repository that applications come from."""

    name: Name = Field(description="the name of its credential Secret")
    url: Url = Field(description="the repository's URL")
    type: Annotated[Literal["git", "helm", "oci"], choice("git", "helm", "oci")] = Field(
        description="the type of the repository"
    )
    username: Text | None = Field(default=None, description="the user name; the password is under secrets.repositories")


class BackupSettings(Section):
    """The S3 store of backups, which must not depend on this cluster; its keys are entries of the secret store."""

    endpoint: Https = Field(description="the URL of the S3 store")
    bucket: Text = Field(description="the bucket for databases; apps are copied to the repository in the secret store")


class PlatformSettings(Section):
    """The services that the cluster offers to applications."""

    cni: Annotated[Literal["cilium", "flannel"], choice("cilium", "flannel")] = Field(
        default="cilium", description="the CNI; `flannel` is part of Talos and keeps kube-proxy"
    )
    certificates: CertificateSettings = Field(
        default_factory=CertificateSettings, description="the issuer of certificates"
    )
    secret_store: SecretStore = Field(description="the secret store of External Secrets")
    backup: BackupSettings | None = Field(default=None, description="backups of volumes and databases (default: none)")
    argocd: ArgoCDSettings = Field(default_factory=ArgoCDSettings, description="the operation of Argo CD")
    repositories: tuple[ExternalRepository, ...] = Field(default=(), description="additional private repositories")


class Delivery(Section):
    """The part of Git that this stack runs."""

    repository: Repository = Field(description="this repository, as Argo CD reaches it")
    revision: Text = Field(default="main", description="the branch, tag or commit to follow")
    path: RelativePath = Field(default=".", description="the folder of the repository that holds apps/")
    environment: Environment = Field(
        description="the folder of each app that this stack runs; an app without it does not run"
    )
    wait: Annotated[Literal["generated", "healthy"], choice("generated", "healthy")] = Field(
        default="healthy", description="the state that `up` waits for after the handover"
    )
    stall_timeout: Span = Field(
        default="10m",
        validate_default=True,
        description="the wait for applications fails after this time without a change; raise it for slow image pulls",
    )
    holds: dict[Part, Text] = Field(
        default_factory=dict,
        description="the reasons for which `promote` leaves versions as they are, by talos, kubernetes, extensions",
    )
    gates: Gates = Field(
        default_factory=Gates,
        description="the conditions under which a change takes effect; the last environment of the chain states them",
    )


class SecretSettings(Section):
    """All secrets, under one key; set each with `pulumi config set --secret --path homelab:secrets.NAME`."""

    proxmox_token: Secret | None = Field(
        default=None,
        description="the API token, as user@realm!name=uuid",
        json_schema_extra={"format": "proxmox-token"},
    )
    git_token: Secret | None = Field(
        default=None, description="a token that reads a private https repository", json_schema_extra={"format": "token"}
    )
    git_ssh_key: Secret | None = Field(
        default=None, description="a key that reads a private ssh repository", json_schema_extra={"format": "ssh-key"}
    )
    webhook_secret: Secret | None = Field(
        default=None,
        description="proves that a webhook comes from Git (default: generated)",
        json_schema_extra={"format": "token"},
    )
    bitwarden_token: Secret | None = Field(
        default=None,
        description="the access token of Bitwarden's machine account",
        json_schema_extra={"format": "token"},
    )
    vault_token: Secret | None = Field(
        default=None, description="a token of Vault that reads the KV engine", json_schema_extra={"format": "token"}
    )
    onepassword_token: Secret | None = Field(
        default=None, description="the token of 1Password's Connect server", json_schema_extra={"format": "token"}
    )
    oidc_client_secret: Secret | None = Field(
        default=None, description="the secret of the single sign-on client", json_schema_extra={"format": "token"}
    )
    notification_url: Secret | None = Field(
        default=None, description="the URL to which Argo CD posts notifications", json_schema_extra={"format": "https"}
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
    cluster: ClusterSettings
    platform: PlatformSettings
    delivery: Delivery
    secrets: SecretSettings = Field(default_factory=SecretSettings)

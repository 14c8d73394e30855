"""The publishers' own releases: the server and the file of each pinned program, and the address of its checksum.

A tool of `ops.toolchain.catalogue` comes in; its assets go out, with their addresses for one platform. The names
in `Asset.pin` and `Asset.backend` are those of `mise.toml` and `mise.lock`, which `ops.toolchain.lockfile` reads.
`ops.toolchain.downloads` fetches by this table; a tool without an entry, or without one for this platform, is built.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from ops.toolchain.catalogue import Tool

# Tests replace these addresses by a server of their own.
SERVERS = {
    "github": "https://github.com",
    "helm": "https://get.helm.sh",
    "kubernetes": "https://dl.k8s.io",
}
SYSTEMS = {"linux": "linux", "darwin": "macos"}
SHORT = {"amd64": "x64", "arm64": "arm64"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "amd64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True)
class Platform:
    """An operating system and an architecture, as Go names them."""

    os: str
    arch: str

    @property
    def name(self) -> str:
        """Return its name in mise.lock."""
        return f"{SYSTEMS.get(self.os, self.os)}-{SHORT.get(self.arch, self.arch)}"


PLATFORMS = (
    Platform("linux", "amd64"),
    Platform("linux", "arm64"),
    Platform("darwin", "amd64"),
    Platform("darwin", "arm64"),
)


def here() -> Platform:
    """Return the platform of this machine."""
    machine = platform.machine().lower()
    return Platform(sys.platform, ARCHITECTURES.get(machine, machine))


@dataclass(frozen=True)
class Asset:
    """One file of a release: the program itself, or an archive with the required members.

    Addresses begin with the name of a server. An asset without `sums` has no checksum published beside it.
    """

    pin: str
    backend: str
    path: str
    sums: str
    members: Mapping[str, str]
    megabytes: float
    systems: tuple[str, ...] = ("linux", "darwin")
    zipped: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    def filled(self, text: str, tool: Tool, place: Platform) -> str:
        """Return a text of this table with the version and the platform filled in."""
        packed = "zip" if place.os in self.zipped else "tar.gz"
        return text.format(
            version=tool.version, os=place.os, arch=place.arch, short=SHORT.get(place.arch, place.arch), packed=packed
        )

    def url(self, tool: Tool, place: Platform) -> str:
        """Return the address of the file."""
        return _address(self.filled(self.path, tool, place))

    def sums_url(self, tool: Tool, place: Platform) -> str:
        """Return the address of the file that holds its checksum, or nothing."""
        return _address(self.filled(self.sums, tool, place)) if self.sums else ""

    @property
    def archive(self) -> bool:
        """Report whether the programs must be unpacked."""
        return self.path.endswith("{packed}")


def _address(text: str) -> str:
    server, _, path = text.partition(":")
    return f"{SERVERS[server]}/{path}"


def assets(tool: Tool, place: Platform) -> tuple[Asset, ...]:
    """Return the files of a tool's release for a platform; none where the publisher has none for it."""
    found = RELEASES.get(tool.name, ()) if place in PLATFORMS else ()
    return found if all(place.os in asset.systems for asset in found) else ()


def _bare(pin: str, backend: str, path: str, sums: str, megabytes: float, program: str = "") -> Asset:
    return Asset(pin, backend, path, sums, {program or pin: ""}, megabytes)


def _kubernetes(program: str, megabytes: float, systems: tuple[str, ...] = ("linux", "darwin")) -> Asset:
    path = f"kubernetes:v{{version}}/bin/{{os}}/{{arch}}/{program}"
    backend = f"aqua:kubernetes/kubernetes/{program}"
    pin = program if program == "kubectl" else backend
    return Asset(pin, backend, path, f"{path}.sha256", {program: ""}, megabytes, systems)


def _github(repository: str, name: str, tag: str = "v{version}") -> str:
    return f"github:{repository}/releases/download/{tag}/{name}"


ETCD = "etcd-v{version}-{os}-{arch}"
KUSTOMIZE_TAG = "kustomize/v{version}"
HELM_FILE = "helm:helm-v{version}-{os}-{arch}.{packed}"
PULUMI_PROGRAMS = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec")

# Megabytes serve only to estimate the time of a download.
RELEASES: Mapping[str, tuple[Asset, ...]] = {
    "kustomize": (
        Asset(
            "kustomize",
            "aqua:kubernetes-sigs/kustomize",
            _github("kubernetes-sigs/kustomize", "kustomize_v{version}_{os}_{arch}.{packed}", KUSTOMIZE_TAG),
            _github("kubernetes-sigs/kustomize", "checksums.txt", KUSTOMIZE_TAG),
            {"kustomize": "kustomize"},
            megabytes=7,
        ),
    ),
    "helm": (Asset("helm", "aqua:helm/helm", HELM_FILE, f"{HELM_FILE}.sha256sum", {"helm": "{os}-{arch}/helm"}, 19),),
    "kubeconform": (
        Asset(
            "kubeconform",
            "aqua:yannh/kubeconform",
            _github("yannh/kubeconform", "kubeconform-{os}-{arch}.{packed}"),
            _github("yannh/kubeconform", "CHECKSUMS"),
            {"kubeconform": "kubeconform"},
            megabytes=6,
        ),
    ),
    "pulumi": (
        Asset(
            "pulumi",
            "aqua:pulumi/pulumi",
            _github("pulumi/pulumi", "pulumi-v{version}-{os}-{short}.{packed}"),
            _github("pulumi/pulumi", "SHA512SUMS"),
            {name: f"pulumi/{name}" for name in PULUMI_PROGRAMS},
            megabytes=120,
        ),
    ),
    "talosctl": (
        _bare(
            "talosctl",
            "aqua:siderolabs/talos",
            _github("siderolabs/talos", "talosctl-{os}-{arch}"),
            _github("siderolabs/talos", "sha256sum.txt"),
            megabytes=110,
        ),
    ),
    "kubectl": (_kubernetes("kubectl", 60),),
    # The project publishes its servers for Linux only.
    "kubernetes": (
        _kubernetes("kube-apiserver", 100, ("linux",)),
        _kubernetes("kube-controller-manager", 85, ("linux",)),
        _kubernetes("kube-scheduler", 65, ("linux",)),
    ),
    "etcd": (
        Asset(
            "etcd",
            "aqua:etcd-io/etcd",
            _github("etcd-io/etcd", f"{ETCD}.{{packed}}"),
            _github("etcd-io/etcd", "SHA256SUMS"),
            {name: f"{ETCD}/{name}" for name in ("etcd", "etcdctl", "etcdutl")},
            megabytes=25,
            zipped=("darwin",),
        ),
    ),
    # aqua's own entry of kwok has the wrong file, and the project publishes no checksums.
    "kwok": (
        Asset(
            "github:kubernetes-sigs/kwok",
            "github:kubernetes-sigs/kwok",
            _github("kubernetes-sigs/kwok", "kwok-{os}-{arch}"),
            "",
            {"kwok": ""},
            megabytes=70,
            options={"matching_regex": "^kwok-"},
        ),
    ),
    # The file that is published as the CLI holds every role of Argo CD.
    "argocd": (
        _bare(
            "argocd",
            "aqua:argoproj/argo-cd",
            _github("argoproj/argo-cd", "argocd-{os}-{arch}"),
            _github("argoproj/argo-cd", "cli_checksums.txt"),
            megabytes=230,
        ),
    ),
}

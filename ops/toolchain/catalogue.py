"""The pinned programs: the package and the Go module of each, and the other versions that are accepted.

A version is written once, in `tools/<folder>/go.mod`. This table provides that version, the flags that stamp it into
the program (callers that check the version refuse a program without one), the rule for other versions on the user's
PATH, and the time that a build takes. `ops.toolchain.lookup` finds or builds by this table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path

from errors import Bug

FOLDER = Path(__file__).resolve().parents[2] / "tools"
UNFINISHED = ("alpha", "beta", "rc", "dev")


class Accept(Enum):
    """The versions on the PATH that are accepted in place of ours, by the promises of the program's own project."""

    SAME_MINOR = "the same minor version"
    ONE_MINOR_AWAY = "at most one minor version away"
    NEWER_IN_MAJOR = "ours or newer within the major version"
    NOTHING = "our own build only"


@dataclass(frozen=True)
class ProgramVersion:
    """Three numbers that can be compared; a prerelease is never accepted in place of a release."""

    major: int
    minor: int
    patch: int
    unfinished: bool = False

    @classmethod
    def read(cls, text: str) -> ProgramVersion | None:
        """Return the first version in a text, such as the output of a program, or none."""
        found = re.search(r"(?<![\w.])v?(\d+)\.(\d+)\.(\d+)(?:-(\w+))?", text)
        if found is None:
            return None
        major, minor, patch = (int(found[group]) for group in (1, 2, 3))
        return cls(major, minor, patch, (found[4] or "").startswith(UNFINISHED))

    def __str__(self) -> str:
        """Return the three numbers, separated by dots."""
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class Program:
    """One executable: its package, and the arguments that make it report its version.

    A program that cannot report its version is judged by that of its `neighbour`; `pins` is the folder of a program
    that has pins of its own.
    """

    name: str
    package: str
    ask: tuple[str, ...] = ("version",)
    links: tuple[str, ...] = ()
    neighbour: str = ""
    pins: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Return all names by which it can be called."""
        return (self.name, *self.links)

    @property
    def built_as(self) -> str:
        """Return the name that Go gives it: the last part of the package that is no major version."""
        parts = [part for part in self.package.split("/") if not re.fullmatch(r"v\d+", part)]
        return parts[-1]


@dataclass(frozen=True)
class Shipped:
    """A file of a module that must lie beside the programs, in the version of the go.mod in `folder`."""

    file: str
    module: str
    folder: str


@dataclass(frozen=True)
class Files:
    """The manifests in one folder of a module, which are copied and not compiled, and the name of the copy.

    CRDs lose their descriptions, nine tenths of their size, unless `whole` is set.
    """

    name: str
    module: str
    folder: str
    whole: bool = False


@dataclass(frozen=True)
class Schemas:
    """An OpenAPI document of a module, from which the schemas of its kinds are made."""

    name: str
    module: str
    file: str


@dataclass(frozen=True)
class Generated:
    """CRDs that a module does not hold as files: controller-gen makes them from its Go types."""

    name: str
    module: str
    packages: tuple[str, ...]
    pins: str


@dataclass(frozen=True)
class Tool:
    """The content of one built folder: the module that gives the version, and the programs with their pins.

    A tool without programs is a folder of manifests, and is found by its own name.
    """

    name: str
    module: str
    programs: tuple[Program, ...]
    seconds: float
    accept: Accept = Accept.SAME_MINOR
    stamps: Mapping[str, str] = field(default_factory=dict)
    shipped: Shipped | None = None
    pins: str = ""
    files: tuple[Files, ...] = ()
    generated: tuple[Generated, ...] = ()
    schemas: tuple[Schemas, ...] = ()

    @property
    def version(self) -> ProgramVersion:
        """Return the pinned version."""
        return pinned(self.folder, self.module)

    @property
    def by_folder(self) -> dict[Path, list[Program]]:
        """Return the programs by the folder whose go.mod and go.sum pin them."""
        sorted_out: dict[Path, list[Program]] = {}
        for program in self.programs:
            sorted_out.setdefault(FOLDER / (program.pins or self.pins or self.name), []).append(program)
        own = (self.folder,) if self.files or self.schemas else ()
        for folder in (*own, *(FOLDER / one.pins for one in self.generated)):
            sorted_out.setdefault(folder, [])
        return sorted_out

    @property
    def folder(self) -> Path:
        """Return the folder whose go.mod gives the version."""
        return FOLDER / (self.pins or self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all programs that a build makes; its own name if it makes manifests."""
        return tuple(name for program in self.programs for name in program.names) or (self.name,)

    def takes(self, version: ProgramVersion | None) -> bool:
        """Report whether a version on the PATH is accepted in place of ours."""
        return version is not None and compatible(self.accept, self.version, version)

    def stamped(self) -> str:
        """Return the linker's flags: no debug tables, and the version in the variable that the program reads."""
        words = {"version": self.version, "major": self.version.major, "minor": self.version.minor}
        stamps = [f"-X={variable}={text.format(**words)}" for variable, text in self.stamps.items()]
        return " ".join(["-s", "-w", *stamps])


def compatible(accept: Accept, ours: ProgramVersion, theirs: ProgramVersion) -> bool:
    """Report whether another version is accepted in place of ours."""
    if theirs.unfinished or theirs.major != ours.major:
        return False
    if accept is Accept.SAME_MINOR:
        return theirs.minor == ours.minor
    if accept is Accept.ONE_MINOR_AWAY:
        return abs(theirs.minor - ours.minor) <= 1
    if accept is Accept.NEWER_IN_MAJOR:
        return (theirs.minor, theirs.patch) >= (ours.minor, ours.patch)
    return False


@cache
def pinned(folder: Path, module: str) -> ProgramVersion:
    """Read a module's version from a go.mod."""
    text = (folder / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", text, re.MULTILINE)
    version = ProgramVersion.read(found[1]) if found else None
    if version is None:
        raise Bug(
            f"{folder / 'go.mod'}: {module}: not required there; the table in ops/toolchain/catalogue.py names it"
        )
    return version


@cache
def needed_go(folder: Path) -> tuple[int, ...]:
    """Read the required version of Go from a go.mod."""
    found = re.search(r"^go\s+([\d.]+)", (folder / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


K8S = "k8s.io/kubernetes"
K8S_STAMPS = {
    "k8s.io/component-base/version.gitVersion": "v{version}",
    "k8s.io/component-base/version.gitMajor": "{major}",
    "k8s.io/component-base/version.gitMinor": "{minor}",
}
HELM = "helm.sh/helm/v4"
PULUMI_SDK = "github.com/pulumi/pulumi/sdk/v3"
ARGOCD = "github.com/argoproj/argo-cd/v3"
ROLLOUTS = "github.com/argoproj/argo-rollouts"
ARGOCD_ROLES = (
    "argocd-server",
    "argocd-repo-server",
    "argocd-application-controller",
    "argocd-applicationset-controller",
)

# CustomResourceDefinitions as their projects publish them, each under the name that `standins.crds` uses.
CRDS = (
    Files("argo-rollouts", ROLLOUTS, "manifests/crds"),
    Files("cert-manager", "github.com/cert-manager/cert-manager", "deploy/crds"),
    Files("cilium", "github.com/cilium/cilium", "pkg/k8s/apis/cilium.io/client/crds"),
    Files("cloudnative-pg", "github.com/cloudnative-pg/cloudnative-pg", "config/crd/bases"),
    Files("external-secrets", "github.com/external-secrets/external-secrets", "config/crds/bases"),
    Files("external-snapshotter", "github.com/kubernetes-csi/external-snapshotter/client/v8", "config/crd"),
    Files("gateway-api", "sigs.k8s.io/gateway-api", "config/crd"),
    Files("kyverno", "github.com/kyverno/kyverno", "config/crds"),
    Files("metallb", "go.universe.tf/metallb", "config/crd/bases"),
    Files("sealed-secrets", "github.com/bitnami-labs/sealed-secrets", "helm/sealed-secrets/crds"),
    Files("trust-manager", "github.com/cert-manager/trust-manager", "deploy/crds"),
    Files("volsync", "github.com/backube/volsync", "config/crd/bases"),
)
MONITORING = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring"

# The additional seconds of the very first build, for Go's own library.
STANDARD_LIBRARY = 20.0
# Seconds: one build after another on two cores; quick tools that most verbs use come first.
TOOLS = (
    Tool(
        "kustomize",
        "sigs.k8s.io/kustomize/kustomize/v5",
        (Program("kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),),
        seconds=15,
    ),
    Tool(
        "helm",
        HELM,
        (Program("helm", f"{HELM}/cmd/helm", ask=("version", "--short")),),
        seconds=96,
        accept=Accept.NEWER_IN_MAJOR,
        stamps={f"{HELM}/internal/version.version": "v{version}"},
    ),
    Tool(
        "kubeconform",
        "github.com/yannh/kubeconform",
        (Program("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", ask=("-v",)),),
        seconds=4,
        stamps={"main.version": "v{version}"},
    ),
    Tool(
        "pulumi",
        "github.com/pulumi/pulumi/pkg/v3",
        # In one folder: the engine warns of a language host that does not lie beside it.
        (
            Program("pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"),
            Program(
                "pulumi-language-python",
                f"{PULUMI_SDK}/python/cmd/pulumi-language-python",
                neighbour="pulumi",
                pins="pulumi-language-python",
            ),
        ),
        seconds=294,
        accept=Accept.NEWER_IN_MAJOR,
        # The Automation API cannot read the version of an engine that has none stamped.
        stamps={f"{PULUMI_SDK}/go/common/version.Version": "v{version}"},
        # The script that runs a program goes with the Python SDK, and so with the engine's version.
        shipped=Shipped("python/cmd/pulumi-language-python-exec", PULUMI_SDK, "pulumi"),
    ),
    Tool(
        "talosctl",
        "github.com/siderolabs/talos",
        (Program("talosctl", "github.com/siderolabs/talos/cmd/talosctl", ask=("version", "--client", "--short")),),
        seconds=267,
    ),
    Tool(
        "kubectl",
        K8S,
        (Program("kubectl", f"{K8S}/cmd/kubectl", ask=("version", "--client")),),
        seconds=110,
        accept=Accept.ONE_MINOR_AWAY,
        stamps=K8S_STAMPS,
        pins="kubernetes",
    ),
    Tool(
        "kubernetes",
        K8S,
        (
            Program("kube-apiserver", f"{K8S}/cmd/kube-apiserver", ask=("--version",)),
            Program("kube-controller-manager", f"{K8S}/cmd/kube-controller-manager", ask=("--version",)),
            Program("kube-scheduler", f"{K8S}/cmd/kube-scheduler", ask=("--version",)),
        ),
        seconds=272,
        stamps=K8S_STAMPS,
    ),
    Tool(
        "etcd",
        "go.etcd.io/etcd/server/v3",
        (
            Program("etcd", "go.etcd.io/etcd/server/v3", ask=("--version",)),
            Program("etcdctl", "go.etcd.io/etcd/etcdctl/v3"),
            Program("etcdutl", "go.etcd.io/etcd/etcdutl/v3"),
        ),
        seconds=45,
    ),
    Tool(
        "kwok",
        "sigs.k8s.io/kwok",
        (Program("kwok", "sigs.k8s.io/kwok/cmd/kwok", ask=("--version",)),),
        seconds=100,
    ),
    Tool(
        "argocd",
        ARGOCD,
        # One program that takes the role of the name by which it is called.
        (Program("argocd", f"{ARGOCD}/cmd", ask=("version", "--client", "--short"), links=ARGOCD_ROLES),),
        seconds=374,
        stamps={f"{ARGOCD}/common.version": "{version}"},
    ),
    Tool(
        "redis",
        "github.com/alicebob/miniredis/v2",
        (Program("miniredis", "homelab/tools/redis"),),
        seconds=3,
        accept=Accept.NOTHING,
    ),
    Tool(
        "crds",
        # One version must stand for all of them: that of the API in the table of compatible versions.
        "sigs.k8s.io/gateway-api",
        (),
        seconds=66,
        accept=Accept.NOTHING,
        files=CRDS,
        generated=(Generated("monitoring", MONITORING, ("v1", "v1alpha1", "v1beta1"), "monitoring"),),
    ),
    # The official manifests of the Argo CD that is built, and the list of the programs in its image.
    Tool(
        "argocd-manifests",
        ARGOCD,
        (),
        seconds=3,
        accept=Accept.NOTHING,
        shipped=Shipped("hack/tool-versions.sh", ARGOCD, "argocd"),
        files=(Files("argo-cd", ARGOCD, "manifests", whole=True),),
        pins="argocd",
    ),
    # The schemas of the API server that is built.
    Tool(
        "schemas",
        K8S,
        (),
        seconds=8,
        accept=Accept.NOTHING,
        schemas=(Schemas("kubernetes", K8S, "api/openapi-spec/swagger.json"),),
        pins="kubernetes",
    ),
)

# `./homelab tools` installs these only by name: `./homelab test` needs them, and a rehearsal with a Rollout.
OPTIONAL = (
    Tool(
        "actionlint",
        "github.com/rhysd/actionlint",
        (Program("actionlint", "github.com/rhysd/actionlint/cmd/actionlint", ask=("-version",)),),
        seconds=12,
        stamps={"github.com/rhysd/actionlint.version": "{version}"},
    ),
    Tool(
        "argo-rollouts",
        ROLLOUTS,
        # The plugin that writes weights into routes is a stand-in: the module proxy does not serve the publisher's.
        (
            Program("rollouts-controller", f"{ROLLOUTS}/cmd/rollouts-controller", ask=("--version",)),
            Program("rollouts-gateway-plugin", "homelab/tools/argo-rollouts", neighbour="rollouts-controller"),
        ),
        seconds=230,
        accept=Accept.NOTHING,
        stamps={f"{ROLLOUTS}/utils/version.version": "{version}"},
    ),
)
EVERY_TOOL = (*TOOLS, *OPTIONAL)
BY_PROGRAM = {name: tool for tool in EVERY_TOOL for name in tool.names}

"""All objects of one stack, each with its app: the input of every rule.

`ops.checking.validation` renders them; the rules of this package read them. They have all that a rule needs, so that a
rule is a function of its input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from config.category import PodSecurity
from config.load import Stack
from config.source import KeyPath
from config.startpage import PageEntry
from config.tree import App, CategoryFolder
from manifests.checkout import CheckoutReader
from manifests.contents import Contents
from manifests.fields import entries, mapping, mappings, number, text
from manifests.objects import CRD, Object, notes
from manifests.sources import ChartSource

ACCEPT = "homelab.dev/accept-"
MANAGED_BY = "app.kubernetes.io/managed-by"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Rollout", "ReplicaSet")
JOBS = ("Job", "CronJob")
# The kind of an app's charts: a described stand-in has the objects of the real one, any other has invented ones.
ChartKind: TypeAlias = Literal["none", "real", "described", "unknown"]
CLUSTER_WIDE = {
    "": ("Namespace", "Node", "PersistentVolume"),
    "admissionregistration.k8s.io": (
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    ),
    "apiextensions.k8s.io": ("CustomResourceDefinition",),
    "apiregistration.k8s.io": ("APIService",),
    "certificates.k8s.io": ("CertificateSigningRequest", "ClusterTrustBundle"),
    "flowcontrol.apiserver.k8s.io": ("FlowSchema", "PriorityLevelConfiguration"),
    "networking.k8s.io": ("IngressClass", "IPAddress", "ServiceCIDR"),
    "node.k8s.io": ("RuntimeClass",),
    "rbac.authorization.k8s.io": ("ClusterRole", "ClusterRoleBinding"),
    "resource.k8s.io": ("DeviceClass", "ResourceSlice"),
    "scheduling.k8s.io": ("PriorityClass",),
    "storage.k8s.io": ("CSIDriver", "CSINode", "StorageClass", "VolumeAttachment", "VolumeAttributesClass"),
}


@dataclass(frozen=True)
class AppObject:
    """One object with its app, its category and its namespace.

    `released` where Argo CD runs helm for the app, so that the namespace of the release is the Application's own;
    `inflated` where kustomize made the object of a chart.
    """

    item: Object
    app: App
    folder: CategoryFolder
    namespace: str
    chart: ChartKind = "none"
    released: bool = False
    inflated: bool = False

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.item["kind"])

    @property
    def group(self) -> str:
        """The group of its API, empty for the core."""
        return str(self.item["apiVersion"]).rpartition("/")[0]

    @property
    def name(self) -> str:
        """The object's name."""
        return text(self.metadata, "name")

    @property
    def metadata(self) -> dict[str, Any]:
        """The object's metadata."""
        return mapping(self.item, "metadata")

    @property
    def spec(self) -> dict[str, Any]:
        """The object's spec."""
        return mapping(self.item, "spec")

    @property
    def astray(self) -> bool:
        """Report whether its namespace is not one of its category."""
        return bool(self.namespace) and self.namespace not in self.folder.namespaces

    @property
    def by_chart(self) -> bool:
        """Report whether a chart made it."""
        labels = mapping(self.metadata, "labels")
        return self.inflated or labels.get(MANAGED_BY) == "Helm" or "helm.sh/chart" in labels

    @property
    def bare(self) -> AppObject:
        """The same object with its identity only, for one that its schema refuses."""
        kept = {key: self.metadata[key] for key in ("name", "namespace") if key in self.metadata}
        return replace(self, item={"apiVersion": self.item["apiVersion"], "kind": self.kind, "metadata": kept})

    @property
    def accepted(self) -> dict[str, str]:
        """The checks that its annotations accept, with their reasons."""
        annotations = notes(self.item).items()
        return {key.removeprefix(ACCEPT): why for key, why in annotations if key.startswith(ACCEPT)}

    def __str__(self) -> str:
        """Return kind and name."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class ObjectFinding:
    """One violation of a rule, without its file and line."""

    check: str
    obj: AppObject
    path: KeyPath
    value: object
    rule: str
    fix: str


@dataclass(frozen=True)
class AppFolder:
    """The files of one app, as one stack runs it; `charts` if all of its charts are the real ones."""

    reader: CheckoutReader
    stack: Stack
    app: App
    contents: Contents
    rendered: bool = True
    charts: ChartSource | None = None


@dataclass(frozen=True)
class StackObjects:
    """All objects of one stack, and the facts that rules need beside them.

    `security` is the Pod Security level of each namespace, `secrets` are those that Pulumi makes, `registered` are CRDs
    that an operator brings when it starts, `disks` is how much room the nodes' data disks have together,
    `repository` is the host of `delivery.repository`, `untrusted` an issuer whose certificates no program trusts by
    itself; `whole` unless some of the apps could not be rendered; `guessed` where what some chart brings is not known;
    in the namespaces of `unread` an object was refused, and of it no more than the name is known. `folders` are the
    files of its apps, `tree` the contents of every folder of the tree, `page` the entries of the start page.
    """

    stack: str
    environment: str
    kubernetes: str
    domain: str
    all: tuple[AppObject, ...]
    security: Mapping[str, PodSecurity] = field(default_factory=dict)
    secrets: frozenset[tuple[str, str]] = frozenset()
    registered: tuple[Object, ...] = ()
    disks: int = 0
    repository: str = ""
    untrusted: str = ""
    whole: bool = True
    guessed: bool = False
    unread: frozenset[str] = frozenset()
    folders: tuple[AppFolder, ...] = ()
    tree: Mapping[str, Contents] = field(default_factory=dict)
    page: tuple[PageEntry, ...] = ()

    @property
    def sound_folders(self) -> Iterator[AppFolder]:
        """Yield the folders whose files can all be read."""
        return (one for one in self.folders if not one.contents.problems)

    def of(self, *kinds: str) -> Iterator[AppObject]:
        """Yield the objects of some kinds."""
        for kind in kinds:
            yield from self._by_kind.get(kind, ())

    def near(self, obj: AppObject, *kinds: str) -> Iterator[AppObject]:
        """Yield the objects of some kinds in the namespace of an object."""
        for kind in kinds:
            yield from self._by_place.get((obj.namespace, kind), ())

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], list[AppObject]]:
        found: dict[tuple[str, str], list[AppObject]] = {}
        for obj in self.all:
            found.setdefault((obj.namespace, obj.kind), []).append(obj)
        return found

    @cached_property
    def _by_kind(self) -> dict[str, list[AppObject]]:
        found: dict[str, list[AppObject]] = {}
        for obj in self.all:
            found.setdefault(obj.kind, []).append(obj)
        return found

    @cached_property
    def pods(self) -> tuple[Pods, ...]:
        """All objects that create pods."""
        found = (Pods.of(obj) for obj in self.of(*WORKLOADS, *JOBS, "Pod"))
        return tuple(pods for pods in found if pods)

    @cached_property
    def pods_in(self) -> Mapping[str, list[Pods]]:
        """The objects that create pods, by their namespaces."""
        found: dict[str, list[Pods]] = {}
        for pods in self.pods:
            found.setdefault(pods.obj.namespace, []).append(pods)
        return found

    @cached_property
    def pods_of(self) -> Mapping[int, Pods]:
        """The pods of an object, by the object's `id`."""
        return {id(pods.obj): pods for pods in self.pods}

    @cached_property
    def scopes(self) -> Mapping[tuple[str, str], str]:
        """The scope of every kind that a CRD of the stack defines."""
        return scopes_of((*self.registered, *(one.item for one in self.of(CRD))))


@dataclass(frozen=True)
class Pods:
    """An object that creates pods, with the path, the labels and the spec of its pod template."""

    obj: AppObject
    path: KeyPath
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @classmethod
    def of(cls, obj: AppObject) -> Pods | None:
        """Return the pod template of an object."""
        if obj.kind == "Pod":
            path: tuple[str, ...] = ()
        elif obj.kind == "CronJob":
            path = ("spec", "jobTemplate", "spec", "template")
        else:
            path = ("spec", "template")
        template = mapping(obj.item, *path)
        if not mapping(template, "spec"):
            return None
        return cls(obj, path, mapping(template, "metadata", "labels"), mapping(template, "spec"))

    @property
    def lasting(self) -> bool:
        """Report whether the pods run permanently."""
        return self.obj.kind in WORKLOADS

    @property
    def replicas(self) -> int:
        """The number of replicas."""
        return number(self.obj.spec, "replicas", otherwise=1)

    def containers(self, *kinds: str) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
        """Yield every container with its path."""
        for kind in kinds or ("initContainers", "containers"):
            for index, container in enumerate(mappings(self.spec, kind)):
                yield (*self.path, "spec", kind, index), container

    @property
    def volumes(self) -> list[tuple[KeyPath, dict[str, Any]]]:
        """Every volume with its path."""
        return [((*self.path, "spec", "volumes", i), one) for i, one in enumerate(mappings(self.spec, "volumes"))]


def is_cluster_wide(objects: StackObjects, obj: AppObject) -> bool:
    """Report whether an object is cluster-wide; an unknown kind counts as namespaced."""
    return scope_of(obj.group, obj.kind, objects.scopes) == "Cluster"


def is_namespaced(objects: StackObjects, obj: AppObject) -> bool:
    """Report whether an object is certainly namespaced: as a kind of Kubernetes itself, or by its CRD."""
    return scope_of(obj.group, obj.kind, objects.scopes) == "Namespaced"


def scope_of(group: str, kind: str, scopes: Mapping[tuple[str, str], str]) -> str:
    """Return Cluster or Namespaced for a kind of Kubernetes itself or of a CRD, empty for an unknown kind."""
    if kind in CLUSTER_WIDE.get(group, ()):
        return "Cluster"
    return scopes.get((group, kind)) or ("Namespaced" if is_own_kind(group) else "")


def is_own_kind(group: str) -> bool:
    """Report whether an API group belongs to Kubernetes itself."""
    return "." not in group or group in (*CLUSTER_WIDE, "coordination.k8s.io", "discovery.k8s.io")


def scopes_of(crds: Iterable[Object]) -> dict[tuple[str, str], str]:
    """Return the scope of every kind that CRDs define."""
    specs = [mapping(crd, "spec") for crd in crds]
    return {(text(spec, "group"), text(spec, "names", "kind")): text(spec, "scope") for spec in specs}


def serves(service: AppObject, pods: Pods) -> bool:
    """Report whether a Service selects pods; without a selector it selects none."""
    if service.namespace != pods.obj.namespace:
        return False
    selector = mapping(service.spec, "selector")
    return bool(selector) and selects({"matchLabels": selector}, pods.labels)


def selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Report whether a label selector matches labels; an empty one matches all."""
    if not isinstance(selector, dict):
        return False
    if any(labels.get(key) != value for key, value in mapping(selector, "matchLabels").items()):
        return False
    for one in mappings(selector, "matchExpressions"):
        key, values = text(one, "key"), entries(one, "values")
        has = key in labels
        fits = {
            "In": has and labels.get(key) in values,
            "NotIn": not has or labels.get(key) not in values,
            "Exists": has,
            "DoesNotExist": not has,
        }
        if not fits.get(text(one, "operator"), False):
            return False
    return True

"""Kubernetes objects as values: names, changes, immutable fields, secrets.

The desired object comes in, with the same object of the state and the live one of the API server. The object to send
goes out, with differences, and the state that the engine stores. No function here sends a request.
`lab.plugins.kubernetes` continues from here.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue

from lab.plugins.properties import Plain, Properties, PropertyOperation, Unknown, changes, engine_value

Object = dict[str, Any]

AUTONAMED = "pulumi.com/autonamed"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "pulumi-kubernetes"
# Beside the object itself, the state has the inputs that it was created from.
INPUTS, FIRST_VERSION, FIELD_MANAGER = "__inputs", "__initialApiVersion", "__fieldManager"
OURS = (INPUTS, FIRST_VERSION, FIELD_MANAGER)
READ_ONLY = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
# Fields that the server adds to an object; an import must not require them.
OF_THE_SERVER = (LAST_APPLIED, "deployment.kubernetes.io/revision")
SUFFIX = "k8s.io"
BUILT_IN = {"", "apps", "autoscaling", "batch", "extensions", "policy"} | {
    f"{group}.{SUFFIX}"
    for group in (
        "admissionregistration",
        "apiextensions",
        "apiregistration",
        "certificates",
        "coordination",
        "discovery",
        "events",
        "flowcontrol.apiserver",
        "networking",
        "node",
        "rbac.authorization",
        "resource",
        "scheduling",
        "storage",
        "storagemigration",
    )
}
# Used only when the server cannot be reached: every other kind is assumed to be namespaced.
WITHOUT_NAMESPACE = frozenset(
    [
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    ]
)
IDENTITY = ("metadata.name", "metadata.namespace")
# The official plugin's table of immutable fields, for the versions that servers still serve.
ANEW: Mapping[str, tuple[str, ...]] = {
    "apps/v1/DaemonSet": ("spec.selector",),
    "apps/v1/Deployment": ("spec.selector",),
    "apps/v1/StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "batch/v1/Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    f"rbac.authorization.{SUFFIX}/v1/ClusterRoleBinding": ("roleRef",),
    f"rbac.authorization.{SUFFIX}/v1/RoleBinding": ("roleRef",),
    f"storage.{SUFFIX}/v1/StorageClass": ("parameters", "provisioner"),
    "v1/PersistentVolume": tuple(
        f"spec.{volume}"
        for volume in (
            *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume"),
            *("flocker", "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs"),
            *("photonPersistentDisk", "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume"),
        )
    ),
    "v1/PersistentVolumeClaim": ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    "v1/Pod": (
        *(
            f"spec.{field}"
            for field in (
                *("affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy", "enableServiceLinks"),
                *("hostAliases", "hostIPC", "hostNetwork", "hostPID", "hostname", "imagePullSecrets", "nodeName"),
                *("nodeSelector", "overhead", "preemptionPolicy", "priority", "priorityClassName", "readinessGates"),
                *("restartPolicy", "runtimeClassName", "schedulerName", "securityContext", "serviceAccount"),
                *("serviceAccountName", "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds"),
                "volumes",
            )
        ),
        *(
            f"spec.{containers}[*].{field}"
            for containers in ("containers", "initContainers")
            for field in (
                *("args", "command", "env", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "ports"),
                *("readinessProbe", "resources", "securityContext", "stdin", "stdinOnce", "terminationMessagePath"),
                *("terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts", "workingDir"),
            )
        ),
    ),
    "v1/ResourceQuota": ("spec.scopes",),
    "v1/Secret": ("type",),
    "v1/Service": ("spec.clusterIP",),
}
CONTENT = {"v1/Secret": ("data", "stringData"), "v1/ConfigMap": ("data", "binaryData")}


def kind_of(token: str) -> tuple[str, str]:
    """Read an API version and a kind from a type token such as kubernetes:core/v1:Namespace."""
    _, version, kind = token.split(":")
    return version.removeprefix("core/"), kind


def full_kind(thing: Mapping[str, Any]) -> str:
    """Return the name of a kind with its API version."""
    return f"{thing['apiVersion']}/{thing['kind']}"


def is_built_in(thing: Mapping[str, Any]) -> bool:
    """Report whether the API server serves this kind without a CRD."""
    group, slash, _ = str(thing["apiVersion"]).rpartition("/")
    return (group if slash else "") in BUILT_IN


def metadata(thing: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known part of an object's metadata; it can be unknown in a preview."""
    found = thing.get("metadata")
    return found if isinstance(found, dict) else {}


def annotation(thing: Mapping[str, Any], key: str) -> str:
    """Return one annotation, or nothing."""
    found = metadata(thing).get("annotations")
    value = found.get(key, "") if isinstance(found, dict) else ""
    return "" if isinstance(value, Unknown) else str(value)


def id_of(thing: Mapping[str, Any]) -> str:
    """Return an object's id: its namespace, if it has one, and its name."""
    parts = (metadata(thing).get("namespace"), metadata(thing)["name"])
    return "/".join(part for part in parts if part)


def split_id(id_: str) -> tuple[str, str]:
    """Return a namespace, or nothing, and a name."""
    namespace, _, name = id_.rpartition("/")
    return namespace, name


def normalized(inputs: Plain, token: str) -> Plain:
    """Return an object as the official plugin would send it: no read-only fields, a Secret's texts encoded."""
    version, kind = kind_of(token)
    thing = {"apiVersion": version, "kind": kind, **inputs, "metadata": inputs.get("metadata", {})}
    thing["apiVersion"] = str(thing["apiVersion"]).removeprefix("core/")
    if isinstance(thing["metadata"], dict):
        thing["metadata"] = {name: value for name, value in thing["metadata"].items() if name not in READ_ONLY}
    texts = thing.get("stringData")
    if full_kind(thing) == "v1/Secret" and isinstance(texts, dict) and not isinstance(thing.get("data"), Unknown):
        thing["data"] = {**thing.get("data", {}), **{name: _encoded(text) for name, text in texts.items()}}
        del thing["stringData"]
    return thing


def _encoded(text: Any) -> Any:
    return text if isinstance(text, Unknown) else base64.b64encode(str(text).encode()).decode()


def with_name(thing: Plain, before: Plain, name: str, seed: bytes) -> Plain:
    """Return an object with a name, if it has none: that of the last run, or a new one."""
    known = thing["metadata"]
    if isinstance(known, Unknown) or known.get("name") or known.get("generateName"):
        return thing
    if before and not annotation(before, AUTONAMED):
        return thing
    last = metadata(before).get("name")
    suffix = hashlib.sha256(seed).hexdigest()[:8] if seed else secrets.token_hex(4)
    annotations = known.get("annotations", {})
    if not isinstance(annotations, Unknown):
        annotations = {**annotations, AUTONAMED: "true"}
    return {**thing, "metadata": {**known, "name": last or f"{name}-{suffix}", "annotations": annotations}}


def new_manager() -> str:
    """Generate a name for the owner of the fields of one resource."""
    return f"{MANAGER}-{secrets.token_hex(4)}"


def limited(live: Any, shape: Any) -> Any:
    """Return the part of a live value that the inputs set."""
    if isinstance(live, dict) and isinstance(shape, dict):
        return {name: limited(value, shape[name]) for name, value in live.items() if name in shape}
    if isinstance(live, list) and isinstance(shape, list):
        return [limited(value, part) for value, part in zip(live, shape, strict=False)]
    return live


def drifted(inputs: Any, before: Any, now: Any) -> Any:
    """Return the inputs with all changes on the server since the last read.

    A value that the server writes in another form than the program, such as 1 for 1000m, is no change.
    """
    if before == now:
        return inputs
    if isinstance(inputs, dict) and isinstance(before, dict) and isinstance(now, dict):
        kept = {name: value for name, value in inputs.items() if name in now or name not in before}
        return {name: drifted(value, before.get(name), now.get(name)) for name, value in kept.items()}
    if isinstance(inputs, list) and isinstance(before, list) and isinstance(now, list):
        if len(inputs) == len(before) == len(now):
            return [drifted(*each) for each in zip(inputs, before, now, strict=True)]
        return limited(now, inputs)
    return now


def imported(live: Mapping[str, Any]) -> Object:
    """Return the inputs of an object that no program has yet."""
    thing = {name: value for name, value in live.items() if name != "status"}
    known = {name: value for name, value in metadata(live).items() if name not in READ_ONLY}
    annotations = {name: text for name, text in known.pop("annotations", {}).items() if name not in OF_THE_SERVER}
    return {**thing, "metadata": {**known, **({"annotations": annotations} if annotations else {})}}


def base_of(recorded: Plain, inputs: Plain) -> Plain:
    """Return the object that new inputs are compared with.

    For custom resources it is the live object, limited to the fields of the old inputs: a field that the server dropped
    is missing again in every run. For built-in kinds the server may write a value in another form.
    """
    return dict(inputs) if is_built_in(inputs) else limited(recorded, inputs)


def differences(before: Plain, after: Plain, ignored: Iterable[str] = ()) -> list[tuple[str, PropertyOperation]]:
    """Return the differences of two objects, without ignored fields."""
    patterns = [_pattern(path) for path in ignored]
    return [found for found in changes(before, after) if not any(pattern.match(found[0]) for pattern in patterns)]


def replacing_paths(thing: Plain, *, mutable_content: bool, patch: bool = False) -> Iterator[re.Pattern[str]]:
    """Return the paths whose change replaces an object."""
    places = IDENTITY if patch else (*IDENTITY, *ANEW.get(full_kind(thing), ()))
    if not patch and (not mutable_content or thing.get("immutable") is True):
        places = (*places, *CONTENT.get(full_kind(thing), ()))
    return map(_pattern, places)


def _pattern(path: str) -> re.Pattern[str]:
    """Return a pattern that matches a path and those below it; `[*]` stands for any index, `*` alone for every path."""
    if path == "*":
        return re.compile("")
    literal = re.escape(path).replace(r"\[\*\]", r"\[\d+\]").removesuffix(r"\.\*")
    return re.compile(rf"{literal}(?=$|[.\[])")


def recorded(
    live: Object, inputs: Plain, given: Properties, first_version: str, manager: str
) -> dict[str, PropertyValue]:
    """Return the state that the engine stores: the live object, its inputs, and the secrets of both."""
    kept = {**live, "metadata": {name: value for name, value in live["metadata"].items() if name != "managedFields"}}
    return {
        **marked(kept, given),
        INPUTS: PropertyValue(marked(inputs, given)),
        FIRST_VERSION: PropertyValue(first_version),
        FIELD_MANAGER: PropertyValue(manager),
    }


def marked(thing: Plain, given: Properties) -> dict[str, PropertyValue]:
    """Mark secret inputs as secret, and all data of a Secret."""
    found = {name: _marked(value, given.get(name)) for name, value in thing.items() if value is not None}
    if full_kind(thing) == "v1/Secret":
        hidden = {name: found[name].with_secret(is_secret=True) for name in CONTENT["v1/Secret"] if name in found}
        found |= hidden
        if annotation(thing, LAST_APPLIED):
            found["metadata"] = found["metadata"].with_secret(is_secret=True)
    return found


def _marked(value: Any, like: PropertyValue | None) -> PropertyValue:
    if like is None or not like.contains_secret():
        return engine_value(value)
    if isinstance(value, dict) and isinstance(like.value, Mapping):
        parts = {name: _marked(item, like.value.get(name)) for name, item in value.items() if item is not None}
        return PropertyValue(parts, like.is_secret)
    # The server may order a list anew: if one item is secret, all are.
    return engine_value(value, secret=True)


def unmarked_state(state: Plain) -> tuple[Plain, Plain]:
    """Split a recorded state into the live object and the inputs it was made from."""
    live = {name: value for name, value in state.items() if name not in OURS}
    return live, dict(state.get(INPUTS, {}))


def spelled_for_server(value: Any) -> Any:
    """Return a value in which names that Python cannot write have their form on the server."""
    return _respelled(value, "x_kubernetes_", lambda name: name.replace("_", "-"))


def spelled_for_python(value: Any) -> Any:
    """Return a value in which names that Python cannot write have their form in the SDK."""
    return _respelled(value, "x-kubernetes-", lambda name: name.replace("-", "_"))


def _respelled(value: Any, prefix: str, spell: Any) -> Any:
    if isinstance(value, dict):
        return {
            spell(name) if name.startswith(prefix) else name: _respelled(item, prefix, spell)
            for name, item in value.items()
        }
    return [_respelled(item, prefix, spell) for item in value] if isinstance(value, list) else value

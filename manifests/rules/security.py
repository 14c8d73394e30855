"""Pod Security: the pods that the level of a namespace refuses, by the rules of the API server's own admission.

The objects of a stack come in, findings go out: the Pod Security Standards of Kubernetes, `baseline` and `restricted`,
for containers of Linux, and for the pods that VolSync creates. The API server refuses the pods, not the Deployment; the
only sign of it would be a ReplicaSet without pods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from config.rules import rule
from config.source import KeyPath
from manifests.fields import at, entries, mapping, mappings, text, texts
from manifests.rules.stack_objects import AppObject, ObjectFinding, Pods, StackObjects

Refusal: TypeAlias = "tuple[KeyPath, str]"
BASELINE_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
SELINUX = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SECCOMP = ("RuntimeDefault", "Localhost")
MOVERS = ("rclone", "restic", "rsyncTLS", "syncthing")


@rule("pod-security", scope="app", why="The API server rejects the pods, and only events of the ReplicaSet report it.")
def levels(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report pods that the Pod Security level of their namespace refuses."""
    for pods in objects.pods:
        for broken, path in _refused(objects, pods):
            fix = "apps/_shared/hardened brings the missing fields, or the category declares another podSecurity"
            yield ObjectFinding("pod-security", pods.obj, path, "", broken, fix)


def _refused(objects: StackObjects, pods: Pods) -> Iterator[tuple[str, KeyPath]]:
    level = objects.security.get(pods.obj.namespace, "privileged")
    refused = [] if level == "privileged" else list(baseline(pods))
    if level == "restricted":
        refused += restricted(pods)
    for path, broken in refused:
        yield f"{broken}: namespace {pods.obj.namespace} is {level}, and its pods would be refused", path


@rule("pod-security", scope="app")
@rule(
    "mover-foreign", scope="stack", why="Every night the backup would fail, or miss a file that only the app may read."
)
def movers(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require movers that their namespace accepts and that can read the app's files."""
    movable = objects.of("ReplicationSource", "ReplicationDestination")
    for obj in (one for one in movable if one.group == "volsync.backube"):
        for mover in MOVERS:
            if isinstance(obj.spec.get(mover), dict):
                yield from _mover(objects, obj, mover)


def _mover(objects: StackObjects, obj: AppObject, mover: str) -> Iterator[ObjectFinding]:
    """Check a mover as the pod that VolSync creates: its pod context is set here, its container's by VolSync."""
    path, context = ("spec", mover, "moverSecurityContext"), mapping(obj.spec, mover, "moverSecurityContext")
    own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod = Pods(obj, (), {}, {"securityContext": context, "containers": [{"name": "the mover", "securityContext": own}]})
    for broken, _ in _refused(objects, pod):
        fix = "set moverSecurityContext as apps/_shared/backup does"
        yield ObjectFinding("pod-security", obj, path, "", broken, fix)
    claim, user = text(obj.spec, "sourcePVC"), context.get("runAsUser")
    if not claim:
        return
    for pods in objects.pods:
        mounts = any(at(one, "persistentVolumeClaim", "claimName") == claim for _, one in pods.volumes)
        writer = _user(pods)
        if mounts and pods.obj.namespace == obj.namespace and writer not in (None, user):
            rule = f"is not {writer}, as whom {pods.obj} writes the volume: it could not read every file"
            yield ObjectFinding(
                "mover-foreign", obj, (*path, "runAsUser"), user or "", rule, "write the same user in both"
            )
            return


def _user(pods: Pods) -> int | None:
    """Return the user of the first container, if the pod sets one."""
    own = next((one for _, one in pods.containers("containers")), {})
    users = (at(one, "securityContext", "runAsUser") for one in (own, pods.spec))
    return next((user for user in users if isinstance(user, int)), None)


@rule(
    "privileged-unexplained",
    scope="app",
    why="Root on the node controls all that runs on it: this needs a decision and its reason.",
)
@rule(
    "root-unexplained",
    scope="app",
    why="One kernel bug separates root from the node, and most programs do not need root.",
)
def unexplained(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a reason for root and for access to the node, where the level allows them and no chart set them."""
    for pods in (one for one in objects.pods if not one.obj.by_chart):
        level = objects.security.get(pods.obj.namespace, "privileged")
        found = [("privileged-unexplained", *one) for one in baseline(pods)] if level == "privileged" else []
        found += [("root-unexplained", *one) for one in rooted(pods)] if level != "restricted" else []
        for check, path, broken in found:
            rule = f"{broken}: namespace {pods.obj.namespace} is {level} and allows it with a reason"
            fix = "apps/_shared/hardened brings the missing fields, or accept it with a reason"
            yield ObjectFinding(check, pods.obj, path, "", rule, fix)


def rooted(pods: Pods) -> Iterator[Refusal]:
    """Yield containers that run as root, or as the user of their image, which is unknown here."""
    for path, container in pods.containers():
        own = {**_context_of(pods.spec), **_context_of(container)}
        user, name = own.get("runAsUser"), text(container, "name")
        if user == 0:
            yield (*path, "securityContext", "runAsUser"), f"{name} runs as root"
        elif user is None and own.get("runAsNonRoot") is not True:
            yield (*path, "securityContext"), f"{name} may run as root"


def _context_of(spec: Any) -> dict[str, Any]:
    """Return the security context of a pod or a container; null values are inherited like absent ones."""
    return {key: value for key, value in mapping(spec, "securityContext").items() if value is not None}


def baseline(pods: Pods) -> Iterator[Refusal]:
    """Yield settings that only privileged namespaces allow."""
    above = (*pods.path, "spec")
    yield from (((*above, key), f"wants {key}") for key in ("hostNetwork", "hostPID", "hostIPC") if pods.spec.get(key))
    for path, volume in pods.volumes:
        if volume.get("hostPath") is not None:
            yield path, f"mounts {text(volume, 'hostPath', 'path')} of the node"
    context = _context_of(pods.spec)
    yield from _context((*above, "securityContext"), context, "the pod")
    names = [text(one, "name") for one in mappings(context, "sysctls")]
    yield from (((*above, "securityContext", "sysctls"), f"sets {name}") for name in names if name not in SYSCTLS)
    for path, container in pods.containers():
        yield from _privileges(path, container)


def _privileges(path: KeyPath, container: dict[str, Any]) -> Iterator[Refusal]:
    name, own = text(container, "name"), _context_of(container)
    place = (*path, "securityContext")
    if own.get("privileged"):
        yield (*place, "privileged"), f"{name} is privileged"
    added = set(texts(own, "capabilities", "add")) - BASELINE_CAPABILITIES
    if added:
        yield (*place, "capabilities"), f"{name} adds {', '.join(sorted(added))}"
    if (mount := own.get("procMount", "Default")) != "Default":
        yield (*place, "procMount"), f"{name} has procMount {mount}"
    if any(port.get("hostPort") for port in mappings(container, "ports")):
        yield (*path, "ports"), f"{name} takes a port of the node"
    yield from _context(place, own, name)


def _context(path: KeyPath, context: dict[str, Any], name: str) -> Iterator[Refusal]:
    if text(context, "seccompProfile", "type") == "Unconfined":
        yield (*path, "seccompProfile"), f"{name} has seccomp Unconfined"
    if (profile := text(context, "appArmorProfile", "type") or "RuntimeDefault") not in SECCOMP:
        yield (*path, "appArmorProfile"), f"{name} has AppArmor {profile}"
    labels = mapping(context, "seLinuxOptions")
    if text(labels, "type") not in SELINUX or labels.get("user") or labels.get("role"):
        yield (*path, "seLinuxOptions"), f"{name} chooses its SELinux label"
    if at(context, "windowsOptions", "hostProcess"):
        yield (*path, "windowsOptions"), f"{name} is a host process"


def restricted(pods: Pods) -> Iterator[Refusal]:
    """Yield settings that restricted namespaces require."""
    above, context = (*pods.path, "spec"), _context_of(pods.spec)
    for path, volume in pods.volumes:
        foreign = {key for key, value in volume.items() if value is not None} - VOLUMES - {"name", "hostPath"}
        if foreign:
            yield path, f"mounts a volume of type {', '.join(sorted(foreign))}"
    if context.get("runAsUser") == 0:
        yield (*above, "securityContext", "runAsUser"), "runs as root"
    for path, container in pods.containers():
        name, own = text(container, "name"), _context_of(container)
        missing = list(_missing(context, own))
        if missing:
            yield (*path, "securityContext"), f"{name} misses {', '.join(missing)}"
        if own.get("runAsUser") == 0:
            yield (*path, "securityContext", "runAsUser"), f"{name} runs as root"
        added = set(texts(own, "capabilities", "add")) - {"NET_BIND_SERVICE"}
        if added & BASELINE_CAPABILITIES:
            yield (*path, "securityContext", "capabilities"), f"{name} adds {', '.join(sorted(added))}"


def _missing(pod: dict[str, Any], own: dict[str, Any]) -> Iterator[str]:
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation: false"
    if "ALL" not in entries(own, "capabilities", "drop"):
        yield "capabilities: {drop: [ALL]}"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot: true"
    if text(own.get("seccompProfile") or pod.get("seccompProfile"), "type") not in SECCOMP:
        yield "seccompProfile: {type: RuntimeDefault}"

"""How pods run: pinned images, requests and limits, probes, allowed clients, replacement and drains.

The objects of a stack come in, findings go out. Objects of charts are checked by the same rules: values set most of it,
and a patch can accept the rest with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from config.rules import rule
from manifests.fields import mapping, mappings, number, text, texts
from manifests.objects import notes
from manifests.rules.references import Reference, makes, refers
from manifests.rules.stack_objects import AppObject, ObjectFinding, Pods, StackObjects, selects, serves
from manifests.rules.storage import inward
from manifests.rules.wiring import SHARE

# As a container runtime reads it: a registry has a dot or a port, all that comes after it is written in small letters.
REGISTRY = r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|localhost|[A-Za-z0-9-]+(?=:))(?::\d+)?/"
PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
IMAGE = re.compile(
    rf"(?P<name>(?:{REGISTRY})?{PART}(?:/{PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
WHOLE = re.compile(r"\d+\.\d+\.\d+|(?<!\d)20\d\d-?[01]\d-?[0-3]\d")
RELOADER = "reloader.stakater.com/"
ONCE = ("ReadWriteOnce", "ReadWriteOncePod")
METRICS = "metrics"
TWO = 2


@rule("image-malformed", scope="app", why="No node could pull it.")
@rule(
    "image-unpinned",
    scope="app",
    why="The same commit would run another image tomorrow, and a rollback would have no effect.",
)
def images(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require images that are pinned by a whole version, a date or a digest."""
    for pods in objects.pods:
        for path, container in pods.containers():
            image = str(container.get("image", ""))
            for check, broken, fix in refused(image):
                yield ObjectFinding(check, pods.obj, (*path, "image"), image, broken, fix)


@rule(
    "image-pulled",
    scope="stack",
    why="After a power cut without Internet it would not start, although its image is on the node.",
)
def pulled(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report images that are pulled at every start, although their name always means the same image."""
    for pods in objects.pods:
        for path, container in pods.containers():
            if container.get("imagePullPolicy") == "Always" and not pods.obj.by_chart:
                name, rule = container.get("name", ""), "is pulled at every start, and the registry may be out of reach"
                fix = "write imagePullPolicy: IfNotPresent, or leave it out"
                yield ObjectFinding("image-pulled", pods.obj, (*path, "imagePullPolicy"), name, rule, fix)


def refused(image: str) -> Iterator[tuple[str, str, str]]:
    """Yield why an image cannot be pulled, or is not pinned, as 8-alpine and 1.29 are not."""
    found = IMAGE.fullmatch(image)
    if not found:
        yield "image-malformed", "is not the name of an image", "write it as docker.io/library/nginx:1.29.1"
    elif not (found["digest"] or WHOLE.search(found["tag"] or "")):
        rule = f"moves: {found['tag']} is another image tomorrow" if found["tag"] else "has no tag"
        yield "image-unpinned", rule, "name a whole version (1.2.3), a date, or a digest"


@rule("requests-missing", scope="app", why="The scheduler would place it on a node without room.")
@rule("limit-missing", scope="app", why="One leaking container would bring its node down.")
def resources(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require requests and a memory limit; init containers of charts are exempt, since no value sets them."""
    for pods in objects.pods:
        kinds = ("containers",) if pods.obj.by_chart else ("initContainers", "containers")
        for path, container in pods.containers(*kinds):
            requests, limits = (mapping(container, "resources", key) for key in ("requests", "limits"))
            missing = [name for name in ("cpu", "memory") if name not in requests and name not in limits]
            name = container.get("name", "")
            if missing:
                rule = f"requests no {' and no '.join(missing)}"
                fix = "set resources.requests: the scheduler needs them"
                yield ObjectFinding("requests-missing", pods.obj, (*path, "resources"), name, rule, fix)
            if "memory" not in limits:
                rule, fix = "has no limit for memory", "set resources.limits.memory: without it the node fails first"
                yield ObjectFinding("limit-missing", pods.obj, (*path, "resources"), name, rule, fix)


@rule(
    "workload-among-crds",
    scope="app",
    why="A pod there would wait for nodes, networks and volumes that wait for its layer.",
)
def among_crds(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report pods in the layer crds, for which all others wait."""
    for pods in objects.pods:
        if pods.obj.folder.settings.layer == "crds":
            rule, fix = "runs in the layer crds, which comes before all that pods need", "move it to another category"
            yield ObjectFinding("workload-among-crds", pods.obj, ("kind",), str(pods.obj), rule, fix)


@rule("probe-missing", scope="stack", why="Traffic would go to pods that cannot answer, and hung pods would stay.")
def probes(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a liveness probe for permanent pods and a readiness probe for servers; charts are exempt."""
    for pods in objects.pods:
        if not pods.lasting or pods.obj.by_chart:
            continue
        ours = [one for one in objects.near(pods.obj, "Service") if serves(one, pods)]
        for path, container in pods.containers("containers"):
            served = sorted({one.name for one in ours if _reaches(one, container)})
            needed = ("readinessProbe", "livenessProbe") if served else ("livenessProbe",)
            missing = [probe for probe in needed if not container.get(probe)]
            if missing:
                does = f"serves Service {served[0]}" if served else "runs for ever"
                rule = f"{does} and has no {' and no '.join(missing)}"
                fix = "add it: traffic goes to pods that are ready, and a hung one is begun anew"
                yield ObjectFinding("probe-missing", pods.obj, path, container.get("name", ""), rule, fix)


@rule(
    "network-policy-missing",
    scope="stack",
    why="An intruder in one pod could reach all others, past the gateway and its login.",
)
def policies(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a NetworkPolicy for the clients of each application that serves."""
    if not objects.whole:
        return
    for pods in objects.pods:
        obj = pods.obj
        if obj.folder.settings.layer != "applications" or not pods.lasting or obj.chart == "unknown":
            continue
        kept = any(inward(one) and _keeps(one, pods) for one in objects.near(obj, "NetworkPolicy"))
        if obj.astray or obj.namespace in objects.unread or kept:
            continue
        if service := next((one for one in objects.near(obj, "Service") if serves(one, pods)), None):
            rule = f"serves {service}, and no NetworkPolicy limits its clients: every pod of the cluster may connect"
            fix = "use apps/_shared/network-policy, or add one that selects these pods"
            yield ObjectFinding("network-policy-missing", obj, (*pods.path, "metadata", "labels"), str(obj), rule, fix)


def _keeps(policy: AppObject, pods: Pods) -> bool:
    return selects(policy.spec.get("podSelector") or {}, pods.labels)


def _reaches(service: AppObject, container: dict[str, Any]) -> bool:
    """Report whether one of a Service's ports leads to the container; ports of metrics do not count."""
    reached = [named for one in mappings(container, "ports") for named in (one.get("name"), one.get("containerPort"))]
    for port in mappings(service.spec, "ports"):
        target = port.get("targetPort") or port.get("port")
        if METRICS not in f"{service.name} {port.get('name')} {target}" and target in reached:
            return True
    return False


@rule("strategy-rolling", scope="stack", why="Two nodes cannot attach the volume at once: the update would never end.")
def replacement(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require the strategy Recreate for pods whose volume one node at a time can attach; no Rollout has it."""
    once = {
        (one.namespace, one.name)
        for one in objects.of("PersistentVolumeClaim")
        if set(texts(one.spec, "accessModes")) <= set(ONCE)
    }
    fixes = {"Deployment": "write strategy: {type: Recreate}", "Rollout": "make it a Deployment that is recreated"}
    for pods in objects.pods:
        fix = fixes.get(pods.obj.kind)
        if not fix or text(pods.obj.spec, "strategy", "type") == "Recreate":
            continue
        for path, volume in pods.volumes:
            claim = text(volume, "persistentVolumeClaim", "claimName")
            if (pods.obj.namespace, claim) in once:
                rule = "is ReadWriteOnce, and the new pod would wait for it without end"
                yield ObjectFinding("strategy-rolling", pods.obj, path, claim, rule, fix)


@rule(
    "budget-blocks",
    scope="stack",
    why="A node with a pod that may not be evicted can be neither upgraded nor repaired.",
)
@rule("budget-missing", scope="stack", why="Without one a drain may evict all replicas at once.")
def budgets(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a disruption budget for two replicas or more, and budgets that allow a drain."""
    for pods in objects.pods:
        if pods.obj.kind not in ("Deployment", "StatefulSet", "Rollout"):
            continue
        count = max(pods.replicas, _least(objects, pods.obj))
        ours = [
            one
            for one in objects.near(pods.obj, "PodDisruptionBudget")
            if selects(one.spec.get("selector"), pods.labels)
        ]
        if count >= TWO and not ours:
            rule, fix = "has no PodDisruptionBudget", "add one with maxUnavailable: 1"
            yield ObjectFinding("budget-missing", pods.obj, ("spec", "replicas"), count, rule, fix)
        for one in ours:
            if key := _blocks(one, count):
                rule = f"allows none of the {count} pods of {pods.obj} to leave: no node of theirs can be drained"
                yield ObjectFinding("budget-blocks", one, ("spec", key), one.spec[key], rule, "write maxUnavailable: 1")
    for one in objects.of("Cluster"):
        alone = one.group == "postgresql.cnpg.io" and number(one.spec, "instances", otherwise=1) == 1
        if alone and one.spec.get("enablePDB") in (True, None):
            rule, fix = "has one instance and a budget, which would block every drain", "write enablePDB: false"
            yield ObjectFinding("budget-blocks", one, ("spec", "instances"), 1, rule, fix)


def _least(objects: StackObjects, obj: AppObject) -> int:
    """Return the lowest number of replicas that an autoscaler allows."""
    return max(
        (
            number(one.spec, "minReplicas", otherwise=1)
            for one in objects.of("HorizontalPodAutoscaler")
            if _scales(one, obj)
        ),
        default=0,
    )


def _blocks(budget: AppObject, count: int) -> str:
    """Return the key of a budget that allows no eviction."""
    most, least = budget.spec.get("maxUnavailable"), budget.spec.get("minAvailable")
    if most is not None:
        return "maxUnavailable" if str(most) in ("0", "0%") else ""
    if isinstance(least, str):
        return "minAvailable" if SHARE.match(least) and -(-count * int(least[:-1]) // 100) >= count else ""
    return "minAvailable" if isinstance(least, int) and least >= count else ""


@rule("replicas-scaled", scope="stack", why="Every sync would revert the autoscaler's change.")
def autoscaled(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report a number of replicas in an object that an autoscaler scales."""
    scalers = list(objects.of("HorizontalPodAutoscaler", "ScaledObject"))
    for pods in objects.pods:
        by = next((one for one in scalers if _scales(one, pods.obj)), None)
        if by and pods.obj.spec.get("replicas") is not None:
            rule = f"is scaled by {by}, and every sync would set it back"
            yield ObjectFinding("replicas-scaled", pods.obj, ("spec", "replicas"), pods.replicas, rule, "leave it out")


def _scales(scaler: AppObject, obj: AppObject) -> bool:
    target = mapping(scaler.spec, "scaleTargetRef")
    same = (text(target, "kind") or "Deployment", text(target, "name")) == (obj.kind, obj.name)
    return same and scaler.namespace == obj.namespace


@rule(
    "config-not-reloaded",
    scope="stack",
    why="The change would be Synced and Healthy, and the pods would still run with the old values.",
)
def reloaded(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a restart of pods when a ConfigMap or Secret that they read changes."""
    made = (one for obj in objects.of("ExternalSecret", "SealedSecret") for one in makes(obj))
    own = {*made, *((one.namespace, one.kind, one.name) for one in objects.of("ConfigMap") if not one.by_chart)}
    for pods in objects.pods:
        obj = pods.obj
        read = [one for one in refers(pods) if (obj.namespace, one.kind, one.name) in own] if pods.lasting else []
        missed = next((one for one in read if not _rolls(obj, one)), None)
        if missed:
            rule, fix = "is read at the start only", f'annotate the {obj.kind} with {RELOADER}auto: "true"'
            yield ObjectFinding("config-not-reloaded", obj, missed.path, missed.name, rule, fix)


def _rolls(obj: AppObject, read: Reference) -> bool:
    """Report whether Reloader restarts the pods for all that they read, or for this one."""
    annotations = {**mapping(obj.spec, "template", "metadata", "annotations"), **notes(obj.item)}
    own = f"{read.kind.lower()}.{RELOADER}"
    named = [one.strip() for one in str(annotations.get(f"{own}reload") or "").split(",")]
    return "true" in (annotations.get(f"{RELOADER}auto"), annotations.get(f"{own}auto")) or read.name in named

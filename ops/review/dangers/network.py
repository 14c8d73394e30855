"""Dangers of network policies: traffic that a changed policy refused before, and now admits.

A further peer by its labels is what a policy is for, and no danger. A rule without peers, one for every address or
namespace, a denial that is gone, and other pods are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from manifests.fields import at, entries, mapping, mappings, text
from manifests.objects import Object
from ops.review.dangers.context import ObjectPair
from ops.review.dangers.removals import POLICIES
from ops.review.dangers.rules import rule
from ops.review.report import Danger

DIRECTIONS = {"ingress": ("from", "Ingress"), "egress": ("to", "Egress")}
EVERY_ADDRESS = ("0.0.0.0/0", "::/0")
ENTITIES = ("all", "cluster", "world")
DENIALS = ("ingressDeny", "egressDeny")
SELECTORS = ("podSelector", "endpointSelector")


@rule("network-opened", reads="object", why="Pods can be reached, or can reach out, where the policy refused it.")
def opened(subject: ObjectPair) -> Iterator[Danger]:
    """Yield changed policies that admit what they refused."""
    group, kind = subject.kind
    if kind not in POLICIES.get(group, ()) or subject.pair.operation != "changed":
        return
    known = set(_open(subject.before))
    reasons = [one for one in dict.fromkeys(_open(subject.after)) if one not in known]
    before, after = (mapping(one, "spec") for one in (subject.before, subject.after))
    reasons += [f"{key} changes: other pods" for key in SELECTORS if before.get(key) != after.get(key)]
    for key in DENIALS:
        if any(one not in _denials(after, key) for one in _denials(before, key)):
            reasons.append(f"{key} refuses less")
    yield from (Danger(rule="network-opened", where=subject.where, reason=reason) for reason in reasons)


def _open(policy: Object) -> Iterator[str]:
    """Yield the ways in which a policy admits more than single peers."""
    types = entries(policy, "spec", "policyTypes")
    for direction, (key, name) in DIRECTIONS.items():
        if types and name not in types:
            yield f"{direction} is not limited"
        for one in mappings(policy, "spec", direction):
            if text(policy, "apiVersion").startswith("networking.k8s.io/") and not one.get(key):
                yield f"{direction}: a rule without `{key}` admits everything"
            yield from (f"{direction}: {found}" for peer in mappings(one, key) if (found := _every(peer)))
            wide = [entity for entity in entries(one, f"{key}Entities") if entity in ENTITIES]
            wide += [cidr for cidr in entries(one, f"{key}CIDR") if cidr in EVERY_ADDRESS]
            yield from (f"{direction}: {found}" for found in wide)


def _every(peer: dict[str, Any]) -> str:
    if (cidr := text(peer, "ipBlock", "cidr")) in EVERY_ADDRESS:
        return cidr
    return "every namespace" if at(peer, "namespaceSelector") == {} else ""


def _denials(spec: dict[str, Any], key: str) -> list[tuple[str, str]]:
    """Return each entry of the denials of a policy, by the field that has it."""
    found = [(name, one) for denial in mappings(spec, key) for name in denial for one in entries(denial, name)]
    return [(name, repr(one)) for name, one in found]

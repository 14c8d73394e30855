"""Dangers of entrances: routes, Ingresses and Services that become reachable from outside of the cluster.

The gateway `public` ends the tunnel from the Internet (`manifests.rules.routes`); the other gateways serve the local
network. An object that was reachable before is a danger only for a host that it did not have.
"""

from __future__ import annotations

from collections.abc import Iterator

from manifests.fields import at, mapping, mappings, text, texts
from manifests.objects import Object
from manifests.rules.routes import PUBLIC, ROUTES
from ops.review.dangers.context import ObjectPair
from ops.review.dangers.rules import rule
from ops.review.report import Danger

ATTACHED = (*ROUTES, "ListenerSet", "TCPRoute", "UDPRoute")
OPEN = ("LoadBalancer", "NodePort")


@rule("public-route-added", reads="object", why="Every client on the Internet can reach it as soon as it is merged.")
@rule(
    "service-exposed", reads="object", why="It is reachable without a gateway: without TLS, and without its policies."
)
def entrances(subject: ObjectPair) -> Iterator[Danger]:
    """Yield entrances that are new."""
    if subject.pair.after is None:
        return
    namespace, kind = subject.namespace, subject.identity.kind
    if kind in ATTACHED or kind == "Ingress":
        known = set(_entrances(subject.before, kind, namespace))
        new = [one for one in _entrances(subject.after, kind, namespace) if one not in known]
        if new:
            reason = f"reachable from the Internet at {', '.join(dict.fromkeys(new))}"
            yield Danger(rule="public-route-added", where=subject.where, reason=reason)
    elif subject.kind == ("", "Service"):
        before, after = set(_exposed(subject.before)), list(_exposed(subject.after))
        new = [one for one in after if one not in before]
        if new:
            yield Danger(rule="service-exposed", where=subject.where, reason=f"new: {', '.join(new)}")


def _entrances(item: Object, kind: str, namespace: str) -> Iterator[str]:
    """Yield the hosts under which the Internet reaches an object."""
    if kind == "Ingress":
        yield from (text(one, "host") or "every host" for one in mappings(item, "spec", "rules"))
        if at(item, "spec", "defaultBackend"):
            yield "every host"
        return
    parents = [*mappings(item, "spec", "parentRefs"), mapping(item, "spec", "parentRef")]
    own = (namespace, "")
    if any(text(one, "name") == PUBLIC and text(one, "namespace") not in own for one in parents):
        listeners = [text(one, "hostname") for one in mappings(item, "spec", "listeners")]
        yield from [*texts(item, "spec", "hostnames"), *filter(None, listeners)] or ["every host"]


def _exposed(item: Object) -> Iterator[str]:
    """Yield the ways in which the network reaches a Service."""
    kind = text(item, "spec", "type")
    if kind in OPEN:
        ports = [text(one, "port") for one in mappings(item, "spec", "ports")]
        yield from (f"{kind} port {port}" for port in ports)
    yield from (f"external address {one}" for one in texts(item, "spec", "externalIPs"))

"""Host names: each under a stack's domain, the stack's own among them, none in two routes, none left from the examples.

A scene comes in, findings go out. A route names one host a stack; the gateway of each serves its own. The links of the
start page come in beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from config.rules import rule
from config.source import KeyPath
from config.startpage import PAGE
from config.tree import App
from errors import Problem
from manifests.fields import mappings, text, texts
from manifests.objects import CRD, notes
from manifests.rules.stack_objects import AppObject, ObjectFinding, StackObjects

PUBLIC = "public"
PUBLISHED = "external-dns.alpha.kubernetes.io/hostname"
ROUTES = ("HTTPRoute", "GRPCRoute", "TLSRoute")
EXAMPLE = re.compile(r"(?:[\w-]+\.)*example\.(?:com|net|org)\b")
ISSUER = re.compile(r"^issuer: *[\"']?https://([^/:\s\"']+)", re.MULTILINE)
DOMAIN = "{{HOMEPAGE_VAR_DOMAIN}}"


@rule("host-foreign", scope="app", why="No certificate covers it, and no gateway listens for it.")
@rule("host-missing", scope="app", why="On this stack the app could not be reached.")
@rule("host-twice", scope="stack", why="The older route wins, and the other app is unreachable without a message.")
def hosts(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Require hosts under a stack's domain, one route for each, and one host of this stack for each route."""
    first: dict[str, AppObject] = {}
    for piece in scene.of(*ROUTES, "Ingress"):
        named = list(_hosts(piece))
        for path, host in named:
            owner = first.setdefault(host, piece)
            if owner is not piece:
                rule = f"is a host of {owner} in {owner.app.path} already"
                yield ObjectFinding("host-twice", piece, path, host, rule, "give each its own host")
            if not any(_under(host, domain) for domain in scene.domains):
                rule = "is no name right below a stack's network.domain"
                fix = f"the domains are {', '.join(scene.domains)}; certificates reach one label deep"
                yield ObjectFinding("host-foreign", piece, path, host, rule, fix)
        if not named and _leads(piece):
            rule, fix = "has no host: it would serve every host without a route", "set its hostnames"
            yield ObjectFinding("host-missing", piece, ("spec",), str(piece), rule, fix)
        if named and not any(_under(host, scene.domain) for _, host in named):
            rule = f"has no host under {scene.domain}, the domain of {scene.stack}"
            fix = f"add {named[0][1].partition('.')[0]}.{scene.domain}"
            yield ObjectFinding("host-missing", piece, named[0][0][:-1], str(piece), rule, fix)


@rule(
    "host-of-another", scope="stack", why="The owner of another app's name, or of its certificate, receives its logins."
)
def foreign(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Report hosts and certificates of applications for names that are not their own."""
    routes: dict[str, set[App]] = {}
    for piece in scene.of(*ROUTES, "Ingress"):
        for _, host in _hosts(piece):
            routes.setdefault(host, set()).add(piece.app)
    called: dict[str, set[App]] = {}
    for piece in scene.pieces:
        called.setdefault(piece.app.name, set()).add(piece.app)
    for piece in scene.of(*ROUTES, "Ingress", "Gateway", "Certificate"):
        if piece.folder.settings.layer == "applications":
            if piece.kind == "Certificate" and piece.spec.get("isCA"):
                broken, fix = "signs certificates for every name", "remove it, or accept it with a reason"
                yield ObjectFinding("host-of-another", piece, ("spec", "isCA"), True, broken, fix)
            for path, host in _claims(piece):
                if broken := _not_own(scene, piece, host, routes.get(host, set()), called):
                    fix = f"name hosts of {piece.app.short_path} alone, or accept it with a reason"
                    yield ObjectFinding("host-of-another", piece, path, host, broken, fix)


def _claims(piece: AppObject) -> Iterator[tuple[KeyPath, str]]:
    """Yield every name that an object answers for, is given a certificate for, or has published."""
    spec = piece.spec
    if piece.kind == "Certificate":
        for key in ("dnsNames", "ipAddresses", "uris", "emailAddresses"):
            yield from ((("spec", key, index), name) for index, name in enumerate(texts(spec, key)))
        for key in ("commonName", "literalSubject"):
            if name := text(spec, key):
                yield ("spec", key), name
        return
    yield from _hosts(piece)
    for index, listener in enumerate(mappings(spec, "listeners")):
        yield ("spec", "listeners", index), text(listener, "hostname") or "*"
    for index, one in enumerate(mappings(spec, "tls") if piece.kind == "Ingress" else []):
        yield from ((("spec", "tls", index, "hosts", number), name) for number, name in enumerate(texts(one, "hosts")))
    if published := notes(piece.item).get(PUBLISHED):
        yield from ((("metadata", "annotations", PUBLISHED), name.strip()) for name in published.split(","))


def _not_own(scene: StackObjects, piece: AppObject, host: str, routes: set[App], called: dict[str, set[App]]) -> str:
    """Return the reason why a name is not the app's own, nothing where it is."""
    label, _, rest = host.partition(".")
    own = piece.app in routes or label == piece.app.name
    others = sorted(app.short_path for app in routes - {piece.app} if piece.kind not in (*ROUTES, "Ingress"))
    namesakes = {app for app in called.get(label, set()) if app.category != piece.app.category}
    if rest in scene.domains:
        if others:
            return f"is a host of {others[0]}"
        if namesakes and label != piece.app.name:
            return f"has the name of {min(app.short_path for app in namesakes)}"
        if own:
            return ""
    elif re.fullmatch(rf"{re.escape(piece.namespace)}(\.svc(\.cluster\.local)?)?", rest) and label != "*":
        return ""
    if piece.kind in (*ROUTES, "Ingress"):
        return ""  # `host-foreign` reports a host that lies under no domain
    return "is no host of a route of this app, and no Service of its namespace"


@rule(
    "public-unexplained",
    scope="stack",
    why="Every client on the Internet can reach it: this needs a decision and its reason.",
)
def published(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Require a reason for a route on the public gateway."""
    for piece in scene.of(*ROUTES):
        for index, parent in enumerate(mappings(piece.spec, "parentRefs")):
            if text(parent, "name") == PUBLIC and (text(parent, "namespace") or piece.namespace) != piece.namespace:
                rule = f"is on the gateway {PUBLIC}: the Internet reaches it as soon as the tunnel is there"
                fix = "take this parentRef away, or accept it with a reason"
                yield ObjectFinding("public-unexplained", piece, ("spec", "parentRefs", index), PUBLIC, rule, fix)


@rule(
    "repository-inside",
    scope="stack",
    why="After a rebuild Argo CD would wait for the Git server that it has to start.",
)
def git_inside(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Report a route for the repository from which Argo CD deploys that route."""
    for piece in scene.of(*ROUTES, "Ingress"):
        for path, host in _hosts(piece):
            if host == scene.repository:
                rule = f"is the host of delivery.repository of {scene.stack}, and an app of {scene.stack} answers there"
                fix = "keep the repository at a Git server outside of the cluster"
                yield ObjectFinding("repository-inside", piece, path, host, rule, fix)


@rule("sso-untrusted", scope="stack", why="Single sign-on closes the admin account: no login would be possible.")
def logins(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Require Argo CD's trust in the certificate of a login that the stack serves."""
    if not scene.untrusted:
        return
    served = {host for piece in scene.of(*ROUTES, "Ingress") for _, host in _hosts(piece)}
    for piece in scene.of("ConfigMap"):
        config = text(piece.item, "data", "oidc.config")
        issuer = ISSUER.search(config)
        if piece.name == "argocd-cm" and issuer and issuer[1] in served and "rootCA:" not in config:
            rule = f"has a certificate of the issuer {scene.untrusted}, which Argo CD does not trust: every login fails"
            fix = "add rootCA, with the issuer's root certificate, to oidc.config in the overlay"
            fix += " (docs/understanding/argocd.md)"
            yield ObjectFinding("sso-untrusted", piece, ("data", "oidc.config"), issuer[1], rule, fix)


@rule(
    "placeholder-left",
    scope="app",
    why="A backup to an address that does not exist is none, and the loss shows when it is needed.",
)
def placeholders(scene: StackObjects) -> Iterator[ObjectFinding]:
    """Report addresses under example domains in a stack with a domain of its own."""
    if EXAMPLE.fullmatch(scene.domain):
        return
    for piece in scene.pieces:
        if piece.by_chart or piece.kind in (*ROUTES, "Ingress", CRD):
            continue
        for path, value in _texts(piece.item, ()):
            found = EXAMPLE.search(value)
            if found and not any(_under(found[0], domain) for domain in scene.domains):
                rule, fix = "is an example address, which has no server", "replace it with your own"
                yield ObjectFinding("placeholder-left", piece, path, found[0], rule, fix)


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(inner, (*path, key))


@rule("start-page-link", scope="stack", why="The link leads to no app, or to another one.")
def links(scene: StackObjects) -> Iterator[Problem]:
    """Report links of the start page that lead to no host of their app, where its objects are known."""
    found: dict[tuple[str, str], set[str]] = {}
    for piece in scene.pieces:
        if piece.chart != "unknown":
            found.setdefault((piece.app.category, piece.app.name), set())
    for piece in scene.of(*ROUTES, "Ingress"):
        if (piece.app.category, piece.app.name) in found:
            found[piece.app.category, piece.app.name] |= {host for _, host in _hosts(piece)}
    for one in scene.page:
        hosts = found.get((one.category, one.app))
        if one.href and hosts is not None and _host(one.href, scene.domain) not in hosts:
            own = sorted(host.replace(scene.domain, DOMAIN) for host in hosts if _under(host, scene.domain))
            broken = f"leads to no host of {one.category}/{one.app}"
            fix = f"its hosts are {', '.join(own)}" if own else "remove href: the app has no route"
            yield Problem(PAGE, one.line, one.app, one.href, broken, fix, "start-page-link")


def _host(href: str, domain: str) -> str:
    return href.replace(DOMAIN, domain).partition("://")[2].partition("/")[0].partition(":")[0]


def _hosts(piece: AppObject) -> Iterator[tuple[KeyPath, str]]:
    if piece.kind == "Ingress":
        for index, rule in enumerate(mappings(piece.spec, "rules")):
            if host := text(rule, "host"):
                yield ("spec", "rules", index), host
    for index, host in enumerate(texts(piece.spec, "hostnames")):
        yield ("spec", "hostnames", index), host


def _leads(piece: AppObject) -> bool:
    """Report whether a route has a backend; a redirect has none."""
    return bool(piece.spec.get("defaultBackend")) or any(
        rule.get("backendRefs") or rule.get("http") for rule in mappings(piece.spec, "rules")
    )


def _under(host: str, domain: str) -> bool:
    """Report whether a host is one label below a domain, the depth of its gateway and its certificate."""
    label, _, rest = host.partition(".")
    return rest == domain and label != "*"

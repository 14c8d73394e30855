"""Host names: each under the stack's domain, none in two routes, none left from the examples.

The objects of a stack and the files of its routes come in, findings go out. The links of the start page come in beside
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from config.app_settings import DOMAIN, NO_HOSTS
from config.rules import rule
from config.source import KeyPath
from config.startpage import PAGE
from config.tree import App
from errors import Problem
from manifests.fields import every_text, mappings, text, texts
from manifests.objects import CRD, notes
from manifests.rules.setting_values import used
from manifests.rules.stack_objects import AppFolder, AppObject, ObjectFinding, StackObjects

PUBLIC = "public"
PUBLISHED = "external-dns.alpha.kubernetes.io/hostname"
ROUTES = ("HTTPRoute", "GRPCRoute", "TLSRoute")
EXAMPLE = re.compile(r"(?:[\w-]+\.)*example\.(?:com|net|org)\b")
ISSUER = re.compile(r"^issuer: *[\"']?https://([^/:\s\"']+)", re.MULTILINE)
WRITTEN = re.compile(rf"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.{DOMAIN}")
OF_THE_PAGE = "{{HOMEPAGE_VAR_DOMAIN}}"


@rule("host-foreign", scope="app", why="No certificate covers it, and no gateway listens for it.")
@rule("route-open", scope="app", why="Every host that no other route claims would reach the app.")
@rule("host-twice", scope="stack", why="The older route wins, and the other app is unreachable without a message.")
def hosts(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require hosts under the stack's domain, one route for each, and a host for each route."""
    first: dict[str, AppObject] = {}
    written = {folder.app: _route_files(folder) for folder in objects.sound_folders}
    for obj in objects.of(*ROUTES, "Ingress"):
        named = list(_hosts(obj))
        for path, host in named:
            owner = first.setdefault(host, obj)
            if owner is not obj:
                rule = f"is a host of {owner} in {owner.app.folder} already"
                yield ObjectFinding("host-twice", obj, path, host, rule, "give each its own host")
        yield from _not_below(objects, obj, named, written)
        if not named and _leads(obj):
            rule, fix = "has no host: it would serve every host without a route", "set its hostnames"
            yield ObjectFinding("route-open", obj, ("spec",), str(obj), rule, fix)


def _not_below(
    objects: StackObjects, obj: AppObject, named: Iterable[tuple[KeyPath, str]], written: Mapping[App, list[Any]]
) -> Iterator[ObjectFinding]:
    """Yield hosts that are not right below the domain, as the files have them: the settings replace a part of each."""
    broken = [(path, host) for path, host in _written(obj, written.get(obj.app, [])) if not WRITTEN.fullmatch(host)]
    for path, host in broken:
        rule = f"is not <app>.{DOMAIN}: the settings replace the part after the first dot"
        fix = f"write it as <app>.{DOMAIN}; the domain itself can be the host of no route"
        yield ObjectFinding("host-foreign", obj, path, host, rule, fix)
    for path, host in () if broken else named:
        is_unreplaced = not obj.by_chart and host.endswith(f".{DOMAIN}")  # `setting-unreplaced` reports it
        if not _under(host, objects.domain) and not is_unreplaced:
            rule = f"is no name right below {objects.domain}, the domain of {objects.stack}"
            fix = "use one label and the domain: certificates reach one label deep"
            yield ObjectFinding("host-foreign", obj, path, host, rule, fix)


def _written(obj: AppObject, values: Iterable[dict[str, Any]]) -> Iterator[tuple[KeyPath, str]]:
    """Yield the hosts of a route in the files of its app; none for a route whose hosts the settings do not change."""
    if obj.by_chart or obj.released or notes(obj.item).get(NO_HOSTS) == "none":
        return
    alike = [value for value in values if value["kind"] == obj.kind]
    named = [value for value in alike if text(value, "metadata", "name") == obj.name]
    for value in named or [one for one in alike if text(one, "metadata", "name") in obj.name]:  # less its prefix
        yield from _hosts_of(value)


def _route_files(folder: AppFolder) -> list[dict[str, Any]]:
    """Return the routes in the files of an app, and patches of them."""
    files = [file for file in used(folder) if "hostnames" in folder.reader.text(file)]
    values = [document.value for file in files for document in folder.reader.source(file).documents]
    return [value for value in values if isinstance(value, dict) and value.get("kind") in ROUTES]


@rule(
    "host-of-another", scope="stack", why="The owner of another app's name, or of its certificate, receives its logins."
)
def foreign(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report hosts and certificates of applications for names that are not their own."""
    routes: dict[str, set[App]] = {}
    for obj in objects.of(*ROUTES, "Ingress"):
        for _, host in _hosts(obj):
            routes.setdefault(host, set()).add(obj.app)
    called: dict[str, set[App]] = {}
    for obj in objects.all:
        called.setdefault(obj.app.name, set()).add(obj.app)
    for obj in objects.of(*ROUTES, "Ingress", "Gateway", "Certificate"):
        if obj.folder.settings.layer == "applications":
            if obj.kind == "Certificate" and obj.spec.get("isCA"):
                broken, fix = "signs certificates for every name", "remove it, or accept it with a reason"
                yield ObjectFinding("host-of-another", obj, ("spec", "isCA"), True, broken, fix)
            for path, host in _claims(obj):
                if broken := _not_own(objects, obj, host, routes.get(host, set()), called):
                    fix = f"name hosts of {obj.app.label} alone, or accept it with a reason"
                    yield ObjectFinding("host-of-another", obj, path, host, broken, fix)


def _claims(obj: AppObject) -> Iterator[tuple[KeyPath, str]]:
    """Yield every name that an object answers for, is given a certificate for, or has published."""
    spec = obj.spec
    if obj.kind == "Certificate":
        for key in ("dnsNames", "ipAddresses", "uris", "emailAddresses"):
            yield from ((("spec", key, index), name) for index, name in enumerate(texts(spec, key)))
        for key in ("commonName", "literalSubject"):
            if name := text(spec, key):
                yield ("spec", key), name
        return
    yield from _hosts(obj)
    for index, listener in enumerate(mappings(spec, "listeners")):
        yield ("spec", "listeners", index), text(listener, "hostname") or "*"
    for index, one in enumerate(mappings(spec, "tls") if obj.kind == "Ingress" else []):
        yield from ((("spec", "tls", index, "hosts", number), name) for number, name in enumerate(texts(one, "hosts")))
    if published := notes(obj.item).get(PUBLISHED):
        yield from ((("metadata", "annotations", PUBLISHED), name.strip()) for name in published.split(","))


def _not_own(objects: StackObjects, obj: AppObject, host: str, routes: set[App], called: dict[str, set[App]]) -> str:
    """Return the reason why a name is not the app's own, nothing where it is."""
    label, _, rest = host.partition(".")
    own = obj.app in routes or label == obj.app.name
    others = sorted(app.label for app in routes - {obj.app} if obj.kind not in (*ROUTES, "Ingress"))
    namesakes = {app for app in called.get(label, set()) if app.category != obj.app.category}
    if rest == objects.domain:
        if others:
            return f"is a host of {others[0]}"
        if namesakes and label != obj.app.name:
            return f"has the name of {min(app.label for app in namesakes)}"
        if own:
            return ""
    elif re.fullmatch(rf"{re.escape(obj.namespace)}(\.svc(\.cluster\.local)?)?", rest) and label != "*":
        return ""
    if obj.kind in (*ROUTES, "Ingress"):
        return ""  # `host-foreign` reports a host that lies under no domain
    return "is no host of a route of this app, and no Service of its namespace"


@rule(
    "public-unexplained",
    scope="stack",
    why="Every client on the Internet can reach it: this needs a decision and its reason.",
)
def published(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require a reason for a route on the public gateway."""
    for obj in objects.of(*ROUTES):
        for index, parent in enumerate(mappings(obj.spec, "parentRefs")):
            if text(parent, "name") == PUBLIC and (text(parent, "namespace") or obj.namespace) != obj.namespace:
                rule = f"is on the gateway {PUBLIC}: the Internet reaches it as soon as the tunnel is there"
                fix = "take this parentRef away, or accept it with a reason"
                yield ObjectFinding("public-unexplained", obj, ("spec", "parentRefs", index), PUBLIC, rule, fix)


@rule(
    "repository-inside",
    scope="stack",
    why="After a rebuild Argo CD would wait for the Git server that it has to start.",
)
def git_inside(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report a route for the repository from which Argo CD deploys that route."""
    for obj in objects.of(*ROUTES, "Ingress"):
        for path, host in _hosts(obj):
            if host == objects.repository:
                name = objects.stack
                rule = f"is the host of delivery.repository of {name}, and an app of {name} answers there"
                fix = "keep the repository at a Git server outside of the cluster"
                yield ObjectFinding("repository-inside", obj, path, host, rule, fix)


@rule("sso-untrusted", scope="stack", why="Single sign-on closes the admin account: no login would be possible.")
def logins(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Require Argo CD's trust in the certificate of a login that the stack serves."""
    if not objects.untrusted:
        return
    served = {host for obj in objects.of(*ROUTES, "Ingress") for _, host in _hosts(obj)}
    for obj in objects.of("ConfigMap"):
        config = text(obj.item, "data", "oidc.config")
        issuer = ISSUER.search(config)
        if obj.name == "argocd-cm" and issuer and issuer[1] in served and "rootCA:" not in config:
            rule = (
                f"has a certificate of the issuer {objects.untrusted}, which Argo CD does not trust: every login fails"
            )
            fix = "add rootCA, with the issuer's root certificate, to oidc.config in the environment's folder"
            fix += " (docs/understanding/argocd.md)"
            yield ObjectFinding("sso-untrusted", obj, ("data", "oidc.config"), issuer[1], rule, fix)


@rule(
    "placeholder-left",
    scope="app",
    why="A backup to an address that does not exist is none, and the loss shows when it is needed.",
)
def placeholders(objects: StackObjects) -> Iterator[ObjectFinding]:
    """Report addresses under example domains in a stack with a domain of its own."""
    if EXAMPLE.fullmatch(objects.domain):
        return
    for obj in objects.all:
        if obj.by_chart or obj.kind in (*ROUTES, "Ingress", CRD):
            continue
        for path, value in every_text(obj.item):
            found = EXAMPLE.search(value)
            if found and not _under(found[0], objects.domain):
                rule, fix = "is an example address, which has no server", "replace it with your own"
                yield ObjectFinding("placeholder-left", obj, path, found[0], rule, fix)


@rule("start-page-link", scope="stack", why="The link leads to no app, or to another one.")
def links(objects: StackObjects) -> Iterator[Problem]:
    """Report links of the start page that lead to no host of their app, where its objects are known."""
    found: dict[tuple[str, str], set[str]] = {}
    for obj in objects.all:
        if obj.chart != "unknown":
            found.setdefault((obj.app.category, obj.app.name), set())
    for obj in objects.of(*ROUTES, "Ingress"):
        if (obj.app.category, obj.app.name) in found:
            found[obj.app.category, obj.app.name] |= {host for _, host in _hosts(obj)}
    for one in objects.page:
        hosts = found.get((one.category, one.app))
        if one.href and hosts is not None and _host(one.href, objects.domain) not in hosts:
            own = sorted(host.replace(objects.domain, OF_THE_PAGE) for host in hosts if _under(host, objects.domain))
            broken = f"leads to no host of {one.category}/{one.app}"
            fix = f"its hosts are {', '.join(own)}" if own else "remove href: the app has no route"
            yield Problem(PAGE, one.line, one.app, one.href, broken, fix, "start-page-link")


def _host(href: str, domain: str) -> str:
    return href.replace(OF_THE_PAGE, domain).partition("://")[2].partition("/")[0].partition(":")[0]


def _hosts(obj: AppObject) -> Iterator[tuple[KeyPath, str]]:
    if obj.kind == "Ingress":
        for index, rule in enumerate(mappings(obj.spec, "rules")):
            if host := text(rule, "host"):
                yield ("spec", "rules", index), host
    yield from _hosts_of(obj.item)


def _hosts_of(item: Any) -> Iterator[tuple[KeyPath, str]]:
    for index, host in enumerate(texts(item, "spec", "hostnames")):
        yield ("spec", "hostnames", index), host


def _leads(obj: AppObject) -> bool:
    """Report whether a route has a backend; a redirect has none."""
    return bool(obj.spec.get("defaultBackend")) or any(
        rule.get("backendRefs") or rule.get("http") for rule in mappings(obj.spec, "rules")
    )


def _under(host: str, domain: str) -> bool:
    """Report whether a host is one label below a domain, the depth of its gateway and its certificate."""
    label, _, rest = host.partition(".")
    return rest == domain and label != "*"

"""The files of a new app in the form of docs/reference/apps.md: those of `apps/media/jellyfin` with other words.

Options that `ops.new` has checked come in, texts by the paths of their files in the app's folder go out. This module
reads and writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import yaml

from config.app_settings import DOMAIN
from config.tree import BASE, KUSTOMIZATION, SETTINGS
from manifests import kubernetes_yaml
from manifests.rules.stack_objects import ACCEPT
from manifests.rules.storage import BACKUP
from manifests.secret_entries import ENTRIES

NEVER_BY_A_SYNC = "Prune=false,Delete=false"
ENTRY = re.compile(r"""( *- )["']?(?P<name>[\w.-]+)["']?:""")
NIGHT, MINUTES = 3, 180  # backups begin from 3:00 UTC on, when dumps are written, within three hours
MEMORY, MEMORY_LIMIT = "128Mi", "512Mi"


@dataclass(frozen=True)
class Volume:
    """The volume of an app: its size, its path and the time of its backup."""

    path: str
    size: str
    backup: str


@dataclass(frozen=True)
class NewApp:
    """The checked values of one app."""

    name: str
    namespace: str
    image: str
    port: int
    host: str
    gateway: str
    environments: tuple[str, ...]
    health: str = ""
    volume: Volume | None = None
    secrets: tuple[str, ...] = ()

    def key(self, secret: str) -> str:
        """Return the name of a secret in the store: <app>-<secret>."""
        what = secret.lower().replace("_", "-")
        return what if what.startswith(f"{self.name}-") else f"{self.name}-{what}"


def backup_time(name: str, taken: Collection[str]) -> str:
    """Return a time of the night that follows from an app's name and that no other app has."""
    first = crc32(name.encode()) % MINUTES
    times = [f"{minute % 60} {NIGHT + minute // 60} * * *" for minute in (*range(first, MINUTES), *range(first))]
    return next((time for time in times if time not in taken), times[0])


def files(app: NewApp) -> dict[str, str]:
    """Return every file of the app's folder: those of its base, and one for each environment."""
    found = {"deployment.yaml": _deployment(app), "route.yaml": _route(app), "service.yaml": _service(app)}
    if app.secrets:
        found["external-secret.yaml"] = _external_secret(app)
    if app.volume:
        found["volume.yaml"] = _claim(app, app.volume)
    base = {**found, KUSTOMIZATION: _kustomization(app, sorted(found))}
    written = {f"{BASE}/{name}": text for name, text in sorted(base.items())}
    return {**written, **{f"{one}/{KUSTOMIZATION}": environment_file(one) for one in app.environments}}


def listed(page: str, category: str, app: NewApp) -> str:
    """Return the start page with a line for the app, in alphabetical order; nothing where its form is not known."""
    if _has(page, category, app.name):
        return page
    lines = f"{page.rstrip()}\n".splitlines(keepends=True)
    heads = [*_heads(lines, 0, len(lines), "- "), (len(lines), "")]
    here = next((index for index, (_, name) in enumerate(heads) if name == category), None)
    if here is None:
        at = next((at for at, name in heads if name > category), len(lines))
        added, inner = f"- {category}:\n", "    - "
    else:
        entries = _heads(lines, heads[here][0] + 1, heads[here + 1][0], "")
        at = next((at for at, name in entries if name > app.name), heads[here + 1][0])
        added, inner = "", lines[entries[0][0]].partition("- ")[0] + "- " if entries else "    - "
    while at > heads[0][0] and lines[at - 1].strip()[:1] in ("", "#"):
        at -= 1  # a comment above an entry belongs to it
    added += f'{inner}{app.name}: {{href: "https://{app.host}.{{{{HOMEPAGE_VAR_DOMAIN}}}}"}}\n'
    text = "".join([*lines[:at], added, *lines[at:]])
    return text if _has(text, category, app.name) else ""


def _heads(lines: Sequence[str], begin: int, end: int, sign: str) -> list[tuple[int, str]]:
    """Return the lines that begin an entry at the depth of the first one, each with its name."""
    found = [(at, one) for at in range(begin, end) if (one := ENTRY.match(lines[at])) and one[1].startswith(sign)]
    return [(at, one["name"]) for at, one in found if one[1] == found[0][1][1]]


def _has(page: str, category: str, name: str) -> bool:
    """Return whether a page has the place of an app."""
    try:
        parts = yaml.safe_load(page)
        return any(name in entry for part in parts for entry in part.get(category) or ())
    except (yaml.YAMLError, AttributeError, TypeError):
        return False


def _kustomization(app: NewApp, resources: list[str]) -> str:
    public = app.gateway == "public"
    components = ["hardened", "network-policy", *(["backup"] if app.volume else []), *(["egress"] if public else [])]
    return _lines(
        "apiVersion: kustomize.config.k8s.io/v1beta1",
        "kind: Kustomization",
        f"namespace: {app.namespace}",
        "labels:",
        f"  - pairs: {{app.kubernetes.io/name: {app.name}}}",
        "    includeSelectors: true",
        "resources:",
        *(f"  - {name}" for name in resources),
        "components:",
        *(f"  - ../../../_shared/{name}" for name in components),
    )


def environment_file(name: str) -> str:
    """Return the kustomization of an app in an environment."""
    return _lines(
        "apiVersion: kustomize.config.k8s.io/v1beta1",
        "kind: Kustomization",
        "resources:",
        f"  - ../{BASE}",
        "components:",
        f"  - ../../../{SETTINGS}/{name}",
    )


def _deployment(app: NewApp) -> str:
    probe = f"httpGet: {{path: {app.health}, port: http}}" if app.health else "tcpSocket: {port: http}"
    reloaded = ["  annotations:", '    reloader.stakater.com/auto: "true"'] if app.secrets else []
    secret = ["          envFrom:", f"            - secretRef: {{name: {app.name}}}"] if app.secrets else []
    return _lines(
        "apiVersion: apps/v1",
        "kind: Deployment",
        "metadata:",
        f"  name: {app.name}",
        *reloaded,
        "spec:",
        "  replicas: 1",
        *(["  strategy: {type: Recreate}"] if app.volume else []),
        "  template:",
        "    spec:",
        "      containers:",
        f"        - name: {app.name}",
        f"          image: {app.image}",
        *secret,
        "          ports:",
        f"            - {{name: http, containerPort: {app.port}}}",
        "          livenessProbe:",
        f"            {probe}",
        "          readinessProbe:",
        f"            {probe}",
        "          resources:",
        f"            requests: {{cpu: 50m, memory: {MEMORY}}}",
        f"            limits: {{memory: {MEMORY_LIMIT}}}",
        *_mounted(app),
    )


def _mounted(app: NewApp) -> Iterator[str]:
    if app.volume:
        yield "          volumeMounts:"
        yield f"            - {{name: data, mountPath: {app.volume.path}}}"
        yield "      volumes:"
        yield "        - name: data"
        yield f"          persistentVolumeClaim: {{claimName: {app.name}}}"


def _service(app: NewApp) -> str:
    return _lines(
        "apiVersion: v1",
        "kind: Service",
        "metadata:",
        f"  name: {app.name}",
        "spec:",
        "  ports:",
        "    - {name: http, port: 80, targetPort: http}",
    )


def _route(app: NewApp) -> str:
    public = app.gateway == "public"
    return _lines(
        "apiVersion: gateway.networking.k8s.io/v1",
        "kind: HTTPRoute",
        "metadata:",
        f"  name: {app.name}",
        *(("  annotations:", f"    {ACCEPT}public-unexplained: asked for with --gateway public") if public else ()),
        "spec:",
        "  parentRefs:",
        "    - {name: internal, namespace: networking}",
        *(["    - {name: public, namespace: networking}"] if public else ()),
        "  hostnames:",
        f"    - {app.host}.{DOMAIN}",
        "  rules:",
        "    - backendRefs:",
        f"        - {{name: {app.name}, port: 80}}",
    )


def _claim(app: NewApp, volume: Volume) -> str:
    return _lines(
        "apiVersion: v1",
        "kind: PersistentVolumeClaim",
        "metadata:",
        f"  name: {app.name}",
        "  annotations:",
        f"    argocd.argoproj.io/sync-options: {NEVER_BY_A_SYNC}",
        f'    {BACKUP}: "{volume.backup}"',
        "spec:",
        "  accessModes: [ReadWriteOnce]",
        "  resources:",
        f"    requests: {{storage: {volume.size}}}",
    )


def _external_secret(app: NewApp) -> str:
    return _lines(
        "apiVersion: external-secrets.io/v1",
        "kind: ExternalSecret",
        "metadata:",
        f"  name: {app.name}",
        "  annotations:",
        f"    {ENTRIES}: |",
        *(f"      {app.key(one)}: random" for one in app.secrets),
        "spec:",
        "  refreshInterval: 1h",
        "  secretStoreRef: {kind: ClusterSecretStore, name: homelab}",
        "  data:",
        *(f"    - {{secretKey: {_quoted(one)}, remoteRef: {_remote(app, one)}}}" for one in app.secrets),
    )


def _remote(app: NewApp, secret: str) -> str:
    return f"{{key: {app.key(secret)}, property: value}}"


def _quoted(name: str) -> str:
    """Quote what YAML would not read as text: a variable may well be called Y."""
    return name if kubernetes_yaml.document(name) == name else f'"{name}"'


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"

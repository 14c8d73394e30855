"""References of images, the size of a step between two versions, and the page of a release: all from texts alone.

A reference or a version comes in, its parts go out. `manifests.comparison.versions` compares the versions of rendered
objects with it, `ops.promotion` those of the files of apps.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Jump = Literal["patch", "minor", "major", "downgrade", "digest", "other"]
Kind = Literal["image", "chart", "base", "platform"]

LONGEST_TAG = 128
CALENDAR = 1000  # a first number of a year is no major version
REFERENCE = re.compile(
    r"(?P<name>[a-z0-9.-]+(?::\d+)?(?:/[a-z0-9._-]+)+|[a-z0-9][a-z0-9._-]*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>[a-z0-9]+:[0-9a-f]{32,}))?\Z"
)
HOST = re.compile(r"localhost\Z|.*[.:]")
DOCKER = "docker.io"

VERSION = re.compile(
    r"(?P<head>(?:[a-z]+[-_./])*(?:[a-z]{1,10})?)(?P<numbers>\d+(?:\.\d+)*)(?P<rest>.*)\Z", re.IGNORECASE
)
# A program below the one that the version is of: its major step is none of that version, and may migrate data.
RUNTIME = re.compile(r"(?:cuda|jdk|jre|node|pg|php|postgres|python)-?(\d+)", re.IGNORECASE)
COMMIT = re.compile(r"(?=[^a-z]*[a-z])(?=[^0-9]*[0-9])[0-9a-f]{7,40}\Z", re.IGNORECASE)
COMMIT_INSIDE = re.compile(r"(?<![a-z0-9])g?(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,40}(?![a-z0-9])", re.IGNORECASE)
# Builds of a branch carry a number that orders them and no version.
BRANCHES = {
    *("branch", "canary", "commit", "dev", "develop", "edge", "git", "latest"),
    *("main", "master", "nightly", "pr", "sha", "snapshot", "test"),
}
EARLY = re.compile(r"[-._]?(?P<phase>dev|alpha|beta|preview|pre|rc)[-._]?(?P<number>\d*)(?=[-+._]|\Z)", re.IGNORECASE)
PHASES = ("dev", "alpha", "beta", "preview", "pre", "rc")
RELEASED = (len(PHASES), 0)
# A second version behind the first, as that of an extension behind that of its database.
SECOND = re.compile(r"[-_+](?P<version>v?\d+\.\d.*)\Z")
STEPS: tuple[Jump, ...] = ("major", "minor")
WORST: tuple[Jump, ...] = ("digest", "patch", "minor", "major", "downgrade", "other")

GITHUB = "https://github.com"
SAFE = re.compile(r"[A-Za-z0-9][\w.-]*\Z")
TAG = re.compile(r"v?\d+(?:\.\d+)*(?:[-+][\w.]+)*\Z")
PLATFORM = {
    "argo-cd": "argoproj/argo-cd",
    "cilium": "cilium/cilium",
    "gateway-api": "kubernetes-sigs/gateway-api",
    "kubernetes": "kubernetes/kubernetes",
    "talos": "siderolabs/talos",
}
# Images and charts whose project has another name on its forge, or another forge than its registry has.
PROJECTS = {
    "charts.external-secrets.io": "external-secrets/external-secrets",
    "charts.jetstack.io/cert-manager": "cert-manager/cert-manager",
    "charts.jetstack.io/trust-manager": "cert-manager/trust-manager",
    "charts.rook.io": "rook/rook",
    "docker.io/ceph/ceph": "ceph/ceph",
    "docker.io/cloudflare/cloudflared": "cloudflare/cloudflared",
    "docker.io/fireflyiii/core": "firefly-iii/firefly-iii",
    "docker.io/grafana/alloy": "grafana/alloy",
    "docker.io/grafana/grafana": "grafana/grafana",
    "docker.io/grafana/loki": "grafana/loki",
    "docker.io/ollama/ollama": "ollama/ollama",
    "docker.io/rook/ceph": "rook/rook",
    "docker.io/traefik/whoami": "traefik/whoami",
    "docker.io/valkey/valkey": "valkey-io/valkey",
    "docker.io/vaultwarden/server": "dani-garcia/vaultwarden",
    "ghcr.io/actualbudget/actual-server": "actualbudget/actual",
    "ghcr.io/cloudnative-pg/postgresql": "cloudnative-pg/postgres-containers",
    "ghcr.io/goauthentik/server": "goauthentik/authentik",
    "ghcr.io/home-operations": "home-operations/containers",
    "ghcr.io/immich-app/immich-machine-learning": "immich-app/immich",
    "ghcr.io/immich-app/immich-server": "immich-app/immich",
    "ghcr.io/tensorchord/cloudnative-vectorchord": "tensorchord/cloudnative-vectorchord",
    "helm.cilium.io": "cilium/cilium",
    "quay.io/argoproj/argocd": "argoproj/argo-cd",
    "quay.io/ceph/ceph": "ceph/ceph",
    "quay.io/cephcsi/cephcsi": "ceph/ceph-csi",
    "quay.io/cilium": "cilium/cilium",
    "quay.io/metallb": "metallb/metallb",
    "quay.io/prometheus/blackbox-exporter": "prometheus/blackbox_exporter",
    "quay.io/prometheus/node-exporter": "prometheus/node_exporter",
    "quay.io/prometheus-operator": "prometheus-operator/prometheus-operator",
    "quay.io/jetstack": "cert-manager/cert-manager",
    "quay.io/jetstack/trust-manager": "cert-manager/trust-manager",
    "registry.k8s.io/autoscaling": "kubernetes/autoscaler",
    "registry.k8s.io/external-dns/external-dns": "kubernetes-sigs/external-dns",
    "registry.k8s.io/ingress-nginx": "kubernetes/ingress-nginx",
    "registry.k8s.io/kube-state-metrics/kube-state-metrics": "kubernetes/kube-state-metrics",
    "registry.k8s.io/metrics-server/metrics-server": "kubernetes-sigs/metrics-server",
    "registry.k8s.io/nfd/node-feature-discovery": "kubernetes-sigs/node-feature-discovery",
    "registry.k8s.io/sig-storage/csi-attacher": "kubernetes-csi/external-attacher",
    "registry.k8s.io/sig-storage/csi-node-driver-registrar": "kubernetes-csi/node-driver-registrar",
    "registry.k8s.io/sig-storage/csi-provisioner": "kubernetes-csi/external-provisioner",
    "registry.k8s.io/sig-storage/csi-resizer": "kubernetes-csi/external-resizer",
    "registry.k8s.io/sig-storage/csi-snapshotter": "kubernetes-csi/external-snapshotter",
    "registry.k8s.io/sig-storage/livenessprobe": "kubernetes-csi/livenessprobe",
    "registry.k8s.io/sig-storage/snapshot-controller": "kubernetes-csi/external-snapshotter",
    **{f"registry.k8s.io/kube-{name}": "kubernetes/kubernetes" for name in ("apiserver", "proxy", "scheduler")},
    "registry.k8s.io/kube-controller-manager": "kubernetes/kubernetes",
}
# Organizations that give an image the name of its repository.
SAME_NAMES = ("brancz", "prometheus", "prometheus-operator")
LINUXSERVER = tuple(f"{host}/linuxserver/" for host in ("lscr.io", "ghcr.io", DOCKER))


class ImageReference(NamedTuple):
    """The reference of an image in its parts."""

    name: str
    tag: str
    digest: str


def parsed(text: str) -> ImageReference | None:
    """Return the parts of a reference, None where a text is no reference with a tag or a digest."""
    found = REFERENCE.match(text)
    if found is None or not (found["tag"] or found["digest"]):
        return None
    return ImageReference(full_name(found["name"]), found["tag"] or "", found["digest"] or "")


def full_name(name: str) -> str:
    """Return the name of an image with its registry, as a container runtime completes it."""
    first, slash, _ = name.partition("/")
    if slash and HOST.match(first):
        return name
    return f"{DOCKER}/{name}" if slash else f"{DOCKER}/library/{name}"


def jump(before: str, after: str) -> Jump:
    """Return the size of a step between two versions; one version with another digest is a step too."""
    if before == after:
        return "digest"
    one, other = _version(before), _version(after)
    if one is None or other is None or one["head"].rstrip("vV") != other["head"].rstrip("vV"):
        return "other"
    old, new = ([int(part) for part in found["numbers"].split(".")] for found in (one, other))
    if (old[0] < CALENDAR) != (new[0] < CALENDAR):
        return "other"
    if RUNTIME.findall(one["rest"]) != RUNTIME.findall(other["rest"]):
        return "other"  # 1.2.3-pg16 and 1.2.4-pg17
    step = _step(old, new, one["rest"], other["rest"])
    return "other" if step == "digest" else step  # v1.2.3 and 1.2.3


def _version(tag: str) -> re.Match[str] | None:
    """Return a version in its parts, None for a commit, a branch and any other name."""
    found = VERSION.match(tag) if len(tag) <= LONGEST_TAG and not COMMIT.match(tag) else None
    if found is None or BRANCHES.intersection(re.split(r"[-_./]", found["head"].lower())):
        return None
    return found if not found["rest"] or found["rest"][0] in "-+._" or EARLY.match(found["rest"]) else None


def _step(old: list[int], new: list[int], before: str, after: str) -> Jump:
    """Return the step between two versions by their numbers, and by the text behind these."""
    place = next((index for index, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
    if place is None and len(old) != len(new):
        if len(new) < len(old) or not any(new[len(old) :]):
            return "other"  # 1.2.3 and 1.2: the shorter one follows all of its patches
        place = len(old)
    moves_by: Jump = "patch"
    if place is None:
        moves_by = "digest"
    elif place < len(old) and old[place] > new[place]:
        return "downgrade"
    elif place < len(STEPS):
        moves_by = "minor" if place == 0 and old[0] >= CALENDAR else STEPS[place]
    one, other = SECOND.match(before), SECOND.match(after)
    if one and other:
        return max(moves_by, jump(one["version"], other["version"]), key=WORST.index)
    return _with_build(moves_by, before, after)


def _with_build(step: Jump, before: str, after: str) -> Jump:
    """Return a step together with the text behind the numbers: a stage before the release, a flavour, a build."""
    (early, one), (later, other) = _early(before), _early(after)
    if _flavour(one) != _flavour(other):
        return "other"
    if step != "digest":
        return "other" if later < RELEASED <= early else step
    if early != later:
        return "patch" if later > early else "downgrade"
    if COMMIT_INSIDE.findall(one) != COMMIT_INSIDE.findall(other):
        return "other"
    old, new = numbers(one), numbers(other)
    return "digest" if old == new else "patch" if new > old else "downgrade"


def _flavour(rest: str) -> str:
    """Return a text without its numbers: alpine3.21 and alpine3.22 are one flavour."""
    return re.sub(r"[\d.]+", "", COMMIT_INSIDE.sub("#", rest))


def _early(rest: str) -> tuple[tuple[int, int], str]:
    """Return the stage of a release with its number, and the text behind it."""
    found = EARLY.match(rest)
    if found is None:
        return RELEASED, rest
    return (PHASES.index(found["phase"].lower()), int(found["number"] or 0)), rest[found.end() :]


def numbers(rest: str) -> list[int]:
    """Return the numbers in a text, by which versions are in order."""
    return [int(part) for part in re.findall(r"\d+", rest)]


def release_notes(kind: Kind, name: str, version: str) -> str:
    """Return the page of releases on a known forge, nothing where no forge is known.

    The name is that of an image, the repository of a chart with the chart's name, the URL of a base, or a part of the
    platform. Tags differ from project to project, so the page is that of all releases; the platform's are known.
    """
    if kind == "platform":
        project = PLATFORM.get(name.lower().replace(" ", "-"), "")
        page = f"{GITHUB}/{project}/releases" if project else ""
        return f"{page}/tag/v{version.removeprefix('v')}" if page and TAG.match(version) else page
    place = re.sub(r"^(?:https?|oci)://", "", name)
    place = full_name(place) if kind == "image" else place
    parts = place.rstrip("/").partition("?")[0].split("/")
    for length in range(len(parts), 0, -1):
        if project := PROJECTS.get("/".join(parts[:length]), ""):
            return f"{GITHUB}/{project}/releases"
    host, first, second = (*parts, "", "")[:3]
    if not all(SAFE.match(part) for part in (host, first or "a", second or "a")):
        return ""
    return _page(place, host, first, second.removesuffix(".git"))


def _page(place: str, host: str, first: str, second: str) -> str:
    """Return the page of releases of a project by the rules of its host."""
    if place.startswith(LINUXSERVER) and second:
        return f"{GITHUB}/linuxserver/docker-{second}/releases"
    if host == DOCKER and first == "library" and second:
        return f"https://hub.docker.com/_/{second}"
    own = host in ("ghcr.io", "github.com", "raw.githubusercontent.com") or (host == "quay.io" and first in SAME_NAMES)
    if own and first and second:
        return f"{GITHUB}/{first}/{second}/releases"
    if host.endswith(".github.io") and first:
        return f"{GITHUB}/{host.removesuffix('.github.io')}/{first}/releases"
    if host in ("codeberg.org", "code.forgejo.org") and first and second:
        return f"https://{host}/{first}/{second}/releases"
    return ""

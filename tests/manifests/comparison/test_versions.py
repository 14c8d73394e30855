"""References of images, steps between versions, and the pages of releases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.comparison.pairs import Pair
from manifests.comparison.references import ImageReference, jump, parsed, release_notes
from manifests.comparison.versions import Moved, images, is_version_only, moved, replaced
from manifests.objects import identity
from tests.manifests.comparison.objects import of_apps

ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def deployment(image: str, **more: Any) -> dict[str, Any]:
    container = {"name": "app", "image": image, **more}
    template = {"spec": {"containers": [container], "initContainers": [{"name": "first", "image": "busybox:1.36"}]}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {"template": template}}


def pair(before: dict[str, Any], after: dict[str, Any]) -> Pair:
    return Pair(identity(after), before, after)


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("ghcr.io/jellyfin/jellyfin:10.10.7", ImageReference("ghcr.io/jellyfin/jellyfin", "10.10.7", "")),
        (f"registry.lan:5000/a/b:1@{ONE}", ImageReference("registry.lan:5000/a/b", "1", ONE)),
        ("localhost:5000/a:1", ImageReference("localhost:5000/a", "1", "")),
        (f"busybox@{ONE}", ImageReference("docker.io/library/busybox", "", ONE)),
        ("busybox:1.36", ImageReference("docker.io/library/busybox", "1.36", "")),
        ("busybox", None),
        ("https://example.com/a:1", None),
        ("An image: 1", None),
        ("", None),
    ],
)
def test_a_reference_has_a_name_a_tag_and_a_digest(text: str, image: ImageReference | None) -> None:
    assert parsed(text) == image


def test_images_are_found_in_workloads_and_in_custom_resources() -> None:
    cluster = {"kind": "Cluster", "spec": {"imageName": "ghcr.io/cloudnative-pg/postgresql:17.5"}}
    values = {
        "kind": "HelmRelease",
        "spec": {"values": {"image": {"repository": "a/b", "tag": "1", "pullPolicy": "x"}}},
    }
    text = {"kind": "ConfigMap", "data": {"notes": "image: a/b:1"}}
    found = images([deployment("a/c:2"), cluster, values, text])
    assert {f"{one.name}:{one.tag}" for one in found} == {
        "docker.io/a/b:1",
        "docker.io/a/c:2",
        "docker.io/library/busybox:1.36",
        "ghcr.io/cloudnative-pg/postgresql:17.5",
    }


def test_an_image_moves_where_both_sides_have_it() -> None:
    before, after = deployment(f"a/c:1.2.3@{ONE}"), deployment(f"a/c:1.3.0@{OTHER}")
    assert moved([before], [after]) == [Moved("docker.io/a/c", "1.2.3", "1.3.0", ONE, OTHER, "minor")]
    assert moved([before], [deployment("other:1")]) == []
    assert moved([before], [before]) == []


def test_two_tags_of_one_image_move_in_their_order() -> None:
    before, after = [deployment("a:1.0"), deployment("a:2.0")], [deployment("a:1.1"), deployment("a:2.0")]
    assert [(one.before, one.after) for one in moved(before, after)] == [("1.0", "1.1")]


@pytest.mark.parametrize(
    ("before", "after", "step"),
    [
        ("1.2.3", "1.2.4", "patch"),
        ("1.2.3", "1.3.0", "minor"),
        ("1.2.3", "2.0.0", "major"),
        ("v1.9.0", "v1.10.0", "minor"),
        ("1.2", "1.2.1", "patch"),
        ("17.5", "17.6", "minor"),
        ("4.0.16.2946", "4.0.16.2950", "patch"),
        ("8.1.3-alpine", "8.1.4-alpine", "patch"),
        ("8.1.3-alpine3.21", "8.1.3-alpine3.22", "patch"),
        ("8.1.3-alpine", "8.1.4", "other"),
        ("0.4.3-pg16", "0.4.4-pg17", "other"),
        ("0.4.3-pg16", "0.4.4-pg16", "patch"),
        ("version-6.6.6", "version-6.6.7", "patch"),
        ("17.5-0.4.3", "17.6-0.4.3", "minor"),
        ("1.2.3-ls101", "1.2.3-ls102", "patch"),
        ("1.2.3-ls102", "1.2.3-ls101", "downgrade"),
        ("2025.12.0", "2026.1.0", "minor"),
        ("2026.1.0", "2025.12.0", "downgrade"),
        ("1.2.3", "1.2.2", "downgrade"),
        ("2.0.0", "1.9.9", "downgrade"),
        ("1.2", "1.2.0", "other"),
        ("latest", "1.2.3", "other"),
        ("1.2.3", "1.2.3", "digest"),
        ("1.2.3-rc.1", "1.2.3", "patch"),
        ("1.2.3-rc.1", "1.2.3-rc.2", "patch"),
        ("1.2.3-beta.2", "1.2.3-rc.1", "patch"),
        ("1.2.3-rc.2", "1.2.3-rc.1", "downgrade"),
        ("1.2.3", "1.2.3-rc.1", "downgrade"),
        ("1.2.3", "1.3.0-rc.1", "other"),
        ("1.3.0-rc.1", "1.4.0", "minor"),
        ("v1.2.3", "1.2.4", "patch"),
        ("v1.2.3", "1.2.3", "other"),
        ("17", "18", "major"),
        ("17", "17.1", "minor"),
        ("17.1", "17", "other"),
        ("1.2.3", "1.2", "other"),
        ("17.5-0.4.3", "17.5-0.5.0", "minor"),
        ("17.5-0.4.3", "17.6-1.0.0", "major"),
        ("17.5-0.4.3", "17.6-0.4.2", "downgrade"),
        ("v1.30.1+k3s1", "v1.30.1+k3s2", "patch"),
        ("v1.30.1-k3s2", "v1.31.0-k3s1", "minor"),
        ("8.1.3-alpine3.22", "8.1.3-alpine3.21", "downgrade"),
        ("8.1.3-alpine", "8.2.0-bookworm", "other"),
        ("20250101", "20260101", "minor"),
        ("RELEASE.2025-01-31T00-00-00Z", "RELEASE.2025-02-01T00-00-00Z", "patch"),
        ("2.9.1", "2025.1.0", "other"),
        ("2025.1.0", "3.0.0", "other"),
        ("v1.2.3", "version-1.2.4", "other"),
        ("1.2.3-gabc1234", "1.2.4-gdef5678", "patch"),
        ("1.2.3-abc1234", "1.2.3-def5678", "other"),
        ("7ca5933", "8ca5933", "other"),
        ("sha-1234567", "sha-2234567", "other"),
        ("main-12", "main-13", "other"),
        ("1.2.3", "latest", "other"),
        ("", "1.2.3", "other"),
        ("1." * 3_000, "2." * 3_000, "other"),
    ],
)
def test_the_size_of_a_step(before: str, after: str, step: str) -> None:
    assert jump(before, after) == step


@pytest.mark.parametrize(
    ("kind", "name", "version", "page"),
    [
        ("image", "ghcr.io/jellyfin/jellyfin", "10.11.0", "https://github.com/jellyfin/jellyfin/releases"),
        ("image", "ghcr.io/goauthentik/server", "2026.1", "https://github.com/goauthentik/authentik/releases"),
        ("image", "docker.io/library/eclipse-mosquitto", "2.1", "https://hub.docker.com/_/eclipse-mosquitto"),
        ("image", "busybox", "1.37", "https://hub.docker.com/_/busybox"),
        ("image", "docker.io/someone/something", "1", ""),
        ("image", "lscr.io/linuxserver/sonarr", "4", "https://github.com/linuxserver/docker-sonarr/releases"),
        ("image", "quay.io/prometheus/prometheus", "v3", "https://github.com/prometheus/prometheus/releases"),
        ("image", "quay.io/prometheus/node-exporter", "v1", "https://github.com/prometheus/node_exporter/releases"),
        ("image", "quay.io/unknown/thing", "v1", ""),
        (
            "image",
            "registry.k8s.io/sig-storage/csi-provisioner",
            "v5",
            "https://github.com/kubernetes-csi/external-provisioner/releases",
        ),
        ("image", "registry.k8s.io/unknown", "v5", ""),
        ("chart", "https://charts.rook.io/release/rook-ceph", "1", "https://github.com/rook/rook/releases"),
        ("base", "https://github.com/a/b.git//deploy?ref=v1", "v1", "https://github.com/a/b/releases"),
        ("base", 'https://github.com/a"><script>/b', "v1", ""),
        ("base", "https://github.com/a", "v1", ""),
        ("platform", "Cilium", "1.19.0", "https://github.com/cilium/cilium/releases/tag/v1.19.0"),
        ("platform", "Argo CD", "v3.6.1", "https://github.com/argoproj/argo-cd/releases/tag/v3.6.1"),
        ("platform", "talos", "1/../../x", "https://github.com/siderolabs/talos/releases"),
        ("platform", "unknown", "1", ""),
        ("chart", "https://metallb.github.io/metallb/metallb", "0.16.0", "https://github.com/metallb/metallb/releases"),
        ("chart", "https://helm.cilium.io/cilium", "1.19.0", "https://github.com/cilium/cilium/releases"),
        ("chart", "oci://ghcr.io/stakater/charts/reloader", "2.0.0", "https://github.com/stakater/charts/releases"),
        ("base", "https://github.com/a/b//deploy?ref=v1", "v1", "https://github.com/a/b/releases"),
        ("platform", "talos", "1.13.2", "https://github.com/siderolabs/talos/releases/tag/v1.13.2"),
        ("image", "registry.lan/a/b", "1", ""),
    ],
)
def test_releases_are_linked_where_the_forge_is_known(kind: Any, name: str, version: str, page: str) -> None:
    assert release_notes(kind, name, version) == page


def test_only_versions_moved() -> None:
    before = deployment(f"a/c:1.2.3@{ONE}")
    assert is_version_only(pair(before, deployment(f"a/c:1.2.4@{OTHER}")))
    assert not is_version_only(pair(before, deployment("a/d:1.2.4")))
    assert not is_version_only(pair(before, deployment(f"a/c:1.2.4@{OTHER}", command=["true"])))
    labelled = {**before, "metadata": {"name": "app", "labels": {"helm.sh/chart": "app-1.2.4"}}}
    assert is_version_only(pair(before, labelled))
    assert not is_version_only(Pair(identity(before), None, before))


def cluster(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.org/v1", "kind": "Cluster", "metadata": {"name": "app"}, "spec": spec}


# Each with the version as a format, so that both sides name one image.
PLACES: list[dict[str, Any]] = [
    cluster(imageName="a/b:{}"),
    cluster(cephVersion={"image": "a/b:{}"}),
    cluster(sidecarImage="a/b:{}"),
    cluster(image={"registry": "docker.io", "repository": "a/b", "tag": "{}"}),
    cluster(runner={"repository": "a/b", "tag": "{}"}),
    cluster(volumes=[{"name": "a", "image": {"reference": "a/b:{}"}}]),
    deployment("app:1", args=["--reloader=docker.io/a/b:{}"]),
    deployment("app:1", env=[{"name": "RELATED_IMAGE_B", "value": "a/b:{}"}]),
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"ROOK_IMAGE": "a/b:{}"}},
]


def filled(value: Any, version: str) -> Any:
    if isinstance(value, dict):
        return {key: filled(inner, version) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, version) for inner in value]
    return value.replace("{}", version) if isinstance(value, str) else value


@pytest.mark.parametrize("item", PLACES)
def test_an_image_moves_in_each_place_that_names_one(item: dict[str, Any]) -> None:
    before, after = filled(item, "1.2.3"), filled(item, "2.0.0")
    assert moved([before], [after]) == [Moved("docker.io/a/b", "1.2.3", "2.0.0", "", "", "major")]
    assert is_version_only(pair(before, after))


@pytest.mark.parametrize(
    "item",
    [
        cluster(tag="{}"),
        cluster(image="{}"),
        cluster(image={"repository": "a/{}", "tag": "1"}),
        cluster(image="https://example.org/a:{}"),
        cluster(version="{}"),
        deployment("app:1", env=[{"name": "VERSION", "value": "a/b:{}"}]),
        deployment("app:1", args=["--endpoint=tcp://a.b/c:{}"]),
        {**cluster(default={"image": "a/b:{}"}), "kind": "CustomResourceDefinition"},
    ],
)
def test_other_fields_are_no_versions(item: dict[str, Any]) -> None:
    before, after = filled(item, "1.2.3"), filled(item, "2.0.0")
    assert moved([before], [after]) == []
    assert item["kind"] == "CustomResourceDefinition" or not is_version_only(pair(before, after))


def test_a_definition_is_never_a_version_alone() -> None:
    before = {**cluster(default={"image": "a/b:1"}), "kind": "CustomResourceDefinition"}
    assert not is_version_only(pair(before, {**before, "spec": {"default": {"image": "a/b:2"}}}))


def test_versions_that_changed_places_move_both() -> None:
    def containers(*versions: str) -> dict[str, Any]:
        named = [{"name": f"c{place}", "image": f"a/b:{version}"} for place, version in enumerate(versions)]
        return {**deployment("x:1"), "spec": {"template": {"spec": {"containers": named}}}}

    swapped = moved([containers("1.0", "2.0")], [containers("2.0", "1.0")])
    assert [(one.before, one.after, one.jump) for one in swapped] == [
        ("1.0", "2.0", "major"),
        ("2.0", "1.0", "downgrade"),
    ]


def test_a_version_of_another_object_hides_no_step() -> None:
    one, other = deployment("a/b:2.0"), {**deployment("a/b:1.0"), "metadata": {"name": "other"}}
    found = moved([one, other], [deployment("a/b:1.0"), other])
    assert [(each.before, each.after, each.jump) for each in found] == [("2.0", "1.0", "downgrade")]


def test_an_image_of_a_renamed_object_moves_too() -> None:
    before, after = deployment("a/b:1.9.0"), {**deployment("a/b:1.10.0"), "metadata": {"name": "other"}}
    more = {**deployment("a/b:2.0.0"), "metadata": {"name": "more"}}
    found = moved([before], [after, more])
    assert [(each.before, each.after, each.jump) for each in found] == [
        ("1.9.0", "1.10.0", "minor"),
        ("1.9.0", "2.0.0", "major"),
    ]


def test_one_digest_more_is_a_step() -> None:
    (found,) = moved([deployment("a/b:1")], [deployment(f"a/b:1@{ONE}")])
    assert (found.jump, found.digest_before, found.digest_after) == ("digest", "", ONE)
    (found,) = moved([deployment(f"a/b@{ONE}")], [deployment(f"a/b@{OTHER}")])
    assert (found.before, found.after, found.jump) == ("", "", "digest")


TAGS = st.sampled_from(
    ("1.2.3", "1.2.4", "1.3.0", "2.0.0", "1.2", "latest", "2025.1", "1.2.3-rc.1", "1.2.3-alpine", "")
)
NAMED = st.sampled_from(("image", "tag", "value", "imageName", "repository", "name", "X_IMAGE"))
REFERENCES = st.sampled_from(("a/b:1.0", "a/b:2.0", "a/c:1.0", "1.0", "2.0", "a/b", "X_IMAGE"))
TREES = st.recursive(
    REFERENCES,
    lambda inner: st.dictionaries(NAMED, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)


@given(TAGS, TAGS)
def test_a_step_back_is_never_a_step_forward(one: str, other: str) -> None:
    forward, back = jump(one, other), jump(other, one)
    assert (forward == "digest") == (one == other)
    if forward in ("patch", "minor", "major"):
        assert back in ("downgrade", "other")


@given(TREES, TREES)
def test_an_object_that_differs_in_versions_alone_has_a_step_in_the_report(one: Any, other: Any) -> None:
    """Without this, a step by a major version in a field that only one of the two knows would be routine."""
    before, after = cluster(a=one), cluster(a=other)
    if one != other and is_version_only(pair(before, after)):
        assert moved([before], [after])


def test_each_image_of_apps_has_a_version_and_most_have_a_page() -> None:
    found = images(of_apps().values())
    assert len(found) > 25
    assert [image for image in found if not (image.tag or image.digest)] == []
    assert [image.name for image in found if not release_notes("image", image.name, image.tag)] == []


def test_another_image_in_the_place_of_one_is_no_version() -> None:
    before, after = deployment("ghcr.io/a/c:1.2.3"), deployment("ghcr.io/b/c:1.2.4")
    assert replaced(before, after) == [("ghcr.io/a/c", "ghcr.io/b/c")]
    assert moved([before], [after]) == []
    assert replaced(before, deployment("ghcr.io/a/c:1.2.4")) == []

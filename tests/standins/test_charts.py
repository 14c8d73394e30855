"""Charts and bases of a rehearsal: the choice of the real one or a stand-in, its values, its refusals, its report."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import programs
from config.tree import chart_versions, read_tree
from errors import Bug, ProgramFailed, TreeRefused
from manifests.objects import Object
from manifests.sources import Chart
from ops.toolchain.lookup import CRDS, MANIFESTS, Toolchain, ensure
from standins.bases import StandInBases
from standins.charts import StandInCharts, described
from standins.crds import KnownCrds, permissive
from tests.manifests.checkout import Charts, make_chart

RELOADER = Chart("reloader", "2.2.10", "oci://ghcr.io/stakater/charts")
NOBODYS = Chart("nobodys", "1.2.3", "https://charts.example.com")
ARGO_CD = "https://github.com/argoproj/argo-cd/manifests/cluster-install"
GATEWAY_API = "https://github.com/kubernetes-sigs/gateway-api/config/crd"
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tools() -> Toolchain:
    return ensure(("helm", CRDS, MANIFESTS))


@pytest.fixture
def charts(tools: Toolchain, tmp_path: Path) -> StandInCharts:
    return StandInCharts(tmp_path, KnownCrds(tools.manifests(CRDS)), real=None)


@pytest.fixture
def bases(tools: Toolchain) -> StandInBases:
    return StandInBases((tools.manifests(CRDS), tools.manifests(MANIFESTS)), real=None)


def inflated(charts: StandInCharts, tools: Toolchain, chart: Chart, values: str = "{}") -> list[Object]:
    arguments = ("template", "it", charts.chart(chart) or "", "--namespace", "there", "--values", "-")
    text = programs.run("helm", *arguments, env=tools.env(), stdin=values).stdout
    return [one for one in yaml.safe_load_all(text) if one]


def test_every_chart_of_the_tree_is_described() -> None:
    apps = read_tree(CHECKOUT).apps
    pinned = {name for app in apps for name in chart_versions(CHECKOUT, app) if "/" not in name}
    charts = [CHECKOUT / app.base / "Chart.yaml" for app in apps]
    own = {yaml.safe_load(file.read_text(encoding="utf-8"))["name"] for file in charts if file.is_file()}
    assert own == {"nextcloud-objects"}, "the charts of bases, which nobody fetches"
    assert pinned - own - set(described()) == set()


def test_a_stand_in_honours_its_values(charts: StandInCharts, tools: Toolchain) -> None:
    values = "reloader: {deployment: {replicas: 3, resources: {limits: {memory: 9Mi}}}, podMonitor: {enabled: true}}"
    found = {one["kind"]: one for one in inflated(charts, tools, RELOADER, values)}
    pods = found["Deployment"]["spec"]
    assert (pods["replicas"], pods["template"]["spec"]["containers"][0]["resources"]["limits"]) == (
        3,
        {"memory": "9Mi"},
    )
    assert "PodMonitor" in found
    assert [str(one) for one in charts.placed] == ["reloader 2.2.10: stand-in"]


def test_it_brings_no_more_protection_than_its_chart(charts: StandInCharts, tools: Toolchain) -> None:
    volsync = Chart("volsync", "0.14.0", "https://backube.github.io/helm-charts")
    found = {one["kind"]: one for one in inflated(charts, tools, volsync)}
    assert found["Deployment"]["spec"]["template"]["spec"]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65534,
    }


def test_a_stand_in_has_a_namespace_if_its_chart_has(charts: StandInCharts, tools: Toolchain) -> None:
    volsync = Chart("volsync", "0.14.0", "https://backube.github.io/helm-charts")
    found = inflated(charts, tools, volsync)
    assert {one["kind"] for one in found} >= {"Deployment", "Role", "RoleBinding", "Service", "ServiceAccount"}
    assert [one["kind"] for one in found if "namespace" in one["metadata"]] == []


def test_rooks_chart_makes_the_version_of_ceph_itself(charts: StandInCharts, tools: Toolchain) -> None:
    rook = Chart("rook-ceph-cluster", "v1.19.7", "https://charts.rook.io/release")
    arguments = ("template", "it", charts.chart(rook) or "", "--values", "-")
    values = "cephClusterSpec: {cephVersion: {image: x}}"
    text = programs.run("helm", *arguments, env=tools.env(), stdin=values).stdout
    assert text.count("cephVersion:") == 2, "kustomize and the API server refuse a key that is there twice"


def test_cilium_brings_a_policy_of_its_own_for_gateways(charts: StandInCharts, tools: Toolchain) -> None:
    cilium = Chart("cilium", "1.20.1", "https://helm.cilium.io")
    found = inflated(charts, tools, cilium, 'gatewayAPI: {enabled: true, gatewayClass: {create: "true"}}')
    kinds = {one["kind"] for one in found}
    assert {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} <= kinds


def test_it_is_the_same_every_time(charts: StandInCharts, tools: Toolchain) -> None:
    assert inflated(charts, tools, RELOADER) == inflated(charts, tools, RELOADER)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("reloadr: {}", "additional properties 'reloadr' not allowed"),
        ("reloader: {logLevel: [info]}", "got array, want string"),
    ],
)
def test_values_that_its_chart_does_not_know_are_refused(
    values: str, said: str, charts: StandInCharts, tools: Toolchain
) -> None:
    with pytest.raises(ProgramFailed, match=said):
        inflated(charts, tools, RELOADER, values)


def test_a_chart_without_a_description_has_a_workload(charts: StandInCharts, tools: Toolchain) -> None:
    kinds = {one["kind"] for one in inflated(charts, tools, NOBODYS, "anything: goes")}
    assert "Deployment" in kinds
    assert [str(one) for one in charts.placed] == ["nobodys 1.2.3: stand-in for an unknown chart"]


def test_a_stand_in_without_content_is_written_again(tools: Toolchain, tmp_path: Path) -> None:
    crds = KnownCrds(tools.manifests(CRDS))
    folder = StandInCharts(tmp_path, crds, None).chart(RELOADER)
    assert folder is not None
    whole = (folder / "standin.yaml").read_bytes()
    (folder / "standin.yaml").write_bytes(whole[:10])
    (folder / "values.yaml").unlink()
    assert StandInCharts(tmp_path, crds, None).chart(RELOADER) == folder
    assert (folder / "standin.yaml").read_bytes() == whole
    assert (folder / "values.yaml").is_file()


def test_the_real_chart_goes_first(tools: Toolchain, tmp_path: Path) -> None:
    real = Charts(tmp_path / "real")
    folder = make_chart(real.home / RELOADER.folder / RELOADER.name, RELOADER)
    charts = StandInCharts(tmp_path, KnownCrds(tools.manifests(CRDS)), real)
    assert charts.chart(RELOADER) == folder
    assert [one.kind for one in charts.placed] == ["real"]


def test_another_argo_cd_than_the_one_that_runs_is_refused(bases: StandInBases) -> None:
    with pytest.raises(TreeRefused, match=r"v3\.1\.0.*has another version than the rehearsal.*use v.*\[base-version\]"):
        bases.base(f"{ARGO_CD}?ref=v3.1.0")


def test_a_base_of_another_minor_version_is_reported(bases: StandInBases) -> None:
    assert bases.base(f"{GATEWAY_API}?ref=v1.5.0")
    assert [one.kind for one in bases.placed] == ["real, but of"]


def test_a_base_by_commit_has_the_version_of_its_comment(bases: StandInBases) -> None:
    commit = "8bb74df00e56ec8f944d48c25e6c1c9c2f6848e3"
    url = f"{GATEWAY_API}?timeout=120s&ref={commit}"
    assert bases.base(url) is None
    assert bases.base(url, "v1.6.1")
    assert [one.kind for one in bases.placed] == ["real"]
    with pytest.raises(TreeRefused, match=r"v3\.1\.0.*has another version than the rehearsal.*use v.*\[base-version\]"):
        bases.base(f"{ARGO_CD}?ref={commit}", "v3.1.0")


def test_a_url_without_kustomization_is_refused_in_kustomizes_words(bases: StandInBases) -> None:
    folder = "https://github.com/prometheus-operator/prometheus-operator/example/prometheus-operator-crd?ref=v0.88.0"
    words = r"unable to find one of 'kustomization.yaml', 'kustomization.yml'.*\[base-unbuildable\]"
    with pytest.raises(TreeRefused, match=words):
        bases.base(folder)
    raw = "https://raw.githubusercontent.com/prometheus-operator/prometheus-operator/v0.88.0/example"
    file = bases.base(f"{raw}/prometheus-operator-crd/monitoring.coreos.com_probes.yaml")
    assert file is not None
    assert file.is_file()


@pytest.mark.parametrize("url", [f"{GATEWAY_API}?ref=v2.0.0", "https://github.com/somebody/else/folder?ref=v1.0.0"])
def test_an_unknown_base_has_no_stand_in(url: str, bases: StandInBases) -> None:
    assert bases.base(url) is None


def test_a_crd_in_a_group_of_kubernetes_is_marked_unapproved() -> None:
    approved = permissive("things.k8s.io", "Thing", "things", "Namespaced", "v1")["metadata"]["annotations"]
    assert approved == {"api-approved.kubernetes.io": "unapproved, a stand-in"}
    assert "annotations" not in permissive("example.com", "Thing", "things", "Namespaced", "v1")["metadata"]


def test_permissive_definitions_are_distinguished_from_real_ones(tools: Toolchain) -> None:
    crds = KnownCrds(tools.manifests(CRDS))
    assert str(crds.origin("cert-manager")).startswith("cert-manager v1.")
    assert str(crds.origin("rook-ceph")) == "rook-ceph: permissive, it has no public Go module"
    with pytest.raises(Bug, match="no CRDs of that name"):
        crds.files("nobodys")

"""`./homelab check` renders the right folders for each stack, and adds the facts that no rendered object has."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from config.load import read_stack, read_stacks
from config.tree import read_tree
from ops.__main__ import main
from ops.checking.changed_since import Changed
from ops.checking.validation import Validation, secrets_of, validate
from tests.config.scenario import load
from tests.manifests.rules.scenario import HERE, prepare
from tests.repository import commit_all

ROOT = Path(__file__).parents[3]
# The monitors that scrape the metrics of alerts, by the first part of a metric's name.
SCRAPED = {
    "argocd": [("argocd", "argocd")],
    "certmanager": [("cert-manager", "cert-manager")],
    "cnpg": [("monitoring", "postgres")],
    "kube": [],
    "kubelet": [("monitoring", "kube-prometheus-stack-kubelet")],
    "up": [],
    "volsync": [("system", "volsync")],
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a valid checkout, committed."""
    prepare({}, tmp_path)
    commit_all(tmp_path)
    return tmp_path


def look(root: Path, since: str | None = None) -> Validation:
    stacks = read_stacks(root)
    return Validation(root, stacks, read_tree(root), changed=Changed(root, since).takes if since else None)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_each_stack_runs_its_environments_folders(checkout: Path) -> None:
    assert sorted(look(checkout).contents) == [
        "apps/crds/definitions/dev",
        "apps/crds/definitions/production",
        "apps/media/jellyfin/dev",
        "apps/media/jellyfin/production",
        "apps/media/whoami/dev",
        "apps/media/whoami/production",
        "apps/networking/gateways/dev",
        "apps/networking/gateways/production",
    ]


def test_a_kustomization_that_is_no_yaml_is_told_once(checkout: Path) -> None:
    edit(checkout / "apps/media/jellyfin/base/kustomization.yaml", "resources:", "resources: [")
    (problem,) = validate(look(checkout))
    assert (problem.file, problem.check) == ("apps/media/jellyfin/base/kustomization.yaml", "yaml-syntax")


GATEWAY, DEFINITION = "apps/networking/gateways/base/gateway.yaml", "apps/crds/definitions/base/gateway.yaml"
OF_DEV = "apps/networking/gateways/dev/kustomization.yaml"
ODD_FILES = (
    (GATEWAY, "name: internal", "name: internal\n  labels: [a]", OF_DEV, "render-failed"),
    (
        "apps/media/jellyfin/base/service.yaml",
        "port: 80",
        "port: [80]",
        "apps/media/jellyfin/base/service.yaml",
        "schema-refused",
    ),
    (DEFINITION, "spec:", "status:", DEFINITION, "schema-refused"),
)


@pytest.mark.parametrize(("file", "old", "new", "told", "check"), ODD_FILES)
def test_a_file_with_unexpected_content_is_a_problem(
    checkout: Path, file: str, old: str, new: str, told: str, check: str
) -> None:
    edit(checkout / file, old, new)
    assert (told, check) in {(one.file, one.check) for one in validate(look(checkout))}


def test_an_object_that_no_kustomization_lists_is_told(checkout: Path) -> None:
    for name in ("extra.yaml", "of-production.yaml", "part/listed.yaml", "chart/templates/route.yaml"):
        file = checkout / "apps/media/whoami/base" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: media}\n", encoding="utf-8"
        )
    (checkout / "apps/media/whoami/base/values.yaml").write_text("a: 1\n", encoding="utf-8")
    (checkout / "apps/media/whoami/base/chart/Chart.yaml").write_text("name: a\n", encoding="utf-8")
    (checkout / "apps/media/whoami/base/part/kustomization.yaml").write_text(
        "resources: [listed.yaml]\n", encoding="utf-8"
    )
    production = checkout / "apps/media/whoami/production/kustomization.yaml"
    edit(production, "resources:", "resources:\n  - ../base/of-production.yaml")
    assert [(one.file, one.check) for one in validate(look(checkout))] == [
        ("apps/media/whoami/base/extra.yaml", "file-stray")
    ]


def test_nothing_changed_renders_nothing(checkout: Path) -> None:
    seen = look(checkout, "HEAD")
    assert validate(seen) == []
    assert seen.rendered == {}


def test_problems_of_unchanged_folders_are_not_reported(checkout: Path) -> None:
    edit(checkout / "apps/media/jellyfin/base/volume.yaml", "20Gi", "20gb")
    commit_all(checkout)
    edit(checkout / "apps/media/whoami/base/deployment.yaml", "whoami:v1.11.0", "whoami:latest")
    seen = look(checkout, "HEAD")
    assert {problem.check for problem in validate(seen)} == {"image-unpinned"}
    assert sorted(seen.told) == ["apps/media/whoami/dev", "apps/media/whoami/production"]
    assert "quantity-malformed" in {problem.check for problem in validate(look(checkout))}
    assert seen.summary.endswith(", 2 changed; of 6 others, only problems that these changes can cause")


BROKEN_ELSEWHERE = (
    ("host-twice", "media/jellyfin/base/route.yaml", "- jellyfin.", "- whoami.", "media/whoami"),
    ("kind-unknown", "media/jellyfin/base/deployment.yaml", "kind: Deployment", "kind: Deploiment", "media/jellyfin"),
    ("reference-unknown", "networking/gateways/base/gateway.yaml", "name: internal", "name: other", "media/whoami"),
)


@pytest.mark.parametrize(("check", "file", "old", "new", "told"), BROKEN_ELSEWHERE)
def test_what_a_change_breaks_elsewhere_is_told(
    checkout: Path, check: str, file: str, old: str, new: str, told: str
) -> None:
    edit(checkout / "apps" / file, old, new)
    found = validate(look(checkout, "HEAD"))
    assert check in {problem.check for problem in found if problem.file.startswith(f"apps/{told}/")}
    assert [str(one) for one in found] == [str(one) for one in validate(look(checkout))]


# A scenario of the rule, an edit that mends it, and an edit of another app that breaks it again.
OF_A_SCENARIO = (
    (
        "start-page-link",
        ("selfhosted/homepage/base/services", "jelly.", "jellyfin."),
        ("jellyfin/base/route", "- jellyfin.", "- a."),
    ),
    ("ceph-full", ("media/photos/base/database", "size: 5Gi", "size: 1Gi"), ("jellyfin/base/volume", "20Gi", "90Gi")),
)


@pytest.mark.parametrize(("check", "mend", "breaking"), OF_A_SCENARIO)
def test_problems_that_a_change_causes_in_other_apps_are_reported(
    check: str, mend: tuple[str, str, str], breaking: tuple[str, str, str], tmp_path: Path
) -> None:
    prepare(load(HERE / f"invalid/{check}.yaml"), tmp_path)
    edit(tmp_path / f"apps/{mend[0]}.yaml", *mend[1:])
    commit_all(tmp_path)
    before = validate(look(tmp_path))
    edit(tmp_path / f"apps/media/{breaking[0]}.yaml", *breaking[1:])
    assert {one.check for one in {*validate(look(tmp_path, "HEAD"))} - {*before}} >= {check}


def test_what_misses_a_folder_that_is_gone_is_told(checkout: Path) -> None:
    shutil.rmtree(checkout / "apps/networking/gateways")
    assert {problem.check for problem in validate(look(checkout, "HEAD"))} == {"reference-unknown"}


@pytest.mark.parametrize("option", ["--since", "--changed-since"])
@pytest.mark.parametrize("said", ["nope", "", "--output=told"])
def test_a_commit_that_is_not_here_is_refused(
    checkout: Path, option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--shape", "--root", str(checkout), f"{option}={said}"]) == 1
    value = f" = {said}" if said else ""
    reported = capsys.readouterr().err
    assert f"./homelab check: {option}{value}: is no commit here; git fetch, or name" in reported
    assert "[commit-unknown]" in reported
    assert not (checkout / "told").exists()


def test_a_changed_base_affects_its_environments(checkout: Path) -> None:
    edit(checkout / "apps/media/whoami/base/service.yaml", "port: 80", "port: 8080")
    assert look(checkout, "HEAD").told == {"apps/media/whoami/dev", "apps/media/whoami/production"}


def test_changed_settings_affect_the_apps_of_their_environment(checkout: Path) -> None:
    edit(checkout / "apps/_settings/dev/settings.yaml", "lab.example.com", "new.example.com")
    seen = look(checkout, "HEAD")
    assert seen.told == {path for path in seen.contents if path.endswith("/dev")}
    assert {(problem.file, problem.check) for problem in validate(seen)} == {
        ("apps/media/jellyfin/base/route.yaml", "host-foreign"),
        ("apps/media/whoami/base/route.yaml", "host-foreign"),
    }


def test_a_removed_or_new_file_counts_as_a_change(checkout: Path) -> None:
    (checkout / "apps/media/jellyfin/base/network.xml").unlink()
    assert look(checkout, "HEAD").told == {"apps/media/jellyfin/dev", "apps/media/jellyfin/production"}
    (checkout / "apps/networking/gateways/dev/other.yaml").write_text("", encoding="utf-8")
    assert look(checkout, "HEAD").told == {
        "apps/media/jellyfin/dev",
        "apps/media/jellyfin/production",
        "apps/networking/gateways/dev",
    }


@pytest.mark.parametrize("file", ["Pulumi.home.yaml", "apps/media/category.yaml", "manifests/rules/storage.py"])
def test_settings_categories_and_rules_reach_everything(checkout: Path, file: str) -> None:
    (checkout / file).parent.mkdir(parents=True, exist_ok=True)
    with (checkout / file).open("a", encoding="utf-8") as opened:
        opened.write("# said differently\n")
    seen = look(checkout, "HEAD")
    assert seen.told == seen.contents.keys()


def test_the_verb_prints_rendered_problems_for_people_and_machines(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ops.checking.settings.check_stack", lambda root, stack, tree: []
    )  # no platform in a checkout this small
    edit(checkout / "apps/media/whoami/base/deployment.yaml", "whoami:v1.11.0", "whoami:latest")
    assert main(["check", "--root", str(checkout)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "apps/media/whoami/base/deployment.yaml:14: Deployment whoami spec.template.spec.containers[0]"
    )
    assert re.fullmatch(r"1 problem in 2 stacks, 3 categories, 4 apps; 32 objects of 8 folders", lines[-1])
    assert main(["check", "--root", str(checkout), "--changed-since", "HEAD", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [problem["check"] for problem in said["problems"]] == ["image-unpinned"]
    assert not [note for note in said["notes"] if "stand-in" in note]


CHART = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: media
resources: [../base/route.yaml]
components: [../../../_settings/{environment}]
helmCharts:
  - name: {name}
    repo: https://charts.example.com
    version: 1.0.0
    releaseName: {name}
    namespace: media
"""
ENVIRONMENTS = ("dev", "production")


def with_chart(root: Path, name: str) -> Validation:
    """Add an app that is a chart, with a route to a Service that only the chart can bring."""
    folder = root / "apps/media/charted"
    for inner in ("base", *ENVIRONMENTS):
        (folder / inner).mkdir(parents=True)
    route = (root / "apps/media/whoami/base/route.yaml").read_text(encoding="utf-8").replace("whoami", "charted")
    (folder / "base/route.yaml").write_text(route, encoding="utf-8")
    for one in ENVIRONMENTS:
        text = CHART.format(name=name, environment=one)
        (folder / one / "kustomization.yaml").write_text(text, encoding="utf-8")
    return look(root)


def test_a_stand_in_for_an_unknown_chart_is_not_checked(checkout: Path) -> None:
    seen = with_chart(checkout, "nobody-has-this")
    assert validate(seen) == []
    assert seen.stand_ins == ("chart nobody-has-this 1.0.0",)
    objects = seen.stack_objects(seen.stacks[0])
    assert [obj.kind for obj in objects.all if obj.app.name == "charted"] == ["HTTPRoute"]


@pytest.mark.parametrize(("name", "said"), [("whatever-it-brings", set()), ("ceph-blok", {"did you mean ceph-block?"})])
def test_a_misspelt_class_is_reported_despite_an_unknown_chart(name: str, said: set[str], checkout: Path) -> None:
    category, claim = (
        checkout / f"apps/{one}" for one in ("networking/category.yaml", "media/jellyfin/base/volume.yaml")
    )
    category.write_text(f"{category.read_text()}clusterKinds: [StorageClass.storage.k8s.io]\n", encoding="utf-8")
    made = "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: ceph-block}, provisioner: some}\n"
    for one in ENVIRONMENTS:
        folder = checkout / "apps/networking/classes" / one
        folder.mkdir(parents=True)
        (folder / "class.yaml").write_text(made, encoding="utf-8")
        (folder / "kustomization.yaml").write_text("resources: [class.yaml]\n", encoding="utf-8")
    claim.write_text(claim.read_text().replace("spec:", f"spec:\n  storageClassName: {name}"), encoding="utf-8")
    assert {problem.fix for problem in validate(with_chart(checkout, "nobody-has-this"))} == said


def test_stand_ins_are_counted_for_people_and_named_for_machines(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_chart(checkout, "nobody-has-this")
    main(["check", "--root", str(checkout)])
    said = "1 chart or base is a stand-in (HOMELAB_OFFLINE=1)"
    assert f"{said}; --json lists them\n" in capsys.readouterr().out
    main(["check", "--root", str(checkout), "--json"])
    assert f"{said}: chart nobody-has-this 1.0.0" in json.loads(capsys.readouterr().out)["notes"]


def test_a_described_chart_is_checked_within_its_values(checkout: Path) -> None:
    seen = with_chart(checkout, "metrics-server")
    told = {problem.check: problem for problem in validate(seen)}
    assert {"cluster-kind-undeclared", "reference-unknown"} <= told.keys()
    assert told["reference-unknown"].file == "apps/media/charted/base/route.yaml"
    place = told["cluster-kind-undeclared"]
    assert (place.file, place.line) == ("apps/media/charted/production/kustomization.yaml", 7)
    assert "probe-missing" not in told


def test_what_an_alert_asks_for_is_scraped() -> None:
    seen = look(ROOT)
    seen.render()
    objects = seen.stack_objects(next(one for one in seen.stacks if one.name == "homelab"))
    monitors = {(one.namespace, one.name) for one in objects.of("PodMonitor", "ServiceMonitor")}
    rules = [one for one in objects.of("PrometheusRule") if one.app.name == "alerts"]
    alerts = [rule["expr"] for one in rules for group in one.spec["groups"] for rule in group["rules"]]
    asked = {name for expr in alerts for name in re.findall(r"\b(?:up|[a-z]+(?:_[a-z]+)+)(?=\{| [=!<>/-]|\[)", expr)}
    assert {name.partition("_")[0] for name in asked} == set(SCRAPED)
    assert {one for needed in SCRAPED.values() for one in needed} - monitors == set()


def test_the_secrets_that_pulumi_makes_are_those_of_the_components() -> None:
    for stack in ("homelab", "staging", "dev"):
        made = (ROOT / f"tests/components/golden/{stack}.urns").read_text(encoding="utf-8")
        names = re.findall(r"core/v1:Secret::\w+-(\S+)", made)
        settings = read_stack(ROOT / f"Pulumi.{stack}.yaml").require()
        assert sorted(names) == sorted(name for _, name in secrets_of(settings))

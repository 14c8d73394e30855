"""Stand-ins against the facts of the real charts: no additional value is accepted, and no object is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import programs
from errors import ProgramFailed
from manifests.objects import CRD
from manifests.sources import Chart
from manifests.values import unknown_values
from ops.toolchain.lookup import CRDS, Toolchain, ensure
from standins.charts import StandInCharts, described
from standins.crds import KnownCrds
from standins.facts import FACTS, facts_of, inflated, uses
from standins.facts import described as kept

CHECKOUT = Path(__file__).resolve().parents[2]
READ = sorted(file.stem for file in FACTS.glob("*.yaml"))
# Its chart could not be read: its documentation is the source of its values.
UNREAD = {"forgejo"}
# Made by a version that is older than that of the tree.
GONE = {"openebs": {"openebs-device"}}


@pytest.fixture(scope="module")
def tools() -> Toolchain:
    return ensure(("helm", CRDS))


@pytest.fixture
def charts(tools: Toolchain, tmp_path: Path) -> StandInCharts:
    return StandInCharts(tmp_path, KnownCrds(tools.manifests(CRDS)), real=None)


def test_every_stand_in_has_the_facts_of_its_chart() -> None:
    assert set(described()) - {"_unknown"} == {*READ, *UNREAD}


@pytest.mark.parametrize("name", READ)
def test_a_stand_in_makes_every_object_of_its_chart(name: str, charts: StandInCharts, tools: Toolchain) -> None:
    facts = facts_of(name)
    for use in uses(CHECKOUT, name):
        folder = charts.chart(Chart(name, use.version, "https://charts.example.com"))
        assert folder is not None
        made = inflated(folder, use, tools.env())
        ours = {(one["kind"], one["name"], one.get("namespace")): one for item in made for one in [kept(item, use)]}
        crds = {item["metadata"]["name"] for item in made if item["kind"] == CRD}
        kept_facts = [one for one in facts["objects"] if one["name"] not in GONE.get(name, ())]
        wanted = [one for one in kept_facts if use.folder in one.get("in", [use.folder])]
        missing = [one for one in wanted if (one["kind"], one["name"], one.get("namespace")) not in ours]
        assert [f"{one['kind']} {one['name']} {one.get('namespace')}" for one in missing] == [], use.folder
        assert set(facts["crds"]) - crds == set(), use.folder
        for one in wanted:
            own = ours[one["kind"], one["name"], one.get("namespace")]
            assert one.get("ports", {}).items() <= own.get("ports", {}).items(), f"{use.folder}: {one}"
            assert one.get("pods", {}).items() <= own.get("pods", {}).items(), f"{use.folder}: {one}"


@pytest.mark.parametrize("name", READ)
def test_the_tree_sets_no_value_unknown_to_a_chart(name: str) -> None:
    exact = [use for use in uses(CHECKOUT, name) if use.version == facts_of(name)["version"]]
    for use in exact:
        for file in use.values:
            values = yaml.safe_load(file.read_text(encoding="utf-8"))
            found = list(unknown_values(values[use.below] if use.below else values, facts_of(name)["values"]))
            assert found == [], file


@pytest.mark.parametrize("name", READ)
def test_a_stand_in_has_no_value_beyond_its_chart(name: str) -> None:
    if all(use.version == facts_of(name)["version"] for use in uses(CHECKOUT, name)):
        assert list(unknown_values(described()[name]["values"], facts_of(name)["values"])) == []


def test_an_unknown_nested_value_is_refused_in_helms_words(charts: StandInCharts, tools: Toolchain) -> None:
    cilium = next(uses(CHECKOUT, "cilium"))
    folder = charts.chart(Chart("cilium", cilium.version, "https://helm.cilium.io"))
    options = ("--set", "operator.replica=2")
    with pytest.raises(ProgramFailed, match=r"at '/operator': additional properties 'replica' not allowed"):
        programs.run("helm", "template", "cilium", folder or "", *options, env=tools.env())

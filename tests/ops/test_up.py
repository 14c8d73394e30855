"""`up` first fetches the charts and bases of the seeds into the cache, and the seeds render them from there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from config.load import read_stack
from config.promotion import REVISION
from config.tree import read_tree
from errors import Problem, TreeRefused
from manifests.sources import Chart
from ops import rehearse, stack, up
from ops.__main__ import main
from ops.up import SEEDS, seeds_from_the_cache
from ops.upstream.originals import Fetched
from tests.manifests.checkout import make_chart

CHECKOUT = Path(__file__).parents[2]
CERT_MANAGER = "apps/cert-manager/cert-manager/dev"


def test_seeds_get_cached_charts_and_fetch_the_others_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMELAB_ORIGINALS", str(tmp_path))
    monkeypatch.delenv(SEEDS, raising=False)
    (entry,) = yaml.safe_load((CHECKOUT / CERT_MANAGER / "kustomization.yaml").read_text())["helmCharts"]
    chart = Chart(entry["name"], entry["version"], entry["repo"])
    make_chart(tmp_path / "charts" / chart.folder / chart.name, chart)
    settings = read_stack(CHECKOUT / "Pulumi.dev.yaml").require()
    with seeds_from_the_cache(CHECKOUT, settings, read_tree(CHECKOUT)):
        tree = Path(os.environ[SEEDS])
        laid = list(tree.rglob("charts/*/*/Chart.yaml"))
        assert [str(one.relative_to(tree)) for one in laid] == [
            f"{CERT_MANAGER}/charts/{chart.name}-{chart.version}/{chart.name}/Chart.yaml"
        ]
        # A base that the cache lacks stays the URL that kustomize reads.
        crds = "apps/crds/gateway-api/base/kustomization.yaml"
        assert (tree / crds).read_bytes() == (CHECKOUT / crds).read_bytes()
    assert SEEDS not in os.environ
    assert not tree.exists()


def test_up_asks_for_what_seeds_render_before_the_engine_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def fetch(
        root: Path, settings: object, tree: object, env: object, forbidden: str, layers: tuple[str, ...]
    ) -> Fetched:
        asked.append((forbidden, *layers))
        raise TreeRefused([])

    monkeypatch.setattr(up, "fetch_for", fetch)
    monkeypatch.setattr(up, "require_secrets", lambda *_: None)
    monkeypatch.setattr(up, "prepare_path", lambda: None)
    monkeypatch.chdir(CHECKOUT)
    assert main(["up", "--stack", "dev", "--offline"]) == 1
    assert asked == [("--offline", "crds", "infrastructure")]


@pytest.mark.parametrize("verb", ["up", "rehearse"])
def test_nothing_runs_with_a_pin_that_is_refused(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = Problem("a.yaml", 0, REVISION, "8" * 40, "is no ancestor of HEAD", "promote again", "pin-outside")
    monkeypatch.setattr(stack, "check_pins", lambda *_: ([refused], ""))
    for module, name in ((up, "require_secrets"), (up, "prepare_path"), (rehearse, "Timeline")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("began"))
    monkeypatch.chdir(CHECKOUT)
    assert main([verb, "--stack", "dev", "--offline"]) == 1
    assert str(refused) in capsys.readouterr().err

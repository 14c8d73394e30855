"""A raised generation over a cluster that lives: all is seeded again, and Argo CD keeps what is its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.home import SEEDED, Home

pytestmark = pytest.mark.nightly


@pytest.fixture
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    made = Home.trimmed(tmp_path_factory.mktemp("generation") / "checkout")
    try:
        made.whole()
        yield made
    finally:
        made.end()


def test_a_cluster_that_is_seeded_again_stays_synced_and_keeps_its_tracking(own_home: Home) -> None:
    note = "argocd.argoproj.io/tracking-id"
    path = ("apps/v1", "DaemonSet", "cilium", "kube-system")
    before = own_home.api.get(*path)
    assert before
    own_home.edit("    protect: nothing\n", "    protect: nothing\n    generation: 2\n")
    own_home.push()
    result = own_home.whole()
    assert result["good"]
    after = own_home.api.get(*path)
    assert after
    assert after["metadata"]["annotations"][note] == before["metadata"]["annotations"][note]
    for folder in SEEDED:
        own_home.good(folder.replace("/", "-"), seconds=5)
    assert set(own_home.whole()["changes"]) == {"same"}

"""A render that differs on a second run is told with object and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.render import Folder, Renderer
from manifests.stability import is_stable, unstable
from tests.manifests.checkout import KUSTOMIZATION, Charts, config_map, lay

RANDOM = """\
apiVersion: v1
kind: Secret
metadata:
  name: random
  namespace: media
stringData:
  password: {{ randAlphaNum 20 }}
  made: {{ now | unixEpoch | quote }}
  fixed: always
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ printf "job-%s" (randAlphaNum 20 | lower) }}
"""


@pytest.fixture
def app(root: Path) -> Folder:
    lay(root, {"apps/media/one/kustomization.yaml": KUSTOMIZATION, "apps/media/one/extra.yaml": config_map("extra")})
    lay(root, {"apps/media/one/values.yaml": "{}\n"})
    return Folder("apps/media/one")


def test_a_random_password_a_time_and_a_random_name_are_found(renderer: Renderer, charts: Charts, app: Folder) -> None:
    charts.add("greeter", files={"templates/random.yaml": RANDOM})
    problems = unstable(renderer, app)
    assert [problem.key for problem in problems if "job-" not in problem.key] == [
        "Secret media/random stringData.made",
        "Secret media/random stringData.password",
    ]
    assert str(problems[-1]) == (
        "apps/media/one: Secret media/random stringData.password: differs in two renders; give the value, or name a "
        "Secret that exists: charts make it with randAlphaNum, genCA or now [render-unstable]"
    )
    others = [problem for problem in problems if "job-" in problem.key]
    assert [problem.rule for problem in others] == ["is in one of two renders only"] * 2
    assert not is_stable(renderer, app)


def test_a_chart_that_gives_the_same_twice_is_stable(renderer: Renderer, charts: Charts, app: Folder) -> None:
    charts.add("greeter")
    assert is_stable(renderer, app)


def test_the_second_render_is_of_another_second(renderer: Renderer, charts: Charts, app: Folder) -> None:
    charts.add("greeter")
    waited: list[float] = []
    unstable(renderer, app, waited.append)
    assert 0 < waited[0] <= 1


def test_another_order_is_told(renderer: Renderer, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = iter([["a", "b"], ["b", "a"]])
    made = lambda *_: tuple({"kind": "ConfigMap", "metadata": {"name": name}} for name in next(rounds))  # noqa: E731
    monkeypatch.setattr("manifests.stability.render", made)
    (problem,) = unstable(renderer, Folder("apps/media/one"), lambda _: None)
    assert problem.rule == "gives its objects in another order each time"

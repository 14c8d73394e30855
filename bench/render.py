"""How long rendering 100 small app folders takes, cold and warm, beside kustomize alone.

    .venv/bin/python bench/render.py [--apps 100] [--runs 5]

Prints the median of several rounds. In each round two shell loops side by side run plain `kustomize build` on the same
folders, then they are rendered with an empty cache and once more with the full one, each time in a process of its own
that measures from after its imports. Targets: cold at most 1.5 times the loops, warm at most 0.2 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
KUSTOMIZATION = """apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: media
resources: [deployment.yaml, service.yaml]
components: [../../_shared/hardened]
configMapGenerator:
  - name: settings
    literals: [number={number}]
"""
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-{number}
spec:
  selector:
    matchLabels: {{app: app-{number}}}
  template:
    metadata:
      labels: {{app: app-{number}}}
    spec:
      containers:
        - name: app
          image: registry.example.com/app:1.0.0
          ports: [{{containerPort: 8080}}]
"""
SERVICE = """apiVersion: v1
kind: Service
metadata:
  name: app-{number}
spec:
  selector: {{app: app-{number}}}
  ports: [{{port: 80, targetPort: 8080}}]
"""
COMPONENT = """apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
  - target: {kind: Deployment}
    patch: |
      - {op: add, path: /spec/template/spec/securityContext, value: {runAsNonRoot: true}}
"""
LOOP = 'for folder; do kustomize build "$folder" >/dev/null || exit 1; done'
MEASURE = """
import sys, time
from pathlib import Path
from manifests.render import Folder, Renderer, render_all
root = Path(sys.argv[1])
folders = [Folder(f"apps/media/{path.name}") for path in sorted((root / "apps" / "media").iterdir())]
began = time.perf_counter()
renders = render_all(Renderer(root, kubernetes="1.36.3"), folders)
took = time.perf_counter() - began
assert not renders.problems and all(len(objects) == 3 for objects in renders.objects.values())
print(took)
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--apps", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    env = _environment()
    loops, cold, warm = [], [], []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        _checkout(root, options.apps)
        for run in range(options.runs):
            fresh = env | {"XDG_CACHE_HOME": str(root / f"cache-{run}")}
            loops.append(_loops(root, env))
            cold.append(_render(root, fresh))
            warm.append(_render(root, fresh))
    ratio = statistics.median(one / other for one, other in zip(cold, loops, strict=True))
    print(f"{options.apps} folders, median of {options.runs} rounds")
    print(f"{'two loops of kustomize build':<32}{statistics.median(loops):6.2f} s")
    print(f"{'rendered cold':<32}{statistics.median(cold):6.2f} s   {ratio:.2f} times the loops; target: at most 1.50")
    print(f"{'rendered warm':<32}{statistics.median(warm):6.2f} s   target for 100: at most 0.20")


def _environment() -> dict[str, str]:
    from ops.toolchain.lookup import ensure  # noqa: PLC0415 - found after sys.path knows the checkout

    return ensure(("kustomize",)).env(os.environ | {"PYTHONPATH": str(ROOT)})


def _checkout(root: Path, apps: int) -> None:
    files = {"deployment.yaml": DEPLOYMENT, "service.yaml": SERVICE, "kustomization.yaml": KUSTOMIZATION}
    (root / "apps" / "_shared" / "hardened").mkdir(parents=True)
    (root / "apps" / "_shared" / "hardened" / "kustomization.yaml").write_text(COMPONENT, encoding="utf-8")
    for number in range(apps):
        folder = root / "apps" / "media" / f"app-{number}"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text.format(number=number), encoding="utf-8")


def _loops(root: Path, env: dict[str, str]) -> float:
    folders = sorted(map(str, (root / "apps" / "media").iterdir()))
    began = time.perf_counter()
    halves = [subprocess.Popen(["/bin/sh", "-c", LOOP, "-", *folders[half::2]], env=env) for half in (0, 1)]
    assert [half.wait() for half in halves] == [0, 0]
    return time.perf_counter() - began


def _render(root: Path, env: dict[str, str]) -> float:
    command = [sys.executable, "-c", MEASURE, str(root)]
    finished = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return float(finished.stdout)


if __name__ == "__main__":
    main()

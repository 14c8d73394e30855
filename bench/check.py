"""How long `./homelab check` takes, as a whole process: the shape of generated trees, and this tree with its objects.

    .venv/bin/python bench/check.py

Prints seconds for `--shape` with 300 and 3,000 apps (the smallest of several runs), the share of starting Python and
importing beside them, the slope, which has to stay linear, and the whole check of this tree with everything rendered.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
CATEGORIES = 15
RUNS = 5
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: app
spec:
  template:
    spec:
      containers:
        - name: app
          image: registry.example.com/app:1.0.0
          env:
            - name: DATABASE_PASSWORD
              valueFrom: {secretKeyRef: {name: app, key: password}}
"""
KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [{}]\n"
ENVIRONMENTS = ("dev", "staging", "production")


def main() -> None:
    """Measure and print a table."""
    start = _seconds(["-c", "pass"])
    imports = _seconds(["-c", "import ops.check"])
    print(f"{'starting Python':<28}{start:6.2f} s")
    print(f"{'and importing the check':<28}{imports:6.2f} s")
    taken = {}
    for apps in (300, 3000):
        with tempfile.TemporaryDirectory() as folder:
            _checkout(Path(folder), apps)
            taken[apps] = _seconds(["-m", "ops", "check", "--shape", "--root", folder])
        print(f"{f'shape, {apps} apps':<28}{taken[apps]:6.2f} s   target for 300: below 1 s")
    slope = (taken[3000] - imports) / (taken[300] - imports)
    print(f"ten times the apps take {slope:.1f} times as long (10 is linear)")
    print(f"{'check, this tree, again':<28}{_seconds(['-m', 'ops', 'check']):6.2f} s   target: below 10 s")


def _checkout(root: Path, apps: int) -> None:
    for stack in ROOT.glob("Pulumi.*.yaml"):
        shutil.copy(stack, root)
    shutil.copytree(ROOT / "patches", root / "patches")
    shutil.copytree(ROOT / "tests" / "config" / "checkout" / "apps", root / "apps")
    for production in list(root.glob("apps/[!_]*/*/production")):
        for environment in ENVIRONMENTS:
            shutil.copytree(production, production.with_name(environment), dirs_exist_ok=True)
    for category in range(CATEGORIES):
        folder = root / "apps" / f"category-{category}"
        folder.mkdir(parents=True)
        (folder / "category.yaml").write_text("layer: applications\n", encoding="utf-8")
        for app in range(apps // CATEGORIES):
            base = folder / f"app-{app}" / "base"
            base.mkdir(parents=True)
            (base / "kustomization.yaml").write_text(KUSTOMIZATION.format("deployment.yaml"), encoding="utf-8")
            (base / "deployment.yaml").write_text(DEPLOYMENT, encoding="utf-8")
            for environment in ENVIRONMENTS:
                (base.parent / environment).mkdir()
                kustomization = base.parent / environment / "kustomization.yaml"
                kustomization.write_text(KUSTOMIZATION.format("../base"), encoding="utf-8")
    for environment in ENVIRONMENTS:
        (root / "apps" / "_settings" / environment).mkdir(parents=True, exist_ok=True)
    settings = [sys.executable, "-m", "ops", "settings", "--root", str(root)]
    subprocess.run(settings, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _seconds(arguments: list[str]) -> float:
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()

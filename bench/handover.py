"""How long the handover takes, from nothing to all Synced and Healthy, for this tree and for many generated apps.

    .venv/bin/python bench/handover.py [--stack NAME] [--apps 100,300,1000]

This tree first. Then a small tree and a category of generated apps, each two objects and two pods: more and more of
them, each time the whole `./homelab rehearse` that commits them and ends when Argo CD reports that all is Synced and
Healthy, with processor time, memory, objects per second, and how the time grows with the number of apps.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.running import servers
from tests.lab.checkout import Checkout
from tests.lab.home import Home

CATEGORY = "generated"
OBJECTS = 2
FIRST = 1  # apps that are there before the first step: its namespace and its set cost more than itself
WORKERS = 20  # a node takes 110 pods, and an app has two
KUSTOMIZATION = """apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: generated
resources: [deployment.yaml, service.yaml]
"""
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: {app}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: {app}}}}}
  template:
    metadata: {{labels: {{app: {app}}}}}
    spec:
      securityContext: {{runAsNonRoot: true, runAsUser: 65534, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
        - name: app
          image: registry.example.com/app:1.0.0
          resources: {{requests: {{cpu: 1m, memory: 1Mi}}, limits: {{memory: 1Mi}}}}
          securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"""
SERVICE = """apiVersion: v1
kind: Service
metadata: {{name: {app}}}
spec: {{selector: {{app: {app}}}, ports: [{{port: 80}}]}}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="homelab", help="the stack whose tree is measured (default: homelab)")
    parser.add_argument("--apps", default="100,300,1000", help="how many generated apps, step after step")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole_tree(Checkout.make(Path(folder) / "checkout", options.stack))
    with tempfile.TemporaryDirectory() as folder:
        generated(Home.trimmed(Path(folder) / "checkout"), [int(number) for number in options.apps.split(",")])


def whole_tree(checkout: Checkout) -> None:
    """From nothing to the end with the tree as it is."""
    try:
        began = time.perf_counter()
        result = checkout.whole()
        seconds = time.perf_counter() - began
        print(f"this tree, {checkout.stack}: {result['applications']} applications {seconds:6.1f} s   target: 60 s")
        print(f"  {memory(checkout)} MiB, {processor(checkout):.0f} s of processor time, the engine's not counted")
    finally:
        checkout.end()


def generated(checkout: Checkout, steps: list[int]) -> None:
    """A small tree, then more and more apps."""
    try:
        enlarge(checkout)
        checkout.whole()
        print(f"{'apps':>6}{'seconds':>10}{'objects/s':>11}{'processor s':>13}{'MiB':>7}{'seconds/app':>13}")
        before, grew = FIRST, []
        for apps in steps:
            generate(checkout, apps)
            used, began = processor(checkout), time.perf_counter()
            checkout.whole()
            seconds, new = time.perf_counter() - began, apps - before
            row = f"{apps:>6}{seconds:>10.1f}{new * OBJECTS / seconds:>11.1f}{processor(checkout) - used:>13.0f}"
            print(f"{row}{memory(checkout):>7}{seconds / new:>13.3f}", flush=True)
            grew.append((new, seconds))
            before = apps
        if len(grew) > 1:
            slope, besides = statistics.linear_regression(*zip(*grew, strict=True))
            print(f"slope: {slope:.3f} s an app, {besides:.1f} s besides")
    finally:
        checkout.end()


def enlarge(checkout: Checkout) -> None:
    """Add a category to a small home, and memory for its apps."""
    checkout.edit("media, ai]", f"media, ai, {CATEGORY}]")
    checkout.timeout = 3600
    checkout.edit("memory: 16GiB", "memory: 4GiB")
    checkout.edit(
        "      - {name: worker-1, role: worker, address: 10.0.20.20, host: pve-1}\n",
        "".join(
            f"      - {{name: worker-{one}, role: worker, address: 10.0.20.{19 + one}, host: pve-1}}\n"
            for one in range(1, 1 + WORKERS)
        ),
    )
    generate(checkout, FIRST)


def generate(checkout: Checkout, apps: int) -> None:
    """Write a category of so many apps."""
    category = checkout.root / "apps" / CATEGORY
    category.mkdir(exist_ok=True)
    (category / "category.yaml").write_text("layer: applications\n", encoding="utf-8")
    for number in range(apps):
        folder = category / f"app-{number}"
        folder.mkdir(exist_ok=True)
        (folder / "kustomization.yaml").write_text(KUSTOMIZATION, encoding="utf-8")
        (folder / "deployment.yaml").write_text(DEPLOYMENT.format(app=folder.name), encoding="utf-8")
        (folder / "service.yaml").write_text(SERVICE.format(app=folder.name), encoding="utf-8")


def memory(checkout: Checkout) -> int:
    """Return the memory of the servers, in MiB."""
    return sum(server.resident for server in servers.alive(checkout.lab)) >> 20


def processor(checkout: Checkout) -> float:
    """Add up the seconds that the servers have worked."""
    times = [psutil.Process(server.pid).cpu_times() for server in servers.alive(checkout.lab)]
    return sum(one.user + one.system for one in times)


if __name__ == "__main__":
    main()

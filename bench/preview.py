"""How long `./homelab preview` takes, as a whole process, on generated trees with three environments.

    .venv/bin/python bench/preview.py [--apps 100] [--runs 3]

A repository of many apps is made, with a commit on the main branch. Then one app changes, and then every app: the
command runs with nothing in the cache, and again with everything rendered; rendering is printed apart. Each row has
seconds and seconds of processor time, programs included; the load of the machine is printed above them, because other
work on it makes both longer. Ratios compare rows of this run. Goals: one app of 100 within 1 s, all of 100 within 5 s,
and ten times the apps at most ten times as long.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
CATEGORY = """\
layer: applications
namespaces:
  {name}: {{podSecurity: restricted}}
"""
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: whoami
spec:
  podSelector:
    matchLabels: {app.kubernetes.io/name: whoami}
  ingress:
    - from:
        - namespaceSelector:
            matchLabels: {kubernetes.io/metadata.name: networking}
"""
PER_CATEGORY = 20
IMAGE, NEWER = "whoami:v1.11.0", "whoami:v1.11.1"


@dataclass(frozen=True)
class Taken:
    """The shortest of several runs."""

    seconds: float
    processor: float

    def __sub__(self, other: Taken) -> Taken:
        """Return the difference of two measurements."""
        return Taken(self.seconds - other.seconds, self.processor - other.processor)

    def __str__(self) -> str:
        """Return it as the table prints it."""
        return f"{self.seconds:7.2f} s {self.processor:7.2f} s"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--apps", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print(f"{'':<52}{'duration':>9} {'processor':>9}")
    start = _row("starting Python and importing the verb", _timed(["-c", "import ops.preview"], options.runs))
    one, every = _measured(options.apps, options.runs, with_engine=True)
    many, _ = _measured(10 * options.apps, 1, with_engine=False)
    print(f"\nten times the apps take {(many - start) / (one - start):.1f} times as long (10 is linear)")
    print(f"all {options.apps} apps take {(every - start) / (one - start):.1f} times as long as one")


def _measured(apps: int, runs: int, *, with_engine: bool) -> tuple[float, float]:
    """Print the rows of one tree, and return the processor time of one changed app and of all."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "checkout"
        root.mkdir()
        env = os.environ | {"HOMELAB_ORIGINALS": f"{folder}/originals", "XDG_CACHE_HOME": f"{folder}/cache"}
        _link_tools(Path(folder) / "cache")
        _checkout(root, apps)
        command = ["-m", "ops", "preview", "--root", str(root), "--format", "json"]
        every_stack, taken = [*command, "--all-stacks"], []
        _change(root, 1)
        _row(f"{apps} apps x 3, one app changed, nothing cached", _timed(every_stack, 1, env))
        again = _timed(every_stack, runs, env)
        taken.append(_row(f"{apps} apps x 3, one app changed", again))
        _change(root, apps)
        first, again = _timed(every_stack, 1, env), _timed(every_stack, runs, env)
        taken.append(_row(f"{apps} apps x 3, all apps changed", again))
        _row("  rendering them for the first time", first - again)
        if with_engine:
            _row("an empty program of Pulumi", _timed(["-c", "import pulumi"], runs))
            without = _timed([*command, "--stack", "home"], runs, env)
            stack = root / "Pulumi.home.yaml"
            stack.write_text(stack.read_text(encoding="utf-8").replace("8GiB", "9GiB"), encoding="utf-8")
            _row("the engine's part of one stack", _timed([*command, "--stack", "home"], runs, env) - without)
        return taken[0], taken[1]


def _link_tools(cache: Path) -> None:
    """Use the built programs with an empty cache of renders."""
    from local.cache import cache_folder  # noqa: PLC0415 - found after sys.path knows the checkout

    (cache / "homelab").mkdir(parents=True)
    (cache / "homelab" / "tools").symlink_to(cache_folder() / "tools")


def _checkout(root: Path, apps: int) -> None:
    """Write the checkout of the library of changes with a third environment, and copies of one of its apps."""
    import yaml  # noqa: PLC0415 - as above

    from tests.ops.review.library.charts import lay_charts  # noqa: PLC0415
    from tests.ops.review.library.example import HERE, commit, edit, lay_template  # noqa: PLC0415

    lay_charts(root.parent / "originals")
    lay_template(root)
    edit(root, yaml.safe_load((HERE / "examples" / "new-stack.yaml").read_text(encoding="utf-8"))["change"])
    model = root / "apps" / "media" / "whoami"
    files = {str(file.relative_to(model)): file.read_text(encoding="utf-8") for file in model.rglob("*.yaml")}
    files["base/network-policy.yaml"] = POLICY
    kustomization = files["base/kustomization.yaml"]
    files["base/kustomization.yaml"] = kustomization.replace("- route.yaml", "- network-policy.yaml\n  - route.yaml")
    for number in range(apps - len(list(root.glob("apps/[!_]*/*/dev")))):
        category, name = f"many-{number // PER_CATEGORY}", f"app-{number}"
        folder = root / "apps" / category
        if not folder.exists():
            folder.mkdir()
            (folder / "category.yaml").write_text(CATEGORY.format(name=category), encoding="utf-8")
        for file, text in files.items():
            made = folder / name / file
            made.parent.mkdir(parents=True, exist_ok=True)
            own = text.replace(IMAGE, "IMAGE").replace("whoami", name).replace("IMAGE", IMAGE)
            made.write_text(own.replace("namespace: media", f"namespace: {category}"), encoding="utf-8")
    edit(root, {})
    commit(root, "Add many apps")


def _change(root: Path, apps: int) -> None:
    """Move the image of the first apps."""
    for file in sorted(root.glob("apps/*/*/base/deployment.yaml"))[-apps:]:
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(IMAGE, NEWER), encoding="utf-8")


def _row(name: str, taken: Taken) -> float:
    print(f"{name:<52}{taken}", flush=True)
    return taken.processor


def _timed(arguments: list[str], runs: int, env: dict[str, str] | None = None) -> Taken:
    """Return the shortest duration of several runs, and the least processor time."""
    found = []
    for _ in range(runs):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        quiet = subprocess.DEVNULL
        subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, check=True, stdout=quiet, stderr=quiet)
        seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append((seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return Taken(min(one for one, _ in found), min(one for _, one in found))


if __name__ == "__main__":
    main()
